//! `jotgate webhook list`.

use clap::Args;
use serde::Serialize;

use crate::app::WebhookState;
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, BAD, GOOD, relative, rfc3339};
use crate::cli::settings::Settings;
use crate::cli::table::{Cell, Table};

/// List the configured webhooks, and what waits for each; former ones too, while there are messages for them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate webhook list
  jotgate webhook list --json")]
pub(in crate::cli) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct WebhookJson<'a> {
    name: &'a str,
    configured: bool,
    origin: &'a str,
    events: &'a [String],
    pending: u64,
    dead: u64,
    gone_at: Option<String>,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let webhooks = operator.webhooks().await?;
            if self.json {
                return output::json(&webhooks.iter().map(json).collect::<Vec<_>>());
            }
            if webhooks.is_empty() {
                return output::say(
                    "No webhook is configured: see webhooks.NAME.url in docs/configuration.md.",
                );
            }
            let mut table = Table::new(&["WEBHOOK", "AT", "EVENTS", "WAITING", "DEAD", "STATE"]);
            for webhook in &webhooks {
                let state = match webhook.gone_at {
                    _ if !webhook.configured => Cell::styled(BAD, "not configured"),
                    Some(at) => Cell::styled(BAD, &format!("gone {}", relative(at, operator.now()))),
                    None => Cell::styled(GOOD, "on"),
                };
                table.row([
                    (&webhook.name).into(),
                    (&webhook.origin).into(),
                    webhook.events.join(", ").into(),
                    webhook.pending.to_string().into(),
                    webhook.dead.to_string().into(),
                    state,
                ]);
            }
            output::print(&table.render())
        })
    }
}

fn json(webhook: &WebhookState) -> WebhookJson<'_> {
    WebhookJson {
        name: &webhook.name,
        configured: webhook.configured,
        origin: &webhook.origin,
        events: &webhook.events,
        pending: webhook.pending,
        dead: webhook.dead,
        gone_at: webhook.gone_at.map(rfc3339),
    }
}
