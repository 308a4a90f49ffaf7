//! Reads, beside the writer and never waiting for it.
//!
//! A look-up by key takes some microseconds, less than handing it to another thread does, so it runs where it is
//! asked for, on a connection that no other thread uses at that moment. Where none is free, where the database was
//! slow a moment ago, or where the read is a long one, it goes to a few connections on blocking threads: a disk
//! that hangs then holds those, not the threads that answer requests.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use jotgate_domain::StoreError;
use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::connection::{is_busy, open_reader};
use super::tx::is_corrupt_row;
use crate::store::codec;

/// Connections for reads on blocking threads.
const BLOCKING: usize = 4;
/// A look-up that took longer waited: for the disk, or only for its turn on a busy processor.
const SLOW: Duration = Duration::from_millis(20);
/// What tells the two apart: a processor takes a turn away once in hundreds of look-ups, a slow disk makes most of
/// them slow. Each slow one counts this much, each other one takes one off, and beyond the limit it is the disk.
const SLOW_POINTS: u32 = 8;
const SLOW_LIMIT: u32 = 24;
/// For how long look-ups then take the detour.
const DETOUR_MS: u64 = 1000;
/// No read waits longer for its turn than this.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    /// One for each thread that answers requests, about.
    inline: Box<[Mutex<Option<Reader>>]>,
    turns: Arc<Semaphore>,
    started: Instant,
    slow_points: AtomicU32,
    /// Milliseconds since `started` until which nothing is read inline.
    detour_until: AtomicU64,
}

#[derive(Debug)]
struct Shared {
    path: PathBuf,
    epoch: Arc<AtomicU64>,
    spare: Mutex<Vec<Reader>>,
}

#[derive(Debug)]
struct Reader {
    connection: Connection,
    /// Of the file that it has open.
    epoch: u64,
}

impl Readers {
    pub(super) fn open(path: PathBuf, epoch: Arc<AtomicU64>) -> rusqlite::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 16);
        let shared = Shared { path, epoch, spare: Mutex::default() };
        let inline = (0..threads).map(|_| shared.open().map(|reader| Mutex::new(Some(reader))));
        Ok(Self {
            inline: inline.collect::<Result<_, _>>()?,
            shared: Arc::new(shared),
            turns: Arc::new(Semaphore::new(BLOCKING)),
            started: Instant::now(),
            slow_points: AtomicU32::new(0),
            detour_until: AtomicU64::new(0),
        })
    }

    /// A look-up by key.
    pub(super) async fn point<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        match self.try_inline(&read) {
            Some(result) => result,
            None => self.long(read).await,
        }
    }

    /// A read of many rows.
    pub(super) async fn long<T, F>(&self, read: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let turn = tokio::time::timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            return Err(StoreError::Unavailable("reads do not end".into()));
        };
        let shared = Arc::clone(&self.shared);
        let work = tokio::task::spawn_blocking(move || {
            let result = shared.read(&read);
            drop(turn);
            result
        });
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => Err(StoreError::Unavailable(format!("a read failed: {error}"))),
            Err(_) => Err(StoreError::Unavailable("the disk did not answer in time".into())),
        }
    }

    /// Reads at once; none where it has to take the detour.
    fn try_inline<T>(
        &self,
        read: &impl Fn(&Connection) -> rusqlite::Result<T>,
    ) -> Option<Result<T, StoreError>> {
        let begun = Instant::now();
        if self.millis(begun) < self.detour_until.load(Ordering::Relaxed) {
            return None;
        }
        let first = thread_number();
        let (mut slot, epoch) = (0..self.inline.len()).find_map(|step| {
            let slot = self.inline.get(first.wrapping_add(step) % self.inline.len())?;
            match slot.try_lock() {
                Ok(slot) => Some((slot, self.shared.epoch.load(Ordering::Acquire))),
                Err(TryLockError::Poisoned(slot)) => {
                    let mut slot = slot.into_inner();
                    *slot = None;
                    Some((slot, 0))
                }
                Err(TryLockError::WouldBlock) => None,
            }
        })?;
        if slot.as_ref().is_none_or(|reader| reader.epoch != epoch) {
            *slot = self.shared.open().ok();
        }
        let result = read(&slot.as_ref()?.connection);
        self.note(begun.elapsed());
        match result {
            Ok(value) => Some(Ok(value)),
            Err(error) if is_corrupt_row(&error) => Some(Err(codec::corrupt(error.to_string()))),
            // The detour waits for a lock, or opens the file anew.
            Err(error) => {
                if !is_busy(&error) {
                    *slot = None;
                }
                None
            }
        }
    }

    /// Judges from the times that look-ups take whether the disk is slow. Races of threads only blur it.
    fn note(&self, took: Duration) {
        let points = self.slow_points.load(Ordering::Relaxed);
        if took > SLOW {
            let points = points + SLOW_POINTS;
            let slow_disk = points > SLOW_LIMIT;
            self.slow_points.store(if slow_disk { 0 } else { points }, Ordering::Relaxed);
            if slow_disk {
                let until = self.millis(Instant::now()).saturating_add(DETOUR_MS);
                self.detour_until.store(until, Ordering::Relaxed);
            }
        } else if points > 0 {
            self.slow_points.store(points - 1, Ordering::Relaxed);
        }
    }

    fn millis(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_millis()).unwrap_or(u64::MAX)
    }
}

impl Shared {
    fn open(&self) -> rusqlite::Result<Reader> {
        let epoch = self.epoch.load(Ordering::Acquire);
        Ok(Reader { connection: open_reader(&self.path)?, epoch })
    }

    /// Reads with a spare connection; once more with a new one where that fails.
    fn read<T>(&self, read: &impl Fn(&Connection) -> rusqlite::Result<T>) -> Result<T, StoreError> {
        let epoch = self.epoch.load(Ordering::Acquire);
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(reader) = spare.filter(|reader| reader.epoch == epoch)
            && let Ok(value) = read(&reader.connection)
        {
            self.put_back(reader);
            return Ok(value);
        }
        let failed = |error: rusqlite::Error| {
            if is_corrupt_row(&error) {
                codec::corrupt(error.to_string())
            } else {
                StoreError::Unavailable(error.to_string())
            }
        };
        let reader = self.open().map_err(failed)?;
        let value = read(&reader.connection).map_err(failed)?;
        self.put_back(reader);
        Ok(value)
    }

    fn put_back(&self, reader: Reader) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }
}

/// A number that stays with the thread, so that each comes back to its own connection and what it has in its
/// cache.
fn thread_number() -> usize {
    thread_local! {
        static NUMBER: usize = {
            let mut hasher = DefaultHasher::new();
            std::thread::current().id().hash(&mut hasher);
            usize::try_from(hasher.finish() % 1024).unwrap_or(0)
        };
    }
    NUMBER.with(|number| *number)
}
