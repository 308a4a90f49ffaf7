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
    if let Some(mut command) = npm("npm_packages_accept_what_we_accept") {
        compare(&mut command);
    }
}

#[test]
fn python_packages_accept_what_we_accept() {
    if let Some(mut command) = python("python_packages_accept_what_we_accept") {
        compare(&mut command);
    }
}

/// Both programs, or `None` if one of them lacks its packages.
pub(crate) fn both(test: &str) -> Option<[Command; 2]> {
    Some([npm(test)?, python(test)?])
}

fn npm(test: &str) -> Option<Command> {
    let root = root();
    installed(&root.join("target/e2e/jose/node_modules"), test)?;
    // Node finds packages beside a program, and the program's own folder stays clean.
    let program = root.join(format!("target/e2e/jose/verify-{test}.mjs"));
    std::fs::copy(root.join("e2e/jose/verify.mjs"), &program).unwrap();
    let mut command = Command::new("node");
    command.arg(program);
    Some(command)
}

fn python(test: &str) -> Option<Command> {
    let root = root();
    let packages = root.join("target/e2e/jose-python");
    installed(&packages, test)?;
    let mut command = Command::new("python3");
    command.arg("-B").arg(root.join("e2e/jose/verify.py")).env("PYTHONPATH", packages);
    Some(command)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..").canonicalize().unwrap()
}

fn installed(packages: &Path, test: &str) -> Option<()> {
    if packages.is_dir() {
        return Some(());
    }
    assert!(std::env::var("JOTGATE_PEERS").as_deref() != Ok("required"), "run e2e/jose/install.sh");
    println!("left out: {test}: the packages are not installed, e2e/jose/install.sh does it");
    None
}

/// Holds a program's verdicts on all cases against ours.
fn compare(command: &mut Command) {
    let mut tally = Tally::default();
    for (case, verdict) in cases().iter().zip(verdicts(command, cases())) {
        for (peer, refusal) in verdict.as_object().unwrap() {
            tally.add(peer, case, refusal.as_str());
        }
    }
    tally.finish();
}

/// Feeds cases to a program; its verdicts by peer, `null` for accepted.
pub(crate) fn verdicts(command: &mut Command, cases: &[Case]) -> Vec<Value> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines: Vec<String> = cases.iter().map(line).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let verdicts: Vec<Value> =
        output.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    writer.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(verdicts.len(), cases.len());
    verdicts
}

fn line(case: &Case) -> String {
    json!({
        "alg": case.alg.name(), "jwk": case.jwk, "token": case.token, "now": NOW, "issuer": ISSUER, "audience": AUDIENCE,
    })
    .to_string()
}
