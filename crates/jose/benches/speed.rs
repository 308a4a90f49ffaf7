//! Time of each operation beside the bare primitive on the same bytes, and beside the crate `jsonwebtoken`.
//!
//! Machines are noisy, so rounds are interleaved and two ratios are shown: of the medians, and of the minima. Also
//! run on two threads at once, and with the allocations of one operation counted (those inside the cryptographic
//! library, which is C, are not seen).
//!
//! `cargo bench -p jotgate-jose --bench speed [-- [--tsv] ROUNDS [ALGORITHM]]`; `--tsv` is for `bench/server`, which
//! reads it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

mod subject;

use std::sync::Barrier;
use std::time::{Duration, Instant};

use jotgate_jose::Algorithm;
use jsonwebtoken as peer;
use subject::{ALGORITHMS, AUDIENCE, ISSUER, PAYLOAD, Subject};

const ROUNDS: usize = 61;
/// How long one contestant runs in one round.
const SLICE: Duration = Duration::from_millis(2);

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let rounds = args.first().and_then(|arg| arg.parse().ok()).unwrap_or(ROUNDS);
    let only = args.get(1).and_then(|name| Algorithm::from_name(name));
    let tsv = std::env::args().any(|arg| arg == "--tsv");
    if !tsv {
        println!(
            "{rounds} interleaved rounds; ns per operation: median (minimum); ratios to bare: of medians, of minima"
        );
    }
    for alg in ALGORITHMS.into_iter().filter(|alg| only.is_none_or(|only| only == *alg)) {
        let subject = Subject::new(alg);
        let peer = Peer::new(&subject);
        for threads in [1, 2] {
            if !tsv {
                println!("\n{alg}, {threads} thread{}", if threads == 1 { "" } else { "s" });
            }
            let line = |what| tsv.then(|| format!("{alg}\t{threads}\t{what}"));
            report(
                "verify",
                line("verify").as_deref(),
                rounds,
                threads,
                &[
                    ("bare", &|| Box::new(|| subject.bare_verify())),
                    ("verify_in, claims borrowed", &|| {
                        let mut buffer = Vec::new();
                        Box::new({
                            let subject = &subject;
                            move || subject.verify_in(&mut buffer)
                        })
                    }),
                    ("verify, claims owned", &|| Box::new(|| subject.verify())),
                    ("jsonwebtoken decode", &|| Box::new(|| peer.verify(&subject.token))),
                ],
            );
            report(
                "sign",
                line("sign").as_deref(),
                rounds,
                threads,
                &[
                    ("bare", &|| Box::new(|| subject.bare_sign())),
                    ("sign_into", &|| {
                        let mut out = Vec::new();
                        Box::new({
                            let subject = &subject;
                            move || subject.sign_into(&mut out)
                        })
                    }),
                    ("sign", &|| {
                        Box::new(|| {
                            std::hint::black_box(subject.key.sign("at+jwt", PAYLOAD.as_bytes()).unwrap());
                        })
                    }),
                    ("jsonwebtoken encode", &|| Box::new(|| peer.sign())),
                ],
            );
        }
    }
}

type Operation<'a> = Box<dyn FnMut() + Send + 'a>;
type Contestant<'a> = (&'a str, &'a (dyn Fn() -> Operation<'a> + Sync));

/// Runs all contestants in turn, round by round, and prints a line for each: for people, or what `tsv` begins.
fn report<'a>(what: &str, tsv: Option<&str>, rounds: usize, threads: usize, contestants: &[Contestant<'a>]) {
    let counts: Vec<u32> = contestants.iter().map(|(_, make)| calibrate(make())).collect();
    let mut samples = vec![Vec::with_capacity(rounds); contestants.len()];
    for _ in 0..rounds {
        for (i, (_, make)) in contestants.iter().enumerate() {
            samples[i].push(sample(*make, counts[i], threads));
        }
    }
    let figures: Vec<(f64, f64)> = samples
        .iter_mut()
        .map(|times| {
            times.sort_by(f64::total_cmp);
            (times[times.len() / 2], times[0])
        })
        .collect();
    for ((name, make), (median, min)) in contestants.iter().zip(&figures) {
        let mut operation = make();
        operation();
        let allocations = allocation_counter::measure(&mut operation);
        let (of_medians, of_minima) = (median / figures[0].0, min / figures[0].1);
        let count = allocations.count_total;
        match tsv {
            Some(line) => {
                println!("{line}\t{name}\t{median:.0}\t{min:.0}\t{of_medians:.3}\t{of_minima:.3}\t{count}");
            }
            None => println!(
                "  {what:6} {name:28} {median:10.0} ({min:10.0})   {of_medians:5.2} {of_minima:5.2}   {count:3} \
                 allocations, {} B",
                allocations.bytes_total,
            ),
        }
    }
}

/// How many operations fit a slice.
fn calibrate(mut operation: Operation<'_>) -> u32 {
    operation();
    let start = Instant::now();
    let mut count = 0;
    while start.elapsed() < SLICE {
        operation();
        count += 1;
    }
    count
}

/// Mean time of an operation in nanoseconds, with so many threads doing it at once.
fn sample<'a>(make: &(dyn Fn() -> Operation<'a> + Sync), count: u32, threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        let mut operation = make();
        operation();
        barrier.wait();
        let start = Instant::now();
        for _ in 0..count {
            operation();
        }
        start.elapsed().as_nanos() as f64 / f64::from(count)
    };
    if threads == 1 {
        return run();
    }
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(run)).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).sum::<f64>() / threads as f64
    })
}

/// The same work in the crate `jsonwebtoken`: keys parsed beforehand, the same checks, typed claims.
struct Peer {
    encoding: peer::EncodingKey,
    decoding: peer::DecodingKey,
    header: peer::Header,
    validation: peer::Validation,
    claims: PeerClaims,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PeerClaims {
    iss: String,
    sub: String,
    aud: String,
    exp: u64,
    iat: u64,
    jti: String,
    client_id: String,
    scope: String,
    sid: String,
    auth_time: u64,
    roles: Vec<String>,
    preferred_username: String,
    status: PeerStatus,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PeerStatus {
    status_list: PeerStatusList,
}

#[derive(serde::Serialize, serde::Deserialize)]
struct PeerStatusList {
    idx: u64,
    uri: String,
}

impl Peer {
    fn new(subject: &Subject) -> Self {
        let jwk: serde_json::Value = serde_json::from_str(&subject.key.to_private_jwk().unwrap()).unwrap();
        let (alg, encoding) = match subject.alg {
            Algorithm::Hs256 => (
                peer::Algorithm::HS256,
                peer::EncodingKey::from_base64_secret(&standard(jwk["k"].as_str().unwrap())),
            ),
            Algorithm::Rs256 => {
                (peer::Algorithm::RS256, Ok(peer::EncodingKey::from_rsa_der(&subject.private_der())))
            }
            Algorithm::Es256 => {
                (peer::Algorithm::ES256, Ok(peer::EncodingKey::from_ec_der(&subject.private_der())))
            }
            _ => (peer::Algorithm::EdDSA, Ok(peer::EncodingKey::from_ed_der(&subject.private_der()))),
        };
        let decoding = match subject.key.verifying_key().to_public_jwk() {
            Some(public) => peer::DecodingKey::from_jwk(&serde_json::from_str(&public).unwrap()).unwrap(),
            None => peer::DecodingKey::from_base64_secret(&standard(jwk["k"].as_str().unwrap())).unwrap(),
        };
        let mut validation = peer::Validation::new(alg);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        let mut header = peer::Header::new(alg);
        (header.typ, header.kid) = (Some("at+jwt".into()), Some(subject.key.kid().into()));
        let claims = serde_json::from_str(PAYLOAD).unwrap();
        Self { encoding: encoding.unwrap(), decoding, header, validation, claims }
    }

    fn verify(&self, token: &str) {
        std::hint::black_box(peer::decode::<PeerClaims>(token, &self.decoding, &self.validation).unwrap());
    }

    fn sign(&self) {
        std::hint::black_box(peer::encode(&self.header, &self.claims, &self.encoding).unwrap());
    }
}

/// Base64url without padding as padded standard base64, which the peer reads.
fn standard(url: &str) -> String {
    let bytes = base64_simd::URL_SAFE_NO_PAD.decode_to_vec(url).unwrap();
    base64_simd::STANDARD.encode_to_string(bytes)
}
