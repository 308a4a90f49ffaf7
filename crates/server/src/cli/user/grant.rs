//! `jotgate user grant`.

use clap::Args;

use crate::app::Done;
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
        operate::run(&self.settings, false, async |operator| {
            let mut changed = false;
            let mut last = None;
            for role in &self.roles {
                let done = operator.grant(&self.user, role).await?;
                changed |= done.changed;
                last = Some(done);
            }
            let Some(done) = last else { return Ok(()) };
            let roles: Vec<&str> = done.user.roles.iter().map(|role| role.as_str()).collect();
            let now = match roles.as_slice() {
                [] => "has no roles left".to_owned(),
                roles => format!("has these roles now: {}", roles.join(", ")),
            };
            super::tell(&Done { changed, ..done }, self.json, &now, "has these roles already")
        })
    }
}
