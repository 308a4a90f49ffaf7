//! `jotgate webhook dead`.

use clap::Args;
use jotgate_domain::webhook::Delivery;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::cli::error::{Failure, failed};
use crate::cli::operate;
use crate::cli::output::{self, relative, rfc3339};
use crate::cli::settings::Settings;
use crate::cli::table::Table;

/// List dead letters, the newest first: messages that were not taken at the last try
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate webhook dead
  jotgate webhook dead orders --json")]
pub(in crate::cli) struct Dead {
    /// Only those of this webhook
    name: Option<String>,
    /// Most dead letters to print
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10000))]
    limit: u32,
    /// Print JSON, with the whole of each message
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct DeliveryJson<'a> {
    id: &'a str,
    webhook: &'a str,
    r#type: &'a str,
    tries: u32,
    dead_at: Option<String>,
    problem: &'a str,
    body: Box<RawValue>,
}

impl Dead {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let dead = operator.dead_letters(self.name.as_deref(), self.limit).await?;
            if self.json {
                let all = dead.iter().map(json).collect::<Result<Vec<_>, _>>().map_err(failed)?;
                return output::json(&all);
            }
            if dead.is_empty() {
                return output::say("There are no dead letters.");
            }
            let mut table = Table::new(&["ID", "TYPE", "TRIES", "GIVEN UP", "PROBLEM"]);
            for delivery in &dead {
                table.row([
                    (&delivery.id).into(),
                    (&delivery.kind).into(),
                    delivery.tries.to_string().into(),
                    delivery.dead_at.map_or_else(String::new, |at| relative(at, operator.now())).into(),
                    (&delivery.problem).into(),
                ]);
            }
            output::print(&table.render())
        })
    }
}

fn json(delivery: &Delivery) -> serde_json::Result<DeliveryJson<'_>> {
    Ok(DeliveryJson {
        id: &delivery.id,
        webhook: &delivery.webhook,
        r#type: &delivery.kind,
        tries: delivery.tries,
        dead_at: delivery.dead_at.map(rfc3339),
        problem: &delivery.problem,
        body: RawValue::from_string(delivery.body.clone())?,
    })
}
