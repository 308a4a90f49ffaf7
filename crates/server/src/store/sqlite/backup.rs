//! Copies of the database file, and putting one in its place.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jotgate_domain::key::StoredKey;
use jotgate_domain::status::LIST_SIZE;
use jotgate_domain::{Change, Timestamp};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, TransactionBehavior};

use super::changes;
use super::connection::{self, Owner, log_path, open_error};
use super::tx::{Failure, Tx};
use super::{migrate, rows};
use crate::store::OpenError;

/// How long other commands may keep the database open while it is to be replaced.
const PATIENCE: Duration = Duration::from_secs(5);

/// Copies the database at `from` into the empty file `to`, as of one instant, while others read and write it: a
/// snapshot, rebuilt page by page, so that nothing of what was deleted is in it. `copied` tells how many bytes are
/// there, of about the size that is returned by [`size`].
///
/// # Errors
/// [`OpenError`].
pub(crate) fn copy(from: &Path, to: &Path, copied: &Arc<AtomicU64>) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| open_error(from, &error);
    let mut connection = connection::open_reader(from).map_err(failed)?;
    if !matches!(connection::owner(&connection).map_err(failed)?, Owner::Ours) {
        return Err(OpenError::NotOurs { path: from.to_owned() });
    }
    connection::check_length(&connection, from)?;
    connection.pragma_update(None, "query_only", false).map_err(failed)?;
    let (copied, target) = (Arc::clone(copied), to.to_owned());
    let look = move || {
        copied.store(target.metadata().map_or(0, |found| found.len()), Ordering::Relaxed);
        false
    };
    connection.progress_handler(20_000, Some(look)).map_err(failed)?;
    let target = to.to_str().ok_or_else(|| OpenError::Failed {
        path: to.to_owned(),
        why: "its name is not text in UTF-8".to_owned(),
    })?;
    connection.execute("VACUUM INTO ?1", [target]).map_err(failed)?;
    fs::File::open(to).and_then(|file| file.sync_all()).map_err(|error| OpenError::Io {
        path: to.to_owned(),
        doing: "sync",
        error,
    })
}

/// Bytes that the database has now.
pub(crate) fn size(path: &Path) -> u64 {
    path.metadata().map_or(0, |found| found.len())
}

/// What is in a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) users: u64,
    /// Live ones.
    pub(crate) sessions: u64,
    /// When something was last written down in the audit trail.
    pub(crate) last_audit: Option<Timestamp>,
    pub(crate) keys: Vec<StoredKey>,
    /// Of [`jotgate_domain::key::GENERATION`].
    pub(crate) key_generation: Option<String>,
}

/// Looks whether a copy is whole: every page, index and reference of it. It is changed as little as that.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn check(path: &Path, now: Timestamp) -> Result<Contents, OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let damaged = |why: String| OpenError::Damaged { path: path.to_owned(), why };
    let connection = open_copy(path)?;
    match connection::owner(&connection).map_err(failed)? {
        Owner::Ours => {}
        Owner::Nobody => return Err(OpenError::NotADatabase { path: path.to_owned() }),
        Owner::Another => return Err(OpenError::NotOurs { path: path.to_owned() }),
    }
    connection::check_length(&connection, path)?;
    migrate::check(&connection, path, migrate::MIGRATIONS)?;
    let found: String =
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0)).map_err(failed)?;
    if found != "ok" {
        return Err(damaged(found));
    }
    let orphan = connection.query_row("PRAGMA foreign_key_check", [], |row| row.get::<_, String>(0));
    if let Some(table) = orphan.optional().map_err(failed)? {
        return Err(damaged(format!("a row of {table} refers to one that is not there")));
    }
    contents(&connection, now).map_err(failed)
}

/// # Errors
/// [`OpenError`].
pub(crate) fn contents_of(path: &Path, now: Timestamp) -> Result<Contents, OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let connection = connection::open_reader(path).map_err(failed)?;
    contents(&connection, now).map_err(failed)
}

fn contents(connection: &Connection, now: Timestamp) -> rusqlite::Result<Contents> {
    let count = |sql: &str, at: Option<i64>| match at {
        Some(at) => connection.query_row(sql, [at], |row| row.get(0)),
        None => connection.query_row(sql, [], |row| row.get(0)),
    };
    let live = "SELECT count(*) FROM sessions WHERE min(idle_until, expires_at) > ?1";
    let last = connection.query_row("SELECT max(at) FROM audit", [], |row| row.get::<_, Option<i64>>(0))?;
    Ok(Contents {
        users: count("SELECT count(*) FROM users", None)?,
        sessions: count(live, Some(now.0))?,
        last_audit: last.map(Timestamp),
        keys: connection.prepare(rows::KEYS)?.query_map([], rows::key)?.collect::<rusqlite::Result<_>>()?,
        key_generation: rows::setting(connection, jotgate_domain::key::GENERATION)?,
    })
}

/// What the database `old` has and the copy has not, and the other way round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Users that were made since.
    pub(crate) users_lost: u64,
    /// Users that were deleted since.
    pub(crate) users_back: u64,
    /// Users that were changed since: passwords, roles, addresses.
    pub(crate) users_changed: u64,
    /// Sessions that began since.
    pub(crate) sessions_lost: u64,
    /// Sessions that ended since, and would not have expired yet.
    pub(crate) sessions_back: u64,
    /// Audit entries since.
    pub(crate) audit_lost: u64,
    /// Keys that signed since and are not in the copy.
    pub(crate) keys_lost: Vec<String>,
    /// The status number last given.
    pub(crate) last_status: u64,
}

/// # Errors
/// [`OpenError`]: the old database need not be readable any more.
pub(crate) fn difference(old: &Path, copy: &Path, now: Timestamp) -> Result<Difference, OpenError> {
    let failed = |error: rusqlite::Error| open_error(old, &error);
    let connection = connection::open_reader(old).map_err(failed)?;
    connection.pragma_update(None, "query_only", false).map_err(failed)?;
    let copy = copy.to_str().unwrap_or_default();
    connection.execute("ATTACH DATABASE ?1 AS copy", [copy]).map_err(failed)?;
    connection.pragma_update(None, "query_only", true).map_err(failed)?;
    let count = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, u64>(0)).map_err(failed);
    let keys = || {
        let missing =
            "SELECT kid FROM main.signing_keys WHERE kid NOT IN (SELECT kid FROM copy.signing_keys)";
        connection.prepare(missing)?.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()
    };
    Ok(Difference {
        users_lost: count("SELECT count(*) FROM main.users WHERE id NOT IN (SELECT id FROM copy.users)")?,
        users_back: count("SELECT count(*) FROM copy.users WHERE id NOT IN (SELECT id FROM main.users)")?,
        users_changed: count(
            "SELECT count(*) FROM main.users o JOIN copy.users c ON c.id = o.id WHERE c.version <> o.version",
        )?,
        sessions_lost: count(
            "SELECT count(*) FROM main.sessions WHERE id NOT IN (SELECT id FROM copy.sessions)",
        )?,
        sessions_back: connection
            .query_row(
                "SELECT count(*) FROM copy.sessions WHERE min(idle_until, expires_at) > ?1 \
                 AND id NOT IN (SELECT id FROM main.sessions)",
                [now.0],
                |row| row.get(0),
            )
            .map_err(failed)?,
        audit_lost: count(
            "SELECT count(*) FROM main.audit WHERE id > (SELECT coalesce(max(id), 0) FROM copy.audit)",
        )?,
        keys_lost: keys().map_err(failed)?,
        last_status: count("SELECT value FROM main.counters WHERE name = 'status'")?,
    })
}

/// What makes a copy fit to be the database.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// The status number last given by anybody, as far as known.
    pub(crate) last_status: u64,
    pub(crate) end_sessions: bool,
    /// The master key is another one: its signing keys are to go.
    pub(crate) drop_keys: bool,
    pub(crate) changes: Vec<Change>,
}

/// Brings the copy up to this program's schema, and makes it a history of its own: no status number that may have
/// been given since comes again (they go on with the next list), no session names an entry that may have been revoked
/// since, and `changes` are applied. All of it or nothing.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn adopt(path: &Path, adoption: &Adoption, now: Timestamp) -> Result<(), OpenError> {
    let mut connection = open_copy(path)?;
    migrate::migrate(&mut connection, path, migrate::MIGRATIONS, now)?;
    let mut work = || -> Result<(), Failure> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let own: u64 =
            transaction
                .query_row("SELECT value FROM counters WHERE name = 'status'", [], |row| row.get(0))?;
        let list = own.max(adoption.last_status) / LIST_SIZE + 1;
        let last = list.saturating_mul(LIST_SIZE).saturating_sub(1);
        transaction.execute("UPDATE counters SET value = ?1 WHERE name = 'status'", [last])?;
        transaction.execute("UPDATE sessions SET status = NULL", [])?;
        if adoption.end_sessions {
            transaction.execute("DELETE FROM sessions", [])?;
        }
        if adoption.drop_keys {
            transaction.execute("DELETE FROM signing_keys", [])?;
        }
        changes::apply(&Tx::new(&transaction), &adoption.changes, &[])?;
        Ok(transaction.commit()?)
    };
    work().map_err(|failure| failure_of(path, failure))?;
    drop(connection);
    fs::File::open(path).and_then(|file| file.sync_all()).map_err(|error| OpenError::Io {
        path: path.to_owned(),
        doing: "sync",
        error,
    })
}

/// A file that nobody else has open, with a rollback journal: it is one file whenever nothing is being written.
fn open_copy(path: &Path) -> Result<Connection, OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    let set = || {
        connection.pragma_update(None, "trusted_schema", false)?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection
            .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))
            .map(drop)
    };
    set().map_err(failed)?;
    Ok(connection)
}

/// Puts `new` in the place of `path`, in one step: at any moment the old database or the new one is there, whole. The
/// old one is kept as `kept`, with its write-ahead log where that could not be brought into it.
///
/// # Errors
/// [`OpenError::Busy`] where another process has the database open.
pub(crate) fn replace(path: &Path, new: &Path, kept: &Path) -> Result<(), OpenError> {
    let io = |doing| move |error| OpenError::Io { path: path.to_owned(), doing, error };
    if path.exists() {
        // Held until the new one is there: nobody writes to the old one meanwhile. None: it cannot be read.
        let _held = hold(path)?;
        fs::hard_link(path, kept).map_err(io("keep a copy of"))?;
        // The new database must never meet the log of the old one.
        for (suffix, keep) in [("-wal", true), ("-shm", false), ("-journal", true)] {
            let beside = with_suffix(path, suffix);
            if keep && beside.metadata().is_ok_and(|found| found.len() > 0) {
                fs::hard_link(&beside, with_suffix(kept, suffix)).map_err(io("keep the log of"))?;
            }
            remove(&beside).map_err(io("remove the log of"))?;
        }
        sync_dir(path).map_err(io("sync the directory of"))?;
        fs::rename(new, path).map_err(io("replace"))?;
    } else {
        fs::rename(new, path).map_err(io("create"))?;
    }
    sync_dir(path).map_err(io("sync the directory of"))
}

/// Brings the log into the file and locks it against everybody; none where it is too damaged for that.
fn hold(path: &Path) -> Result<Option<Connection>, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let attempt = || {
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(PATIENCE)?;
        connection
            .pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get::<_, String>(0))
            .map(drop)?;
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        Ok::<_, rusqlite::Error>(connection)
    };
    match attempt() {
        Ok(connection) => Ok(Some(connection)),
        Err(error) if connection::is_busy(&error) => Err(OpenError::Busy { path: path.to_owned() }),
        Err(_) => Ok(None),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn sync_dir(path: &Path) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(dir)?.sync_all()
}

/// Whether changes that belong to the file lie beside it.
pub(crate) fn has_log(path: &Path) -> bool {
    log_path(path).metadata().is_ok_and(|log| log.len() > 0)
}

/// Writes an entry into the audit trail of a database that others may have open; its schema stays as it is.
///
/// # Errors
/// [`OpenError`].
pub(crate) fn note(path: &Path, event: Change) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let connection = connection::open_writer(path).map_err(failed)?;
    if !migrate::is_current(&connection).map_err(failed)? {
        let why = "its schema is another one than this program's".to_owned();
        return Err(OpenError::Failed { path: path.to_owned(), why });
    }
    changes::apply(&Tx::new(&connection), &[event], &[]).map_err(|failure| failure_of(path, failure))?;
    Ok(())
}

fn failure_of(path: &Path, failure: Failure) -> OpenError {
    match failure {
        Failure::Database(error) => open_error(path, &error),
        Failure::Refused(error) => OpenError::Failed { path: path.to_owned(), why: error.to_string() },
    }
}
