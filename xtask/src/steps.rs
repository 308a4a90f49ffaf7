//! The table of checks, in the order in which they run: what is cheap and fails often comes first.

use crate::args::Choice;
use crate::bench::BUILD;
use crate::process::{self, Ended};
use crate::report::{self, Counts, Outcome, Row};
use crate::tools::{self, Machine};
use std::process::Command;
use std::time::{Duration, Instant};

/// The whole run ends by then, whatever hangs; `--long` has three times as much. It is made to take under 40
/// minutes on two idle cores; a busy machine must not fail for it.
const WHOLE_LIMIT: Duration = minutes(80);

/// Resource servers in several languages, whose packages the tests need.
const EXAMPLES: &str = "examples/resource-servers";

pub(crate) struct Step {
    pub name: &'static str,
    pub about: &'static str,
    limit: Duration,
    run: fn(&mut Check) -> Outcome,
    /// Part of `--quick`.
    quick: bool,
}

/// Name, the most minutes that it may take on two cores from nothing, what runs it, what it checks.
pub(crate) const ALL: &[Step] = &[
    step("fmt", 2, fmt, "formatting").quick(),
    step("clippy", 30, clippy, "lints, none of them a warning").quick(),
    step("test", 40, test, "unit and integration tests").quick(),
    step("alone", 16, alone, "each library builds without the features that another one switches on"),
    step("doctest", 16, doctest, "the examples in the documentation"),
    step("docs", 16, docs, "the documentation builds, every link leads somewhere"),
    step("peers", 40, peers, "the JOSE library accepts nothing that six others refuse"),
    step("fuzz", 40, fuzz, "everything that reads a token or a key, on inputs that nobody thought of"),
    step("deny", 24, deny, "licences, sources and bans of all dependencies"),
    step("advisories", 10, advisories, "no dependency with a known hole"),
    step("build", 30, build, "the release binary"),
    step("e2e", 24, e2e, "the release binary from outside, and its pages in a real browser"),
    step(
        "bench",
        20,
        bench,
        "the benchmarks run, and no hot path takes a tenth more instructions than is recorded",
    ),
    step("packaging", 24, packaging, "the Debian package, installed and upgraded, and the container image"),
    step("documents", 12, documents, "the commands in the documents run, and print what they show"),
];

const fn step(name: &'static str, limit: u64, run: fn(&mut Check) -> Outcome, about: &'static str) -> Step {
    Step { name, about, limit: minutes(limit), run, quick: false }
}

impl Step {
    const fn quick(mut self) -> Self {
        self.quick = true;
        self
    }
}

/// Runs the chosen steps and prints the table; true if nothing failed.
pub(crate) fn run(choice: &Choice) -> bool {
    let begin = Instant::now();
    let deadline = begin + if choice.long { WHOLE_LIMIT * 3 } else { WHOLE_LIMIT };
    let chosen = |step: &&Step| {
        if choice.only.is_empty() {
            step.quick || !choice.quick
        } else {
            choice.only.iter().any(|name| name == step.name)
        }
    };
    let mut rows = Vec::new();
    for step in ALL.iter().filter(chosen) {
        println!("\n==> {}: {}", step.name, step.about);
        let step_begin = Instant::now();
        let mut check = Check {
            machine: Machine { may_install: !choice.no_install },
            long: choice.long,
            deadline: deadline.min(step_begin + if choice.long { step.limit * 3 } else { step.limit }),
            tests: Counts::default(),
            left_out: Vec::new(),
        };
        let outcome = (step.run)(&mut check);
        check.tests.settle(&check.left_out);
        let took = step_begin.elapsed();
        let word = match &outcome {
            Outcome::Passed => "ok".to_owned(),
            Outcome::Failed(why) => format!("FAILED: {why}"),
            Outcome::LeftOut(why) => format!("left out: {why}"),
        };
        println!("<== {}: {word} ({:.1} s)", step.name, took.as_secs_f64());
        rows.push(Row { name: step.name, outcome, took, tests: check.tests, left_out: check.left_out });
    }
    report::print(&rows, begin.elapsed())
}

/// One step while it runs.
struct Check {
    machine: Machine,
    long: bool,
    deadline: Instant,
    tests: Counts,
    left_out: Vec<String>,
}

impl Check {
    /// Runs a command to its end or the step's; counts the tests that its output reports.
    fn run(&mut self, command: Command) -> Outcome {
        let shown = tools::shown(&command);
        println!("{shown}");
        let left = self.deadline.saturating_duration_since(Instant::now());
        let ended = process::stream(command, left, |line| self.tests.read(line, &mut self.left_out));
        match ended {
            Ok(Ended::Well) => Outcome::Passed,
            Ok(Ended::Badly) => Outcome::Failed(shown),
            Ok(Ended::TimeLimit) => Outcome::Failed(format!("{shown}: time limit")),
            Err(error) => Outcome::Failed(format!("{shown}: {error}")),
        }
    }

    /// Runs `cargo` with these arguments, written with spaces between them.
    fn cargo(&mut self, arguments: &str) -> Outcome {
        let mut command = self.cargo_command();
        command.args(arguments.split(' '));
        self.run(command)
    }

    fn cargo_command(&self) -> Command {
        let mut command = Command::new("cargo");
        if std::env::var_os("CI").is_some() {
            // A checkout that is built once has no use for the state that makes the next build faster.
            command.env("CARGO_INCREMENTAL", "0");
        }
        if self.long {
            command.env("XTASK_LONG", "1");
        }
        command
    }
}

fn fmt(check: &mut Check) -> Outcome {
    if let Err(missing) = check.machine.rust_component("rustfmt", "cargo-fmt") {
        return Outcome::Failed(missing);
    }
    check.cargo("fmt --all --check")
}

fn clippy(check: &mut Check) -> Outcome {
    if let Err(missing) = check.machine.rust_component("clippy", "cargo-clippy") {
        return Outcome::Failed(missing);
    }
    check.cargo("clippy --workspace --features jotgate-verify/full,jotgate/otel --all-targets --locked -- -D warnings")
}

/// The tests of the PostgreSQL store fail where there is none.
fn test(check: &mut Check) -> Outcome {
    say_missing([check.machine.postgres()]);
    check.cargo(
        "test --workspace --exclude e2e --features jotgate-verify/full,jotgate/otel --locked --no-fail-fast \
         --lib --bins --tests --examples",
    )
}

/// In a build of the whole workspace, a dependency has the features of all who use it. So each library, and each
/// feature, by itself.
fn alone(check: &mut Check) -> Outcome {
    let features =
        ["tower", "axum", "follow", "blocking"].map(|feature| format!("jotgate-verify --features {feature}"));
    let libraries = ["jotgate-jose", "jotgate-verify", "jotgate-domain"].map(str::to_owned);
    for library in libraries.iter().chain(&features) {
        let outcome = check.cargo(&format!("check --locked --package {library}"));
        if !matches!(outcome, Outcome::Passed) {
            return outcome;
        }
    }
    Outcome::Passed
}

/// A workspace of its own, whose dependencies nothing else has. Tests without their packages leave themselves out.
fn peers(check: &mut Check) -> Outcome {
    let machine = &check.machine;
    say_missing([
        machine.debian("node", &["nodejs"], "runs the libraries of npm").map(drop),
        machine.npm("e2e/jose", "target/e2e/jose"),
        machine.pip("e2e/jose/requirements.txt", "target/e2e/jose-python"),
    ]);
    let manifest = "crates/jose/differential/Cargo.toml";
    check.cargo(&format!("test --manifest-path {manifest} --target-dir target --locked -- --nocapture"))
}

/// Corpus and ten seconds a target; three minutes with `--long`.
fn fuzz(check: &mut Check) -> Outcome {
    if let Err(missing) = check.machine.debian("c++", &["g++"], "libFuzzer is C++") {
        return Outcome::LeftOut(missing);
    }
    let mut command = Command::new("fuzz/run.sh");
    command.arg(if check.long { "180" } else { "10" });
    check.run(command)
}

fn doctest(check: &mut Check) -> Outcome {
    check.cargo("test --workspace --exclude e2e --features jotgate-verify/full,jotgate/otel --locked --no-fail-fast --doc")
}

fn docs(check: &mut Check) -> Outcome {
    let mut command = Command::new("cargo");
    command.args([
        "doc",
        "--workspace",
        "--features",
        "jotgate-verify/full,jotgate/otel",
        "--locked",
        "--no-deps",
    ]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    check.run(command)
}

fn deny(check: &mut Check) -> Outcome {
    deny_check(check, &["licenses", "bans", "sources"])
}

/// The database of advisories is fetched from the network; a machine that cannot reach it checks the rest.
fn advisories(check: &mut Check) -> Outcome {
    let deny = match check.machine.cargo_tool("cargo-deny") {
        Ok(deny) => deny,
        Err(missing) => return Outcome::LeftOut(missing),
    };
    let mut fetch = Command::new(deny);
    fetch.args(["fetch", "db"]);
    match check.run(fetch) {
        Outcome::Passed => deny_check(check, &["advisories"]),
        _ => Outcome::LeftOut("the database of advisories cannot be fetched here".to_owned()),
    }
}

fn deny_check(check: &mut Check, what: &[&str]) -> Outcome {
    let deny = match check.machine.cargo_tool("cargo-deny") {
        Ok(deny) => deny,
        Err(missing) => return Outcome::LeftOut(missing),
    };
    let mut command = Command::new(deny);
    command.args(["--all-features", "--locked", "check", "--hide-inclusion-graph"]).args(what);
    check.run(command)
}

fn build(check: &mut Check) -> Outcome {
    check.cargo("build --release --locked --package jotgate --bin jotgate")
}

/// Tests that need what cannot be installed leave themselves out, one by one.
fn e2e(check: &mut Check) -> Outcome {
    let machine = &check.machine;
    say_missing([
        machine.debian("chromium", &["chromium"], "a real browser for the pages").map(drop),
        machine.debian("node", &["nodejs"], "drives the browser, and verifies tokens").map(drop),
        machine.npm("e2e/browser", "target/e2e/browser"),
        machine.npm("e2e/jose", "target/e2e/jose"),
        machine.npm("e2e/oauth", "target/e2e/oauth"),
        machine.pip("e2e/oauth/requirements.txt", "target/e2e/oauth-python"),
        machine.npm(&format!("{EXAMPLES}/node"), "target/e2e/resource-servers/node"),
        machine.pip(&format!("{EXAMPLES}/python/requirements.txt"), "target/e2e/resource-servers/python"),
        machine.go(&format!("{EXAMPLES}/go"), "target/e2e/resource-servers/go"),
        machine.maven(&format!("{EXAMPLES}/java"), "target/e2e/maven"),
        machine.npm("e2e/webhooks", "target/e2e/webhooks"),
        machine.pip("e2e/webhooks/requirements.txt", "target/e2e/webhooks-python"),
        machine.npm("e2e/upstream", "target/e2e/upstream"),
        machine.postgres(),
        machine.server("nginx", "nginx"),
        machine.server("caddy", "caddy"),
        machine.server("haproxy", "haproxy"),
        machine.go_programs("e2e/proxies/build.sh", &["caddy", "traefik"]),
    ]);
    test_release(check, &["--lib", "--test", "end_to_end"])
}

/// One short round of each part: that it runs, not how fast. The instructions are the same on a busy machine, too.
fn bench(check: &mut Check) -> Outcome {
    if let Err(missing) = check.machine.valgrind() {
        return Outcome::LeftOut(missing);
    }
    say_missing([check.machine.postgres()]);
    let outcome = check.cargo(BUILD);
    if !matches!(outcome, Outcome::Passed) {
        return outcome;
    }
    for arguments in ["--quick", "instructions"] {
        let mut command = Command::new("target/release/bench-server");
        command.arg(arguments);
        let outcome = check.run(command);
        if !matches!(outcome, Outcome::Passed) {
            return outcome;
        }
    }
    Outcome::Passed
}

/// What is missing leaves its tests out, one by one.
fn packaging(check: &mut Check) -> Outcome {
    let machine = &check.machine;
    let systemd = "boots the machine on which the package is installed";
    say_missing([
        machine.cargo_tool("cargo-deb").map(drop),
        machine.debian("dpkg-shlibdeps", &["dpkg-dev"], "finds what the package depends on").map(drop),
        machine.debian("lintian", &["lintian"], "checks the package").map(drop),
        machine.debian("systemd-nspawn", &["systemd-container"], systemd).map(drop),
        machine.debian("curl", &["curl"], "asks the installed server").map(drop),
        machine.debian_root(),
        machine.pip("e2e/containers/requirements.txt", "target/e2e/containers"),
    ]);
    test_release(check, &["--test", "packaging"])
}

fn documents(check: &mut Check) -> Outcome {
    for program in ["curl", "jq", "openssl"] {
        if let Err(missing) = check.machine.debian(program, &[program], "the documents use it") {
            return Outcome::LeftOut(missing);
        }
    }
    test_release(check, &["--test", "documents"])
}

/// Tests of the package `e2e` over the binary that users get: password hashing, time limits and memory are its own.
fn test_release(check: &mut Check, targets: &[&str]) -> Outcome {
    let mut command = check.cargo_command();
    command.args(["test", "--package", "e2e", "--locked", "--no-fail-fast"]).args(targets);
    command.env("JOTGATE_BIN", "target/release/jotgate");
    check.run(command)
}

/// What is missing is said here; the tests that need it say one by one that they are left out.
fn say_missing<const N: usize>(found: [Result<(), String>; N]) {
    for missing in found.into_iter().filter_map(Result::err) {
        println!("xtask: {missing}");
    }
}

const fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
