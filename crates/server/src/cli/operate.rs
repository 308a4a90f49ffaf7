//! Opening the installation for an operator's command, and what operators are shown of its records.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use jotgate_domain::{Session, Timestamp, User};
use serde::Serialize;
use serde_json::Value;

use super::error::{Failure, failed};
use super::output::{clean, rfc3339};
use super::settings::Settings;
use crate::app::{Operator, OperatorError};
use crate::edge::Edge;

/// Runs a use case on the installation that `settings` name; `create`: one that is not there yet is made.
pub(super) fn run<T>(
    settings: &Settings,
    create: bool,
    work: impl AsyncFnOnce(&Operator) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = settings.load()?.config;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    runtime.block_on(async {
        let operator = Operator::open(config, Edge::system(), create).await.map_err(failed)?;
        work(&operator).await
    })
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Username(..)
            | OperatorError::Email(..)
            | OperatorError::Role(_)
            | OperatorError::Client(_) => Self::Usage(error.to_string()),
            OperatorError::Account(why) if why.code() == "invalid_claim" => Self::Usage(error.to_string()),
            _ => failed(error),
        }
    }
}

/// A user as printed by `--json`: what the HTTP API shows, and what only operators see.
#[derive(Debug, Serialize)]
pub(super) struct UserJson<'a> {
    id: String,
    username: &'a str,
    email: Option<&'a str>,
    email_verified: bool,
    roles: Vec<&'a str>,
    claims: &'a std::collections::BTreeMap<String, Value>,
    has_password: bool,
    password_changed_at: Option<String>,
    created_at: String,
    disabled_at: Option<String>,
}

impl<'a> From<&'a User> for UserJson<'a> {
    fn from(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            username: user.username.as_str(),
            email: user.email.as_ref().map(|email| email.as_str()),
            email_verified: user.verified_email().is_some(),
            roles: user.roles.iter().map(|role| role.as_str()).collect(),
            claims: &user.claims,
            has_password: user.password_hash.is_some(),
            password_changed_at: user.password_changed_at.map(rfc3339),
            created_at: rfc3339(user.created_at),
            disabled_at: user.disabled_at.map(rfc3339),
        }
    }
}

/// A session as printed by `--json`.
#[derive(Debug, Serialize)]
pub(super) struct SessionJson<'a> {
    id: String,
    user_id: String,
    username: Option<&'a str>,
    client_id: &'a str,
    scope: &'a str,
    created_at: String,
    authenticated_at: String,
    last_used_at: String,
    expires_at: String,
    address: &'a str,
    user_agent: &'a str,
}

impl<'a> SessionJson<'a> {
    pub(super) fn of(session: &'a Session, username: Option<&'a str>) -> Self {
        Self {
            id: session.id.to_string(),
            user_id: session.user_id.to_string(),
            username,
            client_id: &session.client_id,
            scope: &session.scope,
            created_at: rfc3339(session.created_at),
            authenticated_at: rfc3339(session.authenticated_at),
            last_used_at: rfc3339(session.last_used_at),
            expires_at: rfc3339(ends_at(session)),
            address: &session.address,
            user_agent: &session.user_agent,
        }
    }
}

/// When the session ends if nobody uses it.
pub(super) fn ends_at(session: &Session) -> Timestamp {
    session.idle_until.min(session.expires_at)
}

/// Asks whether what has this name may be deleted; without anybody to ask, that is wrong usage.
pub(super) fn confirm_deletion(name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask on: say --yes".to_owned()));
    }
    let mut err = std::io::stderr().lock();
    let _ = write!(err, "Delete {} for good? Type yes: ", clean(name)).and_then(|()| err.flush());
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer);
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::Failed("nothing was deleted".to_owned())) }
}
