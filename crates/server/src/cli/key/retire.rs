//! `jotgate key retire`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// End a retired key before its time
///
/// A retired key goes by itself when the last token that it signed has expired. This ends it now: it leaves the JWK
/// Set, and what it signed is refused at once, as after `key rotate --emergency`. A key that signs or stands by is not
/// retired like this: rotate first. Prints the keys as `key list` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate key retire m2Xe…Qk")]
pub(in crate::cli) struct Retire {
    /// Id of the key (`jotgate key list`)
    kid: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Retire {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            operator.retire_key(&self.kid).await?;
            super::print(operator, self.json).await
        })
    }
}
