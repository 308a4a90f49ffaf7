//! Attacks on the form of a token: header, encoding, parts. The numbers are those of the project's catalogue of
//! attacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::{Duration, Instant};

use common::{Forger, KINDS, b64, good_claims};
use jotgate_jose::{Algorithm, Error, KeySet, SigningKey, insecure_decode, verify, verify_signature_only};
use serde_json::{Value, json};

fn forgers() -> impl Iterator<Item = Forger> {
    KINDS.into_iter().map(Forger::new)
}

#[test]
fn the_forger_makes_good_tokens() {
    for forger in forgers() {
        assert!(forger.verify(&forger.good()).is_ok());
    }
}

#[test]
fn a01_alg_none_in_every_spelling() {
    for forger in forgers() {
        let good = forger.good();
        let signature = good.rsplit_once('.').unwrap().1;
        for alg in ["none", "None", "NONE", "nOnE", "none ", "", " none", "\u{0}none", "ｎｏｎｅ"] {
            let header = json!({"alg": alg, "typ": "at+jwt", "kid": forger.key.kid()});
            let input = format!("{}.{}", b64(header.to_string()), b64(good_claims().to_string()));
            for signature in ["", signature, "AA", &b64(forger.raw(input.as_bytes()))] {
                let token = format!("{input}.{signature}");
                // A NUL makes the header malformed; all others name no algorithm.
                let error = if alg.contains('\0') { Error::Malformed } else { Error::UnsupportedAlgorithm };
                forger.refuses(&token, error);
                assert!(verify_signature_only(&forger.keys, &token).is_err());
            }
        }
        for alg in [json!(null), json!(["ES256"]), json!({}), json!(1), json!(true)] {
            forger.refuses(&forger.with_member("alg", alg), Error::Malformed);
        }
        forger.refuses(
            &forger.with_header(&json!({"typ": "at+jwt", "kid": forger.key.kid()})),
            Error::Malformed,
        );
        // The token as it is, without its signature.
        forger.refuses(good.strip_suffix(signature).unwrap(), Error::InvalidSignature);
    }
}

#[test]
fn a04_the_named_key_decides_the_algorithm() {
    let (ec, rsa) = (Forger::new(Algorithm::Es256), Forger::new(Algorithm::Rs256));
    let keys: KeySet = [ec.key.verifying_key(), rsa.key.verifying_key()].into_iter().collect();
    let token = rsa.token(
        json!({"alg": "RS256", "typ": "at+jwt", "kid": ec.key.kid()}).to_string(),
        good_claims().to_string(),
    );
    assert_eq!(verify(&keys, &ec.policy, &token, common::NOW).unwrap_err(), Error::UnsupportedAlgorithm);
}

#[test]
fn a07_names_of_ed25519_are_not_mixed() {
    for (configured, other) in [(Algorithm::EdDsa, "Ed25519"), (Algorithm::Ed25519, "EdDSA")] {
        let forger = Forger::new(configured);
        assert!(forger.verify(&forger.good()).is_ok());
        forger.refuses(&forger.with_member("alg", json!(other)), Error::UnsupportedAlgorithm);
        for alg in ["Ed448", "ES256K", "ML-DSA-44", "ed25519", "EDDSA"] {
            forger.refuses(&forger.with_member("alg", json!(alg)), Error::UnsupportedAlgorithm);
        }
    }
}

#[test]
fn a08_hostile_kids() {
    for forger in forgers() {
        for kid in
            ["../../../../dev/null", "/etc/passwd", "' UNION SELECT 'x", "*)(uid=*", "", " ", "%00", "\u{1}"]
        {
            forger.refuses(&forger.with_member("kid", json!(kid)), Error::UnknownKey);
        }
        for kid in [json!("\u{0}"), json!(1), json!(["a"]), json!(null), json!({})] {
            forger.refuses(&forger.with_member("kid", kid), Error::Malformed);
        }
        forger.refuses(&forger.with_member("kid", json!("k".repeat(1 << 20))), Error::Malformed);
    }
}

#[test]
fn a10_no_kid_tries_all_keys_of_the_algorithm_within_a_cap() {
    let forger = Forger::new(Algorithm::Es256);
    let token = forger.with_header(&json!({"alg": "ES256", "typ": "at+jwt"}));
    let stranger = || SigningKey::generate(Algorithm::Es256).unwrap().verifying_key();
    for strangers in 0..=5 {
        let mut keys: Vec<_> = (0..strangers).map(|_| stranger()).collect();
        for place in 0..=strangers {
            keys.insert(place, forger.key.verifying_key());
            let set: KeySet = keys.iter().cloned().collect();
            for _ in 0..3 {
                let result = verify(&set, &forger.policy, &token, common::NOW).map(|_| ());
                assert_eq!(result, if strangers < 4 { Ok(()) } else { Err(Error::UnknownKey) });
            }
            keys.remove(place);
        }
    }
    forger.refuses(
        &Forger::new(Algorithm::EdDsa).with_header(&json!({"alg": "EdDSA", "typ": "at+jwt"})),
        Error::UnknownKey,
    );
}

#[test]
fn a11_keys_in_the_header_are_never_used() {
    for forger in forgers() {
        let thief = Forger::fresh(forger.key.algorithm());
        let jwk = thief
            .key
            .verifying_key()
            .to_public_jwk()
            .map_or(thief.jwk.clone(), |jwk| serde_json::from_str(&jwk).unwrap());
        for (name, value) in [
            ("jwk", jwk),
            ("jku", json!("http://127.0.0.1:1/jwks.json")),
            ("x5u", json!("http://127.0.0.1:1/cert.pem")),
            ("x5c", json!(["MIIB"])),
        ] {
            let mut header = thief.header();
            header[name] = value.clone();
            forger.refuses(&thief.with_header(&header), Error::UnknownKey);
            header["kid"] = json!(forger.key.kid());
            forger.refuses(&thief.with_header(&header), Error::InvalidSignature);
            // Ours stays good beside them: they are ignored, not obeyed.
            assert!(forger.verify(&forger.with_member(name, value)).is_ok());
        }
    }
}

#[test]
fn a13_a14_a15_extensions_are_refused() {
    for forger in forgers() {
        for crit in [
            json!(["exp"]),
            json!(["unknown"]),
            json!("exp"),
            json!(1),
            json!(null),
            json!({}),
            json!([]),
            json!(["b64", "b64"]),
            json!(["x"]),
            json!(["alg"]),
            json!([""]),
            json!(["kid", "typ"]),
        ] {
            let token = forger.with_member("crit", crit);
            forger.refuses(&token, Error::Malformed);
            assert_eq!(verify_signature_only(&forger.keys, &token).unwrap_err(), Error::Malformed);
        }
        for b64 in [json!(false), json!(true), json!("false")] {
            forger.refuses(&forger.with_member("b64", b64.clone()), Error::Malformed);
            let mut header = forger.header();
            (header["b64"], header["crit"]) = (b64, json!(["b64"]));
            forger.refuses(&forger.with_header(&header), Error::Malformed);
            // Unencoded payload, as RFC 7797 would have it.
            let raw = common::b64(header.to_string());
            forger.refuses(&forger.spelled(&raw, "$.02"), Error::Malformed);
            forger.refuses(&forger.spelled(&raw, "payload"), Error::Malformed);
        }
        // Detached.
        let good = forger.good();
        let parts: Vec<&str> = good.split('.').collect();
        forger.refuses(&format!("{}..{}", parts[0], parts[2]), Error::InvalidSignature);
        forger.refuses(&forger.spelled(parts[0], ""), Error::Malformed);
    }
}

#[test]
fn a17_only_one_spelling_of_base64url() {
    for forger in forgers() {
        let (header, payload) = (b64(forger.header().to_string()), b64(good_claims().to_string()));
        for bad in ["=", "==", " ", "\n", "\r\n", "?", "+", "/", "A", "%3D", "\0", "é"] {
            // Signed as they stand, so that only the spelling is wrong.
            forger.refuses(&forger.spelled(&format!("{header}{bad}"), &payload), Error::Malformed);
            forger.refuses(&forger.spelled(&header, &format!("{payload}{bad}")), Error::Malformed);
            forger.refuses(&forger.spelled(&header, &format!("{bad}{payload}")), Error::Malformed);
            let good = forger.good();
            assert!(forger.verify(&format!("{good}{bad}")).is_err());
            assert!(forger.verify(&format!("{bad}{good}")).is_err());
        }
        // The unused bits of the last character.
        let good = forger.good();
        let last = good.chars().last().unwrap();
        for c in
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".chars().filter(|c| *c != last)
        {
            let twisted = format!("{}{c}", &good[..good.len() - 1]);
            assert!(forger.verify(&twisted).is_err(), "{c}");
        }
    }
}

#[test]
fn a19_three_parts_no_more_no_less() {
    for forger in forgers() {
        let good = forger.good();
        let parts: Vec<&str> = good.split('.').collect();
        let (a, b, c) = (parts[0], parts[1], parts[2]);
        for token in [
            String::new(),
            ".".into(),
            "..".into(),
            "...".into(),
            "....".into(),
            a.into(),
            format!("{a}.{b}"),
            format!("{good}."),
            format!(".{b}.{c}"),
            format!("{good}.{c}"),
            format!("{a}.{b}.{c}.{a}.{b}"),
            format!(".{good}"),
            format!("{a}.{b}.{c}.."),
        ] {
            forger.refuses(&token, Error::Malformed);
            assert_eq!(insecure_decode(&token).unwrap_err(), Error::Malformed);
        }
        forger.refuses(&format!("{a}..{c}"), Error::InvalidSignature);
    }
}

#[test]
fn a20_giants_are_refused_at_once_and_without_memory() {
    let forger = Forger::new(Algorithm::Es256);
    let deep = |open: &str, n: usize| b64(open.repeat(n));
    let signature = "A".repeat(86);
    let giants = [
        ".".repeat(1_000_000),
        "A".repeat(7_000_000),
        format!("{}.AAAA.AAAA", "A".repeat(1_000_000)),
        format!("AAAA.{}.AAAA", "A".repeat(1_000_000)),
        format!("AAAA.AAAA.{}", "A".repeat(1_000_000)),
        format!("{}.AAAA.{signature}", deep("[", 100_000)),
        format!("{}.AAAA.{signature}", deep("[", 5_000)),
        format!("{}.AAAA.{signature}", deep("{\"a\":", 1_000)),
        format!("{}.AAAA.{signature}", b64(format!("{{\"alg\":\"ES256\",\"x\":{}}}", "[".repeat(5_000)))),
    ];
    for token in &giants {
        let used = allocation_counter::measure(|| forger.refuses(token, Error::Malformed));
        assert!(used.bytes_max < 16 * 1024, "{used:?}");
        assert_eq!(verify_signature_only(&forger.keys, token).map(|_| ()), Err(Error::Malformed));
        assert_eq!(insecure_decode(token).map(|_| ()), Err(Error::Malformed));
        let took = fastest(|| {
            let _ =
                (forger.verify(token), verify_signature_only(&forger.keys, token), insecure_decode(token));
        });
        assert!(took.as_millis() < 20, "{took:?}");
    }
    // Thousands of members, the worst that fits a header.
    let members: Vec<String> = (0..700).map(|i| format!("\"{i}\":1")).collect();
    let many = forger.token(format!("{{{}}}", members.join(",")), "{}");
    forger.refuses(&many, Error::Malformed);
    assert!(fastest(|| drop(forger.verify(&many))).as_millis() < 20);
}

/// The shortest of a few tries: other programs on the machine cannot make it shorter.
fn fastest(work: impl Fn()) -> Duration {
    let tries = (0..7).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed()
    });
    tries.min().unwrap()
}

#[test]
fn a21_the_json_serialisation_is_refused() {
    let forger = Forger::new(Algorithm::Es256);
    let good = forger.good();
    let parts: Vec<&str> = good.split('.').collect();
    let flattened = json!({"payload": parts[1], "protected": parts[0], "signature": parts[2]}).to_string();
    let general =
        json!({"payload": parts[1], "signatures": [{"protected": parts[0], "signature": parts[2]}]})
            .to_string();
    for token in [&flattened, &general, &b64(&flattened), &format!("{flattened}.."), &format!("[{good}]")] {
        forger.refuses(token, Error::Malformed);
    }
}

#[test]
fn a22_a23_encrypted_tokens_are_refused_without_work() {
    let forger = Forger::new(Algorithm::Rs256);
    let start = Instant::now();
    for header in [
        json!({"alg": "RSA-OAEP", "enc": "A128GCM"}),
        json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}),
        json!({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_147_483_648_u64, "p2s": "AAAA"}),
    ] {
        let five = format!("{}.AAAA.AAAA.AAAA.AAAA", b64(header.to_string()));
        forger.refuses(&five, Error::Malformed);
        // The same header on three parts, signed.
        forger.refuses(&forger.with_header(&header), Error::Malformed);
    }
    forger.refuses(&forger.with_member("zip", json!("DEF")), Error::Malformed);
    forger.refuses(&forger.with_member("alg", json!("PBES2-HS256+A128KW")), Error::UnsupportedAlgorithm);
    assert!(start.elapsed().as_millis() < 500);
}

#[test]
fn a24_a_token_in_a_token_is_refused() {
    for forger in forgers() {
        for cty in ["JWT", "jwt", "application/jwt"] {
            let mut header = forger.header();
            header["cty"] = json!(cty);
            forger.refuses(&forger.token(header.to_string(), forger.good()), Error::WrongType);
            forger.refuses(&forger.with_header(&header), Error::WrongType);
        }
        forger.refuses(&forger.with_payload(forger.good()), Error::Malformed);
    }
}

#[test]
fn a45_text_that_is_no_text() {
    for forger in forgers() {
        let good = good_claims().to_string();
        let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut latin = good.clone().into_bytes();
        let at = good.find("u1").unwrap();
        latin[at] = 0xe9;
        for payload in [
            utf16,
            [&b"\xef\xbb\xbf"[..], good.as_bytes()].concat(),
            latin,
            [good.as_bytes(), b"\0"].concat(),
        ] {
            forger.refuses(&forger.with_payload(payload), Error::Malformed);
        }
        for sub in [r#""\ud800""#, r#""\udc00\ud800""#, r#""a\u0000b""#, "\"a\u{0}b\"", "\"a\nb\""] {
            forger.refuses(&forger.with_raw_claim("sub", sub), Error::Malformed);
        }
        let header = forger.header().to_string();
        for bad in [
            format!("\u{feff}{header}"),
            header.replace("at+jwt", r"at+jwt\ud800"),
            header.replace("at+jwt", r"at+jwt\u0000"),
        ] {
            forger.refuses(&forger.token(bad, &good), Error::Malformed);
        }
        let utf16: Vec<u8> = header.encode_utf16().flat_map(u16::to_be_bytes).collect();
        forger.refuses(&forger.token(utf16, &good), Error::Malformed);
    }
}

#[test]
fn headers_are_objects_with_each_member_once() {
    for forger in forgers() {
        let header = forger.header().to_string();
        let claims = good_claims().to_string();
        for (name, value) in [("alg", "none"), ("typ", "x"), ("kid", "x"), ("x", "y")] {
            let twice = header.replacen('{', &format!("{{\"{name}\":\"{value}\",\"x\":1,"), 1);
            forger.refuses(&forger.token(twice, &claims), Error::Malformed);
        }
        forger.refuses(
            &forger.token(header.replacen('{', r#"{"\u0061lg":"none","#, 1), &claims),
            Error::Malformed,
        );
        forger.refuses(
            &forger.token(header.replacen('{', r#"{"jwk":{"a":1,"a":2},"#, 1), &claims),
            Error::Malformed,
        );
        for text in ["", "[]", "null", "\"x\"", "1", "{", "{}}", "{} {}"] {
            forger.refuses(&forger.token(text, &claims), Error::Malformed);
        }
        // White space, unknown members and another order are nothing to be strict about.
        let spaced = header.replace(':', " :\n").replace(',', "\t, ").replacen(
            '{',
            " { \"unknown\" : [ 1, {} ] , ",
            1,
        );
        assert!(forger.verify(&forger.token(spaced, &claims)).is_ok());
        let escaped = header.replace("\"typ\"", r#""\u0074yp""#).replace("at+jwt", r"\u0061t+jwt");
        assert!(forger.verify(&forger.token(escaped, &claims)).is_ok());
    }
}

#[test]
fn a32_tokens_of_other_kinds_are_refused() {
    for forger in forgers() {
        for typ in [
            "JWT",
            "jwt",
            "",
            "logout+jwt",
            "token-introspection+jwt",
            "oauth-authz-req+jwt",
            "dpop+jwt",
            "statuslist+jwt",
            "secevent+jwt",
            "at+jwt;x",
            " at+jwt",
            "at jwt",
            "application/json",
            "x/at+jwt",
        ] {
            forger.refuses(&forger.with_member("typ", json!(typ)), Error::WrongType);
        }
        forger.refuses(
            &forger.with_header(&json!({"alg": forger.key.algorithm().name(), "kid": forger.key.kid()})),
            Error::WrongType,
        );
        for typ in [json!(null), json!(1), json!(["at+jwt"])] {
            forger.refuses(&forger.with_member("typ", typ), Error::Malformed);
        }
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "APPLICATION/AT+JWT"] {
            assert!(forger.verify(&forger.with_member("typ", json!(typ))).is_ok());
        }
        // And the other way round (A34): an access token is nothing else.
        let policy = jotgate_jose::Policy::token("logout+jwt", common::ISSUER, common::AUDIENCE);
        assert_eq!(verify(&forger.keys, &policy, &forger.good(), common::NOW).unwrap_err(), Error::WrongType);
    }
}

#[test]
fn signature_only_takes_any_payload_and_type() {
    for forger in forgers() {
        for payload in [&b""[..], b"\xff\xfe", b"[1]", b"not json"] {
            let header = json!({"alg": forger.key.algorithm().name()});
            let verified =
                verify_signature_only(&forger.keys, &forger.token(header.to_string(), payload)).unwrap();
            assert_eq!((verified.payload(), verified.typ()), (payload, None));
            assert_eq!(serde_json::from_str::<Value>(verified.header()).unwrap(), header);
        }
    }
}
