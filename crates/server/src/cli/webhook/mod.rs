//! `jotgate webhook`: who is told what happens, and what they have not taken.

mod dead;
mod enable;
mod list;
mod retry;
mod test;

use clap::Subcommand;

use super::error::Failure;

/// See webhooks and their dead letters, send again, try one out
#[derive(Debug, Subcommand)]
pub(super) enum Webhook {
    List(list::List),
    Dead(dead::Dead),
    Retry(retry::Retry),
    Enable(enable::Enable),
    Test(test::Test),
}

impl Webhook {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
            Self::Dead(command) => command.run(),
            Self::Retry(command) => command.run(),
            Self::Enable(command) => command.run(),
            Self::Test(command) => command.run(),
        }
    }
}
