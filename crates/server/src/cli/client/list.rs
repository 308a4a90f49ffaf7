//! `jotgate client list`.

use clap::Args;
use jotgate_domain::Client;
use serde::Serialize;

use super::{ClientJson, kind};
use crate::cli::error::Failure;
use crate::cli::operate;
use crate::cli::output::{self, instant, paint};
use crate::cli::settings::Settings;
use crate::cli::table::Table;

/// Rows that are read at once.
const PAGE: u32 = 1000;

/// List the clients in order of their ids
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate client list
  jotgate client list --json | jq -r '.clients[].client_id'")]
pub(in crate::cli) struct List {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct All<'a> {
    clients: Vec<ClientJson<'a>>,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        operate::run(&self.settings, false, async |operator| {
            let mut clients: Vec<Client> = Vec::new();
            loop {
                let after = clients.last().map(|client| client.id.clone());
                let mut page = operator.clients(after, PAGE).await?;
                let more = page.len() == PAGE as usize;
                clients.append(&mut page);
                if !more {
                    break;
                }
            }
            if self.json {
                return output::json(&All { clients: clients.iter().map(ClientJson::from).collect() });
            }
            if clients.is_empty() {
                return output::say(format!(
                    "There are no clients yet. Add one: {}",
                    paint(anstyle::Style::new().bold(), "jotgate client add NAME")
                ));
            }
            let mut table = Table::new(&["CLIENT ID", "NAME", "KIND", "AUDIENCES", "CREATED"]);
            for client in &clients {
                table.row([
                    client.id.as_str().into(),
                    client.name.as_str().into(),
                    kind(client).into(),
                    client.audiences.join(",").into(),
                    instant(client.created_at).into(),
                ]);
            }
            output::print(&table.render())
        })
    }
}
