//! Where an issuer has its keys, its feed and its lists (RFC 8414; of an issuer with a path also `OpenID` Connect
//! Discovery 1.0 §4, whose document is below that path).

use serde::Deserialize;

use super::client::{Client, Failure};

const METADATA: &str = "/.well-known/oauth-authorization-server";
const METADATA_BELOW: &str = "/.well-known/openid-configuration";
/// Longest metadata that is read, in bytes.
const LIMIT: usize = 256 * 1024;

/// Paths at the issuer's own host.
#[derive(Debug)]
pub(crate) struct Endpoints {
    pub(super) keys: String,
    pub(super) feed: Option<String>,
    pub(super) lists: Option<String>,
    #[cfg(feature = "introspect")]
    pub(crate) introspection: Option<String>,
    #[cfg(feature = "introspect")]
    pub(crate) revocation: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    revocation_feed_endpoint: Option<String>,
    status_list_aggregation_endpoint: Option<String>,
    #[cfg(feature = "introspect")]
    introspection_endpoint: Option<String>,
    #[cfg(feature = "introspect")]
    revocation_endpoint: Option<String>,
}

pub(crate) async fn discover(client: &Client, issuer: &str) -> Result<Endpoints, Failure> {
    let (first, second) = places(issuer);
    let answer = match (client.get(&first, None, LIMIT).await, second) {
        (Err(Failure::Status(404)), Some(second)) => client.get(&second, None, LIMIT).await,
        (answer, _) => answer,
    };
    read(&answer?.body.unwrap_or_default(), issuer)
}

/// Paths at the issuer's host under which its metadata may be. With a path of its own: below that, where an application
/// that has a server nested in it needs to do nothing for it, else between host and path (RFC 8414 §3.1).
fn places(issuer: &str) -> (String, Option<String>) {
    match issuer.get(origin_len(issuer)..) {
        Some("") | None => (METADATA.to_owned(), None),
        Some(path) => (format!("{path}{METADATA_BELOW}"), Some(format!("{METADATA}{path}"))),
    }
}

fn read(body: &[u8], issuer: &str) -> Result<Endpoints, Failure> {
    let metadata: Metadata = serde_json::from_slice(body).map_err(|_| Failure::Unusable("no metadata"))?;
    // RFC 8414 §3.3: or anybody could be taken for the issuer.
    if metadata.issuer != issuer {
        return Err(Failure::Unusable("metadata of another issuer"));
    }
    let at_home = |uri: String| {
        path_of(&uri, issuer).map(str::to_owned).ok_or(Failure::Unusable("an address outside the issuer"))
    };
    Ok(Endpoints {
        keys: at_home(metadata.jwks_uri)?,
        feed: metadata.revocation_feed_endpoint.map(at_home).transpose()?,
        lists: metadata.status_list_aggregation_endpoint.map(at_home).transpose()?,
        #[cfg(feature = "introspect")]
        introspection: metadata.introspection_endpoint.map(at_home).transpose()?,
        #[cfg(feature = "introspect")]
        revocation: metadata.revocation_endpoint.map(at_home).transpose()?,
    })
}

/// The path of an address below the issuer's, at its host; none for an address anywhere else.
pub(super) fn path_of<'u>(uri: &'u str, issuer: &str) -> Option<&'u str> {
    let below = uri.strip_prefix(issuer)?;
    let plain = below.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let up = below.split(['/', '?']).any(|segment| segment == "." || segment == "..");
    if below.starts_with('/') && plain && !up { uri.get(origin_len(issuer)..) } else { None }
}

/// How much of an issuer's address is its origin.
fn origin_len(issuer: &str) -> usize {
    let host = issuer.find("://").map_or(0, |at| at + 3);
    issuer.get(host..).and_then(|rest| rest.find('/')).map_or(issuer.len(), |at| host + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example";

    #[test]
    fn metadata_is_below_the_path_or_before_it() {
        let own = |first: &str, second: Option<&str>| (first.to_owned(), second.map(str::to_owned));
        assert_eq!(places(ISSUER), own("/.well-known/oauth-authorization-server", None));
        assert_eq!(
            places("https://example.com:8443/auth/a"),
            own(
                "/auth/a/.well-known/openid-configuration",
                Some("/.well-known/oauth-authorization-server/auth/a")
            )
        );
    }

    #[test]
    fn only_addresses_at_the_issuer_are_taken() {
        assert_eq!(path_of("https://login.example/auth/status/0", ISSUER), Some("/auth/status/0"));
        for elsewhere in [
            "https://login.example.evil.example/x",
            "https://login.example@evil.example/",
            "https://login.example:8443/",
            "http://login.example/",
            "https://evil.example/https://login.example/",
            "https://login.example",
            "https://login.example/a b",
            "https://login.example/a\r\nHost: evil.example",
        ] {
            assert_eq!(path_of(elsewhere, ISSUER), None, "{elsewhere}");
        }
    }

    #[test]
    fn an_issuer_with_a_path_has_what_is_below_it() {
        let issuer = "https://app.example/id";
        assert_eq!(path_of("https://app.example/id/auth/status/0", issuer), Some("/id/auth/status/0"));
        for elsewhere in [
            "https://app.example/auth/status/0",
            "https://app.example/idea/x",
            "https://app.example/id",
            "https://app.example/id/../x",
            "https://app.example/id/./x",
            "https://app.example.evil/id/x",
        ] {
            assert_eq!(path_of(elsewhere, issuer), None, "{elsewhere}");
        }
    }

    #[test]
    fn metadata_has_to_be_the_issuers_own() {
        let text = |issuer: &str, keys: &str| format!(r#"{{"issuer":"{issuer}","jwks_uri":"{keys}"}}"#);
        let keys = format!("{ISSUER}/keys");
        assert_eq!(read(text(ISSUER, &keys).as_bytes(), ISSUER).unwrap().keys, "/keys");
        for (issuer, keys) in [
            ("https://login.example/", &*keys),
            ("https://evil.example", &keys),
            (ISSUER, "https://evil.example/k"),
        ] {
            assert!(read(text(issuer, keys).as_bytes(), ISSUER).is_err(), "{issuer} {keys}");
        }
        assert!(read(b"<html>", ISSUER).is_err());
    }
}
