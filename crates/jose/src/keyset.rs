//! Sets of verifying keys (RFC 7517 §5).

use crate::algorithm::Algorithm;
use crate::error::{Error, KeyError};
use crate::header::Header;
use crate::jwk::{self, Jwk};
use crate::key::VerifyingKey;

/// Most keys that are tried for one token: where several fit its `kid` and `alg`, or it has no `kid`.
const MAX_CANDIDATES: usize = 4;
/// Longest JWK Set that is read.
const MAX_LEN: usize = 1024 * 1024;

/// Verifying keys, found by `kid` and algorithm.
///
/// A token is verified with the keys that have its `alg` and its `kid`; keys to which nobody gave a `kid` fit any
/// where no named one does, and a token without `kid` is tried with all keys of its `alg`. More than four fitting
/// keys are too many to try, and the token is refused. The order of the keys changes nothing.
#[derive(Debug, Clone, Default)]
pub struct KeySet {
    keys: Vec<VerifyingKey>,
    rejected: Vec<RejectedKey>,
}

/// A key that a set left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RejectedKey {
    /// Its place in the set's JSON, counted from 0.
    pub index: usize,
    /// Its `kid`, if that much could be read.
    pub kid: Option<String>,
    /// What was wrong with it.
    pub error: KeyError,
}

impl KeySet {
    /// An empty set, with which nothing verifies.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads a JWK Set, or one JWK. A key that cannot be used is left out and reported by
    /// [`KeySet::rejected`]; the good ones stay (RFC 7517 §5). HMAC keys are accepted: use
    /// [`KeySet::from_public_json`] for what came over a network.
    ///
    /// # Errors
    /// [`KeyError::Malformed`] if the text is no JSON object, [`KeyError::TooLong`] above 1 MiB.
    pub fn from_json(json: &str) -> Result<Self, KeyError> {
        Self::read(json, &[])
    }

    /// As [`KeySet::from_json`], but an RSA, HMAC or Ed25519 key without `alg` is accepted for each of these
    /// algorithms that fits it, instead of for the usual one alone: for tools that are told a key but not an
    /// algorithm. A service should know its algorithm.
    ///
    /// # Errors
    /// As [`KeySet::from_json`].
    pub fn from_json_for(json: &str, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        Self::read(json, algorithms)
    }

    /// As [`KeySet::from_json`], but HMAC keys are left out as [`KeyError::Private`]: a published secret is none.
    ///
    /// # Errors
    /// As [`KeySet::from_json`].
    pub fn from_public_json(json: &str) -> Result<Self, KeyError> {
        let mut set = Self::read(json, &[])?;
        let symmetric = |key: &VerifyingKey| key.algorithm().is_symmetric();
        for (index, key) in set.keys.iter().enumerate().filter(|(_, key)| symmetric(key)) {
            let kid = Some(key.kid().to_owned());
            set.rejected.push(RejectedKey { index, kid, error: KeyError::Private });
        }
        set.keys.retain(|key| !symmetric(key));
        Ok(set)
    }

    fn read(json: &str, algorithms: &[Algorithm]) -> Result<Self, KeyError> {
        if json.len() > MAX_LEN {
            return Err(KeyError::TooLong);
        }
        let mut set = Self::new();
        for (index, text) in jwk::split_set(json)?.into_iter().enumerate() {
            let (kid, result) = match Jwk::parse(text) {
                Ok(jwk) => (jwk.kid.clone(), set.add(&jwk, algorithms)),
                Err(error) => (None, Err(error)),
            };
            if let Err(error) = result {
                set.rejected.push(RejectedKey { index, kid, error });
            }
        }
        Ok(set)
    }

    /// Adds a key for its own algorithm, or if it names none for each of `algorithms` that fits.
    fn add(&mut self, jwk: &Jwk, algorithms: &[Algorithm]) -> Result<(), KeyError> {
        let usual = jwk.algorithm()?;
        let wanted: Vec<Algorithm> = match jwk.alg {
            Some(_) => Vec::new(),
            None => algorithms.iter().copied().filter(|alg| jwk.fits(*alg)).collect(),
        };
        if wanted.is_empty() {
            return self.insert(VerifyingKey::from_parsed(jwk, usual)?);
        }
        let keys: Vec<_> = wanted.into_iter().map(|alg| VerifyingKey::from_parsed(jwk, alg)).collect();
        // A secret may be long enough for one hash and too short for another; one that fits is enough.
        if let (true, Some(Err(error))) = (keys.iter().all(Result::is_err), keys.first()) {
            return Err(*error);
        }
        keys.into_iter().flatten().try_for_each(|key| self.insert(key))
    }

    /// Adds a key.
    ///
    /// # Errors
    /// [`KeyError::Duplicate`] if the set has the same key for the same algorithm.
    pub fn insert(&mut self, key: VerifyingKey) -> Result<(), KeyError> {
        if self.keys.iter().any(|other| other.same_key(&key)) {
            return Err(KeyError::Duplicate);
        }
        self.keys.push(key);
        Ok(())
    }

    /// Removes all keys named `kid`, and says whether there was one.
    pub fn remove(&mut self, kid: &str) -> bool {
        let before = self.keys.len();
        self.keys.retain(|key| key.kid() != kid);
        self.keys.len() != before
    }

    /// The first key named `kid`.
    #[must_use]
    pub fn find(&self, kid: &str) -> Option<&VerifyingKey> {
        self.keys.iter().find(|key| key.kid() == kid)
    }

    /// All keys.
    pub fn iter(&self) -> core::slice::Iter<'_, VerifyingKey> {
        self.keys.iter()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that were left out when the set was read.
    #[must_use]
    pub fn rejected(&self) -> &[RejectedKey] {
        &self.rejected
    }

    /// The set as a public JWK Set (RFC 7517 §5): never a private member, never an HMAC key.
    #[must_use]
    pub fn to_json(&self) -> String {
        let keys: Vec<String> = self.keys.iter().filter_map(VerifyingKey::to_public_jwk).collect();
        format!(r#"{{"keys":[{}]}}"#, keys.join(","))
    }

    /// The algorithm of the keys for whose access tokens our own signing writes exactly this encoded header: most
    /// tokens need their header neither decoded nor read.
    pub(crate) fn known_header(&self, encoded: &str) -> Option<Algorithm> {
        self.keys
            .iter()
            .find(|key| key.access_token_header() == encoded.as_bytes())
            .map(VerifyingKey::algorithm)
    }

    /// Verifies `signature` over `message` with the keys of a [known header](Self::known_header).
    pub(crate) fn verify_known(
        &self,
        encoded_header: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<&VerifyingKey, Error> {
        let known = |key: &&VerifyingKey| key.access_token_header() == encoded_header.as_bytes();
        try_all(self.keys.iter().filter(known), message, signature)
    }

    /// Verifies `signature` over `message` with the keys that fit the header.
    pub(crate) fn verify(
        &self,
        header: &Header<'_>,
        message: &[u8],
        signature: &[u8],
    ) -> Result<&VerifyingKey, Error> {
        let alg = header.alg.as_deref().ok_or(Error::Malformed)?;
        let alg = Algorithm::from_name(alg).ok_or(Error::UnsupportedAlgorithm)?;
        let of_alg = |key: &&VerifyingKey| key.algorithm() == alg;
        let Some(kid) = header.kid.as_deref() else {
            return try_all(self.keys.iter().filter(of_alg), message, signature);
        };
        let mut named = self.keys.iter().filter(|key| key.kid() == kid).peekable();
        if named.peek().is_none() {
            let unnamed = self.keys.iter().filter(|key| !key.is_named() && key.algorithm() == alg);
            return try_all(unnamed, message, signature);
        }
        // RFC 8725 §3.1: the key decides the algorithm, not the token.
        let mut fitting = named.filter(of_alg).peekable();
        if fitting.peek().is_none() {
            return Err(Error::UnsupportedAlgorithm);
        }
        try_all(fitting, message, signature)
    }
}

/// Tries the keys in turn, unless there are none or too many.
fn try_all<'k>(
    keys: impl Iterator<Item = &'k VerifyingKey> + Clone,
    message: &[u8],
    signature: &[u8],
) -> Result<&'k VerifyingKey, Error> {
    if !(1..=MAX_CANDIDATES).contains(&keys.clone().take(MAX_CANDIDATES + 1).count()) {
        return Err(Error::UnknownKey);
    }
    let mut keys = keys;
    keys.find(|key| key.verify(message, signature).is_ok()).ok_or(Error::InvalidSignature)
}

impl From<VerifyingKey> for KeySet {
    fn from(key: VerifyingKey) -> Self {
        Self { keys: vec![key], rejected: Vec::new() }
    }
}

impl<'k> IntoIterator for &'k KeySet {
    type Item = &'k VerifyingKey;
    type IntoIter = core::slice::Iter<'k, VerifyingKey>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<VerifyingKey> for KeySet {
    /// Collects keys; one that stands twice is kept once.
    fn from_iter<I: IntoIterator<Item = VerifyingKey>>(keys: I) -> Self {
        let mut set = Self::new();
        for key in keys {
            // The only refusal is of a key that the set has already.
            let _ = set.insert(key);
        }
        set
    }
}
