//! What a refused request is answered with.

use std::fmt;
use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Response, StatusCode};
use jotgate_jose::Error;

use crate::Refusal;

/// A request that may not pass, and what its sender is told: a problem (RFC 9457) with a stable code and a fixed
/// sentence, and `WWW-Authenticate` as RFC 6750 §3 has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    reason: Reason,
    metadata: Option<Arc<str>>,
}

/// Why a request may not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// It shows no token: 401 `unauthenticated`, with no error, for there was none (RFC 6750 §3.1).
    Unauthenticated,
    /// It shows two credentials: 400 `ambiguous_credentials`, `error="invalid_request"`.
    Ambiguous,
    /// It shows a cookie, would change something, and no page that may send it: 403 `csrf`.
    CrossSite,
    /// Its token is no good: 401 with the code of the error, `error="invalid_token"`. Or not enough is known here to
    /// say so: 503 `unavailable`.
    Refused(Refusal),
    /// Its token lacks one of these scopes: 403 `insufficient_scope`, `scope` names what is needed.
    Scopes(&'static [&'static str]),
    /// Its user lacks a role or a permission: 403 `forbidden`. Another token would not help.
    Forbidden,
    /// Its user signed in longer ago than this many seconds: 401 `insufficient_user_authentication` with `max_age`
    /// (RFC 9470 §3).
    SignedInBefore(u64),
    /// There is no [`Protect`](super::Protect) around this route: 500 `internal`, so that a forgotten layer lets nobody
    /// in.
    NotProtected,
}

impl Reason {
    /// The stable code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        self.row().1
    }

    /// The status of the answer.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// Status, code, title, and a sentence that repeats nothing of the request.
    const fn row(self) -> (StatusCode, &'static str, &'static str, &'static str) {
        match self {
            Self::Unauthenticated => {
                (StatusCode::UNAUTHORIZED, "unauthenticated", "Not signed in", "This needs an access token.")
            }
            Self::Ambiguous => (
                StatusCode::BAD_REQUEST,
                "ambiguous_credentials",
                "Ambiguous credentials",
                "The request carries more than one credential; send exactly one.",
            ),
            Self::CrossSite => (
                StatusCode::FORBIDDEN,
                "csrf",
                "Cross-site request refused",
                "The request does not come from a page of this server or a trusted origin.",
            ),
            Self::Refused(Refusal::Token(error)) => {
                (StatusCode::UNAUTHORIZED, error.code(), "Invalid access token", detail(error))
            }
            Self::Refused(Refusal::NotReady | Refusal::Stale) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "Unavailable",
                "This cannot be done right now; try again shortly.",
            ),
            Self::Scopes(_) => (
                StatusCode::FORBIDDEN,
                "insufficient_scope",
                "Insufficient scope",
                "The access token does not allow this.",
            ),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "Forbidden", "You may not do this."),
            Self::SignedInBefore(_) => (
                StatusCode::UNAUTHORIZED,
                "insufficient_user_authentication",
                "Sign in again",
                "This needs a more recent sign-in.",
            ),
            Self::NotProtected => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "Internal error",
                "Something went wrong here.",
            ),
        }
    }

    /// The parameters of the challenge; none where no other token would help.
    fn challenge(self) -> Option<Vec<(&'static str, String)>> {
        let error = |code: &str| vec![("error", code.to_owned())];
        Some(match self {
            Self::Unauthenticated => Vec::new(),
            Self::Ambiguous => error("invalid_request"),
            Self::Refused(Refusal::Token(_)) => error("invalid_token"),
            Self::Scopes(scopes) => [error("insufficient_scope"), vec![("scope", scopes.join(" "))]].concat(),
            Self::SignedInBefore(age) => {
                [error("insufficient_user_authentication"), vec![("max_age", age.to_string())]].concat()
            }
            Self::Refused(Refusal::NotReady | Refusal::Stale)
            | Self::CrossSite
            | Self::Forbidden
            | Self::NotProtected => return None,
        })
    }
}

/// As the server words it: nothing that helps to make a better forgery.
const fn detail(error: Error) -> &'static str {
    match error {
        Error::Malformed => "The access token is malformed.",
        Error::UnsupportedAlgorithm => "The access token's algorithm is not accepted.",
        Error::UnknownKey => "The access token names a key that is not known.",
        Error::InvalidSignature => "The access token's signature is wrong.",
        Error::WrongType => "The token is not an access token.",
        Error::Expired => "The access token has expired.",
        Error::NotYetValid => "The access token is not valid yet.",
        Error::TooOld => "The access token was issued too long ago.",
        Error::WrongIssuer => "The access token is from another issuer.",
        Error::WrongAudience => "The access token is for another audience.",
        Error::MissingClaim => "The access token lacks a claim.",
        Error::Revoked => "The access token has been revoked.",
    }
}

impl Denied {
    pub(super) fn new(reason: Reason, metadata: Option<Arc<str>>) -> Self {
        Self { reason, metadata }
    }

    /// For a refusal of the application's own, without metadata.
    #[must_use]
    pub fn because(reason: Reason) -> Self {
        Self::new(reason, None)
    }

    /// Why.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// The answer.
    #[must_use]
    pub fn into_response<B: From<String>>(self) -> Response<B> {
        let (status, code, title, detail) = self.reason.row();
        // Constants without anything to escape.
        let body = format!(
            r#"{{"type":"urn:jotgate:error:{code}","title":"{title}","status":{},"code":"{code}","detail":"{detail}"}}"#,
            status.as_u16()
        );
        let mut response = Response::new(B::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }

    fn challenge(&self) -> Option<HeaderValue> {
        let mut parameters = self.reason.challenge()?;
        parameters.extend(self.metadata.as_deref().map(|url| ("resource_metadata", url.to_owned())));
        let mut text = "Bearer".to_owned();
        for (place, (name, value)) in parameters.iter().enumerate() {
            text.push_str(if place == 0 { " " } else { ", " });
            text.push_str(&format!("{name}=\"{}\"", quotable(value)));
        }
        // Visible ASCII only, by now.
        Some(HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Bearer")))
    }
}

/// What may stand between quotes as it is (RFC 6750 §3): of a URL and of scopes, everything that is allowed in them.
fn quotable(value: &str) -> String {
    let plain = |c: char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if plain(c) {
            text.push(c);
        } else {
            c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| text.push_str(&format!("%{byte:02X}")));
        }
    }
    text
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.code())
    }
}

impl std::error::Error for Denied {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_status_code_and_challenge() {
        let rows: [(Reason, u16, &str, Option<&str>); 12] = [
            (Reason::Unauthenticated, 401, "unauthenticated", Some("Bearer")),
            (Reason::Ambiguous, 400, "ambiguous_credentials", Some("Bearer error=\"invalid_request\"")),
            (Reason::CrossSite, 403, "csrf", None),
            (Reason::Refused(Error::Expired.into()), 401, "expired", Some("Bearer error=\"invalid_token\"")),
            (Reason::Refused(Error::Revoked.into()), 401, "revoked", Some("Bearer error=\"invalid_token\"")),
            (Reason::Refused(Refusal::NotReady), 503, "unavailable", None),
            (Reason::Refused(Refusal::Stale), 503, "unavailable", None),
            (
                Reason::Scopes(&["a", "b:c"]),
                403,
                "insufficient_scope",
                Some("Bearer error=\"insufficient_scope\", scope=\"a b:c\""),
            ),
            (
                Reason::Scopes(&["\"\r\\é"]),
                403,
                "insufficient_scope",
                Some("Bearer error=\"insufficient_scope\", scope=\"%22%0D%5C%C3%A9\""),
            ),
            (Reason::Forbidden, 403, "forbidden", None),
            (
                Reason::SignedInBefore(300),
                401,
                "insufficient_user_authentication",
                Some("Bearer error=\"insufficient_user_authentication\", max_age=\"300\""),
            ),
            (Reason::NotProtected, 500, "internal", None),
        ];
        let metadata = "https://api.example/.well-known/oauth-protected-resource";
        for (reason, status, code, challenge) in rows {
            let response = Denied::because(reason).into_response::<String>();
            assert_eq!(response.status().as_u16(), status, "{reason:?}");
            let sent = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            assert_eq!(sent, challenge, "{reason:?}");
            // RFC 9110 §15.5.2, §15.6.4.
            assert!(status != 401 || sent.is_some());
            assert_eq!(status == 503, response.headers().contains_key(RETRY_AFTER));
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
            assert!(response.body().contains(&format!(r#""status":{status},"code":"{code}""#)));
            let told = Denied::new(reason, Some(metadata.into())).into_response::<String>();
            let told = told.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap());
            let separator = if challenge == Some("Bearer") { " " } else { ", " };
            let expected = challenge.map(|text| format!("{text}{separator}resource_metadata=\"{metadata}\""));
            assert_eq!(told, expected.as_deref(), "{reason:?}");
        }
    }
}
