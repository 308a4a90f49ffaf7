//! Applications on other root domains (`sso.origins`): which of them a request is for, and the cookies of its host.
//!
//! Their proxies send the paths under [`PREFIX`] here, as part of their own site. What a visitor could write into a
//! request to be taken for one of them is worth nothing: cookies and redirects go to the visitor's own browser.

use http::header::{HOST, HeaderMap, HeaderName};
use http::{Uri, header::GetAll};

use super::client::Client;
use super::cookies::Cookies;
use crate::config::{self, Config, Mount, Origin, SameSite};

/// What of an application's site is ours.
pub(crate) const PREFIX: &str = "/_jotgate/";

const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// One of `sso.origins`.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) origin: Origin,
    /// `host[:port]`
    authority: String,
    /// As on our own host, but for this one alone.
    pub(crate) cookies: Cookies,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Applications {
    all: Vec<Application>,
    origins: Vec<String>,
}

impl Applications {
    pub(crate) fn new(config: &Config) -> Self {
        let one = |origin: &Origin| {
            let text = origin.to_string();
            let cookie = config::Cookie {
                domain: None,
                // The way there leads over our own host: a strict cookie would not be sent at its end.
                same_site: SameSite::Lax,
                ..config.cookie.clone()
            };
            Application {
                authority: text.split("://").nth(1).unwrap_or_default().to_owned(),
                cookies: Cookies::new(&cookie, origin, &Mount::default(), &[]),
                origin: origin.clone(),
            }
        };
        Self {
            all: config.applications.iter().map(one).collect(),
            origins: config.applications.iter().map(ToString::to_string).collect(),
        }
    }

    /// As browsers write them in `Origin`.
    pub(crate) fn origins(&self) -> &[String] {
        &self.origins
    }

    /// The one with this origin.
    pub(crate) fn named(&self, origin: &str) -> Option<&Application> {
        self.all.iter().find(|application| application.origin.to_string() == origin)
    }

    /// The one that this address is of.
    pub(crate) fn of_url(&self, url: &str) -> Option<&Application> {
        self.all.iter().find(|application| {
            let rest = url.strip_prefix(application.origin.to_string().as_str());
            rest.is_some_and(|rest| rest.starts_with('/'))
        })
    }

    /// The one whose site the request was sent to: by its Host, or where the connection is a trusted proxy's, by
    /// what that says of the request it got. A scheme is compared where one is said.
    pub(crate) fn asked(&self, client: Client, uri: &Uri, headers: &HeaderMap) -> Option<&Application> {
        let forwarded = |name| client.through_proxy.then(|| headers.get_all(name));
        let host = match forwarded(X_FORWARDED_HOST).map(one) {
            Some(Told::Once(host)) => host,
            Some(Told::Unclearly) => return None,
            Some(Told::Not) | None => host_of(uri, headers)?,
        };
        let scheme = match forwarded(X_FORWARDED_PROTO).map(one) {
            Some(Told::Once(scheme)) => Some(scheme),
            Some(Told::Unclearly) => return None,
            Some(Told::Not) | None => None,
        };
        let host = host.to_ascii_lowercase();
        self.all.iter().find(|application| {
            let (own, default) = if application.origin.https { ("https", ":443") } else { ("http", ":80") };
            scheme.is_none_or(|scheme| scheme.eq_ignore_ascii_case(own))
                && host.strip_suffix(default).unwrap_or(&host) == application.authority
        })
    }
}

/// `host[:port]` that a request was sent to (RFC 9112 §3.3, RFC 9113 §8.3.1).
pub(crate) fn host_of<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

enum Told<'h> {
    Not,
    Once(&'h str),
    Unclearly,
}

fn one<'h>(fields: GetAll<'h, http::HeaderValue>) -> Told<'h> {
    let mut fields = fields.iter();
    match (fields.next().map(http::HeaderValue::to_str), fields.next()) {
        (None, _) => Told::Not,
        (Some(Ok(field)), None) if !field.contains(',') => Told::Once(field.trim()),
        _ => Told::Unclearly,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applications() -> Applications {
        let mut config = Config::default();
        config.cookie.domain = Some("example.test".to_owned());
        config.cookie.same_site = SameSite::Strict;
        config.applications = ["https://shop.other.test", "https://b.test:8443", "http://localhost:3000"]
            .map(|origin| Origin::parse(origin).unwrap())
            .to_vec();
        Applications::new(&config)
    }

    /// Attacks 149 and 155: whom a request is for is said by the connection, or by a proxy that is trusted.
    #[test]
    fn a149_a155_the_application_is_the_one_that_was_asked() {
        const OTHER: &str = "id.example.test";
        type Row<'a> = (bool, &'a [(&'a str, &'a str)], Option<&'a str>);
        let table: &[Row<'_>] = &[
            (false, &[("host", "shop.other.test")], Some("https://shop.other.test")),
            (false, &[("host", "SHOP.other.test:443")], Some("https://shop.other.test")),
            (false, &[("host", "b.test:8443")], Some("https://b.test:8443")),
            (false, &[("host", "localhost:3000")], Some("http://localhost:3000")),
            (false, &[("host", "b.test")], None),
            (false, &[("host", "b.test:443")], None),
            (false, &[("host", "shop.other.test:8443")], None),
            (false, &[("host", "shop.other.test.")], None),
            (false, &[("host", "evil.shop.other.test")], None),
            (false, &[("host", "shop.other.test.evil")], None),
            (false, &[("host", "evilshop.other.test")], None),
            (false, &[], None),
            // A stranger says it.
            (false, &[("host", OTHER), ("x-forwarded-host", "shop.other.test")], None),
            (
                false,
                &[("host", "b.test:8443"), ("x-forwarded-host", "shop.other.test")],
                Some("https://b.test:8443"),
            ),
            // A trusted proxy does.
            (
                true,
                &[("host", OTHER), ("x-forwarded-host", "shop.other.test")],
                Some("https://shop.other.test"),
            ),
            (true, &[("host", "shop.other.test")], Some("https://shop.other.test")),
            (
                true,
                &[("host", OTHER), ("x-forwarded-host", "shop.other.test"), ("x-forwarded-proto", "https")],
                Some("https://shop.other.test"),
            ),
            (true, &[("host", "shop.other.test"), ("x-forwarded-proto", "http")], None),
            (true, &[("host", "shop.other.test"), ("x-forwarded-host", OTHER)], None),
            // It says two things.
            (true, &[("host", "b.test:8443"), ("x-forwarded-host", "shop.other.test, b.test:8443")], None),
            (
                true,
                &[
                    ("host", "b.test:8443"),
                    ("x-forwarded-host", "b.test:8443"),
                    ("x-forwarded-host", "shop.other.test"),
                ],
                None,
            ),
            (true, &[("host", "shop.other.test"), ("x-forwarded-proto", "https, http")], None),
        ];
        for (through_proxy, fields, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *fields {
                headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            let client = Client { address: None, through_proxy: *through_proxy };
            let applications = applications();
            let found = applications.asked(client, &Uri::from_static("/_jotgate/start"), &headers);
            let found = found.map(|application| application.origin.to_string());
            assert_eq!(found.as_deref(), *expected, "{through_proxy} {fields:?}");
        }
    }

    /// Attack 75: a cookie of that host alone, whatever the cookies of our own are.
    #[test]
    fn a75_an_application_has_cookies_of_its_own_host() {
        let applications = applications();
        let cookies = |origin| &applications.named(origin).unwrap().cookies;
        let set = cookies("https://shop.other.test").access("a.b.c", 60).unwrap();
        assert_eq!(set, ["__Host-jwt=a.b.c; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax"]);
        let set = cookies("http://localhost:3000").access("a.b.c", 60).unwrap();
        assert_eq!(set, ["jwt=a.b.c; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"]);
        assert!(applications.named("https://shop.other.test/").is_none());
        assert_eq!(applications.origins().len(), 3);
    }
}
