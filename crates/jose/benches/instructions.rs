//! Instructions of each operation beyond those of the bare primitive, counted by callgrind: unlike times, they are
//! the same in every run. Needs `valgrind`; without it, says so and stops.
//!
//! `cargo bench -p jotgate-jose --bench instructions [-- --tsv]`; `--tsv` is for `bench/server`, which reads it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

#[allow(dead_code, reason = "the other benchmark uses the rest")]
mod subject;

use std::process::Command;

use jotgate_jose::SigningKey;
use subject::{ALGORITHMS, Subject};

/// The environment variable that hands the key to a child.
const KEY: &str = "JOTGATE_BENCH_KEY";

const OPERATIONS: [&str; 5] = ["bare_verify", "verify_in", "verify", "bare_sign", "sign_into"];

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    if let [alg, operation, count] = args.as_slice() {
        return run(alg, operation, count.parse().unwrap());
    }
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("valgrind is not installed: no instructions counted");
        return;
    }
    let tsv = std::env::args().any(|arg| arg == "--tsv");
    if !tsv {
        println!("instructions per operation (those beyond the bare primitive)");
    }
    for alg in ALGORITHMS {
        let key = SigningKey::generate(alg).unwrap().to_private_jwk().unwrap();
        let counts = OPERATIONS.map(|operation| instructions(&key, alg.name(), operation));
        if tsv {
            let beyond = [counts[1] - counts[0], counts[2] - counts[0], counts[4] - counts[3]];
            println!("{}\t{}\t{}\t{}", alg.name(), beyond[0], beyond[1], beyond[2]);
            continue;
        }
        println!(
            "  {:6} verify_in {:8} ({:6})   verify {:8} ({:6})   sign_into {:8} ({:6})",
            alg.name(),
            counts[1],
            counts[1] - counts[0],
            counts[2],
            counts[2] - counts[0],
            counts[4],
            counts[4] - counts[3],
        );
    }
}

/// One child's work.
fn run(alg: &str, operation: &str, count: u32) {
    // The parent made the key: making one takes a number of instructions that chance decides.
    let jwk = std::env::var(KEY).unwrap();
    let subject = Subject::with_key(SigningKey::from_jwk(&jwk).unwrap());
    assert_eq!(subject.alg.name(), alg);
    let mut buffer = Vec::with_capacity(4096);
    for _ in 0..count {
        match operation {
            "bare_verify" => subject.bare_verify(),
            "verify_in" => subject.verify_in(&mut buffer),
            "verify" => subject.verify(),
            "bare_sign" => subject.bare_sign(),
            _ => subject.sign_into(&mut buffer),
        }
    }
}

/// Instructions of one operation: the difference between runs with few and with many of them.
fn instructions(key: &str, alg: &str, operation: &str) -> i64 {
    let (few, many) = (10, 210);
    (count(key, alg, operation, many) - count(key, alg, operation, few)) / i64::from(many - few)
}

fn count(key: &str, alg: &str, operation: &str, count: u32) -> i64 {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe().unwrap())
        .env(KEY, key)
        .args([alg, operation, &count.to_string()])
        .output()
        .unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    let line = log.lines().find(|line| line.contains("Collected :")).unwrap_or_else(|| panic!("{log}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}
