//! `jotgate webhook enable`.

use clap::Args;
use serde::Serialize;

use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output;
use crate::cli::settings::Settings;

/// Send again to a receiver that had answered 410 (gone), beginning with what it was not told
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate webhook enable orders")]
pub(in crate::cli) struct Enable {
    /// Name of the webhook
    name: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Enabled<'a> {
    name: &'a str,
    /// False where it was on already.
    changed: bool,
}

impl Enable {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let changed = operator.enable_webhook(&self.name).await?;
            if self.json {
                return output::json(&Enabled { name: &self.name, changed });
            }
            let name = output::clean(&self.name);
            output::say(if changed {
                format!("{name} is on again.")
            } else {
                format!("{name} is on already.")
            })
        })
    }
}
