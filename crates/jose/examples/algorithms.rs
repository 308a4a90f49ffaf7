//! Every algorithm: make a key, keep it, sign, publish the key, verify.
//!
//! `cargo run -p jotgate-jose --example algorithms`

use std::error::Error;

use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey, VerifyingKey, verify};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
/// This crate has no clock; a program reads its own.
const NOW: u64 = 1_790_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    for alg in Algorithm::ALL {
        // A secret: to be sealed wherever it rests.
        let private_jwk = SigningKey::generate(alg)?.to_private_jwk()?;

        let key = SigningKey::from_jwk(&private_jwk)?;
        let token = key.sign("at+jwt", payload().as_bytes())?;

        let verified = verify(&verifier(alg, &key)?, &policy(alg), &token, NOW)?;
        println!(
            "{alg:8} {:4} bytes, kid {:43} sub {}",
            token.len(),
            verified.kid(),
            verified.claims().sub().unwrap_or_default()
        );
    }
    Ok(())
}

/// What a resource server holds: a published set, or for HMAC the secret itself.
fn verifier(alg: Algorithm, key: &SigningKey) -> Result<KeySet, Box<dyn Error>> {
    if alg.is_symmetric() {
        return Ok(KeySet::from(key.verifying_key()));
    }
    let published = KeySet::from(key.verifying_key()).to_json();
    let keys = KeySet::from_public_json(&published)?;
    assert_eq!(keys.find(key.kid()).map(VerifyingKey::thumbprint), Some(key.verifying_key().thumbprint()));
    Ok(keys)
}

/// One algorithm, named by the one who verifies and not by the token.
fn policy(alg: Algorithm) -> Policy {
    Policy::access_token(ISSUER, AUDIENCE).algorithms(&[alg])
}

fn payload() -> String {
    format!(
        r#"{{"iss":"{ISSUER}","sub":"ada","aud":"{AUDIENCE}","exp":{},"iat":{NOW},"jti":"1","client_id":"web"}}"#,
        NOW + 600
    )
}
