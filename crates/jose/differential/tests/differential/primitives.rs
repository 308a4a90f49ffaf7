//! The signatures themselves, and the points, against `p256` and `ed25519-dalek`: other code, in another language
//! than ours comes down to.

use ed25519_dalek::{Signature as EdSignature, VerifyingKey as EdKey};
use jotgate_jose::{Algorithm, VerifyingKey};
use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::{Signature as P256Signature, VerifyingKey as P256Key};
use serde_json::json;

use super::cases;
use super::forger::{b64, unb64};
use super::random::Random;

#[test]
fn signatures_are_judged_as_the_other_crates_do() {
    let mut compared = 0;
    let mut accepted = 0;
    for case in cases() {
        let Some((input, signature)) = case.token.rsplit_once('.') else { continue };
        let Ok(signature) = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(signature) else { continue };
        let member = |name: &str| unb64(case.jwk[name].as_str().unwrap());
        let theirs = match case.alg {
            Algorithm::Es256 => {
                let key = P256Key::from_sec1_bytes(&[vec![4], member("x"), member("y")].concat()).unwrap();
                P256Signature::from_slice(&signature)
                    .is_ok_and(|signature| key.verify(input.as_bytes(), &signature).is_ok())
            }
            Algorithm::EdDsa => {
                let key = EdKey::from_bytes(&member("x").try_into().unwrap()).unwrap();
                EdSignature::from_slice(&signature)
                    .is_ok_and(|signature| key.verify_strict(input.as_bytes(), &signature).is_ok())
            }
            _ => continue,
        };
        compared += 1;
        if case.ours.is_ok() {
            accepted += 1;
            assert!(theirs, "accepted here, refused there: {}", super::show(&case.token));
        }
        if !theirs {
            assert!(case.ours.is_err());
        }
    }
    println!("{compared} signatures compared, {accepted} accepted");
    assert!(compared > 1000 && accepted > 100);
}

#[test]
fn ed25519_keys_are_judged_as_dalek_does() {
    let mut random = Random::from_environment();
    let mut counts = [0, 0];
    for _ in 0..20_000 {
        let mut x = [0_u8; 32];
        for byte in &mut x {
            *byte = u8::try_from(random.below(256)).unwrap();
        }
        if random.below(3) == 0 {
            // Near zero, near the prime.
            let fill = *random.pick(&[0, 0xff]);
            x[1..31].fill(fill);
            x[31] = *random.pick(&[0, 0x7f, 0x80, 0xff]);
        }
        // The crate takes second spellings of a point; decompressing and writing it again shows them.
        let theirs = EdKey::from_bytes(&x).is_ok_and(|key| !key.is_weak() && canonical(&x));
        let ours =
            VerifyingKey::from_jwk(&json!({"kty": "OKP", "crv": "Ed25519", "x": b64(x)}).to_string()).is_ok();
        assert_eq!(ours, theirs, "{x:x?}");
        counts[usize::from(ours)] += 1;
    }
    println!("Ed25519 keys: {} refused, {} accepted", counts[0], counts[1]);
    assert!(counts.iter().all(|count| *count > 5000));
}

/// Whether the `y` in these bytes is below 2^255 − 19.
fn canonical(x: &[u8; 32]) -> bool {
    let high = x[31] & 0x7f == 0x7f && x[1..31].iter().all(|byte| *byte == 0xff);
    !(high && x[0] >= 0xed)
}

#[test]
fn p256_points_are_judged_as_p256_does() {
    let mut random = Random::from_environment();
    let mut counts = [0, 0];
    for _ in 0..3_000 {
        let key = p256::ecdsa::SigningKey::from_slice(&[u8::try_from(random.below(255) + 1).unwrap(); 32]);
        let Ok(key) = key else { continue };
        let mut point = key.verifying_key().to_sec1_point(false).as_bytes().to_vec();
        if random.below(2) == 0 {
            let at = 1 + random.below(64);
            point[at] ^= 1 << random.below(8);
        }
        let theirs = P256Key::from_sec1_bytes(&point).is_ok();
        let jwk = json!({"kty": "EC", "crv": "P-256", "x": b64(&point[1..33]), "y": b64(&point[33..])});
        assert_eq!(VerifyingKey::from_jwk(&jwk.to_string()).is_ok(), theirs);
        counts[usize::from(theirs)] += 1;
    }
    assert!(counts.iter().all(|count| *count > 500));
}
