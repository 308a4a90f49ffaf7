//! Keys that sign.

use core::fmt;

use zeroize::Zeroizing;

use super::VerifyingKey;
use super::private::{MAX_SIGNATURE, Private};
use super::public::Public;
use crate::algorithm::Algorithm;
use crate::base64url;
use crate::error::KeyError;
use crate::header;
use crate::jwk::Jwk;
use crate::pem;

/// A key that signs with one algorithm.
///
/// `Debug` never shows it; what is secret is wiped on drop. The encoded headers of the usual token types are made
/// once, when the key is.
pub struct SigningKey {
    private: Private,
    verifying: VerifyingKey,
    /// By `typ`: the encoded header and the dot after it.
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl SigningKey {
    /// Makes a new key: a secret as long as the hash for HMAC, 2048 bits for RSA.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] if the system gives no random bytes.
    pub fn generate(alg: Algorithm) -> Result<Self, KeyError> {
        Self::new(alg, Private::generate(alg)?)
    }

    /// Reads one private JWK, or an `oct` JWK for HMAC. The algorithm is found as in
    /// [`VerifyingKey::from_jwk`]. RSA keys need all of `d p q dp dq qi` (RFC 7518 §6.3.2).
    ///
    /// # Errors
    /// See [`KeyError`]: among others [`KeyError::Public`] for a public key, [`KeyError::WrongUse`] where `use` or
    /// `key_ops` say something else than signing, and refusals of weak or inconsistent keys.
    pub fn from_jwk(jwk: &str) -> Result<Self, KeyError> {
        let jwk = Jwk::parse(jwk)?;
        let alg = jwk.algorithm()?;
        jwk.check_use("sign")?;
        let private = Private::from_jwk(&jwk, alg)?;
        // The public half is checked as it stands in the JWK, and must be the one of the private half.
        let stated = Public::from_jwk(&jwk, alg)?;
        if stated.thumbprint() != private.public()?.thumbprint() {
            return Err(KeyError::InvalidPoint);
        }
        let key = Self::new(alg, private)?;
        Ok(match jwk.kid {
            Some(kid) => key.with_kid(&kid),
            None => key,
        })
    }

    /// Reads a PEM block `PRIVATE KEY` (PKCS#8), `RSA PRIVATE KEY` (PKCS#1) or `EC PRIVATE KEY` (SEC 1).
    /// Encrypted keys are not read.
    ///
    /// # Errors
    /// [`KeyError::Public`] for a public key, [`KeyError::Rejected`] if the key is of another kind than `alg`, and
    /// refusals of weak keys.
    pub fn from_pem(alg: Algorithm, pem: &str) -> Result<Self, KeyError> {
        let (label, der) = pem::decode(pem)?;
        if !label.is_private() {
            return Err(KeyError::Public);
        }
        Self::from_der(alg, &der)
    }

    /// Reads DER: PKCS#8 (RFC 5958), or for RSA PKCS#1 (RFC 8017 App. A.1.2), or for EC SEC 1 (RFC 5915).
    ///
    /// # Errors
    /// As [`SigningKey::from_pem`].
    pub fn from_der(alg: Algorithm, der: &[u8]) -> Result<Self, KeyError> {
        Self::new(alg, Private::from_der(alg, der)?)
    }

    /// A shared secret for an HMAC algorithm.
    ///
    /// # Errors
    /// As [`VerifyingKey::from_secret`].
    pub fn from_secret(alg: Algorithm, secret: &[u8]) -> Result<Self, KeyError> {
        Self::new(alg, Private::from_secret(alg, secret)?)
    }

    fn new(alg: Algorithm, private: Private) -> Result<Self, KeyError> {
        // The private key's own number is its name, so that what it signs names it.
        let verifying = VerifyingKey::new(alg, private.public()?)?;
        let kid = verifying.kid().to_owned();
        Ok(Self { private, verifying, headers: Vec::new() }.with_kid(&kid))
    }

    /// The same key under the name `kid`, which then stands in every header it signs (RFC 7515 §4.1.4).
    #[must_use]
    pub fn with_kid(mut self, kid: &str) -> Self {
        let alg = self.algorithm();
        self.headers =
            header::USUAL_TYPES.iter().map(|typ| (*typ, header::encode_with_dot(alg, typ, kid))).collect();
        self.verifying = self.verifying.with_kid(kid);
        self
    }

    /// The one algorithm of this key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.verifying.algorithm()
    }

    /// The key's name: given, or else the thumbprint of its public half ([`VerifyingKey::thumbprint`]).
    #[must_use]
    pub fn kid(&self) -> &str {
        self.verifying.kid()
    }

    /// The key that verifies what this one signs. For HMAC that is the same secret.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        self.verifying.clone()
    }

    /// The whole key as a private JWK, with `alg` and `kid`: a secret, to be sealed wherever it rests.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] if the library does not hand the key out.
    pub fn to_private_jwk(&self) -> Result<Zeroizing<String>, KeyError> {
        let secret = self.private.jwk_members()?;
        let public = self.verifying.required_members().unwrap_or_default();
        let kid = serde_json::Value::from(self.kid()).to_string();
        let mut jwk = Zeroizing::new(String::with_capacity(public.len() + secret.len() + kid.len() + 64));
        for piece in [
            "{",
            &public,
            &secret,
            ",\"use\":\"sig\",\"alg\":\"",
            self.algorithm().name(),
            "\",\"kid\":",
            &kid,
            "}",
        ] {
            jwk.push_str(piece);
        }
        Ok(jwk)
    }

    /// Signs `payload` as a compact JWS (RFC 7515 §7.1) with the header `{"alg","typ","kid"}`.
    ///
    /// # Errors
    /// [`KeyError::Rejected`] if the library cannot sign.
    pub fn sign(&self, typ: &str, payload: &[u8]) -> Result<String, KeyError> {
        let header = self.header(typ);
        let text = header.len() + base64url::encoded_len(payload.len()) + 1;
        let mut out = Vec::with_capacity(text + base64url::encoded_len(MAX_SIGNATURE));
        out.extend_from_slice(&header);
        base64url::encode_into(payload, &mut out);
        self.finish(0, &mut out)?;
        String::from_utf8(out).map_err(|_| KeyError::Rejected)
    }

    /// Signs what `write` appends to the buffer, and leaves the compact JWS in its place, after whatever `out`
    /// already held. Nothing is allocated if `out` has room: for the token, and a moment for its payload beside it.
    /// `out` stays valid UTF-8 if it was.
    ///
    /// # Errors
    /// The error of `write`, or a [`KeyError`] turned into it if the library cannot sign. `out` is then as it was.
    ///
    /// ```
    /// # use jotgate_jose::{Algorithm, KeyError, SigningKey};
    /// let key = SigningKey::generate(Algorithm::Es256)?;
    /// let mut out = b"Bearer ".to_vec();
    /// key.sign_into("at+jwt", &mut out, |payload| {
    ///     payload.extend_from_slice(br#"{"sub":"ada"}"#);
    ///     Ok::<_, KeyError>(())
    /// })?;
    /// assert!(out.starts_with(b"Bearer ey"));
    /// # Ok::<_, KeyError>(())
    /// ```
    pub fn sign_into<E: From<KeyError>>(
        &self,
        typ: &str,
        out: &mut Vec<u8>,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let start = out.len();
        let result = write(out).and_then(|()| {
            self.encode(typ, start, out)?;
            self.finish(start, out).map_err(E::from)
        });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// Turns the payload at `start` into header, dot and encoded payload. Encoding needs the payload beside the
    /// text, so it moves to the end of the buffer first.
    fn encode(&self, typ: &str, start: usize, out: &mut Vec<u8>) -> Result<(), KeyError> {
        let header = self.header(typ);
        let len = out.len().checked_sub(start).ok_or(KeyError::Rejected)?;
        let text = start + header.len();
        let aside = text + base64url::encoded_len(len);
        out.resize(aside + len, 0);
        out.copy_within(start..start + len, aside);
        let (front, payload) = out.split_at_mut_checked(aside).ok_or(KeyError::Rejected)?;
        front.get_mut(start..text).ok_or(KeyError::Rejected)?.copy_from_slice(&header);
        let encoded = base64url::encode_to(payload, front.get_mut(text..).ok_or(KeyError::Rejected)?);
        out.truncate(aside);
        if encoded { Ok(()) } else { Err(KeyError::Rejected) }
    }

    /// Signs the signing input at `start` and appends the signature.
    fn finish(&self, start: usize, out: &mut Vec<u8>) -> Result<(), KeyError> {
        let mut space = [0; MAX_SIGNATURE];
        let signature = self.private.sign(out.get(start..).unwrap_or_default(), &mut space)?;
        out.push(b'.');
        base64url::encode_into(signature, out);
        Ok(())
    }

    fn header(&self, typ: &str) -> std::borrow::Cow<'_, [u8]> {
        match self.headers.iter().find(|(usual, _)| *usual == typ) {
            Some((_, header)) => header.into(),
            None => header::encode_with_dot(self.algorithm(), typ, self.kid()).into(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("alg", &self.algorithm())
            .field("kid", &self.kid())
            .finish_non_exhaustive()
    }
}
