//! `jotgate token`: looking at access tokens and verifying them, without a server and without a database.

mod inspect;
mod verify;

use clap::Subcommand;

use super::error::Failure;

/// Look at a token, or verify tokens with published keys
#[derive(Debug, Subcommand)]
pub(super) enum Token {
    Inspect(inspect::Inspect),
    Verify(verify::Verify),
}

impl Token {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Inspect(command) => command.run(),
            Self::Verify(command) => command.run(),
        }
    }
}

/// Where nothing says otherwise the token comes from standard input; a person at a terminal is told.
fn from_standard_input(token: Option<String>) -> Option<String> {
    use std::io::IsTerminal as _;
    let token = token.filter(|token| token != "-");
    if token.is_none() && std::io::stdin().is_terminal() {
        super::error::hint("paste a token, then press Enter and Ctrl-D");
    }
    token
}
