//! `jotgate key`: the signing keys.

mod export;
mod list;
mod retire;
mod rotate;

use clap::Subcommand;
use jotgate_domain::key::{State, StoredKey};
use serde::Serialize;

use super::error::Failure;
use super::output::{GOOD, instant, rfc3339};
use super::table::{Cell, Table};
use crate::app::Operator;

/// List, rotate, retire and export signing keys
#[derive(Debug, Subcommand)]
pub(super) enum Key {
    List(list::List),
    Rotate(rotate::Rotate),
    Retire(retire::Retire),
    Export(export::Export),
}

impl Key {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(command) => command.run(),
            Self::Rotate(command) => command.run(),
            Self::Retire(command) => command.run(),
            Self::Export(command) => command.run(),
        }
    }
}

#[derive(Serialize)]
struct KeyJson<'a> {
    kid: &'a str,
    algorithm: &'a str,
    state: &'static str,
    published_at: String,
    signs_at: Option<String>,
    gone_at: Option<String>,
}

impl<'a> From<&'a (StoredKey, State)> for KeyJson<'a> {
    fn from((key, state): &'a (StoredKey, State)) -> Self {
        Self {
            kid: &key.kid,
            algorithm: &key.algorithm,
            state: state.name(),
            published_at: rfc3339(key.published_at),
            signs_at: key.signs_at.map(rfc3339),
            gone_at: key.gone_at.map(rfc3339),
        }
    }
}

/// Prints all keys.
async fn print(operator: &Operator, json: bool) -> Result<(), Failure> {
    let keys = operator.keys().await?;
    if json {
        return super::output::json(&keys.iter().map(KeyJson::from).collect::<Vec<_>>());
    }
    if keys.is_empty() {
        return super::output::say("There are no keys yet: `jotgate serve` makes them when it first starts.");
    }
    let mut table = Table::new(&["KEY", "ALG", "STATE", "PUBLISHED", "SIGNS FROM", "GONE AT"]);
    for (key, state) in &keys {
        let at = |at: Option<_>| at.map_or_else(String::new, instant);
        table.row([
            key.kid.as_str().into(),
            key.algorithm.as_str().into(),
            if *state == State::Signing { Cell::styled(GOOD, state.name()) } else { state.name().into() },
            instant(key.published_at).into(),
            at(key.signs_at).into(),
            at(key.gone_at).into(),
        ]);
    }
    super::output::print(&table.render())
}
