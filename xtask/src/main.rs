//! The project's own commands: `cargo xtask test` runs every check that a change must pass, here and in CI;
//! `cargo xtask bench` measures.
//!
//! A file a concern: `args` what was asked, `steps` the table of checks, `tools` what they need and how it is
//! installed, `process` running a command with a time limit, `report` counting and the final table.

mod args;
mod bench;
mod process;
mod report;
mod steps;
mod tools;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Cargo says where xtask lies; every path in here is relative to the folder above.
    if let Some(folder) = std::env::var_os("CARGO_MANIFEST_DIR")
        && let Err(error) = std::env::set_current_dir(Path::new(&folder).join(".."))
    {
        eprintln!("xtask: {}: {error}", folder.display());
        return ExitCode::FAILURE;
    }
    match args::parse(std::env::args().skip(1)) {
        Ok(args::Task::Help) => {
            print!("{}", args::HELP);
            ExitCode::SUCCESS
        }
        Ok(args::Task::List) => {
            for step in steps::ALL {
                println!("{:<12} {}", step.name, step.about);
            }
            ExitCode::SUCCESS
        }
        Ok(args::Task::Test(choice)) => {
            if steps::run(&choice) {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(args::Task::Bench(choice)) => bench::run(&choice),
        Err(problem) => {
            eprintln!("xtask: {problem}\n\n{}", args::HELP);
            ExitCode::from(2)
        }
    }
}
