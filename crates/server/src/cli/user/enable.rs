//! `jotgate user enable`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Enable a user again; sessions that ended stay ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate user enable ada
  jotgate user enable ada@example.com")]
pub(in crate::cli) struct Enable {
    /// User name, e-mail address or user id
    user: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Enable {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let done = operator.enable(&self.user).await?;
            super::tell(&done, self.json, "is enabled", "is enabled already")
        })
    }
}
