//! `jotgate user disable`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Disable a user: no login, and every session ends
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user disable ada
  jotgate user disable ada@example.com")]
pub(in crate::cli) struct Disable {
    /// User name, e-mail address or user id
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Disable {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let done = operator.disable(&self.user).await?;
            super::tell(&done, self.json, "is disabled", "is disabled already")
        })
    }
}
