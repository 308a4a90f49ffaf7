//! A forger: signs any header and any payload, so that what is refused is refused for its own fault and not for a
//! broken signature.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPairComponents;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use base64_simd::URL_SAFE_NO_PAD;
use jotgate_jose::{Algorithm, Error, KeySet, Policy, SigningKey, Verified, verify};
use serde_json::{Value, json};

pub const NOW: u64 = 1_790_000_000;
pub const ISSUER: &str = "https://login.example.com";
pub const AUDIENCE: &str = "https://api.example.com";

/// The five kinds of signature, one algorithm each.
pub const KINDS: [Algorithm; 5] =
    [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::EdDsa];

pub struct Forger {
    pub key: SigningKey,
    pub keys: KeySet,
    pub jwk: Value,
    pub policy: Policy,
    pub raw_key: RawKey,
}

impl Forger {
    /// With a new key, but for RSA, which takes long to make.
    pub fn new(alg: Algorithm) -> Self {
        if matches!(alg, Algorithm::Rs256 | Algorithm::Ps256) {
            return Self::from_key(SigningKey::from_pem(alg, include_str!("../keys/rsa.pkcs8.pem")).unwrap());
        }
        Self::fresh(alg)
    }

    /// With a new key, that nobody else has.
    pub fn fresh(alg: Algorithm) -> Self {
        Self::from_key(SigningKey::generate(alg).unwrap())
    }

    pub fn from_key(key: SigningKey) -> Self {
        let jwk = serde_json::from_str(&key.to_private_jwk().unwrap()).unwrap();
        Self {
            keys: key.verifying_key().into(),
            raw_key: RawKey::from_jwk(&jwk),
            jwk,
            policy: Policy::access_token(ISSUER, AUDIENCE),
            key,
        }
    }

    /// The header that our own signing writes, as a value to spoil.
    pub fn header(&self) -> Value {
        json!({"alg": self.key.algorithm().name(), "typ": "at+jwt", "kid": self.key.kid()})
    }

    /// Signs exactly these bytes.
    pub fn raw(&self, message: &[u8]) -> Vec<u8> {
        self.raw_key.sign(self.key.algorithm(), message)
    }

    /// A token with this header text and payload, encoded and signed as they stand.
    pub fn token(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.spelled(&b64(header), &b64(payload))
    }

    /// A token with these first two parts as they stand.
    pub fn spelled(&self, header: &str, payload: &str) -> String {
        let input = format!("{header}.{payload}");
        let signature = b64(self.raw(input.as_bytes()));
        format!("{input}.{signature}")
    }

    /// A token with a good header.
    pub fn with_payload(&self, payload: impl AsRef<[u8]>) -> String {
        self.token(self.header().to_string(), payload)
    }

    /// A token with good claims, but for one.
    pub fn with_claim(&self, name: &str, value: Value) -> String {
        let mut payload = good_claims();
        payload[name] = value;
        self.with_payload(payload.to_string())
    }

    /// A token with good claims, but for one whose value is this JSON text.
    pub fn with_raw_claim(&self, name: &str, value: &str) -> String {
        let mut payload = good_claims();
        payload.as_object_mut().unwrap().remove(name);
        let rest = payload.to_string();
        self.with_payload(format!("{{\"{name}\":{value},{}", &rest[1..]))
    }

    /// A token with good claims under this header.
    pub fn with_header(&self, header: &Value) -> String {
        self.token(header.to_string(), good_claims().to_string())
    }

    /// A token with a good header and one member more.
    pub fn with_member(&self, name: &str, value: Value) -> String {
        let mut header = self.header();
        header[name] = value;
        self.with_header(&header)
    }

    pub fn good(&self) -> String {
        self.with_header(&self.header())
    }

    pub fn verify(&self, token: &str) -> Result<Verified<'static>, Error> {
        verify(&self.keys, &self.policy, token, NOW)
    }

    #[track_caller]
    pub fn refuses(&self, token: &str, error: Error) {
        let shown: String = token.chars().take(300).collect();
        assert_eq!(self.verify(token).map(|_| ()), Err(error), "{shown}");
    }
}

pub fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "u1", "aud": AUDIENCE, "exp": NOW + 600, "iat": NOW, "jti": "j1", "client_id": "jotgate",
        "scope": "account", "roles": ["a", "b"],
    })
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes.as_ref())
}

pub fn unb64(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode_to_vec(text).unwrap()
}

/// A key of the cryptographic library itself, which signs whatever it is given.
pub enum RawKey {
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
    Ed(Ed25519KeyPair),
}

impl RawKey {
    pub fn from_jwk(jwk: &Value) -> Self {
        let member = |name: &str| unb64(jwk[name].as_str().unwrap());
        match jwk["kty"].as_str().unwrap() {
            "oct" => Self::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &member("k")).into()),
            "RSA" => {
                let parts = KeyPairComponents {
                    public_key: RsaPublicKeyComponents { n: member("n"), e: member("e") },
                    d: member("d"),
                    p: member("p"),
                    q: member("q"),
                    dP: member("dp"),
                    dQ: member("dq"),
                    qInv: member("qi"),
                };
                Self::Rsa(RsaKeyPair::from_components(&parts).unwrap())
            }
            "EC" => {
                let point = [vec![4], member("x"), member("y")].concat();
                let alg = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
                Self::Ec(EcdsaKeyPair::from_private_key_and_public_key(alg, &member("d"), &point).unwrap())
            }
            _ => Self::Ed(Ed25519KeyPair::from_seed_and_public_key(&member("d"), &member("x")).unwrap()),
        }
    }

    pub fn sign(&self, alg: Algorithm, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match self {
            Self::Hmac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut out = vec![0; pair.public_modulus_len()];
                let pss = alg == Algorithm::Ps256;
                let padding = if pss { &signature::RSA_PSS_SHA256 } else { &signature::RSA_PKCS1_SHA256 };
                pair.sign(padding, &rng, message, &mut out).unwrap();
                out
            }
            Self::Ec(pair) => pair.sign(&rng, message).unwrap().as_ref().to_vec(),
            Self::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }
}
