//! Tokens for holding jotgate-jose against other libraries: good ones, and ones spoilt in every way that a machine
//! can think of, most of them signed after they were spoilt, so that it is the reading that is compared.
//!
//! 20,000 tokens by default, 400,000 with `JOTGATE_LONG_TESTS` set; another seed with `JOTGATE_TEST_SEED`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod foreign_peers;
#[path = "../../../tests/common/mod.rs"]
mod forger;
mod intended;
mod mutate;
mod primitives;
mod random;
mod rust_peers;
mod stricter;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jotgate_jose::{Algorithm, Error};
use random::Random;
use serde_json::Value;

/// One token, what it was made of, and what jotgate-jose says of it.
#[derive(Debug, Clone)]
struct Case {
    alg: Algorithm,
    /// The verifying key: a public JWK, or an `oct` JWK.
    jwk: Value,
    token: String,
    /// How it was spoilt.
    class: &'static str,
    /// What jotgate-jose says under the policy for access tokens.
    ours: Result<(), Error>,
}

/// The cases of a run, the same for all tests.
fn cases() -> &'static [Case] {
    static CASES: OnceLock<Vec<Case>> = OnceLock::new();
    let long = std::env::var_os("XTASK_LONG").is_some();
    CASES.get_or_init(|| mutate::cases(&mut Random::from_environment(), if long { 400_000 } else { 20_000 }))
}

/// Counts what was compared, and collects what must not be: tokens that we accept and a peer refuses.
#[derive(Default)]
struct Tally {
    /// By peer: both accept, both refuse, only the peer accepts, intended.
    counts: BTreeMap<String, [usize; 4]>,
    /// By peer and way of spoiling: only the peer accepts.
    laxer: BTreeMap<(String, &'static str), usize>,
    findings: Vec<String>,
}

impl Tally {
    /// Adds a peer's verdict: `None` if it accepts, else why not.
    fn add(&mut self, peer: &str, case: &Case, refusal: Option<&str>) {
        let counts = self.counts.entry(peer.to_owned()).or_default();
        match (case.ours, refusal) {
            (Ok(()), None) => counts[0] += 1,
            (Err(_), Some(_)) => counts[1] += 1,
            (Err(_), None) => {
                counts[2] += 1;
                *self.laxer.entry((peer.to_owned(), case.class)).or_default() += 1;
            }
            (Ok(()), Some(why)) if intended::is(peer, case, why) => counts[3] += 1,
            (Ok(()), Some(why)) => {
                self.findings.push(format!("{peer}: {why}\n  {}: {}", case.class, show(&case.token)))
            }
        }
    }

    #[track_caller]
    fn finish(self) {
        for (peer, [both, neither, laxer, intended]) in &self.counts {
            println!(
                "{peer:24} both accept {both:6}, both refuse {neither:6}, only it accepts {laxer:6}, intended {intended:4}"
            );
            assert!(*both > 0 && *neither > 0, "{peer} says the same of every token");
        }
        for ((peer, class), count) in &self.laxer {
            println!("  only {peer} accepts: {class}: {count}");
        }
        for finding in self.findings.iter().take(20) {
            println!("{finding}");
        }
        assert!(
            self.findings.is_empty(),
            "{} tokens are accepted here and refused there",
            self.findings.len()
        );
    }
}

/// A token with its header and payload readable.
fn show(token: &str) -> String {
    let part = |text: &str| {
        let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(text).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let mut parts = token.split('.');
    format!(
        "{}\n  {}\n  {token}",
        part(parts.next().unwrap_or_default()),
        part(parts.next().unwrap_or_default())
    )
}
