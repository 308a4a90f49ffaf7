//! Backups of the database, and going back to one.

mod envelope;
mod restore;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Read as _, Seek as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::{Change, Store as _, Timestamp};
use tempfile::NamedTempFile;

pub use envelope::{Encryption, EnvelopeError, Secret};
pub use restore::{Prepared, Restored, Undone};

use crate::app::transfer;
use crate::config::{Config, PostgresUrl};
use crate::edge::Edge;
use crate::seal::MasterKeyError;
use crate::store::sqlite::backup as files;
use crate::store::transfer::{Place, Step, Target, TransferError, carry as carry_all, others_on};
use crate::store::{DataDirLock, OpenError, Postgres};

/// What an SQLite database begins with.
const SQLITE: &[u8] = b"SQLite format 3\0";

/// How far it is, for somebody who watches from another thread.
#[derive(Debug, Default)]
pub struct Progress {
    done: Arc<AtomicU64>,
    total: AtomicU64,
}

impl Progress {
    fn begin(&self, total: u64) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total, Ordering::Relaxed);
    }

    fn advance(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
    }

    /// So much of it is done.
    pub(crate) fn at(&self, done: u64, total: u64) {
        self.total.store(total, Ordering::Relaxed);
        self.done.store(done, Ordering::Relaxed);
    }

    /// Of the present step, done and in all: bytes, or rows.
    #[must_use]
    pub fn read(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}

/// Why there is no backup, or why it was not restored; what was there is untouched.
#[derive(Debug)]
#[non_exhaustive]
pub enum BackupError {
    /// Something of this name is there already.
    Exists(PathBuf),
    /// The target is a file that the installation consists of.
    Own(PathBuf),
    NoDatabase(PathBuf),
    /// Other connections to the database of PostgreSQL.
    InUse(u64),
    Transfer(TransferError),
    Io {
        path: PathBuf,
        doing: &'static str,
        error: io::Error,
    },
    Database(OpenError),
    /// The file of the backup cannot be read.
    File(PathBuf, EnvelopeError),
    NotABackup(PathBuf),
    /// A write-ahead log lies beside the database file that was named.
    Log(PathBuf),
    MasterKey(MasterKeyError),
    /// The master key does not open the keys of the backup.
    OtherMasterKey(String),
    /// It does, and was said to be lost.
    NotLost(PathBuf),
    Other(String),
}

impl fmt::Display for BackupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exists(path) => write!(
                f,
                "{} exists already. Choose another name, or replace it with --force",
                path.display()
            ),
            Self::Own(path) => write!(f, "{} is a file of the installation itself", path.display()),
            Self::NoDatabase(path) => write!(
                f,
                "there is no database at {}. Name the installation that you mean with --data-dir or --config",
                path.display()
            ),
            Self::InUse(others) => {
                write!(f, "{others} other connections of Jotgate use the database. Stop every node first")
            }
            Self::Transfer(error) => error.fmt(f),
            Self::Io { path, doing, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
            Self::Database(error) => error.fmt(f),
            Self::File(path, error) => write!(f, "{} is not restored: {error}", path.display()),
            Self::NotABackup(path) => write!(
                f,
                "{} is neither a backup made by `jotgate backup` nor an SQLite database",
                path.display()
            ),
            Self::Log(path) => write!(
                f,
                "a write-ahead log with changes of its own lies beside {}: open that database once with a program \
                 that knows it (sqlite3 FILE .tables), so that the log goes into it",
                path.display()
            ),
            Self::MasterKey(error) => write!(f, "{error}. {LOST}"),
            Self::OtherMasterKey(kid) => write!(
                f,
                "the master key does not open the signing key {kid} of this backup. Put the master.key that belongs \
                 to it in place. {LOST}"
            ),
            Self::NotLost(path) => {
                write!(f, "{} opens the keys of this backup: leave --lost-master-key out", path.display())
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

const LOST: &str = "If it is lost for good, --lost-master-key restores without it: all sign in again";

impl std::error::Error for BackupError {}

impl From<OpenError> for BackupError {
    fn from(error: OpenError) -> Self {
        Self::Database(error)
    }
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> BackupError {
    move |error| BackupError::Io { path: path.to_owned(), doing, error }
}

/// A backup that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub created_at: Timestamp,
    /// Size of the file.
    pub bytes: u64,
    pub users: u64,
    /// Live ones.
    pub sessions: u64,
    pub encryption: Encryption,
    /// Why the audit trail does not tell of it.
    pub unaudited: Option<String>,
}

/// Copies the database into the file `to` while servers read and write it; as of one instant, durable, mode 0600.
/// `to` is there whole or not at all. The master key is not in it.
///
/// # Errors
/// [`BackupError`].
pub fn back_up(
    config: &Config,
    edge: &Edge,
    to: &Path,
    secret: Option<&Secret>,
    force: bool,
    progress: &Progress,
) -> Result<Made, BackupError> {
    let source = Source::of(config);
    let database = match &source {
        Source::File(path) if !path.exists() => return Err(BackupError::NoDatabase(path.clone())),
        Source::File(path) => path.clone(),
        Source::Postgres { .. } => to.to_owned(),
    };
    for own in [&database, &config.data_dir.join("master.key")] {
        if is_same(own, to) {
            return Err(BackupError::Own(to.to_owned()));
        }
    }
    if !force && to.symlink_metadata().is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    // First, since it is what fails when the name is wrong.
    let out = beside(to, "part")?;
    let created_at = edge.now();
    let snapshot = beside(&database, "backing-up")?;
    match &source {
        Source::File(path) => {
            progress.begin(files::size(path));
            files::copy(path, snapshot.path(), &progress.done)?;
        }
        Source::Postgres { url, .. } => fetch(url, snapshot.path(), created_at, progress)?,
    }
    let contents = files::contents_of(snapshot.path(), created_at)?;

    let mut plain = snapshot.reopen().map_err(io_error(snapshot.path(), "read"))?;
    let size = plain.metadata().map_err(io_error(snapshot.path(), "read"))?.len();
    // From here on it goes with the process.
    drop(snapshot);
    progress.begin(size);
    let salt = edge.random().map_err(|error| BackupError::Other(error.to_string()))?;
    let mut writer = BufWriter::with_capacity(1 << 20, out.as_file());
    let at = rfc3339(created_at);
    envelope::write(&mut plain, size, at, secret, salt, &mut writer, progress)
        .map_err(|error| BackupError::File(to.to_owned(), error))?;
    writer.flush().map_err(io_error(to, "write"))?;
    drop(writer);
    out.as_file().sync_all().map_err(io_error(to, "write"))?;
    let bytes = out.as_file().metadata().map_err(io_error(to, "write"))?.len();
    if force {
        out.persist(to).map_err(|error| io_error(to, "write")(error.error))?;
    } else {
        out.persist_noclobber(to).map_err(|error| match error.error.kind() {
            io::ErrorKind::AlreadyExists => BackupError::Exists(to.to_owned()),
            _ => io_error(to, "write")(error.error),
        })?;
    }
    File::open(dir_of(to)).and_then(|dir| dir.sync_all()).map_err(io_error(to, "sync the directory of"))?;
    let encryption = match secret {
        None => Encryption::None,
        Some(Secret::Passphrase(_)) => Encryption::Passphrase,
        Some(Secret::Key(_)) => Encryption::KeyFile,
    };
    let event = event(Action::DatabaseBackedUp, created_at, format!("{bytes} bytes"));
    let unaudited = match &source {
        Source::File(path) => files::note(path, event).err().map(|error| error.to_string()),
        Source::Postgres { url, .. } => note(url, event, created_at).err(),
    };
    Ok(Made { created_at, bytes, users: contents.users, sessions: contents.sessions, encryption, unaudited })
}

/// How the file is encrypted; none where it is a bare SQLite database.
///
/// # Errors
/// [`BackupError`]: it is neither that nor a backup.
pub fn encryption_of(from: &Path) -> Result<Option<Encryption>, BackupError> {
    let mut file = File::open(from).map_err(io_error(from, "read"))?;
    let mut start = Vec::new();
    (&mut file).take(64).read_to_end(&mut start).map_err(io_error(from, "read"))?;
    if start.starts_with(SQLITE) {
        return Ok(None);
    }
    if !start.starts_with(envelope::BEGINS) {
        return Err(BackupError::NotABackup(from.to_owned()));
    }
    file.rewind().map_err(io_error(from, "read"))?;
    let envelope =
        envelope::Envelope::open(file).map_err(|error| BackupError::File(from.to_owned(), error))?;
    Ok(Some(envelope.header.encryption))
}

fn event(action: Action, at: Timestamp, detail: String) -> Change {
    Change::Audit(Event {
        at,
        action,
        actor: Actor::Operator,
        user: None,
        session: None,
        address: String::new(),
        detail,
    })
}

/// To the second.
pub(super) fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.secs()).map_or_else(|_| at.0.to_string(), |at| at.to_string())
}

/// Where the records are.
enum Source {
    File(PathBuf),
    /// A backup is an SQLite database whatever the source is; one that is on the way lies beside this path.
    Postgres {
        url: Box<PostgresUrl>,
        beside: PathBuf,
    },
}

impl Source {
    fn of(config: &Config) -> Self {
        match transfer::place(config, &config.database_url) {
            Place::Sqlite(path) => Self::File(path),
            Place::Postgres(url) => {
                Self::Postgres { url, beside: config.data_dir.join("jotgate-postgres.db") }
            }
        }
    }
}

/// Runs what asks PostgreSQL, from a command that is not asynchronous.
fn wait<T>(work: impl Future<Output = Result<T, BackupError>>) -> Result<T, BackupError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| BackupError::Other(error.to_string()))?.block_on(work)
}

/// Copies all records of one instant into the empty file at `to`.
fn fetch(url: &PostgresUrl, to: &Path, now: Timestamp, progress: &Progress) -> Result<(), BackupError> {
    carry(Place::Postgres(Box::new(url.clone())), Place::Sqlite(to.to_owned()), Target::Empty, now, progress)
}

/// The same into a file beside `beside_of`, where no node uses the database.
fn fetch_alone(
    url: &PostgresUrl,
    beside_of: &Path,
    now: Timestamp,
    progress: &Progress,
) -> Result<NamedTempFile, BackupError> {
    let others = wait(async { others_on(url).await.map_err(BackupError::Transfer) })?;
    if others > 0 {
        return Err(BackupError::InUse(others));
    }
    let file = beside(beside_of, "restoring")?;
    fetch(url, file.path(), now, progress)?;
    Ok(file)
}

fn carry(
    from: Place,
    to: Place,
    target: Target,
    now: Timestamp,
    progress: &Progress,
) -> Result<(), BackupError> {
    let shown = |step: Step| progress.at(step.done, step.total);
    wait(async {
        carry_all(&from, &to, target, false, now, shown).await.map(drop).map_err(BackupError::Transfer)
    })
}

/// Writes into the audit trail.
fn note(url: &PostgresUrl, event: Change, now: Timestamp) -> Result<(), String> {
    wait(async {
        let store = Postgres::open(url, now).await?;
        let done = store.apply(vec![event], Vec::new()).await;
        done.map(drop).map_err(|error| BackupError::Other(error.to_string()))
    })
    .map_err(|error| error.to_string())
}

fn dir_of(path: &Path) -> &Path {
    path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file of mode 0600 beside `path` that goes when it is dropped.
fn beside(path: &Path, what: &str) -> Result<NamedTempFile, BackupError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!("{name}.{what}-"))
        .tempfile_in(dir_of(path))
        .map_err(io_error(path, "write beside"))
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((a.metadata(), b.metadata()), (Ok(a), Ok(b)) if a.dev() == b.dev() && a.ino() == b.ino())
}
