//! The request that a proxy asks about, as the proxy tells of it. Only a trusted proxy's word is read here.
//!
//! | set | who sends it |
//! |---|---|
//! | `X-Forwarded-Method`, `-Proto`, `-Host`, `-Uri` | Caddy, Traefik, HAProxy |
//! | `X-Original-Method`, `X-Original-URL` | nginx |
//! | the request itself, below `/auth/verify/envoy` | Envoy |
//!
//! A proxy writes one set, and lets what the client wrote of the other through: so both together are refused, and
//! so is a set that is not whole, or has a member twice.

use http::header::{HOST, HeaderMap, HeaderName};
use http::{Method, Uri};
use jotgate_domain::access::Host;

const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
const ORIGINAL_METHOD: HeaderName = HeaderName::from_static("x-original-method");
const ORIGINAL_URL: HeaderName = HeaderName::from_static("x-original-url");

/// What Envoy puts in front of the original path: its `path_prefix`.
const ENVOY: &str = "/auth/verify/envoy";

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Original {
    pub(super) method: String,
    pub(super) host: Host,
    https: bool,
    /// Never the scheme's own.
    port: Option<u16>,
    /// Path and query, as they were sent.
    target: String,
}

impl Original {
    /// As Caddy, Traefik, HAProxy and nginx tell. None where the headers say nothing of a request, as those of any
    /// reverse proxy.
    ///
    /// # Errors
    /// What is wrong with them, for the log.
    pub(super) fn of_headers(headers: &HeaderMap) -> Result<Option<Self>, &'static str> {
        let has = |names: [&HeaderName; 2]| names.iter().any(|name| headers.contains_key(*name));
        match (has([&FORWARDED_METHOD, &FORWARDED_URI]), has([&ORIGINAL_METHOD, &ORIGINAL_URL])) {
            (false, false) => Ok(None),
            (true, true) => Err("both X-Forwarded-… and X-Original-… tell of a request"),
            (true, false) => {
                let method = one(headers, &FORWARDED_METHOD)?;
                let (proto, host) = (one(headers, &FORWARDED_PROTO)?, one(headers, &FORWARDED_HOST)?);
                Self::new(method, proto, host, one(headers, &FORWARDED_URI)?).map(Some)
            }
            (false, true) => {
                let (proto, rest) =
                    one(headers, &ORIGINAL_URL)?.split_once("://").ok_or("X-Original-URL has no scheme")?;
                let path = rest.find('/').ok_or("X-Original-URL has no path")?;
                let (host, target) = rest.split_at(path);
                Self::new(one(headers, &ORIGINAL_METHOD)?, proto, host, target).map(Some)
            }
        }
    }

    /// As Envoy's `ext_authz` over HTTP tells: the request line with our prefix, and the original `Host`.
    ///
    /// # Errors
    /// What is wrong with it, for the log.
    pub(super) fn of_envoy(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, &'static str> {
        let target = uri.path_and_query().map_or("", |target| target.as_str());
        let target = target.strip_prefix(ENVOY).ok_or("the path is not below Envoy's prefix")?;
        let host = match uri.authority() {
            Some(authority) => authority.as_str(),
            None => one(headers, &HOST)?,
        };
        Self::new(method.as_str(), one(headers, &FORWARDED_PROTO)?, host, target)
    }

    fn new(method: &str, proto: &str, host: &str, target: &str) -> Result<Self, &'static str> {
        let https = match proto {
            "https" | "wss" => true,
            "http" | "ws" => false,
            _ => return Err("the scheme is neither http nor https"),
        };
        // Methods are told apart by case, but not by every application: `post` is no method that anybody means.
        if method.is_empty() || !method.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_lowercase()) {
            return Err("the method is none");
        }
        if !target.starts_with('/') {
            return Err("the URI has no path");
        }
        let (host, port) = Host::parse(host).ok_or("the host is none")?;
        let port = port.filter(|port| *port != if https { 443 } else { 80 });
        Ok(Self { method: method.to_owned(), host, https, port, target: target.to_owned() })
    }

    /// Without the query.
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// Whether asking twice changes no more than asking once, and whoever asks loses nothing by asking again.
    pub(super) fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE")
    }

    /// With the host in normal form, and the rest as it was sent.
    pub(super) fn url(&self) -> String {
        let port = self.port.map_or_else(String::new, |port| format!(":{port}"));
        format!("http{}://{}{port}{}", if self.https { "s" } else { "" }, self.host, self.target)
    }
}

/// The only value of a header; text in UTF-8.
fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<&'h str, &'static str> {
    let mut values = headers.get_all(name).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err("a header that tells of the request is missing, or there twice");
    };
    // Not `to_str`, which takes ASCII alone: a path may have been sent as UTF-8, and is judged as such.
    std::str::from_utf8(value.as_bytes()).map_err(|_| "a header that tells of the request is not UTF-8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(fields: &[(&'static str, &str)]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, value.parse().unwrap());
        }
        Original::of_headers(&headers).map(|told| told.map(|o| format!("{} {}", o.method, o.url())))
    }

    const CADDY: [(&str, &str); 4] = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "App.Example.com.:8443"),
        ("x-forwarded-uri", "/a%2Fb?c=/d"),
    ];
    const NGINX: [(&str, &str); 2] =
        [("x-original-method", "POST"), ("x-original-url", "http://app.example.com:80/a?b://c/d")];

    #[test]
    fn a_whole_set_tells_of_the_request() {
        assert_eq!(told(&CADDY), Ok(Some("GET https://app.example.com:8443/a%2Fb?c=/d".to_owned())));
        assert_eq!(told(&NGINX), Ok(Some("POST http://app.example.com/a?b://c/d".to_owned())));
        assert_eq!(told(&[]), Ok(None));
        // What any reverse proxy sets.
        assert_eq!(told(&[CADDY[1], CADDY[2], ("x-forwarded-for", "192.0.2.1")]), Ok(None));
        // A header of the other set that tells of no request.
        assert!(told(&[NGINX[0], NGINX[1], CADDY[1], CADDY[2]]).is_ok());
    }

    #[test]
    fn a155_what_is_missing_doubled_or_contradictory_is_refused() {
        for left_out in 0..4 {
            let mut fields = CADDY.to_vec();
            fields.remove(left_out);
            assert!(told(&fields).is_err(), "{left_out}");
        }
        for doubled in CADDY {
            assert!(told(&[&CADDY[..], &[doubled]].concat()).is_err(), "{doubled:?}");
        }
        for doubled in NGINX {
            assert!(told(&[&NGINX[..], &[doubled]].concat()).is_err(), "{doubled:?}");
            assert!(told(&[doubled]).is_err(), "{doubled:?} alone");
            assert!(told(&[&CADDY[..], &[doubled]].concat()).is_err(), "{doubled:?} of the other set");
        }
        for (at, wrong) in [
            (0, ""),
            (0, "GET POST"),
            (1, ""),
            (1, "HTTPS"),
            (1, "https,http"),
            (1, "ftp"),
            (2, ""),
            (2, "app.example.com, evil.test"),
            (2, "user@app.example.com"),
            (3, ""),
            (3, "public"),
            (3, "https://app.example.com/public"),
            (3, "*"),
        ] {
            let mut fields = CADDY;
            fields[at].1 = wrong;
            assert!(told(&fields).is_err(), "{fields:?}");
        }
        for wrong in
            ["", "/public", "app.example.com/x", "https:///x", "https://app.example.com", "https://a?/b"]
        {
            assert!(told(&[NGINX[0], ("x-original-url", wrong)]).is_err(), "{wrong}");
        }
        let mut headers = HeaderMap::new();
        headers.append(ORIGINAL_METHOD, "GET".parse().unwrap());
        headers.append(ORIGINAL_URL, http::HeaderValue::from_bytes(b"https://a.test/\xff").unwrap());
        assert!(Original::of_headers(&headers).is_err(), "not UTF-8");
    }

    #[test]
    fn envoy_sends_the_request_itself() {
        let ask = |path: &'static str, fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, value.parse().unwrap());
            }
            let told = Original::of_envoy(&Method::PUT, &Uri::from_static(path), &headers);
            told.map(|o| format!("{} {} {}", o.method, o.url(), o.path()))
        };
        let host = ("host", "app.example.com");
        let proto = ("x-forwarded-proto", "https");
        for (path, expected) in [
            ("/auth/verify/envoy/", "PUT https://app.example.com/ /"),
            ("/auth/verify/envoy/a?role=x", "PUT https://app.example.com/a?role=x /a"),
            ("/auth/verify/envoy//a", "PUT https://app.example.com//a //a"),
            (
                "/auth/verify/envoy/auth/verify/envoy/x",
                "PUT https://app.example.com/auth/verify/envoy/x /auth/verify/envoy/x",
            ),
        ] {
            assert_eq!(ask(path, &[host, proto]).as_deref(), Ok(expected));
        }
        for (path, fields) in [
            ("/auth/verify/envoy*", &[host, proto][..]),
            ("/auth/verify/envoy", &[host, proto][..]),
            ("/x", &[host, proto][..]),
            ("/auth/verify/envoy/a", &[host][..]),
            ("/auth/verify/envoy/a", &[proto][..]),
            ("/auth/verify/envoy/a", &[host, host, proto][..]),
            ("/auth/verify/envoy/a", &[host, proto, proto][..]),
        ] {
            assert!(ask(path, fields).is_err(), "{path} {fields:?}");
        }
    }
}
