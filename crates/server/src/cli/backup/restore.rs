//! `jotgate restore`.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;
use zeroize::Zeroizing;

use super::{count, read_key};
use crate::app::backup::{self, Encryption, Prepared, Secret, Undone};
use crate::cli::error::{Failure, failed, warn};
use crate::cli::output::{self, BOLD, paint, rfc3339};
use crate::cli::password;
use crate::cli::settings::Settings;
use crate::cli::watch::watched;
use crate::edge::Edge;

/// Put a backup in the place of the database
///
/// Needs the server to be stopped. The file is checked whole before anything is touched; what is undone is shown and
/// confirmed; the database that is there is kept beside the new one. Killed at any moment, it leaves one of the two.
///
/// Nothing that was revoked since the backup comes back to life: all access tokens from before are refused, new
/// signing keys are made, and clients renew by their refresh tokens, without signing in. Sessions that ended since the
/// backup do come back, since the backup knows them: --end-sessions ends all, and everybody signs in again.
///
/// FILE may also be a bare SQLite database, such as the one that an earlier restore kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate restore /var/backups/jotgate-2026-11-22.backup
  jotgate restore --key-file backup.key --yes --end-sessions /mnt/offsite/jotgate.backup")]
pub(in crate::cli) struct Restore {
    /// What `jotgate backup` made
    file: PathBuf,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    /// End every session: all users sign in again
    #[arg(long)]
    end_sessions: bool,
    /// The master key that belongs to the backup is lost: drop the signing keys and end every session
    #[arg(long)]
    lost_master_key: bool,
    /// Read the passphrase from the first line of standard input
    #[arg(long, conflicts_with = "key_file")]
    passphrase_stdin: bool,
    /// The key file that the backup was encrypted with
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, requires = "yes")]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct RestoredJson {
    created_at: Option<String>,
    users: u64,
    sessions: u64,
    sessions_ended: bool,
    kept: Option<String>,
    undone: Option<UndoneJson>,
}

#[derive(Serialize)]
struct UndoneJson {
    users_made: u64,
    users_deleted: u64,
    users_changed: u64,
    sessions_begun: u64,
    sessions_ended: u64,
    audit_entries: u64,
}

impl From<Undone> for UndoneJson {
    fn from(undone: Undone) -> Self {
        let Undone {
            users_made,
            users_deleted,
            users_changed,
            sessions_begun,
            sessions_ended,
            audit_entries,
        } = undone;
        Self { users_made, users_deleted, users_changed, sessions_begun, sessions_ended, audit_entries }
    }
}

impl Restore {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let ask = io::stdin().is_terminal();
        if !self.yes && !ask {
            return Err(Failure::Usage(
                "there is no terminal to ask on: say --yes if the database that is there is to be replaced"
                    .to_owned(),
            ));
        }
        let secret = self.secret()?;
        let prepared = watched("read", |progress| {
            Prepared::new(
                &config,
                &Edge::system(),
                &self.file,
                secret.as_ref(),
                self.lost_master_key,
                progress,
            )
        })?;
        let end_sessions = self.end_sessions || self.lost_master_key;
        if !self.json {
            output::print(&self.describe(&prepared, end_sessions))?;
        }
        if !self.yes && !confirmed()? {
            return Err(failed("nothing was changed"));
        }
        let json = RestoredJson {
            created_at: prepared.created_at.clone(),
            users: prepared.users,
            sessions: if end_sessions { 0 } else { prepared.sessions },
            sessions_ended: end_sessions,
            kept: None,
            undone: prepared.undone.clone().and_then(Result::ok).map(Into::into),
        };
        let done = watched("restored", |progress| prepared.put_in_place(self.end_sessions, progress))?;
        if self.json {
            let kept = done.kept.map(|kept| kept.to_string_lossy().into_owned());
            return output::json(&RestoredJson { kept, ..json });
        }
        if let Some(kept) = done.kept {
            output::say(format!("The database that was there is kept as {}.", kept.display()))?;
        }
        output::say("Restored. Start the server: it makes new signing keys.")
    }

    fn secret(&self) -> Result<Option<Secret>, Failure> {
        if let Some(path) = &self.key_file {
            return Ok(Some(read_key(path)?));
        }
        if self.passphrase_stdin {
            return Ok(Some(Secret::Passphrase(password::read_new("this backup", true)?)));
        }
        if backup::encryption_of(&self.file)? != Some(Encryption::Passphrase) || !io::stdin().is_terminal() {
            return Ok(None);
        }
        let typed = rpassword::prompt_password("Passphrase of this backup: ").map(Zeroizing::new);
        let typed = typed.map_err(|error| failed(format!("cannot read the passphrase: {error}")))?;
        Ok(Some(Secret::Passphrase(typed)))
    }

    fn describe(&self, prepared: &Prepared, end_sessions: bool) -> String {
        let made = match (&prepared.created_at, prepared.last_audit) {
            (Some(at), _) => format!("A backup of {at}"),
            (None, Some(at)) => {
                format!("A database whose last audit entry is of {}", rfc3339(at))
            }
            (None, None) => "A database".to_owned(),
        };
        let mut text = format!(
            "{}: {}, {}.\n",
            paint(BOLD, made),
            count(prepared.users, "user", "users"),
            count(prepared.sessions, "live session", "live sessions"),
        );
        match &prepared.undone {
            None => {}
            Some(Err(why)) => {
                warn(format!("what this undoes cannot be told: {why}"));
            }
            Some(Ok(undone)) => {
                text.push_str("\nCompared with the database that is there, it undoes:\n");
                let rows = [
                    (undone.users_made, "user made since", "users made since", "gone"),
                    (undone.users_deleted, "user deleted since", "users deleted since", "back"),
                    (
                        undone.users_changed,
                        "user changed since",
                        "users changed since",
                        "as before: password, roles, addresses",
                    ),
                    (undone.sessions_begun, "session begun since", "sessions begun since", "gone"),
                    (
                        undone.sessions_ended,
                        "session ended since",
                        "sessions ended since",
                        if end_sessions { "ended again" } else { "back, unless you say --end-sessions" },
                    ),
                    (undone.audit_entries, "audit entry since", "audit entries since", "gone"),
                ];
                let before = text.len();
                for (number, one, many, fate) in rows.into_iter().filter(|row| row.0 > 0) {
                    text.push_str(&format!("  {:<32} {fate}\n", count(number, one, many)));
                }
                if text.len() == before {
                    text.push_str("  nothing\n");
                }
            }
        }
        text.push_str(if end_sessions {
            "\nAll sessions end: everybody signs in again.\n"
        } else {
            "\nAccess tokens from before are refused; clients renew them by their refresh tokens.\n"
        });
        text
    }
}

fn confirmed() -> Result<bool, Failure> {
    let _ = write!(io::stderr().lock(), "\nRestore it? [y/N] ");
    let mut line = String::new();
    io::stdin()
        .lock()
        .read_line(&mut line)
        .map_err(|error| failed(format!("cannot read the answer: {error}")))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}
