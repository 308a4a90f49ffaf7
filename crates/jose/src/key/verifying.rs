//! Keys that verify.

use core::fmt;

use aws_lc_rs::hmac;

use super::public::{Prepared, Public};
use crate::algorithm::Algorithm;
use crate::error::{Error, KeyError};
use crate::header;
use crate::jwk::Jwk;
use crate::pem;

/// A key that verifies signatures of one algorithm.
///
/// Made from a JWK, PEM or DER, or from a [`SigningKey`](crate::SigningKey). For the HMAC algorithms it holds
/// the shared secret, so it is as secret as the signing key; `Debug` never shows it, and it is wiped on drop.
#[derive(Clone)]
pub struct VerifyingKey {
    alg: Algorithm,
    kid: String,
    /// Whether somebody gave this key its `kid`; without a name it is tried for every `kid`.
    named: bool,
    public: Public,
    prepared: Prepared,
    /// The encoded header that our own signing writes for this key and access tokens.
    header: Vec<u8>,
}

impl VerifyingKey {
    /// Reads one public JWK, or an `oct` JWK for HMAC.
    ///
    /// The algorithm is the key's `alg`. Without one it follows from `crv`; it is `RS256` for RSA, `HS256` for
    /// `oct` and `EdDSA` for Ed25519. Unknown members are ignored (RFC 7517 §4).
    ///
    /// # Errors
    /// See [`KeyError`]: among others [`KeyError::Private`] for a private key, [`KeyError::WrongUse`] where `use`
    /// or `key_ops` say something else than verifying, and refusals of weak keys.
    pub fn from_jwk(jwk: &str) -> Result<Self, KeyError> {
        let jwk = Jwk::parse(jwk)?;
        let alg = jwk.algorithm()?;
        Self::from_parsed(&jwk, alg)
    }

    pub(crate) fn from_parsed(jwk: &Jwk, alg: Algorithm) -> Result<Self, KeyError> {
        jwk.check_use("verify")?;
        if jwk.is_private() {
            return Err(KeyError::Private);
        }
        let key = Self::new(alg, Public::from_jwk(jwk, alg)?)?;
        Ok(match &jwk.kid {
            Some(kid) => key.with_kid(kid),
            None => key,
        })
    }

    /// Reads a PEM block `PUBLIC KEY` (SubjectPublicKeyInfo) or `RSA PUBLIC KEY` (PKCS#1).
    ///
    /// # Errors
    /// [`KeyError::Private`] for a private key, [`KeyError::UnsupportedAlgorithm`] if the key is of another kind
    /// than `alg`, and refusals of weak keys.
    pub fn from_pem(alg: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::decode(pem)?;
        if label.is_private() {
            return Err(KeyError::Private);
        }
        Self::from_der(alg, &der)
    }

    /// Reads a DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7), or for RSA a PKCS#1 `RSAPublicKey`.
    ///
    /// # Errors
    /// As [`VerifyingKey::from_pem`].
    pub fn from_der(alg: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        Self::new(alg, Public::from_der(alg, der)?)
    }

    /// A shared secret for an HMAC algorithm.
    ///
    /// # Errors
    /// [`KeyError::TooShort`] below the length of the hash (RFC 7518 §3.2), [`KeyError::TooLong`] above 1 KiB,
    /// [`KeyError::UnsupportedAlgorithm`] if `alg` is not HMAC.
    pub fn from_secret(alg: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        Self::new(alg, Public::Hmac(secret.to_vec().into()))
    }

    pub(super) fn new(alg: Algorithm, public: Public) -> Result<Self, KeyError> {
        let prepared = public.prepare(alg)?;
        let kid = public.thumbprint();
        let header = header::encode(alg, header::ACCESS_TOKEN, &kid);
        Ok(Self { alg, kid, named: false, public, prepared, header })
    }

    /// The same key under the name `kid` (RFC 7517 §4.5).
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        kid.clone_into(&mut self.kid);
        self.named = true;
        self.header = header::encode(self.alg, header::ACCESS_TOKEN, kid);
        self
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.alg
    }

    /// The key's name: its `kid`, or else its [thumbprint](VerifyingKey::thumbprint).
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The RFC 7638 thumbprint (SHA-256, base64url). For an HMAC key, whose RFC 7638 thumbprint would let
    /// anybody test guesses of the secret, an HMAC of a fixed text under the key.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        self.public.thumbprint()
    }

    /// The key as a public JWK with `use`, `alg` and `kid`; `None` for an HMAC key, which has no public form.
    #[must_use]
    pub fn to_public_jwk(&self) -> Option<String> {
        let members = self.public.required_members()?;
        let kid = serde_json::Value::from(self.kid.as_str());
        Some(format!(r#"{{{members},"use":"sig","alg":"{}","kid":{kid}}}"#, self.alg))
    }

    /// Whether `signature` is this key's over `message`.
    ///
    /// # Errors
    /// [`Error::InvalidSignature`].
    pub(crate) fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), Error> {
        match &self.prepared {
            Prepared::Hmac(key) => hmac::verify(key, message, signature),
            Prepared::Asymmetric(key) => key.verify_sig(message, signature),
        }
        .map_err(|_| Error::InvalidSignature)
    }

    /// The members of the public JWK that a thumbprint covers.
    pub(super) fn required_members(&self) -> Option<String> {
        self.public.required_members()
    }

    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// The encoded header that marks our own access tokens of this key.
    pub(crate) fn access_token_header(&self) -> &[u8] {
        &self.header
    }

    /// Whether both are the same key material, whatever they are called.
    pub(crate) fn same_key(&self, other: &Self) -> bool {
        self.alg == other.alg && self.thumbprint() == other.thumbprint()
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey").field("alg", &self.alg).field("kid", &self.kid).finish_non_exhaustive()
    }
}
