//! Several issuers side by side.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use jotgate_jose::{Error, insecure_issuer};

use crate::{Refusal, Token, Verifier};

/// Verifiers by issuer. The `iss` that a token names only chooses whose keys are tried; that issuer's verifier then
/// demands the same `iss` under one of its own keys, so no issuer can speak for another.
#[derive(Debug, Clone, Default)]
pub struct Issuers {
    verifiers: HashMap<Box<str>, Arc<Verifier>>,
}

impl Issuers {
    /// Nobody is trusted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the issuer that the verifier's policy names.
    ///
    /// # Errors
    /// [`IssuerError`]: it names none, or one that is trusted already.
    pub fn insert(&mut self, verifier: Arc<Verifier>) -> Result<(), IssuerError> {
        let issuer: Box<str> = verifier.policy().issuer().ok_or(IssuerError::None)?.into();
        if self.verifiers.contains_key(&issuer) {
            return Err(IssuerError::Twice);
        }
        self.verifiers.insert(issuer, verifier);
        Ok(())
    }

    /// The verifier of this issuer.
    #[must_use]
    pub fn find(&self, issuer: &str) -> Option<&Arc<Verifier>> {
        self.verifiers.get(issuer)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Verifier>> {
        self.verifiers.values()
    }

    /// The verifier that `token` is for. Nothing is verified yet.
    ///
    /// # Errors
    /// `malformed`, `missing_claim` without `iss`, `wrong_issuer` if nobody here is it.
    pub fn choose(&self, token: &str) -> Result<&Arc<Verifier>, Error> {
        let mut all = self.verifiers.values();
        // A single one refuses for itself, and says why in its own order of checks.
        if let (Some(only), None) = (all.next(), all.next()) {
            return Ok(only);
        }
        // A token that is here has been verified: it needs no second look at its payload.
        if let Some(knows) = self.verifiers.values().find(|verifier| verifier.has_cached(token)) {
            return Ok(knows);
        }
        let issuer = insecure_issuer(token)?;
        self.verifiers.get(&*issuer).ok_or(Error::WrongIssuer)
    }

    /// [`Verifier::check`] with the verifier that the token is for.
    ///
    /// # Errors
    /// As [`Issuers::choose`] and [`Verifier::check`].
    pub fn check(&self, token: &str, now: u64) -> Result<Token, Refusal> {
        self.choose(token)?.check(token, now)
    }
}

/// Why an issuer cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum IssuerError {
    /// The policy accepts any issuer.
    None,
    /// It is there already.
    Twice,
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "the policy names no issuer",
            Self::Twice => "this issuer is there already",
        })
    }
}

impl std::error::Error for IssuerError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{START, Sample};

    #[test]
    fn a_key_of_one_issuer_never_verifies_a_token_of_another() {
        let (a, b) = (Sample::of("https://a.example"), Sample::of("https://b.example"));
        let mut issuers = Issuers::new();
        for one in [&a, &b] {
            issuers.insert(Arc::new(one.verifier().with_cache(1 << 20))).unwrap();
        }
        assert_eq!(issuers.insert(Arc::new(a.verifier())), Err(IssuerError::Twice));
        for _ in 0..2 {
            assert_eq!(issuers.check(&a.token(1), START).unwrap().claims().iss(), Some("https://a.example"));
            assert_eq!(issuers.check(&b.token(1), START).unwrap().claims().iss(), Some("https://b.example"));
        }
        assert!(issuers.iter().all(|verifier| verifier.metrics().cache_hits == 1));
        let forged = Sample { issuer: b.issuer.clone(), key: a.key };
        assert_eq!(issuers.check(&forged.token(1), START).unwrap_err(), Error::UnknownKey.into());
        let stranger = Sample::of("https://c.example");
        assert_eq!(issuers.check(&stranger.token(1), START).unwrap_err(), Error::WrongIssuer.into());
        assert_eq!(issuers.check("x", START).unwrap_err(), Error::Malformed.into());
    }
}
