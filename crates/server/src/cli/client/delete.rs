//! `jotgate client delete`.

use clap::Args;
use serde::Serialize;

use super::ClientJson;
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, clean};
use crate::cli::settings::Settings;

/// Delete a client; sessions that were granted to it end
///
/// Its secret is worth nothing from then on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate client delete phone
  jotgate client delete phone --yes")]
pub(in crate::cli) struct Delete {
    /// Its id
    client: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Deleted<'a> {
    client: ClientJson<'a>,
    sessions_ended: u32,
}

impl Delete {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let client = operator.client(&self.client).await?;
            if !self.yes {
                operate::confirm_deletion(&format!("{} ({})", client.name, client.id))?;
            }
            let (client, ended) = operator.delete_client(client.id.as_str()).await?;
            if self.json {
                let client = ClientJson::from(&client);
                return output::json(&Deleted { client, sessions_ended: ended });
            }
            let ended = match ended {
                0 => String::new(),
                1 => " 1 session ended.".to_owned(),
                n => format!(" {n} sessions ended."),
            };
            output::say(format!("{} ({}) is deleted.{ended}", clean(&client.name), client.id))
        })
    }
}
