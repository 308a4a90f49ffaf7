//! `cargo xtask bench`: everything that is measured, in one command.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use crate::process::{self, Ended};
use crate::tools::{self, Machine};

/// The whole run takes some half an hour on two cores.
const LIMIT: Duration = Duration::from_secs(3 * 3600);
const RESULTS: &str = "bench/results";
const DOCUMENT: &str = "docs/performance.md";
/// In the document, what stands between these is written by this command.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// What was asked for.
#[derive(Default)]
pub(crate) struct Choice {
    pub quick: bool,
    pub only: Vec<String>,
    pub no_install: bool,
}

/// Builds the release, measures, and writes the results and the document. A part alone changes no document.
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
    run_to_the_end(bench)?;
    if whole { write_document() } else { Ok(()) }
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

fn write_document() -> Result<(), String> {
    let read =
        |path: &Path| std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()));
    let results = read(&Path::new(RESULTS).join("results.md"))?;
    let document = read(Path::new(DOCUMENT))?;
    let marks = document.split_once(BEGIN).and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let (before, after) = marks.ok_or_else(|| format!("{DOCUMENT} has no place for what was measured"))?;
    let written = format!("{before}{BEGIN}\n{}\n{END}{after}", results.trim());
    std::fs::write(DOCUMENT, written).map_err(|error| format!("{DOCUMENT}: {error}"))
}
