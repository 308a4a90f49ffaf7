//! An issuer for the tests of this crate.

use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey, Verified, verify_and_keep};

use crate::Verifier;

/// 2026-11-22T12:00:00Z.
pub(crate) const START: u64 = 1_795_348_800;
pub(crate) const AUDIENCE: &str = "https://api.example";

/// An issuer with one key.
pub(crate) struct Sample {
    pub(crate) issuer: String,
    pub(crate) key: SigningKey,
}

impl Sample {
    pub(crate) fn new() -> Self {
        Self::of("https://login.example")
    }

    pub(crate) fn of(issuer: &str) -> Self {
        Self { issuer: issuer.to_owned(), key: SigningKey::generate(Algorithm::EdDsa).unwrap() }
    }

    pub(crate) fn keys(&self) -> KeySet {
        KeySet::from(self.key.verifying_key())
    }

    pub(crate) fn policy(&self) -> Policy {
        Policy::access_token(&self.issuer, AUDIENCE)
    }

    pub(crate) fn verifier(&self) -> Verifier {
        Verifier::new(self.policy(), self.keys())
    }

    /// A token of ten minutes, whose status entry is `n`.
    pub(crate) fn token(&self, n: u64) -> String {
        self.key.sign("at+jwt", self.payload(n).as_bytes()).unwrap()
    }

    /// What comes of a token, as the cache keeps it.
    pub(crate) fn kept(&self, token: &str) -> Verified<'static> {
        verify_and_keep(&self.keys(), &self.policy(), token, START).unwrap()
    }

    pub(crate) fn payload(&self, n: u64) -> String {
        let issuer = &self.issuer;
        format!(
            r#"{{"iss":"{issuer}","sub":"user-{n}","aud":"{AUDIENCE}","exp":{},"iat":{START},"jti":"{n}",
               "client_id":"web","scope":"read write","roles":["staff"],"sid":"s{n}","auth_time":{START},
               "status":{{"status_list":{{"idx":{n},"uri":"{issuer}/auth/status/0"}}}}}}"#,
            START + 600
        )
    }
}
