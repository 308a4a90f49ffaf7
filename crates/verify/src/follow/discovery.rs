//! Where an issuer has its keys, its feed and its lists (RFC 8414).

use serde::Deserialize;

use super::client::{Client, Failure};

const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Longest metadata that is read, in bytes.
const LIMIT: usize = 256 * 1024;

/// Paths at the issuer's own host.
#[derive(Debug)]
pub(super) struct Endpoints {
    pub(super) keys: String,
    pub(super) feed: Option<String>,
    pub(super) lists: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
    revocation_feed_endpoint: Option<String>,
    status_list_aggregation_endpoint: Option<String>,
}

pub(super) async fn discover(client: &Client, issuer: &str) -> Result<Endpoints, Failure> {
    let body = client.get(METADATA, None, LIMIT).await?.body.unwrap_or_default();
    read(&body, issuer)
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
    })
}

/// The path of an address at the issuer; none for an address anywhere else.
pub(super) fn path_of<'u>(uri: &'u str, issuer: &str) -> Option<&'u str> {
    let path = uri.strip_prefix(issuer)?;
    let plain = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    (path.starts_with('/') && plain).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://login.example";

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
