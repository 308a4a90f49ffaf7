//! What is measured: one token as the server issues it, and each operation beside the bare primitive on the same
//! bytes.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, ParsedPublicKey, RsaKeyPair};
use base64_simd::URL_SAFE_NO_PAD;
use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey, verify, verify_in};

pub(crate) const NOW: u64 = 1_790_000_000;
pub(crate) const ISSUER: &str = "https://login.example.com";
pub(crate) const AUDIENCE: &str = "https://api.example.com";
/// An access token's claims, as the contract of the server has them.
pub(crate) const PAYLOAD: &str = r#"{"iss":"https://login.example.com","sub":"0199a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b","aud":"https://api.example.com","exp":4102444800,"iat":1790000000,"jti":"0199a1b2-c3d4-7e5f-8a9b-1c1d2e3f4a5b","client_id":"jotgate","scope":"account","sid":"0199a1b2-c3d4-7e5f-8a9b-2c1d2e3f4a5b","auth_time":1790000000,"roles":["admin","editor"],"preferred_username":"ada","status":{"status_list":{"idx":514229,"uri":"https://login.example.com/auth/status/1"}}}"#;

pub(crate) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];

/// One algorithm's key in every form that is measured.
pub(crate) struct Subject {
    pub(crate) alg: Algorithm,
    pub(crate) key: SigningKey,
    pub(crate) keys: KeySet,
    pub(crate) policy: Policy,
    pub(crate) token: String,
    pub(crate) signing_input: String,
    signature: Vec<u8>,
    bare: Bare,
}

enum Bare {
    Hmac(Box<hmac::Key>),
    Rsa(RsaKeyPair, ParsedPublicKey),
    Ec(EcdsaKeyPair, ParsedPublicKey),
    Ed(Ed25519KeyPair, ParsedPublicKey),
}

impl Subject {
    pub(crate) fn new(alg: Algorithm) -> Self {
        Self::with_key(SigningKey::generate(alg).unwrap())
    }

    pub(crate) fn with_key(key: SigningKey) -> Self {
        let alg = key.algorithm();
        let token = key.sign("at+jwt", PAYLOAD.as_bytes()).unwrap();
        let (signing_input, signature) = token.rsplit_once('.').unwrap();
        Self {
            bare: bare(alg, &key),
            keys: KeySet::from(key.verifying_key()),
            policy: Policy::access_token(ISSUER, AUDIENCE),
            signature: URL_SAFE_NO_PAD.decode_to_vec(signature).unwrap(),
            signing_input: signing_input.to_owned(),
            token,
            key,
            alg,
        }
    }

    pub(crate) fn bare_verify(&self) {
        let (message, signature) = (self.signing_input.as_bytes(), self.signature.as_slice());
        match &self.bare {
            Bare::Hmac(key) => hmac::verify(key, message, signature).unwrap(),
            Bare::Rsa(_, key) | Bare::Ec(_, key) | Bare::Ed(_, key) => {
                key.verify_sig(message, signature).unwrap()
            }
        }
    }

    pub(crate) fn bare_sign(&self) {
        let message = self.signing_input.as_bytes();
        match &self.bare {
            Bare::Hmac(key) => {
                std::hint::black_box(hmac::sign(key, message));
            }
            Bare::Rsa(pair, _) => {
                let mut out = [0; 256];
                pair.sign(&signature::RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut out).unwrap();
                std::hint::black_box(out);
            }
            Bare::Ec(pair, _) => {
                std::hint::black_box(pair.sign(&SystemRandom::new(), message).unwrap());
            }
            Bare::Ed(pair, _) => {
                std::hint::black_box(pair.sign(message));
            }
        }
    }

    /// Everything a resource server does with a token: signature, policy, and the claims read as their types.
    pub(crate) fn verify_in(&self, buffer: &mut Vec<u8>) {
        let verified = verify_in(buffer, &self.keys, &self.policy, &self.token, NOW + 1).unwrap();
        let claims = verified.claims();
        std::hint::black_box((claims.sub(), claims.scope(), claims.roles(), claims.status(), claims.exp()));
    }

    /// The private key as the peer wants it: PKCS#1 for RSA, else PKCS#8.
    pub(crate) fn private_der(&self) -> Vec<u8> {
        match &self.bare {
            Bare::Hmac(_) => Vec::new(),
            // A 2048-bit key's PKCS#8 form is 26 bytes and then the PKCS#1 form.
            Bare::Rsa(pair, _) => pair.as_der().unwrap().as_ref()[26..].to_vec(),
            Bare::Ec(pair, _) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
            Bare::Ed(pair, _) => pair.to_pkcs8v1().unwrap().as_ref().to_vec(),
        }
    }

    pub(crate) fn verify(&self) {
        std::hint::black_box(verify(&self.keys, &self.policy, &self.token, NOW + 1).unwrap());
    }

    /// Signing into a buffer that is kept, the payload written straight into it.
    pub(crate) fn sign_into(&self, out: &mut Vec<u8>) {
        out.clear();
        let write = |space: &mut Vec<u8>| {
            space.extend_from_slice(PAYLOAD.as_bytes());
            Ok::<_, jotgate_jose::KeyError>(())
        };
        self.key.sign_into("at+jwt", out, write).unwrap();
        std::hint::black_box(out);
    }
}

fn bare(alg: Algorithm, key: &SigningKey) -> Bare {
    let jwk: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(&key.to_private_jwk().unwrap()).unwrap();
    let member = |name: &str| URL_SAFE_NO_PAD.decode_to_vec(jwk[name].as_str().unwrap()).unwrap();
    match alg {
        Algorithm::Hs256 => Bare::Hmac(hmac::Key::new(hmac::HMAC_SHA256, &member("k")).into()),
        Algorithm::Rs256 => {
            let public_key = signature::RsaPublicKeyComponents { n: member("n"), e: member("e") };
            let public = public_key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256).unwrap();
            let parts = aws_lc_rs::rsa::KeyPairComponents {
                public_key,
                d: member("d"),
                p: member("p"),
                q: member("q"),
                dP: member("dp"),
                dQ: member("dq"),
                qInv: member("qi"),
            };
            Bare::Rsa(RsaKeyPair::from_components(&parts).unwrap(), public)
        }
        Algorithm::Es256 => {
            let point = [vec![4], member("x"), member("y")].concat();
            let signing = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
            let pair = EcdsaKeyPair::from_private_key_and_public_key(signing, &member("d"), &point).unwrap();
            Bare::Ec(pair, ParsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, &point).unwrap())
        }
        Algorithm::EdDsa => {
            let pair = Ed25519KeyPair::from_seed_and_public_key(&member("d"), &member("x")).unwrap();
            Bare::Ed(pair, ParsedPublicKey::new(&signature::ED25519, member("x")).unwrap())
        }
        other => panic!("{other} is not measured"),
    }
}
