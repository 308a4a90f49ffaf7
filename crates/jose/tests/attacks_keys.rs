//! Attacks with keys and signatures. The numbers are those of the project's catalogue of attacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::time::Instant;

use aws_lc_rs::hmac;
use common::{Forger, KINDS, NOW, b64, good_claims, unb64};
use jotgate_jose::{
    Algorithm, Error, KeyError, KeySet, SigningKey, VerifyingKey, verify, verify_signature_only,
};
use serde_json::{Value, json};

/// A token signed with HS256 under `secret`, as an attacker would.
fn hs256(header: &Value, secret: &[u8]) -> String {
    let input = format!("{}.{}", b64(header.to_string()), b64(good_claims().to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), input.as_bytes());
    format!("{input}.{}", b64(tag))
}

/// Whatever an attacker could take a published key for.
fn faces(public_jwk: &str, pem: Option<&str>) -> Vec<Vec<u8>> {
    let jwk: Value = serde_json::from_str(public_jwk).unwrap();
    let mut faces = vec![public_jwk.as_bytes().to_vec(), format!("{{\"keys\":[{public_jwk}]}}").into_bytes()];
    for name in ["n", "x", "y"] {
        if let Some(text) = jwk[name].as_str() {
            faces.push(text.as_bytes().to_vec());
            faces.push(unb64(text));
        }
    }
    if let (Some(x), Some(y)) = (jwk["x"].as_str(), jwk["y"].as_str()) {
        let (x, y) = (unb64(x), unb64(y));
        let sign = 2 + (y[y.len() - 1] & 1);
        faces.extend([
            [x.clone(), y.clone()].concat(),
            [vec![4], x.clone(), y].concat(),
            [vec![sign], x].concat(),
        ]);
    }
    if let Some(pem) = pem {
        let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let der = base64_simd::STANDARD.decode_to_vec(&body).unwrap();
        for text in [
            pem.to_owned(),
            format!("\n{pem}"),
            format!(" {pem}"),
            pem.replace('\n', "\r\n"),
            pem.trim().to_owned(),
            body,
        ] {
            faces.push(text.into_bytes());
        }
        faces.push(der);
    }
    faces
}

#[test]
fn a02_a03_a_public_key_is_no_secret() {
    let cases = [
        (Algorithm::Rs256, include_str!("keys/rsa.spki.pem")),
        (Algorithm::Ps256, include_str!("keys/rsa.spki.pem")),
        (Algorithm::Es256, include_str!("keys/p256.spki.pem")),
        (Algorithm::EdDsa, include_str!("keys/ed25519.spki.pem")),
    ];
    for (alg, pem) in cases {
        let key = VerifyingKey::from_pem(alg, pem).unwrap().with_kid("k");
        let public = key.to_public_jwk().unwrap();
        let policy = jotgate_jose::Policy::access_token(common::ISSUER, common::AUDIENCE);
        let mut keys = KeySet::from(key);
        // An HMAC key of the same issuer beside it makes the attack no easier.
        keys.insert(SigningKey::generate(Algorithm::Hs256).unwrap().verifying_key()).unwrap();
        for secret in faces(&public, Some(pem)) {
            for (kid, error) in [(Some("k"), Error::UnsupportedAlgorithm), (None, Error::InvalidSignature)] {
                let mut header = json!({"alg": "HS256", "typ": "at+jwt"});
                if let Some(kid) = kid {
                    header["kid"] = json!(kid);
                }
                let token = hs256(&header, &secret);
                assert_eq!(verify(&keys, &policy, &token, NOW).unwrap_err(), error, "{alg}");
                assert_eq!(verify_signature_only(&keys, &token).unwrap_err(), error, "{alg}");
            }
        }
    }
}

#[test]
fn a06_a_key_without_alg_is_for_one_algorithm() {
    let rsa = VerifyingKey::from_pem(Algorithm::Rs256, include_str!("keys/rsa.spki.pem")).unwrap();
    let mut jwk: Value = serde_json::from_str(&rsa.to_public_jwk().unwrap()).unwrap();
    jwk.as_object_mut().unwrap().remove("alg");
    let keys = KeySet::from_json(&jwk.to_string()).unwrap();
    let token = |alg: &str| hs256(&json!({"alg": alg, "typ": "at+jwt", "kid": rsa.kid()}), b"whatever");
    for alg in ["HS256", "PS256", "PS512", "RS512", "ES256"] {
        assert_eq!(
            verify_signature_only(&keys, &token(alg)).unwrap_err(),
            Error::UnsupportedAlgorithm,
            "{alg}"
        );
    }
    assert_eq!(verify_signature_only(&keys, &token("RS256")).unwrap_err(), Error::InvalidSignature);
    // A tool may ask for more; what does not fit the key's type is never among it.
    let keys =
        KeySet::from_json_for(&jwk.to_string(), &[Algorithm::Ps512, Algorithm::Hs256, Algorithm::Es256])
            .unwrap();
    assert_eq!(keys.iter().map(VerifyingKey::algorithm).collect::<Vec<_>>(), [Algorithm::Ps512]);
    // One with an alg stays what it says.
    jwk["alg"] = json!("PS256");
    let keys = KeySet::from_json_for(&jwk.to_string(), &Algorithm::ALL).unwrap();
    assert_eq!(keys.iter().map(VerifyingKey::algorithm).collect::<Vec<_>>(), [Algorithm::Ps256]);
}

#[test]
fn a37_ecdsa_signatures_out_of_range_or_shape() {
    let forger = Forger::new(Algorithm::Es256);
    let good = forger.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let (r, s) = (unb64(signature)[..32].to_vec(), unb64(signature)[32..].to_vec());
    let n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let n_less = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632550");
    let p = hex("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
    let (zero, one, full) = (vec![0; 32], [vec![0; 31], vec![1]].concat(), vec![0xff; 32]);
    let try_signature =
        |bytes: &[u8]| forger.refuses(&format!("{input}.{}", b64(bytes)), Error::InvalidSignature);
    let odd = [&zero, &one, &n, &n_less, &p, &full];
    for a in odd {
        for b in odd {
            try_signature(&[a.as_slice(), b].concat());
        }
        try_signature(&[a.as_slice(), &s].concat());
        try_signature(&[r.as_slice(), a].concat());
    }
    let der = [&[0x30, 0x44, 0x02, 0x20][..], &r, &[0x02, 0x20], &s].concat();
    for bytes in [
        vec![],
        vec![0],
        vec![0; 63],
        vec![0; 65],
        vec![0; 132],
        der,
        [r.as_slice(), &s, &[0]].concat(),
        [&[0], r.as_slice(), &s].concat(),
        [r.as_slice(), &s[1..]].concat(),
        [s.as_slice(), &r].concat(),
        vec![0; 96],
        vec![0xff; 1024],
    ] {
        try_signature(&bytes);
    }
    // Another curve's key under this key's name and algorithm.
    let other = Forger::from_key(SigningKey::generate(Algorithm::EdDsa).unwrap().with_kid(forger.key.kid()));
    forger.refuses(
        &other.with_header(&json!({"alg": "ES256", "typ": "at+jwt", "kid": forger.key.kid()})),
        Error::InvalidSignature,
    );
}

/// ECDSA signatures are malleable by nature: (r, n − s) is the same signature to the standard (RFC 7518 §3.4 asks
/// for no low s). So a token must never be told apart by its text.
#[test]
fn a37_the_twin_of_an_ecdsa_signature_is_valid() {
    let forger = Forger::new(Algorithm::Es256);
    let good = forger.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = unb64(signature);
    let n = hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    let mut twin = signature[..32].to_vec();
    let mut borrow = 0_i16;
    let mut low = Vec::new();
    for (n, s) in n.iter().rev().zip(signature[32..].iter().rev()) {
        let d = i16::from(*n) - i16::from(*s) - borrow;
        borrow = i16::from(d < 0);
        low.push(d.rem_euclid(256) as u8);
    }
    low.reverse();
    twin.extend(low);
    assert!(forger.verify(&format!("{input}.{}", b64(twin))).is_ok());
}

#[test]
fn a38_ed25519_signatures_have_one_form() {
    let forger = Forger::new(Algorithm::EdDsa);
    let good = forger.good();
    let (input, signature) = good.rsplit_once('.').unwrap();
    let signature = unb64(signature);
    let try_signature =
        |bytes: &[u8]| forger.refuses(&format!("{input}.{}", b64(bytes)), Error::InvalidSignature);
    // S + L (RFC 8032 §8.4), little-endian.
    let order = hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut bigger = signature[..32].to_vec();
    let mut carry = 0_u16;
    for (s, l) in signature[32..].iter().zip(&order) {
        let sum = u16::from(*s) + u16::from(*l) + carry;
        bigger.push(sum as u8);
        carry = sum >> 8;
    }
    try_signature(&bigger);
    let s = &signature[32..];
    let (zero, one) = ([0; 32], [&[1][..], &[0; 31]].concat());
    // R of small order, or a second spelling of a point (y ≥ p).
    let p = hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
    for r in [
        &zero[..],
        &one,
        &p,
        &[0xff; 32],
        &hex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
    ] {
        try_signature(&[r, s].concat());
        try_signature(&[r, &zero].concat());
        try_signature(&[r, &order].concat());
    }
    for bytes in [
        vec![0; 64],
        vec![],
        vec![0; 63],
        vec![0; 65],
        signature[..63].to_vec(),
        [signature.as_slice(), &[0]].concat(),
    ] {
        try_signature(&bytes);
    }
    let mut high = signature.clone();
    high[63] |= 0xe0;
    try_signature(&high);
}

#[test]
fn a38_keys_of_small_order_are_refused_at_load() {
    for x in [
        vec![0; 32],
        [vec![1], vec![0; 31]].concat(),
        hex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
        hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
        hex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        [vec![2], vec![0; 31]].concat(),
        vec![0xff; 32],
    ] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&x)});
        assert_eq!(VerifyingKey::from_jwk(&jwk.to_string()).unwrap_err(), KeyError::InvalidPoint, "{x:x?}");
    }
    for x in [vec![], vec![9; 31], vec![9; 33], vec![9; 57]] {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": b64(&x)});
        assert_eq!(VerifyingKey::from_jwk(&jwk.to_string()).unwrap_err(), KeyError::InvalidPoint);
    }
}

#[test]
fn a39_weak_rsa_keys_are_refused_at_load() {
    let good = Forger::new(Algorithm::Rs256);
    let n = unb64(good.jwk["n"].as_str().unwrap());
    let load = |n: &[u8], e: &[u8]| {
        VerifyingKey::from_jwk(&json!({"kty": "RSA", "n": b64(n), "e": b64(e)}).to_string()).map(|_| ())
    };
    assert_eq!(load(&n, &[1, 0, 1]), Ok(()));
    for e in [
        vec![1],
        vec![2],
        vec![3],
        vec![17],
        vec![1, 0, 0],
        vec![0xff, 0xff],
        vec![1, 0, 0, 0, 0, 1],
        vec![0xff; 256],
    ] {
        assert_eq!(load(&n, &e), Err(KeyError::WeakExponent), "{e:?}");
    }
    for e in [vec![], vec![0, 1, 0, 1], vec![0]] {
        assert_eq!(load(&n, &e), Err(KeyError::Malformed), "{e:?}");
    }
    let mut even = n.clone();
    *even.last_mut().unwrap() &= 0xfe;
    assert_eq!(load(&even, &[1, 0, 1]), Err(KeyError::WeakExponent));
    assert_eq!(load(&[&[0], n.as_slice()].concat(), &[1, 0, 1]), Err(KeyError::Malformed));
    assert_eq!(load(&[], &[1, 0, 1]), Err(KeyError::Malformed));
    for bytes in [1, 64, 128, 255] {
        assert_eq!(load(&vec![0xff; bytes], &[1, 0, 1]), Err(KeyError::TooShort), "{bytes}");
    }
    assert_eq!(
        load(&[&[0x7f], vec![0xff; 255].as_slice()].concat(), &[1, 0, 1]),
        Err(KeyError::TooShort),
        "2047 bits"
    );
    assert_eq!(
        load(&[&[1], vec![0xff; 1024].as_slice()].concat(), &[1, 0, 1]),
        Err(KeyError::TooLong),
        "8193 bits"
    );
    let start = Instant::now();
    assert_eq!(load(&vec![0xff; 4096], &[1, 0, 1]), Err(KeyError::TooLong), "32k bits");
    assert!(start.elapsed().as_millis() < 50);
    let weak = [
        (include_str!("keys/rsa1024.spki.pem"), KeyError::TooShort),
        (include_str!("keys/rsa2047.spki.pem"), KeyError::TooShort),
        (include_str!("keys/rsae3.spki.pem"), KeyError::WeakExponent),
    ];
    for (pem, error) in weak {
        assert_eq!(VerifyingKey::from_pem(Algorithm::Rs256, pem).unwrap_err(), error);
    }
    for pem in [include_str!("keys/rsa1024.pkcs1.pem"), include_str!("keys/rsa2047.pkcs1.pem")] {
        assert!(SigningKey::from_pem(Algorithm::Rs256, pem).is_err());
    }
}

#[test]
fn a39_rsa_signatures_of_another_length_or_padding() {
    for alg in [Algorithm::Rs256, Algorithm::Ps256] {
        let forger = Forger::new(alg);
        let good = forger.good();
        let (input, signature) = good.rsplit_once('.').unwrap();
        let signature = unb64(signature);
        for bytes in [
            vec![],
            vec![0; 256],
            vec![0xff; 256],
            [vec![0; 255], vec![1]].concat(),
            signature[1..].to_vec(),
            signature[..255].to_vec(),
            [&[0], signature.as_slice()].concat(),
            [signature.as_slice(), &[0]].concat(),
            vec![0; 1024],
        ] {
            forger.refuses(&format!("{input}.{}", b64(bytes)), Error::InvalidSignature);
        }
        forger.refuses(&format!("{input}.{}", b64(vec![0; 1025])), Error::InvalidSignature);
        // The other padding under this algorithm's name.
        let other = if alg == Algorithm::Rs256 { Algorithm::Ps256 } else { Algorithm::Rs256 };
        let swapped = b64(forger.raw_key.sign(other, input.as_bytes()));
        forger.refuses(&format!("{input}.{swapped}"), Error::InvalidSignature);
    }
}

#[test]
fn a40_short_secrets_are_refused_when_the_key_is_made() {
    for (alg, least) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
        for len in [0, 1, least - 1] {
            assert_eq!(VerifyingKey::from_secret(alg, &vec![7; len]).unwrap_err(), KeyError::TooShort);
            assert_eq!(SigningKey::from_secret(alg, &vec![7; len]).unwrap_err(), KeyError::TooShort);
            let jwk = json!({"kty": "oct", "alg": alg.name(), "k": b64(vec![7; len])}).to_string();
            assert_eq!(VerifyingKey::from_jwk(&jwk).unwrap_err(), KeyError::TooShort);
            assert_eq!(SigningKey::from_jwk(&jwk).unwrap_err(), KeyError::TooShort);
        }
        assert!(VerifyingKey::from_secret(alg, &vec![7; least]).is_ok());
        assert_eq!(VerifyingKey::from_secret(alg, &vec![7; 1025]).unwrap_err(), KeyError::TooLong);
    }
    assert_eq!(
        VerifyingKey::from_secret(Algorithm::Es256, &[7; 64]).unwrap_err(),
        KeyError::UnsupportedAlgorithm
    );
}

#[test]
fn points_off_the_curve_are_refused_at_load() {
    for (alg, crv, len) in
        [(Algorithm::Es256, "P-256", 32), (Algorithm::Es384, "P-384", 48), (Algorithm::Es512, "P-521", 66)]
    {
        let key = SigningKey::generate(alg).unwrap().verifying_key();
        let jwk: Value = serde_json::from_str(&key.to_public_jwk().unwrap()).unwrap();
        let (x, y) = (unb64(jwk["x"].as_str().unwrap()), unb64(jwk["y"].as_str().unwrap()));
        let load = |x: &[u8], y: &[u8]| {
            VerifyingKey::from_jwk(&json!({"kty": "EC", "crv": crv, "x": b64(x), "y": b64(y)}).to_string())
                .map(|_| ())
        };
        assert_eq!(load(&x, &y), Ok(()));
        let mut off = y.clone();
        off[len - 1] ^= 1;
        for (x, y) in [
            (x.clone(), off),
            (vec![0; len], vec![0; len]),
            (vec![0xff; len], y.clone()),
            (y.clone(), x.clone()),
        ] {
            assert_eq!(load(&x, &y), Err(KeyError::InvalidPoint));
        }
        // Padded or shortened coordinates (RFC 7518 §6.2.1.2).
        for (x, y) in [
            ([&[0], x.as_slice()].concat(), y.clone()),
            (x[1..].to_vec(), y.clone()),
            (vec![], y.clone()),
            (x.clone(), vec![]),
        ] {
            assert_eq!(load(&x, &y), Err(KeyError::InvalidPoint));
        }
    }
}

#[test]
fn private_parts_must_belong_to_the_public_ones() {
    for alg in KINDS.into_iter().filter(|alg| !alg.is_symmetric()) {
        let (a, b) = (Forger::new(alg), Forger::fresh(alg));
        let name = if a.jwk["n"].is_string() { "n" } else { "x" };
        let mut mixed = a.jwk.clone();
        mixed[name] = b.jwk[name].clone();
        assert!(SigningKey::from_jwk(&mixed.to_string()).is_err(), "{alg}: another {name}");
        let mut mixed = a.jwk.clone();
        mixed["d"] = b.jwk["d"].clone();
        assert!(SigningKey::from_jwk(&mixed.to_string()).is_err(), "{alg}: another d");
    }
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}
