//! The program's own small HTTP client: blocking, bounded, with the certificates that the system trusts.

use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use super::error::{Failure, failed, warn};
use crate::config::Origin;

/// Longest answer that is read.
const LONGEST: u64 = 1024 * 1024;
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn is_url(text: &str) -> bool {
    let scheme = text.split("://").next().unwrap_or_default();
    text.contains("://") && matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
}

/// A client that follows no redirect, answers for every status, and gives up after `patience`.
pub(super) fn agent(patience: Duration) -> Agent {
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::PlatformVerifier)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .build();
    Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("jotgate/", env!("CARGO_PKG_VERSION")))
        .build()
        .into()
}

/// The text behind a URL.
pub(super) fn text(url: &str) -> Result<String, Failure> {
    let wrong = |why: &dyn std::fmt::Display| failed(format!("cannot fetch {url}: {why}"));
    let origin = url.split('/').take(3).collect::<Vec<_>>().join("/");
    match Origin::parse(&origin) {
        Ok(origin) if !origin.https && !origin.is_loopback() => {
            warn(format!("{origin} is not encrypted: whoever is on the way can swap the keys"));
        }
        _ => {}
    }
    let mut response = agent(TIMEOUT).get(url).call().map_err(|error| wrong(&error))?;
    if response.status() != 200 {
        return Err(wrong(&format!("the answer was {}", response.status())));
    }
    response.body_mut().with_config().limit(LONGEST).read_to_string().map_err(|error| wrong(&error))
}
