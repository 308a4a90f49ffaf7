//! Who may read our answers from another origin (the Fetch standard, CORS protocol): trusted origins under
//! `/auth/`, with credentials; anybody what is public; nobody else anything.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN,
};
use http::{Method, Request};

use super::{Site, Surface};

/// What goes with the answer to one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    Nobody,
    Everybody,
    /// The origin as it was sent.
    Origin(HeaderValue),
}

impl Grant {
    pub(crate) fn to<B>(site: &Site, surface: Surface, request: &Request<B>) -> Self {
        match surface {
            Surface::Public => Self::Everybody,
            Surface::Auth | Surface::Verify => {
                let mut fields = request.headers().get_all(ORIGIN).iter();
                let (Some(origin), None) = (fields.next(), fields.next()) else { return Self::Nobody };
                // Whole and byte for byte: a suffix or a pattern would match a stranger.
                if site.trusted_origins.iter().any(|t| t.as_bytes() == origin.as_bytes()) {
                    Self::Origin(origin.clone())
                } else {
                    Self::Nobody
                }
            }
            _ => Self::Nobody,
        }
    }

    /// The headers of every answer.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        match self {
            Self::Nobody => {}
            Self::Everybody => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Self::Origin(origin) => {
                headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
                headers.insert(
                    ACCESS_CONTROL_EXPOSE_HEADERS,
                    HeaderValue::from_static("X-Request-Id, Retry-After, WWW-Authenticate"),
                );
            }
        }
    }

    /// The further headers of the answer to a preflight.
    pub(crate) fn write_preflight(&self, headers: &mut HeaderMap) {
        let (methods, names) = match self {
            Self::Nobody => return,
            Self::Everybody => ("GET, HEAD", "*"),
            // With credentials `*` would mean the header of that name.
            Self::Origin(_) => ("GET, HEAD, POST, PUT, PATCH, DELETE", "Authorization, Content-Type"),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(names));
        // Browsers cap it at two hours or less.
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("7200"));
    }
}

/// Whether a browser asks beforehand, of somebody who gets anything. On `/auth/verify` an OPTIONS is the
/// question whether an OPTIONS may pass, and is answered like any other.
pub(crate) fn is_preflight<B>(surface: Surface, grant: &Grant, request: &Request<B>) -> bool {
    request.method() == Method::OPTIONS
        && surface != Surface::Verify
        && *grant != Grant::Nobody
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && request.headers().contains_key(ORIGIN)
}
