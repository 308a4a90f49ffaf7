//! Properties that hold for any input. More of it with `JOTGATE_LONG_TESTS` set.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::sync::LazyLock;

use common::{AUDIENCE, Forger, ISSUER, NOW, b64};
use jotgate_jose::{
    Algorithm, Error, KeyError, KeySet, OwnedClaims, OwnedStatus, Policy, SigningKey, insecure_decode,
    verify, verify_in, verify_signature_only,
};
use proptest::prelude::*;
use serde_json::{Map, Value};

static FORGER: LazyLock<Forger> = LazyLock::new(|| Forger::new(Algorithm::Hs256));

fn config() -> ProptestConfig {
    let long =
        ["JOTGATE_LONG_TESTS", "JOTGATE_TEST_LONG"].iter().any(|name| std::env::var_os(name).is_some());
    ProptestConfig {
        cases: if long { 20_000 } else { 500 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// Text with everything that JSON has to escape, but for NUL, which no token may hold.
fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(
        prop_oneof![
            4 => proptest::char::range(' ', '~'),
            1 => proptest::char::range('\u{1}', '\u{1f}'),
            1 => proptest::char::any().prop_filter("no NUL", |c| *c != '\0'),
        ],
        1..20,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        // Exact in every reader: serde_json rounds the last bit of some others.
        any::<i32>().prop_map(|number| Value::from(f64::from(number) / 8.0)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::btree_map(text(), inner, 0..6)
                .prop_map(|map| Value::from(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

prop_compose! {
    fn claims()(
        strings in proptest::collection::vec(text(), 7),
        auds in proptest::collection::vec(text(), 0..4),
        lists in proptest::collection::vec(proptest::collection::vec(text(), 0..5), 2),
        exp in NOW + 1..(1 << 53) - 1,
        nbf in proptest::option::of(0..=NOW),
        auth_time in proptest::option::of(0..=NOW),
        status in proptest::option::of((0..1_u64 << 53, text())),
        other in proptest::collection::btree_map(text(), json(), 0..5),
    ) -> OwnedClaims {
        let mut strings = strings.into_iter();
        let mut lists = lists.into_iter();
        OwnedClaims {
            iss: Some(ISSUER.into()),
            sub: strings.next(),
            aud: auds.into_iter().chain([AUDIENCE.to_owned()]).collect(),
            exp: Some(exp),
            nbf,
            iat: Some(NOW),
            jti: strings.next(),
            client_id: strings.next(),
            scope: strings.next(),
            sid: strings.next(),
            auth_time,
            roles: lists.next().unwrap_or_default(),
            preferred_username: strings.next(),
            permissions: lists.next().unwrap_or_default(),
            email: strings.next(),
            status: status.map(|(idx, uri)| OwnedStatus { idx, uri }),
            other: other.into_iter().filter(|(name, _)| name.len() > 20).collect(),
        }
    }
}

proptest! {
    #![proptest_config(config())]

    /// Whatever claims are signed are read back, whichever way.
    #[test]
    fn claims_survive(claims in claims()) {
        let payload = serde_json::to_vec(&claims).unwrap();
        let token = FORGER.key.sign("at+jwt", &payload).unwrap();
        let verified = FORGER.verify(&token).unwrap();
        prop_assert_eq!(&verified.claims().to_owned(), &claims);
        let mut buffer = Vec::new();
        let borrowed = verify_in(&mut buffer, &FORGER.keys, &FORGER.policy, &token, NOW).unwrap();
        prop_assert_eq!(borrowed.claims().to_owned(), claims);
        let owned = borrowed.into_owned();
        prop_assert_eq!(owned.claims().json(), verified.claims().json());
        let mut out = Vec::new();
        FORGER.key.sign_into("at+jwt", &mut out, |space| {
            space.extend_from_slice(&payload);
            Ok::<_, KeyError>(())
        }).unwrap();
        prop_assert_eq!(String::from_utf8(out).unwrap(), token);
    }

    /// JSON is JSON: what serde_json writes is read, and with the same members.
    #[test]
    fn any_json_object_is_read_as_it_was_written(members in proptest::collection::btree_map(text(), json(), 0..12), pretty: bool) {
        let policy = Policy::token("at+jwt", "", "").any_issuer().any_audience();
        let policy = policy.optional("iss").optional("aud").optional("exp");
        let object: Map<String, Value> = members.into_iter().filter(|(name, _)| name.len() != 3).map(|(name, value)| (format!("_{name}"), value)).collect();
        let payload = if pretty { serde_json::to_vec_pretty(&object) } else { serde_json::to_vec(&object) }.unwrap();
        let verified = verify(&FORGER.keys, &policy, &FORGER.with_payload(&payload), NOW).unwrap();
        for (name, value) in &object {
            let raw = verified.claims().get(name).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(raw).unwrap(), value);
            let text = verified.claims().get_str(name);
            prop_assert_eq!(text.as_deref(), value.as_str());
        }
    }

    /// No bytes bring it down, and none but a right signature is accepted.
    #[test]
    fn arbitrary_text_is_refused(token in "\\PC{0,200}", header in any::<Vec<u8>>(), payload in any::<Vec<u8>>()) {
        for token in [token, format!("{}.{}.", b64(&header), b64(&payload)), format!("{}.{}.{}", b64(&header), b64(&payload), b64([0; 32]))] {
            prop_assert!(FORGER.verify(&token).is_err());
            prop_assert!(verify_signature_only(&FORGER.keys, &token).is_err());
            if let Ok(parts) = insecure_decode(&token) {
                prop_assert_eq!(format!("{}.{}.{}", b64(parts.header), b64(parts.payload), b64(parts.signature)), token);
            }
        }
    }

    /// A signed header or payload of arbitrary bytes is never accepted as an access token.
    #[test]
    fn arbitrary_signed_bytes_are_refused(bytes in any::<Vec<u8>>()) {
        prop_assert_eq!(FORGER.verify(&FORGER.with_payload(&bytes)).unwrap_err(), Error::Malformed);
        prop_assert!(FORGER.verify(&FORGER.token(&bytes, common::good_claims().to_string())).is_err());
        // The payload of a mere signature may be anything.
        let verified = verify_signature_only(&FORGER.keys, &FORGER.with_payload(&bytes)).unwrap();
        prop_assert_eq!(verified.payload(), bytes);
    }

    /// Any one changed byte of a token is noticed.
    #[test]
    fn a_changed_byte_is_noticed(at in any::<proptest::sample::Index>(), byte in 1_u8..=127) {
        let good = FORGER.good();
        let mut bytes = good.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= byte;
        if let Ok(changed) = String::from_utf8(bytes) {
            prop_assert!(changed == good || FORGER.verify(&changed).is_err());
        }
    }

    /// Keys of any text are refused or come out as they went in.
    #[test]
    fn secrets_and_names_survive(secret in proptest::collection::vec(any::<u8>(), 32..200), kid in text()) {
        let key = SigningKey::from_secret(Algorithm::Hs256, &secret).unwrap().with_kid(&kid);
        let jwk = key.to_private_jwk().unwrap();
        let again = SigningKey::from_jwk(&jwk).unwrap();
        prop_assert_eq!(again.kid(), &kid);
        let token = again.sign("at+jwt", b"{}").unwrap();
        let verified = verify_signature_only(&KeySet::from(key.verifying_key()), &token).unwrap();
        prop_assert_eq!(verified.kid(), &kid);
        prop_assert!(KeySet::from_json(&jwk).unwrap().len() == 1);
    }

    /// A set of keys of arbitrary JSON is read without a fuss.
    #[test]
    fn key_sets_of_anything(keys in proptest::collection::vec(json(), 0..6)) {
        let good: Value = serde_json::from_str(&SigningKey::generate(Algorithm::EdDsa).unwrap().verifying_key().to_public_jwk().unwrap()).unwrap();
        let count = keys.len();
        let set = serde_json::json!({"keys": keys.into_iter().chain([good]).collect::<Vec<_>>()}).to_string();
        let set = KeySet::from_json(&set).unwrap();
        prop_assert_eq!((set.len(), set.rejected().len()), (1, count));
    }
}
