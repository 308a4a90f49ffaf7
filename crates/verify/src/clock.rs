//! The edge: the one place that reads a clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "the edge: everything else takes the time as a value")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
