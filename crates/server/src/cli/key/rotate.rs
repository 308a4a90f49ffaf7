//! `jotgate key rotate`.

use clap::Args;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Let the standby key take over, and make a new standby
///
/// The standby signs as soon as it has been published for jwks.max_age, usually at once; no token is refused for
/// it and no server has to restart. Keys also rotate by themselves (key.rotation). Needs the configuration of the
/// server: jwks.max_age, token.access_ttl and token.algorithm count. Prints the keys as `key list` does.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate key rotate
  jotgate key rotate --config /etc/jotgate/jotgate.toml")]
pub(in crate::cli) struct Rotate {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            operator.rotate_keys().await?;
            super::print(operator, self.json).await
        })
    }
}
