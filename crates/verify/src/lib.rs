#![doc = include_str!("../README.md")]
//!
//! # Without I/O
//! ```
//! use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
//! use jotgate_verify::Verifier;
//!
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let mut keys = KeySet::new();
//! keys.insert(key.verifying_key())?;
//! let policy = Policy::access_token("https://login.example.com", "https://api.example.com");
//! let verifier = Verifier::new(policy, keys).with_cache(16 << 20);
//!
//! let refused = verifier.check("not.a.token", 1_790_000_000).unwrap_err();
//! assert_eq!(refused.code(), "malformed");
//! # Ok::<_, jotgate_jose::KeyError>(())
//! ```

mod cache;
#[cfg(any(feature = "follow", feature = "tower"))]
mod clock;
#[cfg(feature = "follow")]
pub mod follow;
mod freshness;
#[cfg(feature = "introspect")]
pub mod introspect;
mod issuers;
mod metrics;
#[cfg(feature = "tower")]
pub mod protect;
mod refusal;
pub mod revocations;
#[cfg(test)]
mod sample;
mod verifier;

pub use cache::Token;
pub use freshness::{Freshness, Staleness};
pub use issuers::{IssuerError, Issuers};
pub use metrics::Metrics;
pub use refusal::Refusal;
pub use revocations::Revocations;
pub use verifier::Verifier;
