//! What was asked on the command line.

use crate::{bench, steps};

pub(crate) const HELP: &str = "\
cargo xtask test [OPTIONS]    run the checks that a change must pass
cargo xtask bench [OPTIONS]   measure the release; write bench/results and the figures of docs/performance.md

Options of test:

  --quick        formatting, clippy, unit and integration tests only
  --long         longer fuzzing and longer crash loops
  --only STEP    this step alone (may be repeated)
  --no-install   install nothing; say what is left out instead
  --list         name the steps
  --help         this text

Options of bench:

  --quick        one short round each without the peers, and nothing is written: whether it runs
  --only PART    this part alone, and nothing is written (may be repeated)
  --no-install   install nothing

Tools that a step needs and the machine lacks are installed first: Debian packages by apt-get (as root, or where
sudo asks no password), everything else below target/. What cannot be installed is named, and so are the tests
that are left out for it.
";

pub(crate) enum Task {
    Help,
    List,
    Test(Choice),
    Bench(bench::Choice),
}

/// Which steps to run, and how.
#[derive(Default)]
pub(crate) struct Choice {
    pub quick: bool,
    pub long: bool,
    pub only: Vec<String>,
    pub no_install: bool,
}

pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Task, String> {
    match args.next().as_deref() {
        None | Some("--help" | "-h" | "help") => return Ok(Task::Help),
        Some("test") => {}
        Some("bench") => return parse_bench(args),
        Some(other) => return Err(format!("there is no task `{other}`")),
    }
    let mut choice = Choice::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--list" => return Ok(Task::List),
            "--quick" => choice.quick = true,
            "--long" => choice.long = true,
            "--no-install" => choice.no_install = true,
            "--only" => {
                let name = args.next().ok_or("--only wants the name of a step")?;
                if !steps::ALL.iter().any(|step| step.name == name) {
                    return Err(format!("there is no step `{name}` (see `cargo xtask test --list`)"));
                }
                choice.only.push(name);
            }
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    if choice.quick && choice.long {
        return Err("--quick and --long exclude each other".to_owned());
    }
    Ok(Task::Test(choice))
}

fn parse_bench(mut args: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut choice = bench::Choice::default();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--help" | "-h" => return Ok(Task::Help),
            "--quick" => choice.quick = true,
            "--no-install" => choice.no_install = true,
            "--only" => choice.only.push(args.next().ok_or("--only wants the name of a part")?),
            other => return Err(format!("there is no option `{other}`")),
        }
    }
    Ok(Task::Bench(choice))
}
