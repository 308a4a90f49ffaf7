//! What a command fetches by its address: blocking, bounded.

use std::time::Duration;

use super::error::{Failure, failed, warn};
use crate::config::Origin;
use crate::outbound::Client;

/// Longest answer that is read.
const LONGEST: u64 = 1024 * 1024;
pub(super) const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn is_url(text: &str) -> bool {
    let scheme = text.split("://").next().unwrap_or_default();
    text.contains("://") && matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https")
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
    let mut response = Client::new(TIMEOUT).get(url).map_err(|error| wrong(&error))?;
    if response.status() != 200 {
        return Err(wrong(&format!("the answer was {}", response.status())));
    }
    response.body_mut().with_config().limit(LONGEST).read_to_string().map_err(|error| wrong(&error))
}
