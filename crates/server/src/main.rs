//! The `jotgate` program; see `jotgate --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    jotgate::cli::main()
}
