//! Opening the file: its checks, its modes, and what every connection is set to.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::store::OpenError;
use crate::store::lock::make_private_dir;

/// `PRAGMA application_id` of our files: "JOTG".
pub(super) const APPLICATION_ID: i32 = 0x4a4f_5447;

/// How often a connection looks whether another process's write is over, and how many times: 2.5 s.
///
/// SQLite's own handler ends up looking every 100 ms, and then hardly ever meets the moment between two groups of
/// a server under load: the CLI would be told that the database is locked.
const BUSY_PAUSE: Duration = Duration::from_millis(1);
const BUSY_TRIES: i32 = 2350;

/// Bytes of the smallest page, and so of the smallest database.
const SMALLEST: u64 = 512;

/// Which file on which device: a path may be given another file while the program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        path.metadata().map(|found| Self { device: found.dev(), inode: found.ino() })
    }
}

/// Makes the file if it is missing, and refuses one that is not ours, before anything is written to it.
///
/// The file itself is never opened here except to create it: closing any descriptor of it would drop the locks
/// that other connections of this process hold on it (POSIX).
pub(super) fn prepare_file(path: &Path) -> Result<(), OpenError> {
    let io_error = |doing| move |error| OpenError::Io { path: path.to_owned(), doing, error };
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    make_private_dir(dir)?;
    let found = match path.metadata() {
        Ok(found) => Some(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(io_error("open")(error)),
    };
    if found.as_ref().is_none_or(|file| file.len() == 0) {
        let log = log_path(path);
        if log.metadata().is_ok_and(|log| log.len() > 0) {
            return Err(OpenError::OrphanedLog { path: path.to_owned(), log });
        }
    }
    match found {
        // SQLite would take a file of one byte for an empty one.
        Some(file) if file.is_file() && (1..SMALLEST).contains(&file.len()) => {
            Err(OpenError::NotADatabase { path: path.to_owned() })
        }
        Some(file) if file.is_dir() => Err(io_error("open")(io::Error::from(io::ErrorKind::IsADirectory))),
        // Only ever tightened: a file that was made read-only stays so.
        Some(file) if file.mode() & 0o077 != 0 => {
            fs::set_permissions(path, fs::Permissions::from_mode(file.mode() & 0o700))
                .map_err(io_error("take the rights of others from"))
        }
        Some(_) => Ok(()),
        None => {
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
                Ok(_) => {}
                // Another process was quicker.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
                Err(error) => return Err(io_error("create")(error)),
            }
            // The name must survive a power cut as the content will.
            fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io_error("sync the directory of"))
        }
    }
}

/// `FILE-wal`.
pub(super) fn log_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    PathBuf::from(name)
}

/// A connection that writes.
pub(in crate::store) fn open_writer(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    // SQLite opens for reading what it may not write, and would only say so at the first login.
    if connection.is_readonly("main")? {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    // The writer thread checkpoints after it has answered, not while callers wait for their commit.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    connection.pragma_update(None, "cache_size", -16_384)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(connection)
}

/// A connection that only reads.
pub(in crate::store) fn open_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open(path)?;
    connection.pragma_update(None, "query_only", true)?;
    connection.pragma_update(None, "cache_size", -8_192)?;
    Ok(connection)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    // Without CREATE: a file that vanished must not come back empty.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_handler(Some(|tries| {
        std::thread::sleep(BUSY_PAUSE);
        tries < BUSY_TRIES
    }))?;
    // Without it a statement is parsed and planned anew each time its parameters change, six times the work of
    // the read itself.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // A schema that was tampered with runs no functions of its own.
    connection.pragma_update(None, "trusted_schema", false)?;
    Ok(connection)
}

/// Whether the file is ours, or new.
pub(super) enum Owner {
    Ours,
    /// Nothing in it yet.
    Nobody,
    Another,
}

pub(super) fn owner(connection: &Connection) -> rusqlite::Result<Owner> {
    let id: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id == APPLICATION_ID {
        return Ok(Owner::Ours);
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    Ok(if id == 0 && objects == 0 { Owner::Nobody } else { Owner::Another })
}

/// Refuses a file that is shorter than it says it is. SQLite sees where whole pages are missing, and would read
/// the rest of a half one as zeros.
pub(super) fn check_length(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    // What a log holds need not be in the file yet.
    if log_path(path).metadata().is_ok_and(|log| log.len() > 0) {
        return Ok(());
    }
    let failed = |error: rusqlite::Error| open_error(path, &error);
    let number =
        |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, u64>(0)).map_err(failed);
    let expected = number("page_count")?.saturating_mul(number("page_size")?);
    let found =
        path.metadata().map_err(|error| OpenError::Io { path: path.to_owned(), doing: "open", error })?.len();
    if found < expected {
        let why = format!("{found} of {expected} bytes");
        return Err(OpenError::Damaged { path: path.to_owned(), why });
    }
    Ok(())
}

/// Switches the file to write-ahead logging, which it then stays in.
pub(super) fn use_wal(connection: &Connection) -> rusqlite::Result<bool> {
    let mut tries = 0;
    loop {
        let mode =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            // SQLite does not wait here by itself: two processes may start at once.
            Err(error) if is_busy(&error) && tries < 100 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => return Err(error),
            Ok(mode) => return Ok(mode.eq_ignore_ascii_case("wal")),
        }
    }
}

pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// Words an error of SQLite at start.
pub(super) fn open_error(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged { path, why: error.to_string() },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OpenError::Busy { path },
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
            OpenError::Io { path, doing: "write to", error: io::Error::other(error.to_string()) }
        }
        _ => OpenError::Failed { path, why: error.to_string() },
    }
}
