//! What verifying and signing take from the heap.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod common;

use common::{Forger, NOW, good_claims};
use jotgate_jose::{Algorithm, KeyError, verify, verify_in};

#[test]
fn hs256_takes_nothing_where_the_caller_keeps_a_buffer() {
    let forger = Forger::new(Algorithm::Hs256);
    let payload = good_claims().to_string();
    let token = forger.key.sign("at+jwt", payload.as_bytes()).unwrap();
    let (mut buffer, mut out) = (Vec::new(), Vec::new());
    for warm in [false, true] {
        let verifying = allocation_counter::measure(|| {
            let verified = verify_in(&mut buffer, &forger.keys, &forger.policy, &token, NOW).unwrap();
            assert!(verified.claims().roles().contains("a") && verified.claims().has_scope("account"));
        });
        let signing = allocation_counter::measure(|| {
            out.clear();
            let write = |space: &mut Vec<u8>| {
                space.extend_from_slice(payload.as_bytes());
                Ok::<_, KeyError>(())
            };
            forger.key.sign_into("at+jwt", &mut out, write).unwrap();
        });
        if warm {
            assert_eq!((verifying.count_total, signing.count_total), (0, 0));
        }
    }
    let owned =
        allocation_counter::measure(|| drop(verify(&forger.keys, &forger.policy, &token, NOW).unwrap()));
    assert_eq!(owned.count_total, 1, "the claims' own buffer");
}
