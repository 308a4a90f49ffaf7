//! `jotgate key export`.

use clap::Args;

use crate::cli::error::{Failure, warn};
use crate::cli::operate;
use crate::cli::output;
use crate::cli::settings::Settings;

/// Print the secret of a symmetric key (HS256) as a JWK, for a resource server
///
/// Whoever has it can make tokens as well as verify them. With any other algorithm there is nothing to export:
/// resource servers verify with the public keys at /.well-known/jwks.json.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate key export m2Xe…Qk > jotgate-secret.jwk
  jotgate token verify --jwks jotgate-secret.jwk < tokens.txt")]
pub(in crate::cli) struct Export {
    /// Id of the key (`jotgate key list`)
    kid: String,
    /// Accepted for uniformity: the output is always JSON
    #[arg(long, hide = true)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let jwk = operator.export_secret(&self.kid).await?;
            warn("whoever has this secret can make tokens for every user: keep it as you keep passwords");
            output::say(jwk.as_str())
        })
    }
}
