//! `jotgate migrate`.

use clap::Args;
use serde::Serialize;

use super::error::{Failure, failed};
use super::output;
use super::settings::Settings;
use crate::app;
use crate::edge::Edge;

/// Bring the database up to this program's schema
///
/// A server does that by itself when it starts; this does it beforehand. Migrations only add, so the version before
/// goes on running meanwhile; each is applied whole or not at all, by one process while others wait. Make a backup
/// first.
///
/// With --check nothing is changed: exit code 1 where something is to be done.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate migrate --check
  jotgate migrate")]
pub(super) struct Migrate {
    /// Say what is to be done, and do nothing
    #[arg(long)]
    check: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct Report<'a> {
    applied: &'a [&'static str],
    pending: &'a [&'static str],
}

impl Migrate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        runtime.block_on(async {
            let found = app::pending_migrations(&config).await.map_err(failed)?;
            let Some(pending) = found else {
                return Err(failed(
                    "there is no database yet: `jotgate serve` makes one. Or name the installation that you mean \
                     with --data-dir or --config",
                ));
            };
            if !self.check && !pending.is_empty() {
                app::migrate(&config, &Edge::system()).await.map_err(failed)?;
            }
            let (applied, left) =
                if self.check { (&[][..], &pending[..]) } else { (&pending[..], &[][..]) };
            if self.json {
                output::json(&Report { applied, pending: left })?;
            } else if pending.is_empty() {
                output::say("The database is up to date.")?;
            } else {
                let word = if self.check { "pending" } else { "applied" };
                for name in &pending {
                    output::say(format!("{word}: {name}"))?;
                }
            }
            if left.is_empty() { Ok(()) } else { Err(Failure::Silent) }
        })
    }
}
