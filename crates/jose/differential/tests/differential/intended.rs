//! The written list of intended differences, as code: what we accept on purpose although a peer refuses it. Each
//! stands in `DIFFERENCES.md` of jotgate-jose under the same number.

use serde_json::Value;

use super::Case;
use super::forger::NOW;

/// Whether a peer's refusal of a token that we accept is one of the listed ones.
pub(crate) fn is(peer: &str, case: &Case, why: &str) -> bool {
    fast_clock(peer, case, why)
}

/// L1: `iat` up to a minute ahead. RFC 7519 §4.1.6 gives `iat` no part in acceptance, and an issuer whose clock is
/// half a second fast must not be refused.
fn fast_clock(peer: &str, case: &Case, why: &str) -> bool {
    let says_so = match peer {
        "crate jwt-simple" => why == "Clock drift detected",
        "PyPI PyJWT" => why.starts_with("ImmatureSignatureError") && why.contains("iat"),
        "PyPI joserfc" => why.ends_with("The token was issued in the future"),
        _ => false,
    };
    says_so && claims(case)["iat"].as_f64().is_some_and(|iat| iat > NOW as f64)
}

fn claims(case: &Case) -> Value {
    let payload = case.token.split('.').nth(1).unwrap();
    serde_json::from_slice(&super::forger::unb64(payload)).unwrap()
}
