//! `jotgate webhook retry`.

use clap::Args;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output;
use crate::cli::settings::Settings;

/// Send dead letters again, from the first try on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate webhook retry orders-812-1795348800000
  jotgate webhook retry --all
  jotgate webhook retry --all --webhook orders")]
pub(in crate::cli) struct Retry {
    /// Id of the message (`jotgate webhook dead`); one that waits is sent at once
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    id: Option<String>,
    /// Every dead letter
    #[arg(long)]
    all: bool,
    /// With --all: only those of this webhook
    #[arg(long, value_name = "NAME", requires = "all")]
    webhook: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Retried {
    retried: u64,
}

impl Retry {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let retried = match &self.id {
                Some(id) => operator.retry_delivery(id).await.map(|_| 1)?,
                None => operator.retry_dead(self.webhook.as_deref()).await?,
            };
            if self.json {
                return output::json(&Retried { retried });
            }
            output::say(match retried {
                0 => "There are no dead letters.".to_owned(),
                1 => "1 message is sent again by the running server.".to_owned(),
                n => format!("{n} messages are sent again by the running server."),
            })
        })
    }
}
