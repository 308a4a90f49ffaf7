//! The edge: the one place where the clock is read and randomness is drawn. Everything inside gets both as
//! values, so tests run at any instant with any seed.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use jotgate_domain::Timestamp;

/// Where instants and random bytes come from.
pub trait Source: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// # Errors
    /// Where the system has no randomness to give.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness>;
}

/// The operating system would not give random bytes.
#[derive(Clone, Copy, Debug)]
pub struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operating system gave no random bytes")
    }
}

impl std::error::Error for NoRandomness {}

/// A shared [`Source`]; the system's, unless a test brings its own.
#[derive(Clone)]
pub struct Edge(Arc<dyn Source>);

impl Edge {
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(System(SystemRandom::new())))
    }

    pub fn new(source: impl Source) -> Self {
        Self(Arc::new(source))
    }

    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// `N` fresh random bytes.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn random<const N: usize>(&self) -> Result<[u8; N], NoRandomness> {
        let mut bytes = [0; N];
        self.0.fill(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Edge")
    }
}

struct System(SystemRandom);

impl Source for System {
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the edge")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        self.0.fill(bytes).map_err(|_| NoRandomness)
    }
}
