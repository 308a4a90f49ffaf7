//! `jotgate backup`.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::{count, read_key, size};
use crate::app::backup::{self, Encryption, Secret};
use crate::cli::error::{Failure, warn};
use crate::cli::output::{self, rfc3339};
use crate::cli::password;
use crate::cli::settings::Settings;
use crate::cli::watch::watched;
use crate::edge::Edge;

/// Copy the database into a file, while servers run
///
/// The copy is of one instant, whatever is written meanwhile, and durable when the command ends. The file has mode
/// 0600 and is there whole or not at all; a checksum, or the encryption, tells when a byte of it was changed.
///
/// The master key (DATA_DIR/master.key) is NOT in it. Keep a copy of that apart from the backups: without it the
/// signing keys in a backup cannot be opened, and with it whoever has a backup can sign in as anybody.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  jotgate backup /var/backups/jotgate-$(date +%F).backup
  jotgate backup --encrypt monday.backup
  head -c 32 /dev/urandom | base64 > backup.key
  jotgate backup --key-file backup.key --force /mnt/offsite/jotgate.backup")]
pub(in crate::cli) struct Backup {
    /// Where the copy goes
    file: PathBuf,
    /// Replace FILE if it exists
    #[arg(long)]
    force: bool,
    /// Encrypt with a passphrase (AES-256-GCM, argon2id), asked for on the terminal
    #[arg(long, conflicts_with = "key_file")]
    encrypt: bool,
    /// Encrypt with a passphrase that is the first line of standard input
    #[arg(long, conflicts_with = "key_file")]
    passphrase_stdin: bool,
    /// Encrypt with the content of this file: 32 random bytes or more
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Serialize)]
struct MadeJson {
    file: String,
    created_at: String,
    bytes: u64,
    users: u64,
    sessions: u64,
    encryption: Encryption,
}

impl Backup {
    pub(in crate::cli) fn run(self) -> Result<(), Failure> {
        let config = self.settings.load()?.config;
        let secret = match &self.key_file {
            Some(path) => Some(read_key(path)?),
            None if self.encrypt || self.passphrase_stdin => {
                let passphrase = password::read_new("this backup", self.passphrase_stdin)?;
                Some(Secret::Passphrase(passphrase))
            }
            None => None,
        };
        let made = watched("copied", |progress| {
            backup::back_up(&config, &Edge::system(), &self.file, secret.as_ref(), self.force, progress)
        })?;
        if let Some(why) = &made.unaudited {
            warn(format!("the backup is good, but the audit trail could not be told of it: {why}"));
        }
        if self.json {
            return output::json(&MadeJson {
                file: self.file.to_string_lossy().into_owned(),
                created_at: rfc3339(made.created_at),
                bytes: made.bytes,
                users: made.users,
                sessions: made.sessions,
                encryption: made.encryption,
            });
        }
        output::say(format!(
            "{}: {}, {}, {}{}",
            self.file.display(),
            size(made.bytes),
            count(made.users, "user", "users"),
            count(made.sessions, "live session", "live sessions"),
            if made.encryption == Encryption::None { "" } else { ", encrypted" },
        ))?;
        output::say(
            "The master key is not in it: keep a copy of master.key elsewhere. Without it the signing keys in this \
             backup cannot be opened.",
        )
    }
}
