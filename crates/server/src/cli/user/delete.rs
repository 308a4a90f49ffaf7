//! `jotgate user delete`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Delete a user and all that is theirs; every session ends
///
/// The name is free again afterwards; the id is never used again. The audit trail keeps what happened.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user delete ada
  jotgate user delete ada --yes")]
pub(in crate::cli) struct Delete {
    /// User name, e-mail address or user id
    user: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Delete {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let user = operator.user(&self.user).await?;
            if !self.yes {
                operate::confirm_deletion(user.username.as_str())?;
            }
            // By id: between the question and now the name may have gone to somebody else.
            let done = operator.delete(&user.id.to_string()).await?;
            super::tell(&done, self.json, "is deleted", "")
        })
    }
}
