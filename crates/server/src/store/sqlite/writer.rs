//! The one thread that writes.
//!
//! It takes all writes that wait, runs each in a savepoint of its own, commits them together in one fsync, and
//! answers each caller only then. An error of the database (full, I/O, locked too long) fails the whole group,
//! nothing of it is kept, and the thread goes on: where the connection may be hurt it opens another, again and
//! again until the disk is back.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jotgate_domain::StoreError;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{oneshot, watch};

use super::connection::{self, FileId, Owner};
use super::migrate;
use super::tx::{Failure, Tx};
use crate::store::OpenError;

/// Writes that may wait; past it they are refused at once, which tells the client to come back rather than to
/// wait for a disk that cannot keep up.
const QUEUE: usize = 1024;
/// Writes in one transaction.
const GROUP: usize = 512;
/// A write that waited longer is not begun: its caller is about to give up.
const STALE: Duration = Duration::from_secs(4);
/// No caller waits longer than this.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often other processes' commits are looked for.
const POLL: Duration = Duration::from_millis(100);
/// After so many rows written the length of the write-ahead log is looked at.
const LOOK_AFTER: u64 = 64;
/// Pages in the write-ahead log before they are brought into the database file.
const CHECKPOINT_PAGES: i64 = 4000;
const REOPEN_FIRST: Duration = Duration::from_millis(50);
const REOPEN_LONGEST: Duration = Duration::from_secs(1);
/// How often failing writes are logged.
const LOG_AGAIN: Duration = Duration::from_secs(60);
/// How long the last handle of the store waits for the thread to end.
const FAREWELL: Duration = Duration::from_secs(3);

/// The store's end of the queue.
pub(super) struct Writer {
    /// None once the store is being dropped.
    queue: Option<SyncSender<Box<dyn Job>>>,
    /// Heard from when the thread has ended; the mutex only makes it `Sync`.
    ended: Mutex<Receiver<()>>,
    bell: watch::Receiver<u64>,
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").finish_non_exhaustive()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        // The thread drains what waits and closes the file in order; a disk that hangs must not hold the process.
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = ended.recv_timeout(FAREWELL);
    }
}

impl Writer {
    /// Starts the thread on an open connection. `epoch` counts how often the path got another file.
    pub(super) fn start(
        path: PathBuf,
        connection: Connection,
        epoch: Arc<AtomicU64>,
    ) -> Result<Self, OpenError> {
        let io_error = |doing, error| OpenError::Io { path: path.clone(), doing, error };
        let file = FileId::of(&path).map_err(|error| io_error("open", error))?;
        let seen = data_version(&connection).map_err(|error| connection::open_error(&path, &error))?;
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let (farewell, ended) = mpsc::channel();
        let (ring, bell) = watch::channel(1);
        let mut thread = Thread {
            path: path.clone(),
            epoch,
            ring,
            link: Link::Up(connection, file),
            poll_at: Instant::now(),
            seen,
            failing: None,
            looked_at: 0,
        };
        let run = move || {
            thread.run(&jobs);
            drop(thread);
            let _ = farewell.send(());
        };
        std::thread::Builder::new()
            .name("sqlite-writer".into())
            .spawn(run)
            .map_err(|error| io_error("start the writer of", error))?;
        Ok(Self { queue: Some(queue), ended: Mutex::new(ended), bell })
    }

    /// Has `work` done in a transaction; resolves after its commit.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, reply, since: Instant::now() };
        match &self.queue {
            Some(queue) => queue.try_send(Box::new(task)).map_err(|error| match error {
                TrySendError::Full(_) => unavailable("too many writes wait"),
                TrySendError::Disconnected(_) => unavailable("the writer has ended"),
            })?,
            None => return Err(unavailable("the writer has ended")),
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(unavailable("the writer dropped the write")),
            Err(_) => Err(unavailable("the disk did not answer in time")),
        }
    }

    /// Waits for a number beyond `seen`.
    pub(super) async fn changed(&self, seen: u64) -> u64 {
        let mut bell = self.bell.clone();
        let rung = bell.wait_for(|now| *now > seen).await.ok().map(|now| *now);
        match rung {
            Some(now) => now,
            // The thread is gone with the store; nothing will change any more.
            None => std::future::pending().await,
        }
    }
}

fn unavailable(why: impl Into<String>) -> StoreError {
    StoreError::Unavailable(why.into())
}

/// A write and the one who waits for it.
trait Job: Send {
    /// False where nobody waits any more, or not for long: it is not begun.
    fn is_wanted(&self, now: Instant) -> bool;
    /// Runs it; an error is the database's.
    fn run(&mut self, tx: &Tx<'_>) -> Result<Savepoint, rusqlite::Error>;
    /// Answers: with its own result where the group was committed.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

/// What becomes of what a job wrote.
enum Savepoint {
    Keep,
    Undo,
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    since: Instant,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&Tx<'_>) -> Result<T, Failure> + Send,
{
    fn is_wanted(&self, now: Instant) -> bool {
        !self.reply.is_closed() && now.saturating_duration_since(self.since) < STALE
    }

    fn run(&mut self, tx: &Tx<'_>) -> Result<Savepoint, rusqlite::Error> {
        match self.work.take().map(|work| work(tx)) {
            Some(Ok(value)) => {
                self.result = Some(Ok(value));
                Ok(Savepoint::Keep)
            }
            Some(Err(Failure::Refused(error))) => {
                self.result = Some(Err(error));
                Ok(Savepoint::Undo)
            }
            Some(Err(Failure::Database(error))) => Err(error),
            None => Ok(Savepoint::Undo),
        }
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let late = || Err(unavailable("too many writes wait"));
        let result = match group {
            Ok(()) => self.result.unwrap_or_else(late),
            Err(error) => Err(error),
        };
        // Whoever asked may be gone; what was committed stays.
        let _ = self.reply.send(result);
    }
}

/// The connection, or why there is none.
enum Link {
    Up(Connection, FileId),
    Down { why: String, retry_at: Instant, pause: Duration },
}

struct Thread {
    path: PathBuf,
    epoch: Arc<AtomicU64>,
    ring: watch::Sender<u64>,
    link: Link,
    poll_at: Instant,
    /// Of the last look, taken before followers are told to read: what moves it later is news to them.
    seen: i64,
    /// Since when groups fail, and when that was last logged.
    failing: Option<(Instant, Instant)>,
    /// Rows that the connection had written when the length of the write-ahead log was last looked at.
    looked_at: u64,
}

/// What a group met that it could not be committed.
struct Broken {
    why: String,
    /// The connection is not to be used again.
    hurt: bool,
}

impl Thread {
    fn run(&mut self, jobs: &Receiver<Box<dyn Job>>) {
        let mut group = Vec::with_capacity(GROUP);
        loop {
            let wait = self.poll_at.saturating_duration_since(Instant::now());
            match jobs.recv_timeout(wait) {
                Ok(job) => {
                    group.push(job);
                    group.extend(jobs.try_iter().take(GROUP - 1));
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.poll_at {
                let _ = self.guarded(Self::poll);
                self.poll_at = Instant::now() + POLL;
            }
            if group.is_empty() {
                continue;
            }
            let result = self.guarded(|thread| thread.serve(&mut group));
            self.log(&result);
            for job in group.drain(..) {
                job.answer(result.clone());
            }
            if result.is_ok() {
                let _ = self.guarded(Self::checkpoint_if_due);
            }
        }
    }

    /// Runs a step; what goes wrong in it is logged, and the connection given up where it may be hurt.
    fn guarded(&mut self, step: impl FnOnce(&mut Self) -> Result<(), Broken>) -> Result<(), StoreError> {
        let outcome = catch_unwind(AssertUnwindSafe(|| step(self)))
            .unwrap_or_else(|_| Err(Broken { why: "a write panicked".into(), hurt: true }));
        let Err(broken) = outcome else { return Ok(()) };
        if broken.hurt && matches!(self.link, Link::Up(..)) {
            tracing::debug!(why = broken.why, "database connection given up");
            let retry_at = Instant::now() + REOPEN_FIRST;
            self.link = Link::Down { why: broken.why.clone(), retry_at, pause: REOPEN_FIRST };
        }
        Err(unavailable(broken.why))
    }

    /// Runs and commits a group.
    fn serve(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Broken> {
        self.check_file()?;
        let connection = self.connection()?;
        let begun = Instant::now();
        let bell = run_group(connection, group, begun).map_err(|error| {
            let hurt = is_hurt(&error) || undo(connection).is_err();
            Broken { why: error.to_string(), hurt }
        })?;
        if bell {
            self.ring.send_modify(|now| *now += 1);
        }
        Ok(())
    }

    /// Says once that writes fail, again each minute, and when they do no longer: the log may lie on the disk that
    /// is full.
    fn log(&mut self, result: &Result<(), StoreError>) {
        let now = Instant::now();
        match (result, &mut self.failing) {
            (Ok(()), None) => {}
            (Ok(()), Some((since, _))) => {
                tracing::info!(after = ?now.saturating_duration_since(*since), "database writes succeed again");
                self.failing = None;
            }
            (Err(_), Some((_, logged))) if now.saturating_duration_since(*logged) < LOG_AGAIN => {}
            (Err(error), failing) => {
                tracing::error!(%error, "database writes fail and are refused");
                let since = failing.map_or(now, |(since, _)| since);
                self.failing = Some((since, now));
            }
        }
    }

    /// Rings where another process committed since the last look.
    fn poll(&mut self) -> Result<(), Broken> {
        self.check_file()?;
        let connection = self.connection()?;
        let version = data_version(connection)
            .map_err(|error| Broken { why: error.to_string(), hurt: is_hurt(&error) })?;
        if self.seen != version {
            self.seen = version;
            self.ring.send_modify(|now| *now += 1);
        }
        Ok(())
    }

    /// Gives up a file that is no longer what lies at the path: what is written to it would be gone at the next
    /// start.
    fn check_file(&mut self) -> Result<(), Broken> {
        let Link::Up(_, opened) = &self.link else { return Ok(()) };
        match FileId::of(&self.path) {
            Ok(found) if found == *opened => Ok(()),
            Ok(_) => Err(Broken { why: format!("{} was replaced", self.path.display()), hurt: true }),
            Err(error) => Err(Broken { why: format!("{}: {error}", self.path.display()), hurt: true }),
        }
    }

    /// The connection; where there is none, tries to open one as often as the pause allows.
    fn connection(&mut self) -> Result<&Connection, Broken> {
        if let Link::Down { why, retry_at, pause } = &self.link {
            if Instant::now() < *retry_at {
                return Err(Broken { why: why.clone(), hurt: false });
            }
            let pause = (*pause * 2).min(REOPEN_LONGEST);
            match self.reopen() {
                Ok(()) => tracing::debug!("database opened again"),
                Err(why) => {
                    self.link = Link::Down { why: why.clone(), retry_at: Instant::now() + pause, pause };
                    return Err(Broken { why, hurt: false });
                }
            }
        }
        match &self.link {
            Link::Up(connection, _) => Ok(connection),
            Link::Down { why, .. } => Err(Broken { why: why.clone(), hurt: false }),
        }
    }

    fn reopen(&mut self) -> Result<(), String> {
        let file = FileId::of(&self.path).map_err(|error| format!("{}: {error}", self.path.display()))?;
        let connection = connection::open_writer(&self.path).map_err(|error| error.to_string())?;
        match connection::owner(&connection).map_err(|error| error.to_string())? {
            Owner::Ours => {}
            Owner::Nobody | Owner::Another => {
                return Err(format!("{} is not our database", self.path.display()));
            }
        }
        if !migrate::is_current(&connection).map_err(|error| error.to_string())? {
            return Err(format!("{} has another schema now; start jotgate again", self.path.display()));
        }
        self.seen = data_version(&connection).map_err(|error| error.to_string())?;
        self.link = Link::Up(connection, file);
        // Readers look at their file again, and followers read everything again.
        self.epoch.fetch_add(1, Ordering::Release);
        self.ring.send_modify(|now| *now += 1);
        Ok(())
    }

    fn checkpoint_if_due(&mut self) -> Result<(), Broken> {
        let looked_at = self.looked_at;
        let connection = self.connection()?;
        let written = connection.total_changes();
        // Fewer than before: it is another connection.
        if written.abs_diff(looked_at) < LOOK_AFTER {
            return Ok(());
        }
        let pages = match checkpoint(connection, "NOOP") {
            Ok(log) => log.pages - log.moved,
            Err(error) => return Err(Broken { why: error.to_string(), hurt: is_hurt(&error) }),
        };
        if pages >= CHECKPOINT_PAGES {
            // A failure here loses nothing: the log stays until a later one succeeds.
            if let Err(error) = checkpoint(connection, "PASSIVE") {
                tracing::warn!(%error, "checkpoint failed; the write-ahead log grows");
            }
        }
        self.looked_at = written;
        Ok(())
    }
}

/// A number that moves when another connection commits.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// Runs every job in a savepoint and commits; whether the bell is to ring.
fn run_group(
    connection: &Connection,
    group: &mut [Box<dyn Job>],
    now: Instant,
) -> Result<bool, rusqlite::Error> {
    let run = |sql| connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
    run("BEGIN IMMEDIATE")?;
    let tx = Tx { connection, bell: false.into() };
    let mut bell = false;
    for job in group.iter_mut().filter(|job| job.is_wanted(now)) {
        run("SAVEPOINT job")?;
        tx.bell.set(false);
        match job.run(&tx)? {
            Savepoint::Keep => bell |= tx.bell.get(),
            Savepoint::Undo => {
                run("ROLLBACK TO job")?;
            }
        }
        run("RELEASE job")?;
    }
    run("COMMIT")?;
    Ok(bell)
}

/// Leaves the transaction, if SQLite has not done so by itself.
fn undo(connection: &Connection) -> Result<(), rusqlite::Error> {
    if connection.is_autocommit() { Ok(()) } else { connection.execute_batch("ROLLBACK") }
}

/// Whether a connection that met this error may hold what is not so on the disk. A full disk and a lock held by
/// another are not of that kind: the next group simply tries again.
fn is_hurt(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::DiskFull | ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

#[derive(Clone, Copy)]
struct Log {
    pages: i64,
    moved: i64,
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Log> {
    connection
        .prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?
        .query_row([], |row| Ok(Log { pages: row.get(1)?, moved: row.get(2)? }))
}
