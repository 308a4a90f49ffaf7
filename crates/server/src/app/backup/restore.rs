//! Going back: what is checked before, what it undoes, and what keeps the undone from coming back to life.
//!
//! Tokens that were revoked after the backup are not in its revocation log. So no access token from before is
//! accepted any more: the signing keys are ended and told on the feed, as in an emergency, and clients renew by their
//! refresh tokens, which `jotgate_domain::refresh` takes although they are newer than the database. Status entries go
//! on with the next list, so that none is given twice.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use jotgate_domain::audit::Action;
use jotgate_domain::key::{self, KeyChange, Plan};
use jotgate_domain::{Change, Timestamp};
use tempfile::NamedTempFile;

use super::envelope::Envelope;
use super::io_error;
use super::{
    BackupError, DataDirLock, Progress, Secret, Source, beside, carry, encryption_of, event, fetch_alone,
    files,
};
use crate::config::{Config, PostgresUrl};
use crate::edge::Edge;
use crate::seal::{Sealer, open_master_key};
use crate::store::lock_data_dir;
use crate::store::transfer::{Place, Target};

/// A backup that was found whole and fits; nothing has been touched yet, and no server can start meanwhile.
#[derive(Debug)]
pub struct Prepared {
    config: Config,
    edge: Edge,
    /// The file that is replaced; of PostgreSQL the one beside which files are put.
    database: PathBuf,
    /// The database that is filled, and what it holds now.
    postgres: Option<(Box<PostgresUrl>, NamedTempFile)>,
    copy: NamedTempFile,
    contents: files::Contents,
    difference: Option<files::Difference>,
    lost_master_key: bool,
    _lock: DataDirLock,
    /// When the backup was made (RFC 3339); a bare database does not say.
    pub created_at: Option<String>,
    pub users: u64,
    /// Live ones.
    pub sessions: u64,
    pub last_audit: Option<Timestamp>,
    /// What it undoes; an error where the present database cannot be read, none where there is none.
    pub undone: Option<Result<Undone, String>>,
}

/// What is lost, and what comes back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    pub users_made: u64,
    pub users_deleted: u64,
    pub users_changed: u64,
    pub sessions_begun: u64,
    pub sessions_ended: u64,
    pub audit_entries: u64,
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Restored {
    /// Where the database that was there lies now.
    pub kept: Option<PathBuf>,
}

impl Prepared {
    /// Reads the backup, checks every byte and page of it, and compares it with the present database.
    ///
    /// # Errors
    /// [`BackupError`].
    pub fn new(
        config: &Config,
        edge: &Edge,
        from: &Path,
        secret: Option<&Secret>,
        lost_master_key: bool,
        progress: &Progress,
    ) -> Result<Self, BackupError> {
        let (database, postgres) = match Source::of(config) {
            Source::File(path) => (path, None),
            Source::Postgres { url, beside } => (beside, Some(url)),
        };
        let lock = lock_data_dir(&config.data_dir)?;
        tidy(&database);
        // What PostgreSQL holds is compared, and kept, as a file of the same kind as the backup.
        let present = match &postgres {
            Some(url) => Some(fetch_alone(url, &database, edge.now(), progress)?),
            None => None,
        };
        let copy = beside(&database, "restoring")?;
        let created_at = unpack(from, secret, copy.as_file(), progress)?;
        copy.as_file().sync_all().map_err(io_error(copy.path(), "write"))?;
        let now = edge.now();
        let contents = files::check(copy.path(), now).map_err(|error| match error {
            // Not the file that the operator knows.
            crate::store::OpenError::Damaged { why, .. } => {
                BackupError::Other(format!("{} is damaged: {why}", from.display()))
            }
            other => BackupError::Database(other),
        })?;
        check_master_key(config, edge, &contents, lost_master_key)?;
        let compared = present.as_ref().map_or(database.as_path(), NamedTempFile::path);
        let (difference, undone) = match compared.exists() {
            false => (None, None),
            true => match files::difference(compared, copy.path(), now) {
                Ok(difference) => {
                    let undone = Undone {
                        users_made: difference.users_lost,
                        users_deleted: difference.users_back,
                        users_changed: difference.users_changed,
                        sessions_begun: difference.sessions_lost,
                        sessions_ended: difference.sessions_back,
                        audit_entries: difference.audit_lost,
                    };
                    (Some(difference), Some(Ok(undone)))
                }
                Err(error) => (None, Some(Err(error.to_string()))),
            },
        };
        Ok(Self {
            config: config.clone(),
            edge: edge.clone(),
            database,
            postgres: postgres.zip(present),
            copy,
            difference,
            lost_master_key,
            _lock: lock,
            created_at,
            users: contents.users,
            sessions: contents.sessions,
            last_audit: contents.last_audit,
            undone,
            contents,
        })
    }

    /// Puts it in place; killed at any moment it leaves the old database or the new one.
    ///
    /// # Errors
    /// [`BackupError`]; the old database is there then.
    pub fn put_in_place(self, end_sessions: bool, progress: &Progress) -> Result<Restored, BackupError> {
        let now = self.edge.now();
        let end_sessions = end_sessions || self.lost_master_key;
        let adoption = files::Adoption {
            last_status: self.difference.as_ref().map_or(0, |difference| difference.last_status),
            end_sessions,
            drop_keys: self.lost_master_key,
            changes: self.changes(end_sessions, now),
        };
        files::adopt(self.copy.path(), &adoption, now)?;
        let stamp = super::rfc3339(now).replace(['-', ':'], "");
        let kept = free_name(&self.database, &format!(".before-restore-{stamp}"));
        if let Some((url, present)) = self.postgres {
            let from = Place::Sqlite(self.copy.path().to_owned());
            // First, so that what goes is there whatever happens.
            let present = present.into_temp_path();
            fs::rename(&present, &kept).map_err(io_error(&kept, "write"))?;
            let _ = present.keep();
            carry(from, Place::Postgres(url), Target::Replaced, now, progress)?;
            return Ok(Restored { kept: Some(kept) });
        }
        let had_one = self.database.exists();
        // Not a file any more that goes when it is dropped: it is renamed.
        let copy = self.copy.into_temp_path();
        files::replace(&self.database, &copy, &kept)?;
        // It has another name now.
        let _ = copy.keep();
        Ok(Restored { kept: had_one.then_some(kept) })
    }

    fn changes(&self, end_sessions: bool, now: Timestamp) -> Vec<Change> {
        let policy = &self.config.policy;
        let mut ended = key::end_all(&self.contents.keys, policy, now);
        if self.lost_master_key {
            ended.retain(|change| matches!(change, KeyChange::Revoke { .. }));
        }
        let since = self.difference.iter().flat_map(|difference| &difference.keys_lost);
        let until = key::told_until(policy, now);
        ended.extend(since.map(|kid| KeyChange::Revoke { kid: kid.clone(), until }));
        let Plan { mut changes, .. } = Plan::new(ended, Vec::new(), self.contents.key_generation.clone());
        let mut detail = match &self.created_at {
            Some(at) => format!("backup of {at}"),
            None => "a bare database".to_owned(),
        };
        if end_sessions {
            detail.push_str(", all sessions ended");
        }
        changes.push(event(Action::DatabaseRestored, now, detail));
        changes
    }
}

/// Writes the database of the backup into `out`; returns when the backup was made, as far as it says.
fn unpack(
    from: &Path,
    secret: Option<&Secret>,
    out: &File,
    progress: &Progress,
) -> Result<Option<String>, BackupError> {
    let of_file = |error| BackupError::File(from.to_owned(), error);
    let bare = encryption_of(from)?.is_none();
    let mut input = File::open(from).map_err(io_error(from, "read"))?;
    let mut out = BufWriter::with_capacity(1 << 20, out);
    if !bare {
        let envelope = Envelope::open(input).map_err(of_file)?;
        let created_at = envelope.header.created_at.clone();
        envelope.unpack(secret, &mut out, progress).map_err(of_file)?;
        return Ok(Some(created_at));
    }
    if secret.is_some() {
        return Err(of_file(super::EnvelopeError::NotLocked));
    }
    if files::has_log(from) {
        return Err(BackupError::Log(from.to_owned()));
    }
    io::copy(&mut input, &mut out).and_then(|_| out.flush()).map_err(io_error(from, "copy"))?;
    Ok(None)
}

/// The keys of the backup must open with the master key that is there: a server that starts with another one would
/// take every refresh token for a forgery.
fn check_master_key(
    config: &Config,
    edge: &Edge,
    contents: &files::Contents,
    lost: bool,
) -> Result<(), BackupError> {
    let Some(row) = contents.keys.first() else { return Ok(()) };
    let opened = match open_master_key(&config.master_key, &config.data_dir, false, edge) {
        Ok(master) => {
            let sealer = Sealer::new(&master);
            Ok(sealer.is_ok_and(|sealer| sealer.open(&row.kid, &row.sealed).is_ok()))
        }
        Err(error) => Err(error),
    };
    match (opened, lost) {
        (Ok(true), false) | (Ok(false) | Err(_), true) => Ok(()),
        (Ok(true), true) => Err(BackupError::NotLost(config.data_dir.join("master.key"))),
        (Ok(false), false) => Err(BackupError::OtherMasterKey(row.kid.clone())),
        (Err(error), false) => Err(BackupError::MasterKey(error)),
    }
}

/// `database` with this behind it, and a number where that exists.
fn free_name(database: &Path, suffix: &str) -> PathBuf {
    let named = |more: &str| {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        name.push(more);
        PathBuf::from(name)
    };
    let numbered = (2_u32..).map(|number| named(&format!("-{number}")));
    std::iter::once(named("")).chain(numbered).find(|name| !name.exists()).unwrap_or_else(|| named("-0"))
}

/// Removes what a restore that was killed left behind.
fn tidy(database: &Path) {
    let name = format!("{}.restoring-", database.file_name().unwrap_or_default().to_string_lossy());
    for entry in fs::read_dir(super::dir_of(database)).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(&name) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
