//! `jotgate user grant` and `jotgate user revoke`.

use clap::Args;

use crate::app::{Done, Operator, OperatorError};
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Grant roles to a user
///
/// Tokens say it from their next refresh on. What would make the access cookie larger than browsers keep is refused.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user grant ada admin editor")]
pub(in crate::cli) struct Grant {
    #[command(flatten)]
    of: RolesOf,
}

/// Take roles away from a user, at once
///
/// The tokens that still say otherwise are revoked; the sessions go on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user revoke ada admin")]
pub(in crate::cli) struct Revoke {
    #[command(flatten)]
    of: RolesOf,
}

#[derive(Debug, Args)]
struct RolesOf {
    /// User name, e-mail address or user id
    user: String,
    /// Role
    #[arg(required = true)]
    roles: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Grant {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.of.change("now", "has these roles already", async |operator, user, role| {
            operator.grant(user, role).await
        })
    }
}

impl Revoke {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.of.change("left", "has none of these roles", async |operator, user, role| {
            operator.revoke(user, role).await
        })
    }
}

impl RolesOf {
    /// `change` for one role after the other, then what there is `now`, or that they are `unchanged`.
    fn change(
        self,
        now: &str,
        unchanged: &str,
        change: impl AsyncFn(&Operator, &str, &str) -> Result<Done, OperatorError>,
    ) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let mut changed = false;
            let mut last = None;
            for role in &self.roles {
                let done = change(operator, &self.user, role).await?;
                changed |= done.changed;
                last = Some(done);
            }
            let Some(done) = last else { return Ok(()) };
            let roles: Vec<&str> = done.user.roles.iter().map(|role| role.as_str()).collect();
            let has = match roles.as_slice() {
                [] => "has no roles left".to_owned(),
                roles => format!("has these roles {now}: {}", roles.join(", ")),
            };
            super::tell(&Done { changed, ..done }, self.json, &has, unchanged)
        })
    }
}
