//! What a resource server needs to accept Jotgate's access tokens: keys, policy and revocations in memory, and
//! no question to anybody on the way of a request.
//!
//! ```
//! use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
//! use jotgate_verify::Verifier;
//!
//! let key = SigningKey::generate(Algorithm::Es256)?;
//! let mut keys = KeySet::new();
//! keys.insert(key.verifying_key())?;
//! let verifier = Verifier::new(Policy::access_token("https://login.example.com", "https://api.example.com"), keys);
//!
//! let refused = verifier.verify("not.a.token", 1_790_000_000).unwrap_err();
//! assert_eq!(refused.code(), "malformed");
//! # Ok::<_, jotgate_jose::KeyError>(())
//! ```

pub mod revocations;

use std::sync::Arc;

use arc_swap::ArcSwap;
use jotgate_jose::{Error, KeySet, Policy, Verified};

pub use revocations::Revocations;

/// Verifies access tokens of one issuer in memory. Sharing it is cheap; nothing on the way of a token waits for
/// a lock.
#[derive(Debug)]
pub struct Verifier {
    policy: Policy,
    keys: ArcSwap<KeySet>,
    revocations: Revocations,
}

impl Verifier {
    #[must_use]
    pub fn new(policy: Policy, keys: KeySet) -> Self {
        Self { policy, keys: ArcSwap::from_pointee(keys), revocations: Revocations::new() }
    }

    /// Replaces the keys; tokens are verified with the old ones until then.
    pub fn set_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
    }

    /// What is refused although its signature holds.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Verifies an access token at `now` (seconds since the epoch): form, type, key, signature, issuer, audience,
    /// times (RFC 9068 §4), and that neither its status entry nor its key is revoked.
    ///
    /// # Errors
    /// [`Error`], whose code is the contract's.
    pub fn verify(&self, token: &str, now: u64) -> Result<Verified<'static>, Error> {
        let verified = jotgate_jose::verify(&self.keys.load(), &self.policy, token, now)?;
        let revoked = self.revocations.contains_key(verified.kid())
            || verified
                .claims()
                .status()
                .is_some_and(|status| self.revocations.contains(status.uri, status.idx));
        if revoked { Err(Error::Revoked) } else { Ok(verified) }
    }
}
