//! The other half of `DIFFERENCES.md`: what we refuse and others accept. Each row has a token that shows it; at least
//! one peer accepts that token, and those that do are printed (`-- --nocapture`).

use std::collections::BTreeSet;

use jotgate_jose::Algorithm;
use serde_json::json;

use super::Case;
use super::forger::{AUDIENCE, Forger, NOW, b64, good_claims};
use super::{foreign_peers, rust_peers};

#[test]
fn the_list_of_what_only_others_accept_is_true() {
    let Some(foreign) = foreign_peers::both("the_list_of_what_only_others_accept_is_true") else { return };
    let forger = Forger::new(Algorithm::Es256);
    let samples = samples(&forger);
    let cases: Vec<Case> = samples
        .iter()
        .map(|(row, token)| Case {
            alg: Algorithm::Es256,
            jwk: serde_json::from_str(&forger.key.verifying_key().to_public_jwk().unwrap()).unwrap(),
            token: token.clone(),
            class: row,
            ours: forger.verify(token).map(|_| ()),
        })
        .collect();
    let verdicts: Vec<_> =
        foreign.into_iter().map(|mut command| foreign_peers::verdicts(&mut command, &cases)).collect();
    for (i, case) in cases.iter().enumerate() {
        let mut accept = BTreeSet::new();
        for peer in verdicts.iter().filter_map(|verdicts| verdicts[i].as_object()) {
            accept.extend(peer.iter().filter(|(_, refusal)| refusal.is_null()).map(|(peer, _)| peer.clone()));
        }
        if rust_peers::jsonwebtoken(case).is_ok() {
            accept.insert("crate jsonwebtoken".to_owned());
        }
        if rust_peers::jwt_simple(case).is_ok() {
            accept.insert("crate jwt-simple".to_owned());
        }
        println!("{}: {}", case.class, accept.iter().cloned().collect::<Vec<_>>().join(", "));
        assert!(case.ours.is_err(), "{} is accepted here", case.class);
        assert!(!accept.is_empty(), "{} is refused by all", case.class);
    }
}

/// For each row of the list, a token that it is about.
fn samples(forger: &Forger) -> Vec<(&'static str, String)> {
    let header = forger.header();
    let text = |value: &serde_json::Value| value.to_string();
    let good = forger.good();
    let stray = {
        let (front, last) = good.split_at(good.len() - 1);
        let next = char::from(last.as_bytes()[0] + 1);
        format!("{front}{next}")
    };
    let claim = |name: &str, value| forger.with_claim(name, value);
    vec![
        ("S1 no typ", forger.with_header(&json!({"alg": "ES256", "kid": forger.key.kid()}))),
        ("S1 another typ", forger.with_member("typ", json!("JWT"))),
        ("S2 crit, understood by nobody", forger.with_member("crit", json!(["exp"]))),
        ("S2 crit b64", {
            let mut header = header.clone();
            (header["crit"], header["b64"]) = (json!(["b64"]), json!(true));
            forger.with_header(&header)
        }),
        ("S2 b64", forger.with_member("b64", json!(true))),
        ("S2 zip", forger.with_member("zip", json!("DEF"))),
        ("S3 unused bits", stray),
        ("S3 padding", format!("{good}==")),
        ("S3 line end", format!("{good}\n")),
        (
            "S4 header member twice",
            forger.token(text(&header).replacen('{', r#"{"typ":"x","#, 1), good_claims().to_string()),
        ),
        ("S4 claim twice", forger.with_payload(good_claims().to_string().replacen('{', r#"{"sub":"x","#, 1))),
        ("S4 twice inside", forger.with_raw_claim("x", r#"{"a":1,"a":2}"#)),
        ("S5 lone surrogate", forger.with_raw_claim("x", r#""\ud800""#)),
        ("S5 NUL", forger.with_raw_claim("x", r#""\u0000""#)),
        ("S5 deep", forger.with_raw_claim("x", &format!("{}{}", "[".repeat(40), "]".repeat(40)))),
        ("S5 infinite number", forger.with_raw_claim("x", "1e400")),
        ("S6 nbf null", claim("nbf", json!(null))),
        ("S6 sub a number", claim("sub", json!(1))),
        ("S6 scope a list", claim("scope", json!(["a"]))),
        ("S6 roles a string", claim("roles", json!("admin"))),
        ("S7 nbf negative", claim("nbf", json!(-1))),
        ("S7 exp beyond 2^53", forger.with_raw_claim("exp", "9007199254740993")),
        ("S8 exp within this second", forger.with_raw_claim("exp", &format!("{NOW}.9"))),
        ("S9 aud partly no string", claim("aud", json!([AUDIENCE, 7, null]))),
        ("S10 jti empty", claim("jti", json!(""))),
        ("S12 unknown kid", forger.with_member("kid", json!("unknown"))),
        ("S13 long", claim("x", json!("y".repeat(20_000)))),
        ("S15 cty", forger.with_member("cty", json!("JWT"))),
        ("S16 jti missing", {
            let mut claims = good_claims();
            claims.as_object_mut().unwrap().remove("jti");
            forger.with_payload(claims.to_string())
        }),
        ("S18 cnf", claim("cnf", json!({"jkt": "x"}))),
        ("S17 iat an hour ahead", claim("iat", json!(NOW + 3600))),
        (
            "S3 payload padded",
            forger.spelled(&b64(text(&header)), &format!("{}=", b64(good_claims().to_string() + " "))),
        ),
    ]
}
