//! Keys in and out: JWK, JWK Set, PEM, DER.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Forger, KINDS, b64};
use jotgate_jose::{Algorithm, KeyError, KeySet, SigningKey, VerifyingKey, verify_signature_only};
use serde_json::{Value, json};

const PAIRS: [(Algorithm, &str, &str); 9] = [
    (Algorithm::Rs256, include_str!("keys/rsa.pkcs1.pem"), include_str!("keys/rsa.spki.pem")),
    (Algorithm::Ps512, include_str!("keys/rsa.pkcs8.pem"), include_str!("keys/rsa.pkcs1pub.pem")),
    (Algorithm::Es256, include_str!("keys/p256.sec1.pem"), include_str!("keys/p256.spki.pem")),
    (Algorithm::Es256, include_str!("keys/p256.pkcs8.pem"), include_str!("keys/p256.spki.pem")),
    (Algorithm::Es384, include_str!("keys/p384.sec1.pem"), include_str!("keys/p384.spki.pem")),
    (Algorithm::Es384, include_str!("keys/p384.pkcs8.pem"), include_str!("keys/p384.spki.pem")),
    (Algorithm::Es512, include_str!("keys/p521.sec1.pem"), include_str!("keys/p521.spki.pem")),
    (Algorithm::Es512, include_str!("keys/p521.pkcs8.pem"), include_str!("keys/p521.spki.pem")),
    (Algorithm::EdDsa, include_str!("keys/ed25519.pkcs8.pem"), include_str!("keys/ed25519.spki.pem")),
];

fn der(pem: &str) -> Vec<u8> {
    let block = pem.split("-----BEGIN ").last().unwrap();
    let body: String = block.lines().skip(1).take_while(|line| !line.starts_with('-')).collect();
    base64_simd::STANDARD.decode_to_vec(body).unwrap()
}

#[test]
fn pem_and_der_pairs_fit() {
    for (alg, private, public) in PAIRS {
        let signing = SigningKey::from_pem(alg, private).unwrap();
        let verifying = VerifyingKey::from_pem(alg, public).unwrap();
        assert_eq!(signing.kid(), verifying.kid(), "{alg}: both halves have the thumbprint for a name");
        let token = signing.sign("JWT", b"{}").unwrap();
        assert!(verify_signature_only(&verifying.into(), &token).is_ok());
        let from_der = SigningKey::from_der(alg, &der(private)).unwrap();
        assert_eq!(from_der.to_private_jwk().unwrap(), signing.to_private_jwk().unwrap());
        assert_eq!(VerifyingKey::from_der(alg, &der(public)).unwrap().kid(), signing.kid());
        // Line ends, indentation and text around a block are nothing to be strict about.
        for text in [
            private.replace('\n', "\r\n"),
            format!("Some text\n\n{private}\nmore"),
            private.replace("\n-----END", "\n\n-----END"),
        ] {
            assert_eq!(SigningKey::from_pem(alg, &text).unwrap().kid(), signing.kid());
        }
        assert_eq!(SigningKey::from_pem(alg, public).unwrap_err(), KeyError::Public);
        assert!(SigningKey::from_der(alg, &der(public)).is_err());
        assert_eq!(VerifyingKey::from_pem(alg, private).unwrap_err(), KeyError::Private);
        assert!(VerifyingKey::from_der(alg, &der(private)).is_err());
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    for (alg, private, public) in PAIRS {
        for other in Algorithm::ALL {
            let family = |alg: Algorithm| {
                (alg.name().chars().next(), if alg.name().starts_with("ES") { alg.name() } else { "" })
            };
            let rsa = |alg: Algorithm| alg.name().starts_with("RS") || alg.name().starts_with("PS");
            if family(alg) == family(other)
                || (rsa(alg) && rsa(other))
                || (alg == Algorithm::EdDsa && other == Algorithm::Ed25519)
            {
                continue;
            }
            assert!(SigningKey::from_pem(other, private).is_err(), "{alg} as {other}");
            assert!(VerifyingKey::from_pem(other, public).is_err(), "{alg} as {other}");
        }
    }
    for alg in [Algorithm::Es256, Algorithm::Es384] {
        assert!(SigningKey::from_pem(alg, include_str!("keys/k256.pkcs8.pem")).is_err());
        assert!(VerifyingKey::from_pem(alg, include_str!("keys/k256.spki.pem")).is_err());
    }
}

#[test]
fn broken_pem_and_der_are_refused() {
    for (alg, private, public) in PAIRS {
        for (der, private) in [(der(private), true), (der(public), false)] {
            let load = |der: &[u8]| {
                if private {
                    SigningKey::from_der(alg, der).map(|_| ())
                } else {
                    VerifyingKey::from_der(alg, der).map(|_| ())
                }
            };
            assert_eq!(load(&der), Ok(()));
            for len in 0..der.len() {
                assert!(load(&der[..len]).is_err(), "{alg} cut at {len}");
            }
            assert!(load(&[der.as_slice(), &[0]].concat()).is_err(), "{alg}: a byte more");
            assert!(
                load(&[&[0x30, 0x80], der.as_slice(), &[0, 0]].concat()).is_err(),
                "{alg}: indefinite length"
            );
        }
        for pem in [
            public.replace("-----BEGIN", "----BEGIN"),
            public.replace("-----END ", "-----END X"),
            public.replace("-----END", ""),
            public.replacen('M', "!", 1),
            public.replace("PUBLIC", "PUBLICK"),
            String::new(),
            "-----BEGIN ".repeat(1000),
        ] {
            assert!(VerifyingKey::from_pem(alg, &pem).is_err(), "{pem}");
        }
    }
    assert!(VerifyingKey::from_pem(Algorithm::Es256, include_str!("keys/p256.compressed.pem")).is_err());
    assert!(VerifyingKey::from_pem(Algorithm::Es256, include_str!("keys/cert.pem")).is_err());
    assert!(SigningKey::from_pem(Algorithm::Es256, include_str!("keys/p256.encrypted.pem")).is_err());
}

#[test]
fn jwk_members_are_checked() {
    for alg in KINDS {
        let forger = Forger::new(alg);
        let jwk = match forger.key.verifying_key().to_public_jwk() {
            Some(jwk) => serde_json::from_str(&jwk).unwrap(),
            None => forger.jwk.clone(),
        };
        let load = |change: &dyn Fn(&mut Value)| {
            let mut changed = jwk.clone();
            change(&mut changed);
            VerifyingKey::from_jwk(&changed.to_string()).map(|_| ())
        };
        assert_eq!(load(&|_| ()), Ok(()));
        // RFC 7517 §4.2, §4.3.
        assert_eq!(load(&|jwk| jwk["use"] = json!("enc")), Err(KeyError::WrongUse));
        assert_eq!(load(&|jwk| jwk["use"] = json!("SIG")), Err(KeyError::WrongUse));
        assert_eq!(load(&|jwk| jwk["key_ops"] = json!(["verify"])), Ok(()));
        for ops in [
            json!(["sign"]),
            json!([]),
            json!(["encrypt"]),
            json!(["verify", "verify"]),
            json!(["deriveKey", "wrapKey"]),
        ] {
            assert_eq!(load(&|jwk| jwk["key_ops"] = ops.clone()), Err(KeyError::WrongUse), "{ops}");
        }
        for ops in [json!("verify"), json!([1]), json!({}), json!(null)] {
            assert_eq!(load(&|jwk| jwk["key_ops"] = ops.clone()), Err(KeyError::Malformed), "{ops}");
        }
        // RFC 7517 §4.4: an algorithm that does not exist, or is another kind of key's.
        for alg in ["none", "HS257", "", "RSA-OAEP", "ECDH-ES", "A128KW", "ES256K", "es256"] {
            assert_eq!(load(&|jwk| jwk["alg"] = json!(alg)), Err(KeyError::UnsupportedAlgorithm), "{alg}");
        }
        let foreign = if alg == Algorithm::Es256 { "ES384" } else { "ES256" };
        assert_eq!(load(&|jwk| jwk["alg"] = json!(foreign)), Err(KeyError::UnsupportedAlgorithm));
        for kty in ["", "rsa", "ec", "OCT", "okp", "AKP", "RSA "] {
            assert_eq!(load(&|jwk| jwk["kty"] = json!(kty)), Err(KeyError::UnsupportedAlgorithm), "{kty}");
        }
        for name in ["kty", "kid", "alg", "use", "crv", "n", "e", "x", "y", "d", "k"] {
            for value in [json!(1), json!(null), json!(["a"]), json!({})] {
                assert_eq!(
                    load(&|jwk| jwk[name] = value.clone()),
                    Err(KeyError::Malformed),
                    "{name} {value}"
                );
            }
        }
        for name in ["n", "e", "x", "y", "k"] {
            for spoil in ["=", " ", "+", "\n", "A A", "é"] {
                let result = load(&|jwk| {
                    jwk[name] = json!(format!("{}{spoil}", jwk[name].as_str().unwrap_or_default()))
                });
                assert_eq!(result, Err(KeyError::Malformed), "{name}{spoil:?}");
            }
        }
        // RFC 7517 §4: unknown members are ignored.
        assert_eq!(load(&|jwk| jwk["x5c"] = json!(["MIIB"])), Ok(()));
        assert_eq!(load(&|jwk| jwk["ext"] = json!(true)), Ok(()));
        for text in [
            "",
            "[]",
            "null",
            "{}",
            "{\"kty\":\"oct\"}",
            "{\"kty\":\"RSA\"}",
            "{\"kty\":\"EC\",\"crv\":\"P-256\"}",
        ] {
            assert!(VerifyingKey::from_jwk(text).is_err(), "{text}");
        }
        let text = jwk.to_string();
        let twice = text.replacen('{', "{\"kty\":\"oct\",", 1);
        assert_eq!(VerifyingKey::from_jwk(&twice).unwrap_err(), KeyError::Malformed);
        // A public key with a private member is somebody's leak.
        if !alg.is_symmetric() {
            for name in ["d", "p", "q", "dp", "dq", "qi"] {
                assert_eq!(load(&|jwk| jwk[name] = json!("AQAB")), Err(KeyError::Private), "{name}");
            }
            assert_eq!(load(&|jwk| jwk["oth"] = json!([])), Err(KeyError::Private));
        }
    }
}

#[test]
fn curves_and_key_types_that_are_not_for_signing() {
    for jwk in [
        json!({"kty": "OKP", "crv": "X25519", "x": b64([9; 32])}),
        json!({"kty": "OKP", "crv": "Ed448", "x": b64([9; 57])}),
        json!({"kty": "EC", "crv": "secp256k1", "x": b64([9; 32]), "y": b64([9; 32])}),
        json!({"kty": "EC", "crv": "P-224", "x": b64([9; 28]), "y": b64([9; 28])}),
        json!({"kty": "EC", "crv": "P-256K", "x": b64([9; 32]), "y": b64([9; 32])}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"}),
        json!({"kty": "EC", "x": b64([9; 32]), "y": b64([9; 32])}),
    ] {
        assert_eq!(
            VerifyingKey::from_jwk(&jwk.to_string()).unwrap_err(),
            KeyError::UnsupportedAlgorithm,
            "{jwk}"
        );
    }
}

#[test]
fn a_bad_key_leaves_the_good_ones() {
    let (a, b) = (Forger::new(Algorithm::Es256), Forger::new(Algorithm::EdDsa));
    let good: Vec<Value> = [&a, &b]
        .iter()
        .map(|f| serde_json::from_str(&f.key.verifying_key().to_public_jwk().unwrap()).unwrap())
        .collect();
    let bad = [
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"short"}"#,
        r#"{"kty":"XYZ"}"#,
        r#"{}"#,
        "null",
        "7",
        "\"x\"",
        "[]",
        r#"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        r#"{"kty":"oct","k":""}"#,
        r#"{"kty":"EC","kty":"EC"}"#,
        r#"{"kty":1}"#,
    ];
    for bad in bad {
        for place in 0..3 {
            let mut keys: Vec<String> = good.iter().map(Value::to_string).collect();
            keys.insert(place, bad.to_owned());
            let set = KeySet::from_json(&format!("{{\"x\":[1],\"keys\":[{}]}}", keys.join(" ,\n"))).unwrap();
            assert_eq!((set.len(), set.rejected().len()), (2, 1), "{bad}");
            assert_eq!(set.rejected()[0].index, place);
            for forger in [&a, &b] {
                assert!(verify_signature_only(&set, &forger.good()).is_ok());
            }
        }
    }
    let named = KeySet::from_json(&format!("{{\"keys\":[{}]}}", bad[0])).unwrap();
    assert_eq!(
        (named.rejected()[0].kid.as_deref(), named.rejected()[0].error),
        (Some("short"), KeyError::TooShort)
    );
    for text in [
        "",
        "[]",
        "null",
        "{\"keys\":{}}",
        "{\"keys\":[}",
        "{\"keys\":[],\"keys\":[]}",
        "{\"keys\":null}",
        "{\"keys\":[1,]}",
    ] {
        assert_eq!(KeySet::from_json(text).unwrap_err(), KeyError::Malformed, "{text}");
    }
    assert!(KeySet::from_json("{\"keys\":[]}").unwrap().is_empty());
    assert_eq!(KeySet::from_json(&" ".repeat(2 << 20)).unwrap_err(), KeyError::TooLong);
}

#[test]
fn the_order_of_keys_changes_nothing() {
    // Two keys of one name and algorithm, one of the same name and another algorithm, one without a name.
    let a = SigningKey::generate(Algorithm::Es256).unwrap().with_kid("same");
    let b = SigningKey::generate(Algorithm::Es256).unwrap().with_kid("same");
    let c = SigningKey::generate(Algorithm::EdDsa).unwrap().with_kid("same");
    let d = SigningKey::generate(Algorithm::Es384).unwrap();
    let keys = [&a, &b, &c, &d].map(SigningKey::verifying_key);
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]];
    for order in orders {
        let set: KeySet = order.iter().map(|i| keys[*i].clone()).collect();
        for key in [&a, &b, &c, &d] {
            assert!(verify_signature_only(&set, &key.sign("at+jwt", b"{}").unwrap()).is_ok());
            assert!(verify_signature_only(&set, &key.sign("other", b"{}").unwrap()).is_ok());
        }
    }
    let mut set = KeySet::from(keys[0].clone());
    assert_eq!(set.insert(keys[0].clone().with_kid("again")), Err(KeyError::Duplicate));
    assert!(set.remove("same") && !set.remove("same") && set.is_empty());
}

#[test]
fn published_sets_have_no_secrets() {
    let hs = SigningKey::generate(Algorithm::Hs256).unwrap();
    let es = SigningKey::generate(Algorithm::Es256).unwrap();
    let set: KeySet = [hs.verifying_key(), es.verifying_key()].into_iter().collect();
    let published: Value = serde_json::from_str(&set.to_json()).unwrap();
    assert_eq!(published["keys"].as_array().unwrap().len(), 1);
    let es_jwk = es.verifying_key().to_public_jwk().unwrap();
    let with_secret = format!("{{\"keys\":[{},{es_jwk}]}}", *hs.to_private_jwk().unwrap());
    let read = KeySet::from_public_json(&with_secret).unwrap();
    assert_eq!((read.len(), read.rejected().len()), (1, 1));
    assert_eq!(read.rejected()[0].error, KeyError::Private);
    assert_eq!(KeySet::from_json(&with_secret).unwrap().len(), 2);
}

#[test]
fn names_of_hmac_keys_do_not_hash_the_secret() {
    let key = SigningKey::from_secret(Algorithm::Hs256, &[7; 32]).unwrap();
    let rfc7638 = format!(r#"{{"k":"{}","kty":"oct"}}"#, b64([7; 32]));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, rfc7638.as_bytes());
    assert_ne!(key.kid(), b64(hash));
    // Both sides of a shared secret find the same name.
    assert_eq!(key.kid(), VerifyingKey::from_secret(Algorithm::Hs256, &[7; 32]).unwrap().kid());
    assert_ne!(key.kid(), SigningKey::from_secret(Algorithm::Hs256, &[8; 32]).unwrap().kid());
}
