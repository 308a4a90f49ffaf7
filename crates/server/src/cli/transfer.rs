//! `jotgate move`.

use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::error::{Failure, failed, hint, warn};
use super::output;
use super::settings::Settings;
use super::watch::watched;
use crate::app::transfer;
use crate::config::DatabaseUrl;
use crate::edge::Edge;
use crate::store::transfer::Step;

/// Carry everything to another database
///
/// Users and their identities elsewhere, sessions, keys, revocations, throttles, settings and the audit trail, from
/// the configured database to the one of --to, which has to be empty; between SQLite and PostgreSQL in any direction. It happens in one transaction,
/// and what arrived is read back and compared before that ends. Nobody is signed out: cookies, refresh tokens and
/// access tokens hold on, since the master key stays the same.
///
/// Stop the servers first. With --online they may go on, and what they write after this has begun stays behind.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate move --to postgres://jotgate@db.example.com/jotgate
  jotgate move --to-file /run/secrets/database-url
  JOTGATE_DATABASE_URL_FILE=/run/secrets/database-url jotgate move --to sqlite:///var/lib/jotgate/jotgate.db")]
pub(super) struct Move {
    /// Where to: sqlite://PATH or postgres://USER:PASSWORD@HOST/DATABASE
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    to: Option<String>,
    /// The same in a file: a password on the command line can be seen by others on this machine
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    to_file: Option<PathBuf>,
    /// Go on although servers use the source
    #[arg(long)]
    online: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct MovedJson {
    rows: u64,
    milliseconds: u64,
    tables: Vec<TableJson>,
}

#[derive(Serialize)]
struct TableJson {
    table: &'static str,
    rows: u64,
    sha256: String,
}

impl Move {
    pub(super) fn run(self) -> Result<(), Failure> {
        let to = self.target()?;
        let config = self.settings.load()?.config;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (begun, now) = (Instant::now(), Edge::system().now());
        let moved = watched("carried over and compared", |progress| {
            let show = |step: Step| progress.at(step.done, step.total);
            runtime.block_on(transfer::move_to(&config, &to, self.online, now, show))
        })
        .map_err(failed)?;
        let rows = moved.tables.iter().map(|(_, rows, _)| rows).sum();
        let took = begun.elapsed();
        if self.json {
            let tables = moved.tables.iter().map(|(table, rows, digest)| TableJson {
                table,
                rows: *rows,
                sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            });
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            return output::json(&MovedJson { rows, milliseconds, tables: tables.collect() });
        }
        for (table, rows, _) in &moved.tables {
            output::say(format!("{rows:>10}  {table}"))?;
        }
        output::say(format!("{rows:>10}  rows carried over and compared, in {:.1} s", took.as_secs_f64()))?;
        hint("set database_url to the new database, keep master.key as it is, and start the servers");
        Ok(())
    }

    fn target(&self) -> Result<DatabaseUrl, Failure> {
        let text = match (&self.to, &self.to_file) {
            (Some(url), _) => {
                if url.split_once("://").is_some_and(|(_, rest)| {
                    rest.split('@').next().is_some_and(|user| rest.contains('@') && user.contains(':'))
                }) {
                    warn("others on this machine can see this password: --to-file takes the URL from a file");
                }
                url.clone()
            }
            (None, Some(path)) => std::fs::read_to_string(path)
                .map_err(|error| failed(format!("cannot read {}: {error}", path.display())))?
                .trim()
                .to_owned(),
            // Clap asks for one of them.
            (None, None) => String::new(),
        };
        text.parse().map_err(|expected| Failure::Usage(format!("--to takes {expected}")))
    }
}
