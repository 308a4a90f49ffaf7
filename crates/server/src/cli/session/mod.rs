//! `jotgate session`: who is signed in where.

mod list;
mod revoke;

use clap::Subcommand;

use super::error::Failure;

/// List sessions, or end them
#[derive(Debug, Subcommand)]
pub(super) enum Session {
    List(list::List),
    Revoke(revoke::Revoke),
}

impl Session {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
            Self::Revoke(command) => command.run(),
        }
    }
}
