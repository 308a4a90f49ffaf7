//! `cargo xtask bench`: everything that is measured, in one command.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::process::{self, Ended};
use crate::tools::{self, Machine};

/// The measuring takes some 25 minutes on two cores; what comes before it is built and installed once.
const LIMIT: Duration = Duration::from_secs(90 * 60);
const RESULTS: &str = "bench/results";
const PAGES: [&str; 2] = ["docs/performance.md", "docs/scale.md"];
/// Where peers are installed, a folder each.
const PEERS: &str = "target/bench-peers";

/// Both at once: a dependency of both then has the features that it has in the server alone, and is built once.
pub(crate) const BUILD: &str =
    "build --release --locked --package jotgate --bin jotgate --package bench-server --bin bench-server";

/// What was asked for.
#[derive(Default)]
pub(crate) struct Choice {
    pub quick: bool,
    pub only: Vec<String>,
    pub no_install: bool,
}

/// Builds the release, measures, and writes the results. A part alone, or a quick run, writes nothing.
pub(crate) fn run(choice: &Choice) -> ExitCode {
    match measure(choice) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("xtask: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn measure(choice: &Choice) -> Result<(), String> {
    let machine = Machine { may_install: !choice.no_install };
    for missing in [machine.postgres(), machine.valgrind()] {
        missing.unwrap_or_else(|missing| println!("xtask: {missing}"));
    }
    let mut build = Command::new("cargo");
    build.args(BUILD.split(' '));
    run_to_the_end(build)?;
    let release = target().join("release");
    let mut bench = Command::new(release.join("bench-server"));
    bench.arg("--jotgate").arg(release.join("jotgate"));
    for part in &choice.only {
        bench.args(["--only", part]);
    }
    let whole = choice.only.is_empty() && !choice.quick;
    let is_asked = |part: &str| whole || choice.only.iter().any(|only| only == part);
    if is_asked("jose") {
        // So that nothing is built while something is measured.
        for (package, name) in
            [("jotgate-jose", "speed"), ("jotgate-jose", "instructions"), ("jotgate-verify", "cache")]
        {
            let mut build = Command::new("cargo");
            build.args(["bench", "--no-run", "--locked", "--package", package, "--bench", name]);
            run_to_the_end(build)?;
        }
    }
    if is_asked("peers") {
        for (name, problem) in peers(&machine) {
            println!("xtask: {problem}");
            bench.args(["--missing", &format!("{name}={problem}")]);
        }
    }
    if choice.quick {
        bench.arg("--quick");
    }
    if whole {
        bench.args(["--out", RESULTS]);
        PAGES.iter().for_each(|page| {
            bench.args(["--page", page]);
        });
    }
    run_to_the_end(bench)
}

/// Where Cargo builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from)
}

/// Installs what the measured peers are made of; those that cannot be had, and why.
fn peers(machine: &Machine) -> Vec<(&'static str, String)> {
    let source = |name: &str| format!("bench/peers/{name}");
    let installed = |name: &str| format!("{PEERS}/{name}");
    let npm = |name: &str| machine.npm(&source(name), &installed(name));
    let node = machine.debian("node", &["nodejs"], "runs peers").map(drop);
    let better_auth = || {
        npm("better-auth")?;
        machine.npm_native(&installed("better-auth"), "better-sqlite3", "build/Release/better_sqlite3.node")
    };
    let simplejwt = || {
        let requirements = format!("{}/requirements.txt", source("simplejwt"));
        machine.pip(&requirements, &installed("simplejwt"))?;
        note_version("simplejwt", &requirements, "djangorestframework-simplejwt==")
    };
    let golang_jwt = || {
        machine.go_program(&source("golang-jwt"), &installed("golang-jwt"), "peer")?;
        note_version("golang-jwt", &format!("{}/go.mod", source("golang-jwt")), "golang-jwt/jwt/v5 v")
    };
    let outcomes = [
        ("better-auth", node.clone().and_then(|()| better_auth())),
        ("oidc-provider", node.and_then(|()| npm("oidc-provider"))),
        ("simplejwt", simplejwt()),
        ("golang-jwt", golang_jwt()),
    ];
    outcomes.into_iter().filter_map(|(name, outcome)| Some((name, outcome.err()?))).collect()
}

/// Which version was installed, beside it: as the list says that it was installed from.
fn note_version(name: &str, list: &str, before: &str) -> Result<(), String> {
    let text = std::fs::read_to_string(list).map_err(|error| format!("{list}: {error}"))?;
    let version = text.split_once(before).and_then(|(_, rest)| rest.split_whitespace().next());
    let file = Path::new(PEERS).join(name).join("bench-version");
    std::fs::write(&file, version.unwrap_or_default()).map_err(|error| format!("{}: {error}", file.display()))
}

fn run_to_the_end(command: Command) -> Result<(), String> {
    let shown = tools::shown(&command);
    println!("{shown}");
    match process::stream(command, LIMIT, |_| {}) {
        Ok(Ended::Well) => Ok(()),
        Ok(Ended::Badly) => Err(format!("{shown} failed")),
        Ok(Ended::TimeLimit) => Err(format!("{shown}: time limit")),
        Err(error) => Err(format!("{shown}: {error}")),
    }
}
