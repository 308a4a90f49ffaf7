//! `cargo xtask bench`: everything that is measured, in one command.

use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::process::{self, Ended};
use crate::tools::{self, Machine};

/// The whole run takes some half an hour on two cores.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
const RESULTS: &str = "bench/results";

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
    for missing in
        [machine.postgres(), machine.debian("valgrind", &["valgrind"], "counts instructions").map(drop)]
    {
        missing.unwrap_or_else(|missing| println!("xtask: {missing}"));
    }
    cargo(&["build", "--release", "--locked", "--package", "jotgate", "--bin", "jotgate"])?;
    cargo(&["build", "--release", "--locked", "--package", "bench-server"])?;
    let mut bench = Command::new("target/release/bench-server");
    for part in &choice.only {
        bench.args(["--only", part]);
    }
    let whole = choice.only.is_empty() && !choice.quick;
    if choice.quick {
        bench.arg("--quick");
    }
    if whole {
        bench.args(["--out", RESULTS]);
    }
    run_to_the_end(bench)
}

fn cargo(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("cargo");
    command.args(arguments);
    run_to_the_end(command)
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
