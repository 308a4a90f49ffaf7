//! The crates `jsonwebtoken` and `jwt-simple`.

use std::collections::HashSet;

use jotgate_jose::Algorithm;
use jsonwebtoken as jwt;
use jwt_simple::prelude::{
    ECDSAP256PublicKeyLike as _, ES256PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike as _, HS256Key,
    MACLike as _, NoCustomClaims, PS256PublicKey, RS256PublicKey, RSAPublicKeyLike as _, UnixTimeStamp,
    VerificationOptions,
};
use serde_json::Value;

use super::forger::{AUDIENCE, ISSUER, NOW, unb64};
use super::{Case, Tally, cases};

#[test]
fn the_crates_accept_what_we_accept() {
    let mut tally = Tally::default();
    for case in cases() {
        tally.add("crate jsonwebtoken", case, jsonwebtoken(case).err().as_deref());
        tally.add("crate jwt-simple", case, jwt_simple(case).err().as_deref());
    }
    tally.finish();
}

/// Its clock cannot be set, so times are left to the other peers.
pub(crate) fn jsonwebtoken(case: &Case) -> Result<(), String> {
    let (alg, key) = match case.alg {
        Algorithm::Hs256 => (jwt::Algorithm::HS256, jwt::DecodingKey::from_secret(&member(&case.jwk, "k"))),
        alg => {
            let jwk = serde_json::from_value(case.jwk.clone()).map_err(|error| error.to_string())?;
            let name = alg.name().parse().map_err(|error: jwt::errors::Error| error.to_string())?;
            (name, jwt::DecodingKey::from_jwk(&jwk).map_err(|error| error.to_string())?)
        }
    };
    let mut validation = jwt::Validation::new(alg);
    validation.set_audience(&[AUDIENCE]);
    validation.set_issuer(&[ISSUER]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    validation.validate_exp = false;
    jwt::decode::<Value>(&case.token, &key, &validation).map(|_| ()).map_err(|error| error.to_string())
}

pub(crate) fn jwt_simple(case: &Case) -> Result<(), String> {
    let set = |text: &str| Some(HashSet::from([text.to_owned()]));
    let options = Some(VerificationOptions {
        allowed_issuers: set(ISSUER),
        allowed_audiences: set(AUDIENCE),
        time_tolerance: Some(jwt_simple::prelude::Duration::from_secs(0)),
        artificial_time: Some(UnixTimeStamp::from_secs(NOW)),
        required_signature_type: None,
        ..VerificationOptions::default()
    });
    let (token, jwk) = (&case.token, &case.jwk);
    let verified = match case.alg {
        Algorithm::Hs256 => {
            HS256Key::from_bytes(&member(jwk, "k")).verify_token::<NoCustomClaims>(token, options)
        }
        Algorithm::Rs256 => RS256PublicKey::from_components(&member(jwk, "n"), &member(jwk, "e"))
            .and_then(|key| key.verify_token::<NoCustomClaims>(token, options)),
        Algorithm::Ps256 => PS256PublicKey::from_components(&member(jwk, "n"), &member(jwk, "e"))
            .and_then(|key| key.verify_token::<NoCustomClaims>(token, options)),
        Algorithm::Es256 => {
            ES256PublicKey::from_bytes(&[vec![4], member(jwk, "x"), member(jwk, "y")].concat())
                .and_then(|key| key.verify_token::<NoCustomClaims>(token, options))
        }
        _ => Ed25519PublicKey::from_bytes(&member(jwk, "x"))
            .and_then(|key| key.verify_token::<NoCustomClaims>(token, options)),
    };
    verified.map(|_| ()).map_err(|error| error.to_string())
}

fn member(jwk: &Value, name: &str) -> Vec<u8> {
    unb64(jwk[name].as_str().unwrap())
}
