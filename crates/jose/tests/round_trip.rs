//! Every algorithm, there and back: signing, verifying, and each form of a key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use jotgate_jose::{
    Algorithm, Error, KeyError, KeySet, OwnedClaims, OwnedStatus, Policy, SigningKey, VerifyingKey,
    insecure_decode, verify, verify_and_keep, verify_in, verify_signature_only,
};

const NOW: u64 = 1_790_000_000;
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

fn claims() -> OwnedClaims {
    let some = |text: &str| Some(text.to_owned());
    OwnedClaims {
        iss: some(ISSUER),
        sub: some("0190f5a0-0000-7000-8000-000000000001"),
        aud: vec![AUDIENCE.to_owned()],
        exp: Some(NOW + 600),
        nbf: None,
        iat: Some(NOW),
        jti: some("j\"1\\ é"),
        client_id: some("jotgate"),
        scope: some("account openid"),
        sid: some("s1"),
        auth_time: Some(NOW - 5),
        roles: vec!["admin".into(), "with \"quotes\"".into()],
        preferred_username: some("ada\u{1}"),
        permissions: vec!["read".into()],
        email: some("ada@example.com"),
        status: Some(OwnedStatus { idx: 77, uri: format!("{ISSUER}/auth/status/1") }),
        other: serde_json::from_str(r#"{"tenant":"t\n1","level":3}"#).unwrap(),
    }
}

fn payload() -> Vec<u8> {
    serde_json::to_vec(&claims()).unwrap()
}

#[test]
fn every_algorithm_signs_and_verifies() {
    let policy = Policy::access_token(ISSUER, AUDIENCE);
    for alg in Algorithm::ALL {
        let key = SigningKey::generate(alg).unwrap();
        let keys = KeySet::from(key.verifying_key());
        let token = key.sign("at+jwt", &payload()).unwrap();
        let verified = verify(&keys, &policy, &token, NOW).unwrap();
        assert_eq!(verified.claims().to_owned(), claims(), "{alg}");
        assert_eq!((verified.kid(), verified.algorithm()), (key.kid(), alg));

        let mut buffer = Vec::new();
        let borrowed = verify_in(&mut buffer, &keys, &policy, &token, NOW).unwrap();
        assert_eq!(borrowed.claims().json(), verified.claims().json());
        assert_eq!(borrowed.claims().get("level"), Some("3"));
        assert_eq!(borrowed.claims().get_str("tenant").as_deref(), Some("t\n1"));
        assert!(borrowed.claims().roles().contains("with \"quotes\""));
        assert!(borrowed.claims().has_scope("openid") && !borrowed.claims().has_scope("open"));

        let kept = verify_and_keep(&keys, &policy, &token, NOW).unwrap();
        assert_eq!((kept.token(), verified.token(), borrowed.token()), (Some(token.as_str()), None, None));
        assert_eq!(kept.claims().to_owned(), claims());
        assert_eq!((kept.claims().json(), kept.kid()), (verified.claims().json(), key.kid()));
        assert!(!format!("{kept:?}").contains(&token[..20]), "a credential");

        let signature = verify_signature_only(&keys, &token).unwrap();
        assert_eq!(signature.payload(), payload());
        assert_eq!(insecure_decode(&token).unwrap().payload, payload());

        // One key's token is not another's.
        let other = KeySet::from(SigningKey::generate(alg).unwrap().verifying_key());
        assert_eq!(verify(&other, &policy, &token, NOW).unwrap_err(), Error::UnknownKey);
        assert_eq!(verify_and_keep(&other, &policy, &token, NOW).unwrap_err(), Error::UnknownKey);
        let renamed = SigningKey::generate(alg).unwrap().with_kid(key.kid()).verifying_key();
        assert_eq!(verify(&renamed.into(), &policy, &token, NOW).unwrap_err(), Error::InvalidSignature);
    }
}

#[test]
fn signing_into_a_buffer_writes_the_same_token() {
    for alg in [Algorithm::Hs256, Algorithm::EdDsa, Algorithm::Rs256] {
        let key = SigningKey::generate(alg).unwrap();
        for typ in ["at+jwt", "JWT", "something \"else\""] {
            for payload in [&b""[..], b"{}", &payload(), &[0xff; 3000]] {
                let mut out = b"before ".to_vec();
                key.sign_into(typ, &mut out, |space| {
                    space.extend_from_slice(payload);
                    Ok::<_, KeyError>(())
                })
                .unwrap();
                let token = key.sign(typ, payload).unwrap();
                assert_eq!(std::str::from_utf8(&out).unwrap(), format!("before {token}"), "{alg} {typ}");
                assert_eq!(insecure_decode(&token).unwrap().payload, payload);
                assert_eq!(
                    verify_signature_only(&key.verifying_key().into(), &token).unwrap().typ().as_deref(),
                    Some(typ)
                );
            }
        }
        let mut out = b"kept".to_vec();
        let failed = key.sign_into("JWT", &mut out, |space| {
            space.extend_from_slice(b"half");
            Err(KeyError::Rejected)
        });
        assert_eq!((failed, out.as_slice()), (Err(KeyError::Rejected), &b"kept"[..]));
    }
}

#[test]
fn keys_survive_their_jwk() {
    for alg in Algorithm::ALL {
        let key = SigningKey::generate(alg).unwrap().with_kid("name \"1\"");
        let jwk = key.to_private_jwk().unwrap();
        let again = SigningKey::from_jwk(&jwk).unwrap();
        assert_eq!((again.kid(), again.algorithm()), (key.kid(), alg));
        let token = again.sign("at+jwt", &payload()).unwrap();
        let keys = KeySet::from(key.verifying_key());
        assert!(verify_signature_only(&keys, &token).is_ok(), "{alg}");
        assert!(!format!("{key:?} {:?}", key.verifying_key()).contains(&jwk[20..40]));

        let public = key.verifying_key().to_public_jwk();
        assert_eq!(public.is_none(), alg.is_symmetric());
        let Some(public) = public else {
            assert_eq!(keys.to_json(), r#"{"keys":[]}"#);
            continue;
        };
        let back = VerifyingKey::from_jwk(&public).unwrap();
        assert_eq!(
            (back.kid(), back.algorithm(), back.thumbprint()),
            (key.kid(), alg, key.verifying_key().thumbprint())
        );
        let set = KeySet::from_public_json(&keys.to_json()).unwrap();
        assert!(verify_signature_only(&set, &token).is_ok());
        // Attack A43: nothing private in what is published.
        let members: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&public).unwrap();
        assert!(["d", "p", "q", "dp", "dq", "qi", "k"].iter().all(|name| !members.contains_key(*name)));
        assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap_err(), KeyError::Private);
        assert_eq!(SigningKey::from_jwk(&public).unwrap_err(), KeyError::Public);
    }
}
