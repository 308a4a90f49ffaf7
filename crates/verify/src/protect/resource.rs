//! What this resource says of itself (RFC 9728): which authorization server its tokens come from, for clients that know
//! nothing but its address.

use std::fmt;
use std::sync::Arc;

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::uri::Uri;
use http::{Method, Request, Response, StatusCode};
use tower_layer::Layer;

use super::Protect;
use super::intercept::{Intercept, Intercepted};

/// The segment that is inserted before the resource's own path (RFC 9728 §3).
const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// Metadata of a protected resource, and the layer that serves them.
///
/// ```
/// # #[cfg(feature = "axum")] mod example {
/// use axum::{Router, routing::get};
/// use jotgate_verify::protect::{Check, Protect, ProtectedResource, ResourceError};
///
/// async fn notes() {}
///
/// fn app(issuer: impl Check) -> Result<Router, ResourceError> {
///     let api = ProtectedResource::new("https://api.example.com", "https://login.example.com")?;
///     let api = api.scopes(&["notes:read", "notes:write"]);
///     // Outside of the other layer: whoever asks for this has no token yet.
///     Ok(Router::new().route("/notes", get(notes)).layer(Protect::new(issuer).describe(&api)).layer(api))
/// }
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ProtectedResource(Arc<Described>);

#[derive(Debug, Clone)]
struct Described {
    resource: String,
    /// Where the metadata are, and the path of that address.
    url: String,
    path: String,
    servers: Vec<String>,
    scopes: Vec<String>,
    name: Option<String>,
    documentation: Option<String>,
}

/// Why an identifier is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResourceError {
    /// It is not `https://host`, with a path where there is one (`http` to this host alone is allowed), or it has a
    /// query or a fragment (RFC 9728 §1.2).
    BadIdentifier,
}

impl fmt::Display for ResourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a resource's identifier is https://host, with its path but without query and fragment")
    }
}

impl std::error::Error for ResourceError {}

impl ProtectedResource {
    /// `resource` is the identifier that clients know and that the `aud` of tokens names; `issuer` the authorization
    /// server whose tokens are accepted. Both are published byte for byte.
    ///
    /// # Errors
    /// [`ResourceError`].
    pub fn new(resource: &str, issuer: &str) -> Result<Self, ResourceError> {
        let (url, path) = well_known(resource).ok_or(ResourceError::BadIdentifier)?;
        Ok(Self(Arc::new(Described {
            resource: resource.to_owned(),
            url,
            path,
            servers: vec![issuer.to_owned()],
            scopes: Vec::new(),
            name: None,
            documentation: None,
        })))
    }

    /// Tokens of this one are accepted as well.
    #[must_use]
    pub fn authorization_server(self, issuer: &str) -> Self {
        self.with(|described| described.servers.push(issuer.to_owned()))
    }

    /// `scopes_supported`: what a client may have to ask for.
    #[must_use]
    pub fn scopes(self, all: &[&str]) -> Self {
        self.with(|described| described.scopes.extend(all.iter().map(|&scope| scope.to_owned())))
    }

    /// `resource_name`: for people who are asked whether a client may use it.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.with(|described| described.name = Some(name.to_owned()))
    }

    /// `resource_documentation`: a page for developers.
    #[must_use]
    pub fn documentation(self, url: &str) -> Self {
        self.with(|described| described.documentation = Some(url.to_owned()))
    }

    /// Where the metadata are (RFC 9728 §3.1): between the resource's host and its path.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The document (RFC 9728 §2).
    #[must_use]
    pub fn json(&self) -> String {
        let described = &*self.0;
        let mut text = format!(
            "{{\"resource\":{},\"authorization_servers\":{}",
            quoted(&described.resource),
            list(&described.servers)
        );
        if !described.scopes.is_empty() {
            text.push_str(&format!(",\"scopes_supported\":{}", list(&described.scopes)));
        }
        text.push_str(",\"bearer_methods_supported\":[\"header\"]");
        for (member, value) in
            [("resource_name", &described.name), ("resource_documentation", &described.documentation)]
        {
            if let Some(value) = value {
                text.push_str(&format!(",\"{member}\":{}", quoted(value)));
            }
        }
        text.push('}');
        text
    }

    fn with(mut self, change: impl FnOnce(&mut Described)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    fn metadata<B: From<String>>(&self, method: &Method) -> Response<B> {
        let body = if *method == Method::GET { self.json() } else { String::new() };
        let mut response = Response::new(B::from(body));
        let headers = response.headers_mut();
        // Public, and asked for by pages of any origin.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        if matches!(*method, Method::GET | Method::HEAD) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
        } else {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        }
        response
    }
}

impl<C: super::Check> Protect<C> {
    /// Refusals name the address of these metadata (RFC 9728 §5.1).
    #[must_use]
    pub fn describe(self, resource: &ProtectedResource) -> Self {
        self.resource_metadata(resource.url())
    }
}

/// Address and path of the metadata of this resource.
fn well_known(resource: &str) -> Option<(String, String)> {
    let uri: Uri = resource.parse().ok()?;
    let authority = uri.authority()?;
    let scheme = uri.scheme_str()?;
    let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
    let plain = resource.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if !(scheme == "https" || scheme == "http" && loopback)
        || authority.as_str().contains('@')
        || uri.query().is_some()
        || resource.contains('#')
        || !plain
    {
        return None;
    }
    // A slash that ends the host is not part of the path (§3.1).
    let own = resource.strip_prefix(&format!("{scheme}://{authority}"))?;
    let path = format!("{WELL_KNOWN}{}", if own == "/" { "" } else { own });
    Some((format!("{scheme}://{authority}{path}"), path))
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(","))
}

/// A JSON string (RFC 8259 §7).
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

impl<S> Layer<S> for ProtectedResource {
    type Service = Intercepted<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Intercepted { inner, layer: self.clone() }
    }
}

impl Intercept for ProtectedResource {
    fn answer<B, R: From<String>>(&self, request: &Request<B>) -> Option<Response<R>> {
        (request.uri().path() == self.0.path).then(|| self.metadata(request.method()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_has_the_well_known_part_between_host_and_path() {
        for (resource, url) in [
            ("https://api.example", "https://api.example/.well-known/oauth-protected-resource"),
            ("https://api.example/", "https://api.example/.well-known/oauth-protected-resource"),
            (
                "https://api.example:8443/v1",
                "https://api.example:8443/.well-known/oauth-protected-resource/v1",
            ),
            ("https://api.example/v1/", "https://api.example/.well-known/oauth-protected-resource/v1/"),
            ("http://127.0.0.1:3000/a", "http://127.0.0.1:3000/.well-known/oauth-protected-resource/a"),
        ] {
            let described = ProtectedResource::new(resource, "https://login.example").unwrap();
            assert_eq!(described.url(), url);
            assert!(described.json().contains(&format!("\"resource\":\"{resource}\"")), "byte for byte");
        }
        for bad in [
            "",
            "api.example",
            "/v1",
            "http://api.example",
            "https://a@api.example",
            "https://api.example/?tenant=1",
            "https://api.example/#a",
            "ftp://api.example",
            "https://api.example/\"",
        ] {
            assert_eq!(
                ProtectedResource::new(bad, "https://login.example").unwrap_err(),
                ResourceError::BadIdentifier,
                "{bad}"
            );
        }
    }

    #[test]
    fn the_document_has_what_was_said_and_is_escaped() {
        let least = ProtectedResource::new("https://api.example", "https://login.example").unwrap();
        assert_eq!(
            least.json(),
            "{\"resource\":\"https://api.example\",\"authorization_servers\":[\"https://login.example\"],\
             \"bearer_methods_supported\":[\"header\"]}"
        );
        let all = least
            .authorization_server("https://other.example")
            .scopes(&["a", "b:c"])
            .name("Ü \"quoted\" \\ \n</script>")
            .documentation("https://api.example/docs");
        assert_eq!(
            all.json(),
            "{\"resource\":\"https://api.example\",\
             \"authorization_servers\":[\"https://login.example\",\"https://other.example\"],\
             \"scopes_supported\":[\"a\",\"b:c\"],\"bearer_methods_supported\":[\"header\"],\
             \"resource_name\":\"Ü \\\"quoted\\\" \\\\ \\u000a</script>\",\
             \"resource_documentation\":\"https://api.example/docs\"}"
        );
    }
}
