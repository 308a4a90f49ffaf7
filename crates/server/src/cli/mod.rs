//! The `jotgate` program: one file a command, thin over the use cases in `app`.

mod audit;
mod backup;
mod client;
mod completions;
mod config;
mod demo;
mod doctor;
mod error;
mod fetch;
mod key;
mod migrate;
mod openapi;
mod operate;
mod output;
mod password;
mod progress;
mod serve;
mod session;
mod settings;
mod table;
mod token;
mod transfer;
mod user;
mod watch;
mod webhook;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Styles};
use clap::{CommandFactory as _, Parser, Subcommand};

use error::Failure;

/// Self-hosted authentication server: login, JWTs that any server verifies offline, and revocation that they see
/// within a second.
#[derive(Debug, Parser)]
#[command(
    name = "jotgate",
    bin_name = "jotgate",
    version,
    styles = STYLES,
    max_term_width = 100,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Start with:
  jotgate demo           a tour of ten seconds, of which nothing stays
  jotgate serve          http://127.0.0.1:8080, everything else made in ./jotgate-data

Exit codes: 0 done, 1 failed, 2 wrong usage.
Commands that print data take --json. NO_COLOR turns colours off."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Demo(demo::Demo),
    #[command(subcommand)]
    User(user::User),
    #[command(subcommand)]
    Client(client::Client),
    #[command(subcommand)]
    Session(session::Session),
    #[command(subcommand)]
    Key(key::Key),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    Doctor(doctor::Doctor),
    Migrate(migrate::Migrate),
    Backup(backup::Backup),
    Restore(backup::Restore),
    #[command(subcommand)]
    Token(token::Token),
    #[command(subcommand)]
    Config(config::Config),
    #[command(name = "openapi")]
    OpenApi(openapi::OpenApi),
    Move(transfer::Move),
    Completions(completions::Completions),
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Runs the program on this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output; a pipe that closed early is nobody's mistake.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { error::USAGE } else { error::DONE });
        }
    };
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Serve(command) => command.run(),
            Self::Demo(command) => command.run(),
            Self::User(command) => command.run(),
            Self::Client(command) => command.run(),
            Self::Session(command) => command.run(),
            Self::Key(command) => command.run(),
            Self::Audit(command) => command.run(),
            Self::Webhook(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Migrate(command) => command.run(),
            Self::Backup(command) => command.run(),
            Self::Restore(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::OpenApi(command) => command.run(),
            Self::Move(command) => command.run(),
            Self::Completions(command) => command.run(Cli::command()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_holds_together() {
        Cli::command().debug_assert();
    }
}
