//! `jotgate user`: the accounts, on the same database as a server that runs.

mod add;
mod claim;
mod delete;
mod disable;
mod enable;
mod import;
mod list;
mod roles;
mod set_password;
mod show;

use clap::Subcommand;
use serde::Serialize;

use super::error::Failure;
use super::operate::UserJson;
use super::output::{self, clean};
use crate::app::Done;

/// Manage users, also while a server runs
///
/// The commands work on the database directly, with the configuration that the server has (--config, environment).
/// A server that runs follows at once. USER is a user name, an e-mail address or a user id.
#[derive(Debug, Subcommand)]
pub(super) enum User {
    Add(add::Add),
    List(list::List),
    Show(show::Show),
    SetPassword(set_password::SetPassword),
    SetClaim(claim::SetClaim),
    Disable(disable::Disable),
    Enable(enable::Enable),
    Delete(delete::Delete),
    Grant(roles::Grant),
    Revoke(roles::Revoke),
    Import(import::Import),
}

impl User {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(command) => command.run(),
            Self::List(command) => command.run(),
            Self::Show(command) => command.run(),
            Self::SetPassword(command) => command.run(),
            Self::SetClaim(command) => command.run(),
            Self::Disable(command) => command.run(),
            Self::Enable(command) => command.run(),
            Self::Delete(command) => command.run(),
            Self::Grant(command) => command.run(),
            Self::Revoke(command) => command.run(),
            Self::Import(command) => command.run(),
        }
    }
}

#[derive(Serialize)]
struct DoneJson<'a> {
    user: UserJson<'a>,
    changed: bool,
    sessions_ended: u32,
}

/// Tells what an edit did: `changed` as the rest of a sentence that begins with the user's name, or `unchanged`.
fn tell(done: &Done, json: bool, changed: &str, unchanged: &str) -> Result<(), Failure> {
    if json {
        return output::json(&DoneJson {
            user: UserJson::from(&done.user),
            changed: done.changed,
            sessions_ended: done.ended,
        });
    }
    let ended = match done.ended {
        0 => String::new(),
        1 => " 1 session ended.".to_owned(),
        n => format!(" {n} sessions ended."),
    };
    let what = if done.changed { changed } else { unchanged };
    output::say(format!("{} {what}.{ended}", clean(done.user.username.as_str())))
}
