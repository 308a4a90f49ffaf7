//! What a request with a known token costs: 10,000 tokens in the cache, asked for in random order, on one thread and
//! on two; and what the check for a revocation is in it, with few and with many revoked.
//!
//! Most of a hit is waiting for memory, and how long that is depends on who else uses the machine. So there is a
//! measure beside it: the token looked up in a `HashMap` of the standard library, which checks nothing and that two
//! threads could not share.
//!
//! A token is copied before it is asked for, as it comes out of a request that was just read; what is timed is 64
//! questions in a row. Rounds of all kinds take turns, so that a busy machine is as unkind to each of them.
//!
//! `cargo bench -p jotgate-verify --bench cache`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a benchmark")]

use std::collections::HashMap;
use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
use jotgate_verify::{Revocations, Verifier};

const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";
const START: u64 = 1_795_348_800;
const TOKENS: usize = 10_000;
const ROUNDS: usize = 31;
/// Questions that are timed together.
const TOGETHER: usize = 64;

fn main() {
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let policy = Policy::access_token(ISSUER, AUDIENCE);
    let verifier = Verifier::new(policy, KeySet::from(key.verifying_key())).with_cache(32 << 20);
    // Something is revoked, as it always is.
    verifier.revocations().insert(&list(0), 1 << 19, i64::MAX);
    let tokens: Vec<String> = (0..TOKENS).map(|n| token(&key, n)).collect();
    for token in &tokens {
        verifier.check(token, START).unwrap();
    }
    let before = verifier.metrics();
    let bare = |token: &str| drop(black_box(verifier.verify(token, START).unwrap()));
    let hit = |token: &str| drop(black_box(verifier.check(token, START).unwrap()));
    let map: HashMap<String, Box<usize>> = tokens.iter().cloned().zip((0..).map(Box::new)).collect();
    let plain = |token: &str| {
        black_box(map.get(token).map(|value| **value));
    };
    let sets = [1, 100_000, 1_000_000].map(|entries| (entries, revoked(entries)));
    let order = shuffled(TOKENS);

    let [mut ones, mut twos, mut bares, mut plains] = [const { Vec::new() }; 4];
    let mut checks = sets.each_ref().map(|_| Vec::new());
    for round in 0..ROUNDS {
        ones.extend(timed::<1>(&order, &tokens, hit));
        plains.extend(timed::<1>(&order, &tokens, plain));
        twos.extend(timed::<2>(&order, &tokens, hit));
        for ((_, set), times) in sets.iter().zip(&mut checks) {
            times.extend(timed_set(set, round));
        }
        if round < 5 {
            bares.extend(timed::<1>(&order[..TOGETHER * 4], &tokens, bare));
        }
    }
    let after = verifier.metrics();
    let (hits, misses) = (after.cache_hits - before.cache_hits, after.verified - before.verified);
    println!("{TOKENS} tokens of {} B; {misses} misses in {hits} hits", tokens[0].len());
    let one = report("hit, 1 thread", ones);
    let two = report("hit, 2 threads, together", twos);
    println!("two threads do {:.2} x (medians), {:.2} x (minima)", one.0 / two.0, one.1 / two.1);
    let plain = report("HashMap, 1 thread", plains);
    println!("a hit takes {:.2} x (medians), {:.2} x (minima) of that", one.0 / plain.0, one.1 / plain.1);
    report("no cache", bares);
    for ((entries, _), times) in sets.iter().zip(checks) {
        report(&format!("check for a revocation, {entries} revoked"), times);
    }
}

/// Nanoseconds a question, all `THREADS` together, of each 64 that they ask at the same time.
fn timed<const THREADS: usize>(order: &[usize], tokens: &[String], ask: impl Fn(&str) + Sync) -> Vec<f64> {
    let arrived = AtomicUsize::new(0);
    let (arrived, ask) = (&arrived, &ask);
    let times: Vec<Vec<f64>> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..THREADS)
            .map(|thread| {
                let from = thread * order.len() / 2;
                let order = [&order[from..], &order[..from]].concat();
                scope.spawn(move || {
                    let mut shown = vec![String::new(); TOGETHER];
                    let part = |(round, part): (usize, &[usize])| {
                        shown.iter_mut().zip(part).for_each(|(to, from)| to.clone_from(&tokens[*from]));
                        arrived.fetch_add(1, Ordering::AcqRel);
                        while arrived.load(Ordering::Acquire) < (round + 1) * THREADS {
                            spin_loop();
                        }
                        let start = Instant::now();
                        shown.iter().for_each(|token| ask(token));
                        start.elapsed().as_nanos() as f64
                    };
                    order.chunks_exact(TOGETHER).enumerate().map(part).collect()
                })
            })
            .collect();
        all.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let slowest = |round| times.iter().map(|of: &Vec<f64>| of[round]).fold(0.0, f64::max);
    (0..times[0].len()).map(|round| slowest(round) / (TOGETHER * THREADS) as f64).collect()
}

/// The same for a set of revocations: entries of its first list in an order of their own, most of them not revoked.
fn timed_set(set: &Revocations, round: usize) -> Vec<f64> {
    let uri = list(0);
    let part = |part: usize| {
        let start = Instant::now();
        for n in 0..TOGETHER {
            let idx = (round * 7 + part * TOGETHER + n) * 7_919 % (1 << 20);
            black_box(set.contains(black_box(&uri), idx as u64));
        }
        start.elapsed().as_nanos() as f64 / TOGETHER as f64
    };
    (0..200).map(part).collect()
}

/// A set with so many entries over as many lists as it takes at a fiftieth revoked.
fn revoked(entries: usize) -> Revocations {
    let set = Revocations::new();
    for n in 0..entries {
        let each = 20_000;
        set.insert(&list(n / each), (n % each * 52 % (1 << 20)) as u64, i64::MAX);
    }
    set
}

/// Median and minimum.
fn report(name: &str, mut times: Vec<f64>) -> (f64, f64) {
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

fn list(n: usize) -> String {
    format!("{ISSUER}/auth/status/{n}")
}

fn token(key: &SigningKey, n: usize) -> String {
    let payload = format!(
        r#"{{"iss":"{ISSUER}","sub":"019ab5c0-0000-7000-8000-{n:012x}","aud":"{AUDIENCE}","exp":{},"iat":{START},"jti":"{n:022}","client_id":"jotgate","scope":"account","sid":"019ab5c0-0000-7000-8000-{n:012x}","auth_time":{START},"roles":["staff","editor"],"preferred_username":"user{n}","status":{{"status_list":{{"idx":{n},"uri":"{}"}}}}}}"#,
        START + 600,
        list(0)
    );
    key.sign("at+jwt", payload.as_bytes()).unwrap()
}
