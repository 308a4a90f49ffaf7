//! npm `jose` and `jsonwebtoken`, PyPI `PyJWT` and `joserfc`: the programs in `e2e/jose` read a token a line and
//! write their verdicts.
//!
//! Their packages are installed by `e2e/jose/install.sh` below `target/`. Without them this leaves itself out, unless
//! `JOTGATE_PEERS` is `required`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::forger::{AUDIENCE, ISSUER, NOW};
use super::{Case, Tally, cases};

#[test]
fn npm_packages_accept_what_we_accept() {
    let root = root();
    let packages = root.join("target/e2e/jose/node_modules");
    if !installed(&packages, "npm_packages_accept_what_we_accept") {
        return;
    }
    // Node finds packages beside a program, and the program's own folder stays clean.
    let program = root.join("target/e2e/jose/verify.mjs");
    std::fs::copy(root.join("e2e/jose/verify.mjs"), &program).unwrap();
    compare(Command::new("node").arg(program));
}

#[test]
fn python_packages_accept_what_we_accept() {
    let root = root();
    let packages = root.join("target/e2e/jose-python");
    if !installed(&packages, "python_packages_accept_what_we_accept") {
        return;
    }
    compare(
        Command::new("python3").arg("-B").arg(root.join("e2e/jose/verify.py")).env("PYTHONPATH", packages),
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

fn installed(packages: &Path, test: &str) -> bool {
    if packages.is_dir() {
        return true;
    }
    assert!(std::env::var("JOTGATE_PEERS").as_deref() != Ok("required"), "run e2e/jose/install.sh");
    println!("left out: {test}: the packages are not installed, e2e/jose/install.sh does it");
    false
}

/// Feeds all cases to a program and holds its verdicts against ours.
fn compare(command: &mut Command) {
    let cases = cases();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = cases.iter().map(line).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let mut tally = Tally::default();
    let mut verdicts = output.lines();
    for case in cases {
        let verdict: Value = serde_json::from_str(&verdicts.next().unwrap().unwrap()).unwrap();
        for (peer, refusal) in verdict.as_object().unwrap() {
            tally.add(peer, case, refusal.as_str());
        }
    }
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    tally.finish();
}

fn line(case: &Case) -> String {
    json!({
        "alg": case.alg.name(), "jwk": case.jwk, "token": case.token, "now": NOW, "issuer": ISSUER, "audience": AUDIENCE,
    })
    .to_string()
}
