//! `jotgate key list`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// List the signing keys, newest first
///
/// standby: published, so that everyone has it when it begins to sign. signing: signs what is issued now. retired:
/// signs no more; what it signed is accepted until it expires. gone: out of the JWK Set.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate key list
  jotgate key list --json")]
pub(in crate::cli) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| super::print(operator, self.json).await)
    }
}
