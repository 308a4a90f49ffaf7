//! `jotgate client`: OAuth clients, on the same database as a server that runs.

mod add;
mod delete;
mod list;
mod show;

use clap::Subcommand;
use jotgate_domain::Client as Row;
use serde::Serialize;

use super::error::Failure;
use super::output::rfc3339;

/// Manage OAuth clients, also while a server runs
///
/// A client is a program that asks this server about tokens (POST /oauth/introspect) or ends them (POST
/// /oauth/revoke). A server that runs follows at once. CLIENT is a client's id.
#[derive(Debug, Subcommand)]
pub(super) enum Client {
    Add(add::Add),
    List(list::List),
    Show(show::Show),
    Delete(delete::Delete),
}

impl Client {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::Delete(command) => command.run(),
        }
    }
}

/// A client as printed by `--json`. Of its secret there is nothing to print.
#[derive(Debug, Serialize)]
struct ClientJson<'a> {
    client_id: &'a str,
    name: &'a str,
    public: bool,
    audiences: &'a [String],
    created_at: String,
}

impl<'a> From<&'a Row> for ClientJson<'a> {
    fn from(client: &'a Row) -> Self {
        Self {
            client_id: client.id.as_str(),
            name: &client.name,
            public: client.is_public(),
            audiences: &client.audiences,
            created_at: rfc3339(client.created_at),
        }
    }
}

fn kind(client: &Row) -> &'static str {
    if client.is_public() { "public" } else { "confidential" }
}
