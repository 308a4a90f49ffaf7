//! `jotgate key rotate`.

use clap::Args;

use crate::cli::error::{Failure, warn};
use crate::cli::operate;
use crate::cli::settings::Settings;

/// Let the standby key take over, and make a new standby
///
/// The standby signs as soon as it has been published for jwks.max_age, usually at once; no token is refused for
/// it and no server has to restart. Keys also rotate by themselves (key.rotation). Needs the configuration of the
/// server: jwks.max_age, token.access_ttl and token.algorithm count. Prints the keys as `key list` does.
///
/// With --emergency, for a key that somebody else may have: it leaves the JWK Set and every token that it signed is
/// refused at once, here and (within a second) by every resource server that follows the feed; one that only fetches
/// the JWK Set refuses them after jwks.max_age. Nobody is signed out: clients renew with their refresh tokens.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate key rotate
  jotgate key rotate --config /etc/jotgate/jotgate.toml
  jotgate key rotate --emergency
  jotgate key rotate --emergency m2Xe…Qk")]
pub(in crate::cli) struct Rotate {
    /// Refuse all tokens of a key that can no longer be trusted
    #[arg(long)]
    emergency: bool,
    /// With --emergency: which key (`jotgate key list`); without it the one that signs
    #[arg(requires = "emergency")]
    kid: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            if self.emergency {
                let bad = operator.rotate_keys_in_an_emergency(self.kid.as_deref()).await?;
                warn(format_args!(
                    "tokens signed with {bad} are refused from now on; clients renew by themselves"
                ));
            } else {
                operator.rotate_keys().await?;
            }
            super::print(operator, self.json).await
        })
    }
}
