//! What is followed, and how.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use jotgate_jose::{KeySet, Policy};
use rustls::ClientConfig;

use super::Follower;
use super::client::Client;
use crate::{Staleness, Verifier};

/// An issuer to follow. Every setting has a default that is right for most.
#[derive(Debug, Clone)]
pub struct Issuer {
    pub(crate) address: String,
    #[cfg(feature = "introspect")]
    pub(crate) audience: String,
    policy: Policy,
    staleness: Staleness,
    cache: usize,
    keep_keys: Duration,
    pub(super) cool_down: Duration,
    pub(super) source: Source,
    pub(super) own_keys: KeySet,
    insecure_http: bool,
    tls: Option<Arc<ClientConfig>>,
}

/// Where revocations are learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// From the live stream: within a second. While there is none, by polling the feed every second; while there is
    /// no feed, from the status lists.
    Stream,
    /// From the feed, asked this often.
    Poll(Duration),
    /// From the status lists, asked this often.
    StatusLists(Duration),
}

impl Issuer {
    /// The issuer at `address` (exactly what its tokens and its metadata name) for a resource server named
    /// `audience`. By default: access tokens by RFC 9068, [`Source::Stream`], refused as stale after a minute
    /// without news, 16 MiB of cached tokens, keys trusted for a day after the issuer last confirmed them.
    #[must_use]
    pub fn new(address: &str, audience: &str) -> Self {
        Self {
            address: address.to_owned(),
            #[cfg(feature = "introspect")]
            audience: audience.to_owned(),
            policy: Policy::access_token(address, audience),
            staleness: Staleness::Refuse { after: Duration::from_secs(60) },
            cache: 16 << 20,
            keep_keys: Duration::from_secs(24 * 60 * 60),
            cool_down: Duration::from_secs(30),
            source: Source::Stream,
            own_keys: KeySet::new(),
            insecure_http: false,
            tls: None,
        }
    }

    /// Another policy: it has to name this issuer.
    #[must_use]
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// What happens while nothing is heard.
    #[must_use]
    pub fn staleness(mut self, staleness: Staleness) -> Self {
        self.staleness = staleness;
        self
    }

    /// Where revocations are learned.
    #[must_use]
    pub fn source(mut self, source: Source) -> Self {
        self.source = source;
        self
    }

    /// Bytes of verified tokens kept; 0 for none.
    #[must_use]
    pub fn cache(mut self, bytes: usize) -> Self {
        self.cache = bytes;
        self
    }

    /// How long keys are trusted that the issuer did not confirm; then everything is refused as stale.
    #[must_use]
    pub fn keep_keys(mut self, time: Duration) -> Self {
        self.keep_keys = time;
        self
    }

    /// How often unknown keys make the keys be asked for again, at most.
    #[must_use]
    pub fn cool_down(mut self, time: Duration) -> Self {
        self.cool_down = time;
        self
    }

    /// Keys beside the published ones: the secret of an HS256 installation (`jotgate key export`).
    #[must_use]
    pub fn keys(mut self, keys: KeySet) -> Self {
        self.own_keys = keys;
        self
    }

    /// Allows `http` to another host than this one: whoever can touch the network can then forge tokens.
    #[must_use]
    pub fn allow_insecure_http(mut self) -> Self {
        self.insecure_http = true;
        self
    }

    /// Other roots of trust than the platform's: for a private certificate authority.
    #[must_use]
    pub fn tls(mut self, config: Arc<ClientConfig>) -> Self {
        self.tls = Some(config);
        self
    }

    /// Follows this issuer alone.
    ///
    /// # Errors
    /// [`SetupError`].
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn follow(self) -> Result<Follower, SetupError> {
        Follower::start([self])
    }

    pub(crate) fn client(&self) -> Result<Client, SetupError> {
        let uri: Uri = self.address.parse().map_err(|_| SetupError::BadAddress)?;
        let authority = uri.authority().ok_or(SetupError::BadAddress)?;
        let https = uri.scheme_str() == Some("https");
        // Exactly an origin and perhaps a path, as it is compared as text from here on.
        let scheme = if https { "https" } else { "http" };
        let path = self.address.strip_prefix(&format!("{scheme}://{authority}"));
        if authority.as_str().contains('@') || !path.is_some_and(is_plain_path) {
            return Err(SetupError::BadAddress);
        }
        let loopback = ["localhost", "127.0.0.1", "[::1]"].contains(&authority.host());
        if !https && !loopback && !self.insecure_http {
            return Err(SetupError::InsecureHttp);
        }
        Client::new(authority, https, self.tls.clone()).map_err(SetupError::Tls)
    }

    pub(super) fn verifier(&self) -> Result<Verifier, SetupError> {
        if self.policy.issuer() != Some(&*self.address) {
            return Err(SetupError::NoIssuer);
        }
        Ok(Verifier::new(self.policy.clone(), KeySet::new())
            .with_cache(self.cache)
            .with_staleness(self.staleness)
            .with_keys_kept_for(self.keep_keys))
    }
}

/// Empty, or segments that nobody reads in two ways: no dots, no escapes, no query.
fn is_plain_path(path: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.~".contains(&b);
    let good = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(plain);
    path.is_empty() || path.strip_prefix('/').is_some_and(|path| path.split('/').all(good))
}

/// Why an issuer cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The address is not `https://host` or `https://host:port`, perhaps with a path, without a slash at its end.
    BadAddress,
    /// The address is `http` to another host.
    InsecureHttp,
    /// The policy names another issuer, or none.
    NoIssuer,
    /// The issuer is there already.
    Twice,
    /// TLS cannot be set up: what the library said.
    Tls(String),
    /// A thread of its own cannot be had: what the system said.
    Thread(String),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadAddress => f.write_str(
                "an issuer's address is https://host or https://host/path, without a slash at its end",
            ),
            Self::InsecureHttp => f.write_str("http to another host can be forged by whoever is on the way"),
            Self::NoIssuer => f.write_str("the policy does not name the issuer that is followed"),
            Self::Twice => f.write_str("this issuer is followed already"),
            Self::Thread(why) => write!(f, "no thread to follow in: {why}"),
            Self::Tls(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_addresses_are_followed_and_http_only_here() {
        let client = |address: &str| Issuer::new(address, "a").client().map(|_| ());
        for good in [
            "https://login.example",
            "https://login.example:8443",
            "http://127.0.0.1:8080",
            "http://[::1]:80",
            "https://app.example/id",
            "https://app.example/a/b",
        ] {
            assert_eq!(client(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "login.example",
            "https://login.example/",
            "https://a@b",
            "ftp://a",
            "https://a/b/",
            "https://a//b",
            "https://a/../b",
            "https://a/%62",
            "https://a/b?c",
            "https://a/b#c",
            "HTTPS://a",
        ] {
            assert_eq!(client(bad), Err(SetupError::BadAddress), "{bad}");
        }
        assert_eq!(client("http://login.example"), Err(SetupError::InsecureHttp));
        assert!(Issuer::new("http://login.example", "a").allow_insecure_http().client().is_ok());
        let other =
            Issuer::new("https://a.example", "a").policy(Policy::access_token("https://b.example", "a"));
        assert_eq!(other.verifier().map(|_| ()), Err(SetupError::NoIssuer));
    }
}
