//! What a request with a known token costs: 10,000 tokens in the cache, asked for in random order, on one thread
//! and on two.
//!
//! `cargo bench -p jotgate-verify --bench cache`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::sync::Barrier;
use std::time::Instant;

use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
use jotgate_verify::Verifier;

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const START: u64 = 1_795_348_800;
const TOKENS: u64 = 10_000;
const ROUNDS: usize = 31;

fn main() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let policy = Policy::access_token(ISSUER, AUDIENCE);
    let verifier = Verifier::new(policy, KeySet::from(key.verifying_key())).with_cache(32 << 20);
    // Something is revoked, as it always is.
    verifier.revocations().insert(&format!("{ISSUER}/auth/status/0"), 1 << 19, i64::MAX);
    let tokens: Vec<String> = (0..TOKENS).map(|n| token(&key, n)).collect();
    for token in &tokens {
        verifier.check(token, START).unwrap();
    }
    let before = verifier.metrics();
    let bare = |token: &String| {
        std::hint::black_box(verifier.verify(token, START).unwrap());
    };
    let hit = |token: &String| {
        std::hint::black_box(verifier.check(token, START).unwrap());
    };
    let order = shuffled(tokens.len());
    let rounds: Vec<_> =
        (0..ROUNDS).map(|_| (timed(1, &order, &tokens, hit), timed(2, &order, &tokens, hit))).collect();
    let after = verifier.metrics();
    let (hits, misses) = (after.cache_hits - before.cache_hits, after.verified - before.verified);
    println!("{TOKENS} tokens of {} B; {misses} misses in {hits} hits", tokens[0].len());
    let one = report("hit, 1 thread", rounds.iter().map(|(one, _)| *one));
    let two = report("hit, 2 threads, together", rounds.iter().map(|(_, two)| *two));
    println!("two threads do {:.2} x (medians), {:.2} x (minima)", one.0 / two.0, one.1 / two.1);
    report("no cache", (0..5).map(|_| timed(1, &order[..1_000], &tokens, bare)));
}

/// Nanoseconds an operation, all threads together.
fn timed(threads: usize, order: &[usize], tokens: &[String], operation: impl Fn(&String) + Sync) -> f64 {
    let barrier = Barrier::new(threads + 1);
    let took = std::thread::scope(|scope| {
        let all: Vec<_> = (0..threads)
            .map(|thread| {
                let (barrier, operation) = (&barrier, &operation);
                scope.spawn(move || {
                    barrier.wait();
                    let start = Instant::now();
                    let from = thread * order.len() / 2;
                    order[from..].iter().chain(&order[..from]).for_each(|place| operation(&tokens[*place]));
                    start.elapsed()
                })
            })
            .collect();
        barrier.wait();
        all.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    took.as_nanos() as f64 / (order.len() * threads) as f64
}

/// Median and minimum.
fn report(name: &str, times: impl Iterator<Item = f64>) -> (f64, f64) {
    let mut times: Vec<f64> = times.collect();
    times.sort_by(f64::total_cmp);
    let (median, least) = (times[times.len() / 2], times[0]);
    println!("{name}: {median:.0} ns (least {least:.0})");
    (median, least)
}

fn shuffled(len: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..len).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, usize::try_from(state >> 33).unwrap() % (last + 1));
    }
    order
}

fn token(key: &SigningKey, n: u64) -> String {
    let payload = format!(
        r#"{{"iss":"{ISSUER}","sub":"019ab5c0-0000-7000-8000-{n:012x}","aud":"{AUDIENCE}","exp":{},"iat":{START},"jti":"{n:022}","client_id":"jotgate","scope":"account","sid":"019ab5c0-0000-7000-8000-{n:012x}","auth_time":{START},"roles":["staff","editor"],"preferred_username":"user{n}","status":{{"status_list":{{"idx":{n},"uri":"{ISSUER}/auth/status/0"}}}}}}"#,
        START + 600
    );
    key.sign("at+jwt", payload.as_bytes()).unwrap()
}
