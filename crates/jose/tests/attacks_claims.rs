//! Attacks on the claims of a token. The numbers are those of the project's catalogue of attacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{AUDIENCE, Forger, ISSUER, NOW, good_claims};
use jotgate_jose::{Algorithm, Error, Policy, PolicyError, verify};
use serde_json::{Value, json};

fn forger() -> Forger {
    Forger::new(Algorithm::EdDsa)
}

fn without(name: &str) -> String {
    let mut claims = good_claims();
    claims.as_object_mut().unwrap().remove(name);
    claims.to_string()
}

#[test]
fn a25_wrongly_typed_times_are_refused_and_never_absent() {
    let forger = forger();
    for name in ["exp", "nbf", "iat", "auth_time"] {
        for value in [
            "\"1790000600\"",
            "-1",
            "-0",
            "-1.5",
            "1e400",
            "-1e400",
            "9223372036854775808",
            "18446744073709551616",
            "null",
            "true",
            "[]",
            "{}",
            "[1790000600]",
            "\"\"",
            "1e",
            "0x1",
            "01",
            "+1",
            "NaN",
            "Infinity",
            "1_000",
            "٣",
            "1790000600.",
        ] {
            forger.refuses(&forger.with_raw_claim(name, value), Error::Malformed);
        }
    }
    for value in ["1e10", "1790000600.5", "1.7900006e9", "9007199254740991"] {
        assert!(forger.verify(&forger.with_raw_claim("exp", value)).is_ok(), "{value}");
    }
    for value in ["0", "1.5", "1790000000", "1789999999.9", "1790000000.9"] {
        forger.refuses(&forger.with_raw_claim("exp", value), Error::Expired);
    }
    forger.refuses(&forger.with_payload(without("exp")), Error::MissingClaim);
}

#[test]
fn a27_the_very_second() {
    let forger = forger();
    for leeway in [0, 1, 30, 60] {
        let policy = forger.policy.clone().leeway(leeway).unwrap();
        let check = |name: &str, at: u64| {
            verify(&forger.keys, &policy, &forger.with_claim(name, json!(at)), NOW).map(|_| ())
        };
        assert_eq!(check("exp", NOW - leeway), Err(Error::Expired));
        assert_eq!(check("exp", NOW - leeway - 1), Err(Error::Expired));
        assert_eq!(check("exp", NOW - leeway + 1), Ok(()));
        assert_eq!(check("nbf", NOW + leeway), Ok(()));
        assert_eq!(check("nbf", NOW + leeway + 1), Err(Error::NotYetValid));
        assert_eq!(check("nbf", 0), Ok(()));
    }
    assert_eq!(forger.policy.clone().leeway(61).unwrap_err(), PolicyError::LeewayTooLong);
    assert_eq!(forger.policy.clone().leeway(u64::MAX).unwrap_err(), PolicyError::LeewayTooLong);
    // The ends of time do not overflow.
    for now in [0, u64::MAX] {
        assert!(
            verify(&forger.keys, &forger.policy.clone().leeway(60).unwrap(), &forger.good(), now).is_err()
        );
    }
}

#[test]
fn a28_age_and_the_future() {
    let forger = forger();
    let policy = forger.policy.clone().optional("iat").max_age(300);
    let check = |token: &str| verify(&forger.keys, &policy, token, NOW).map(|_| ());
    assert_eq!(check(&forger.with_payload(without("iat"))), Err(Error::MissingClaim));
    assert_eq!(check(&forger.with_claim("iat", json!(NOW - 300))), Ok(()));
    assert_eq!(check(&forger.with_claim("iat", json!(NOW - 301))), Err(Error::TooOld));
    assert_eq!(check(&forger.with_claim("iat", json!(0))), Err(Error::TooOld));
    forger.refuses(&forger.with_claim("iat", json!(NOW + 3600)), Error::NotYetValid);
    forger.refuses(&forger.with_claim("iat", json!(NOW + 61)), Error::NotYetValid);
    assert!(forger.verify(&forger.with_claim("iat", json!(NOW + 60))).is_ok());
}

#[test]
fn a29_a30_audiences() {
    let forger = forger();
    forger.refuses(&forger.with_payload(without("aud")), Error::MissingClaim);
    let near = [
        json!([]),
        json!(""),
        json!(["x"]),
        json!([""]),
        json!(format!("{AUDIENCE} other")),
        json!(format!("{AUDIENCE}/")),
        json!(AUDIENCE.to_uppercase()),
        json!(&AUDIENCE[1..]),
        json!(format!("x{AUDIENCE}")),
        json!([ISSUER]),
        json!(&AUDIENCE[..AUDIENCE.len() - 1]),
        json!(format!("{AUDIENCE}\u{200b}")),
        json!(format!("{AUDIENCE},x")),
    ];
    for aud in near {
        forger.refuses(&forger.with_claim("aud", aud), Error::WrongAudience);
    }
    for aud in [
        json!([AUDIENCE, 7, null]),
        json!([7, AUDIENCE]),
        json!([[AUDIENCE]]),
        json!({"a": AUDIENCE}),
        json!(null),
        json!(7),
        json!(true),
        json!([AUDIENCE, null]),
        json!([AUDIENCE, ["x"]]),
        json!([AUDIENCE, {}]),
    ] {
        forger.refuses(&forger.with_claim("aud", aud), Error::Malformed);
    }
    for aud in [
        json!(AUDIENCE),
        json!([AUDIENCE]),
        json!(["x", AUDIENCE]),
        json!([AUDIENCE, "x"]),
        json!(["", AUDIENCE, AUDIENCE]),
    ] {
        assert!(forger.verify(&forger.with_claim("aud", aud)).is_ok());
    }
    // The same string, spelled with escapes.
    let escaped: String = AUDIENCE.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
    assert!(forger.verify(&forger.with_raw_claim("aud", &format!("\"{escaped}\""))).is_ok());
    assert!(forger.verify(&forger.with_raw_claim("aud", &format!("[ \"x\" ,\n\"{escaped}\" ]"))).is_ok());

    let two = forger.policy.clone().audience("https://second.example");
    let token = forger.with_claim("aud", json!(["https://second.example"]));
    assert!(verify(&forger.keys, &two, &token, NOW).is_ok());
    assert!(
        verify(
            &forger.keys,
            &forger.policy.clone().any_audience(),
            &forger.with_claim("aud", json!("x")),
            NOW
        )
        .is_ok()
    );
}

#[test]
fn a31_issuers() {
    let forger = forger();
    for iss in [
        format!("{ISSUER}/"),
        ISSUER.to_uppercase(),
        ISSUER[1..].into(),
        ISSUER[..5].into(),
        format!("{ISSUER}.evil.example"),
        format!(" {ISSUER}"),
        ISSUER.replace("https", "http"),
        format!("{ISSUER}\u{301}"),
    ] {
        forger.refuses(&forger.with_claim("iss", json!(iss)), Error::WrongIssuer);
    }
    for iss in [json!([ISSUER]), json!(null), json!({}), json!(1)] {
        forger.refuses(&forger.with_claim("iss", iss), Error::Malformed);
    }
    forger.refuses(&forger.with_payload(without("iss")), Error::MissingClaim);
    let any = forger.policy.clone().any_issuer();
    assert!(
        verify(&forger.keys, &any, &forger.with_claim("iss", json!("https://other.example")), NOW).is_ok()
    );
}

#[test]
fn a46_names_are_case_sensitive() {
    let forger = forger();
    for (name, wrong) in [
        ("exp", "EXP"),
        ("exp", "Exp"),
        ("aud", "Aud"),
        ("iss", "ISS"),
        ("sub", "Sub"),
        ("iat", "IAT"),
        ("jti", "JTI"),
    ] {
        let mut claims = good_claims();
        let value = claims.as_object_mut().unwrap().remove(name).unwrap();
        claims[wrong] = value;
        forger.refuses(&forger.with_payload(claims.to_string()), Error::MissingClaim);
    }
    let mut header = forger.header();
    header.as_object_mut().unwrap().remove("alg");
    header["Alg"] = json!("EdDSA");
    forger.refuses(&forger.with_header(&header), Error::Malformed);
    header.as_object_mut().unwrap().remove("typ");
    (header["alg"], header["Typ"]) = (json!("EdDSA"), json!("at+jwt"));
    forger.refuses(&forger.with_header(&header), Error::WrongType);
    // Beside the right one, the wrong one is an unknown claim.
    assert!(forger.verify(&forger.with_claim("EXP", json!(0))).is_ok());
}

#[test]
fn every_claim_of_rfc_9068_is_required_of_an_access_token() {
    let forger = forger();
    for name in ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"] {
        forger.refuses(&forger.with_payload(without(name)), Error::MissingClaim);
        forger.refuses(&forger.with_claim(name, Value::Null), Error::Malformed);
    }
    // An empty string says as little as nothing. Found by comparing with joserfc.
    for name in ["iss", "sub", "client_id", "jti"] {
        forger.refuses(&forger.with_claim(name, json!("")), Error::MissingClaim);
    }
    let policy = forger.policy.clone().require("tenant");
    let check = |token: &str| verify(&forger.keys, &policy, token, NOW).map(|_| ());
    assert_eq!(check(&forger.good()), Err(Error::MissingClaim));
    assert_eq!(check(&forger.with_claim("tenant", Value::Null)), Err(Error::MissingClaim));
    assert_eq!(check(&forger.with_claim("tenant", json!(""))), Err(Error::MissingClaim));
    assert_eq!(check(&forger.with_claim("tenant", json!("t"))), Ok(()));
}

#[test]
fn known_claims_have_one_type() {
    let forger = forger();
    let strings = ["sub", "jti", "client_id", "scope", "sid", "preferred_username", "email"];
    for name in strings {
        for value in [json!(1), json!(["a"]), json!({}), json!(true), json!(null)] {
            forger.refuses(&forger.with_claim(name, value), Error::Malformed);
        }
    }
    for name in ["roles", "permissions"] {
        for value in [
            json!("admin"),
            json!([1]),
            json!([["admin"]]),
            json!({"admin": true}),
            json!(null),
            json!(["a", null]),
        ] {
            forger.refuses(&forger.with_claim(name, value), Error::Malformed);
        }
    }
    for status in [
        json!("x"),
        json!([]),
        json!({"status_list": {}}),
        json!({"status_list": {"idx": 1}}),
        json!({"status_list": {"uri": "u"}}),
        json!({"status_list": {"idx": -1, "uri": "u"}}),
        json!({"status_list": {"idx": 1.5, "uri": "u"}}),
        json!({"status_list": {"idx": "1", "uri": "u"}}),
        json!({"status_list": {"idx": 1, "uri": 1}}),
        json!({"status_list": [1, "u"]}),
        json!({"status_list": null}),
        json!({"status_list": {"idx": 1e300, "uri": "u"}}),
    ] {
        forger.refuses(&forger.with_claim("status", status), Error::Malformed);
    }
    let verified = forger
        .verify(&forger.with_claim("status", json!({"x": 1, "status_list": {"uri": "u", "idx": 7, "y": []}})))
        .unwrap();
    let status = verified.claims().status().unwrap();
    assert_eq!((status.idx, status.uri), (7, "u"));
    assert!(
        forger.verify(&forger.with_claim("status", json!({"other": 1}))).unwrap().claims().status().is_none()
    );
}

#[test]
fn claims_are_an_object_with_each_member_once() {
    let forger = forger();
    for text in ["", "[]", "null", "\"x\"", "1", "{", "{}}", "{}{}", "[{}]", " "] {
        forger.refuses(&forger.with_payload(text), Error::Malformed);
    }
    let good = good_claims().to_string();
    for name in ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "roles", "other"] {
        let value = if name == "exp" || name == "iat" {
            "1"
        } else if name == "roles" {
            "[]"
        } else {
            "\"x\""
        };
        let twice = good.replacen('{', &format!("{{\"{name}\":{value},\"other\":1,"), 1);
        forger.refuses(&forger.with_payload(&twice), Error::Malformed);
        let last = format!("{},\"other\":1,\"{name}\":{value}}}", &good[..good.len() - 1]);
        forger.refuses(&forger.with_payload(last), Error::Malformed);
        let escaped: String = name.chars().map(|c| format!("\\u{:04x}", c as u32)).collect();
        let hidden = good.replacen('{', &format!("{{\"{escaped}\":{value},\"other\":1,"), 1);
        forger.refuses(&forger.with_payload(hidden), Error::Malformed);
    }
    forger.refuses(&forger.with_raw_claim("x", r#"{"a":{"b":1,"b":2}}"#), Error::Malformed);
    forger.refuses(
        &forger.with_raw_claim("status", r#"{"status_list":{"idx":1,"idx":2,"uri":"u"}}"#),
        Error::Malformed,
    );
    forger.refuses(
        &forger.with_raw_claim(
            "status",
            r#"{"status_list":{"idx":1,"uri":"u"},"status_list":{"idx":2,"uri":"u"}}"#,
        ),
        Error::Malformed,
    );
    forger.refuses(&forger.with_raw_claim("x", &"[".repeat(40)), Error::Malformed);
    forger.refuses(
        &forger.with_raw_claim("x", &format!("{}{}", "[".repeat(40), "]".repeat(40))),
        Error::Malformed,
    );
    assert!(
        forger.verify(&forger.with_raw_claim("x", &format!("{}{}", "[".repeat(30), "]".repeat(30)))).is_ok()
    );
}

#[test]
fn policies_of_other_tokens() {
    let forger = forger();
    let mut header = forger.header();
    header.as_object_mut().unwrap().remove("typ");
    let untyped = forger.with_header(&header);
    let id_token = Policy::token("JWT", ISSUER, AUDIENCE);
    assert_eq!(verify(&forger.keys, &id_token, &untyped, NOW).unwrap_err(), Error::WrongType);
    let lenient = id_token.clone().typ_may_be_absent();
    assert!(verify(&forger.keys, &lenient, &untyped, NOW).is_ok());
    assert_eq!(verify(&forger.keys, &lenient, &forger.good(), NOW).unwrap_err(), Error::WrongType);
    let expired = forger.with_claim("exp", json!(1));
    assert_eq!(verify(&forger.keys, &forger.policy, &expired, NOW).unwrap_err(), Error::Expired);
    assert!(verify(&forger.keys, &forger.policy.clone().ignore_expiry(), &expired, NOW).is_ok());
    let only = forger.policy.clone().algorithms(&[Algorithm::Es256, Algorithm::Ed25519]);
    assert_eq!(verify(&forger.keys, &only, &forger.good(), NOW).unwrap_err(), Error::UnsupportedAlgorithm);
    assert_eq!(verify(&forger.keys, &only, &untyped, NOW).unwrap_err(), Error::UnsupportedAlgorithm);
    assert!(
        verify(&forger.keys, &forger.policy.clone().algorithms(&[Algorithm::EdDsa]), &forger.good(), NOW)
            .is_ok()
    );
    let long = forger.with_claim("x", json!("y".repeat(20_000)));
    assert_eq!(verify(&forger.keys, &forger.policy, &long, NOW).unwrap_err(), Error::Malformed);
    assert!(verify(&forger.keys, &forger.policy.clone().max_length(100_000).unwrap(), &long, NOW).is_ok());
    assert_eq!(forger.policy.clone().max_length(1 << 30).unwrap_err(), PolicyError::LengthTooLong);
}

#[test]
fn a50_a_bound_token_is_no_bearer_token() {
    let forger = forger();
    let bound = forger.with_claim("cnf", json!({"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}));
    forger.refuses(&bound, Error::WrongType);
    let verified = verify(&forger.keys, &forger.policy.clone().allow_bound(), &bound, NOW).unwrap();
    assert_eq!(verified.claims().cnf(), Some(r#"{"jkt":"0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}"#));
    for cnf in [json!(null), json!("x"), json!([]), json!(1)] {
        forger.refuses(&forger.with_claim("cnf", cnf), Error::Malformed);
    }
    forger.refuses(&forger.with_claim("cnf", json!({})), Error::WrongType);
}
