//! The password hash: argon2id (RFC 9106) in a few threads of its own.
//!
//! As many threads as cores, each with one arena that it reuses (page faults cost a fifth of a hash otherwise)
//! and gives back after a minute without work. They run at lowered priority, so a flood of logins does not slow
//! what verifies tokens. The queue is bounded by the *time* it would take: past two seconds a caller is told to
//! come back, since a client that has given up would be hashed for all the same. It is told after a moment: clients
//! that ask again at once, whatever `Retry-After` says, would take the processor from the hashes by being refused.

use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use jotgate_domain::password::Password;
use tokio::sync::{Semaphore, oneshot};
use zeroize::Zeroizing;

use crate::config::PasswordHash;
use crate::metrics::{Counter, Histogram};
use crate::otel;

/// The longest that a hash may wait for its turn.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How long a caller is kept who finds the queue full, before the last try and the refusal.
const HELD: Duration = Duration::from_millis(250);
/// How many are kept at a time, each with a connection and a request of some KiB; one more is refused at once.
const MOST_HELD: usize = 4096;
/// An arena goes back to the system after this long without work.
const ARENA_IDLE: Duration = Duration::from_secs(60);
/// Niceness of the hashing threads: a tenth of the weight of the rest, and all of what the rest leaves.
const NICENESS: i32 = 10;
/// What a stored hash may ask for, whoever put it there: memory in KiB, passes, memory × passes.
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_ITERATIONS: u32 = 64;
const MAX_WORK_KIB: u64 = 2 * 1024 * 1024;

/// The queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy {
    pub retry_after: Duration,
}

/// Why a PHC string was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhcError {
    /// Not `$argon2id$v=19$m=…,t=…,p=…$salt$hash` (argon2i and argon2d are read too).
    Malformed,
    /// Memory or passes beyond what a login here may cost.
    TooExpensive,
}

impl fmt::Display for PhcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => {
                f.write_str("not an argon2 hash in PHC form ($argon2id$v=19$m=…,t=…,p=…$salt$hash)")
            }
            Self::TooExpensive => write!(
                f,
                "asks for more than {MAX_MEMORY_KIB} KiB, {MAX_ITERATIONS} passes, or {MAX_WORK_KIB} KiB over all passes"
            ),
        }
    }
}

impl std::error::Error for PhcError {}

/// A stored hash, parsed and found affordable.
#[derive(Clone)]
pub struct Phc {
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl fmt::Debug for Phc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Phc(…)")
    }
}

impl Phc {
    /// # Errors
    /// [`PhcError`].
    pub fn parse(text: &str) -> Result<Self, PhcError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PhcError::Malformed)?;
        let algorithm = hash.algorithm.as_str().parse().map_err(|_| PhcError::Malformed)?;
        let version = match hash.version {
            Some(number) => Version::try_from(number).map_err(|_| PhcError::Malformed)?,
            None => Version::V0x10,
        };
        let params = Params::try_from(&hash).map_err(|_| PhcError::Malformed)?;
        let (Some(salt), Some(output)) = (&hash.salt, &hash.hash) else { return Err(PhcError::Malformed) };
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_ITERATIONS || work > MAX_WORK_KIB {
            return Err(PhcError::TooExpensive);
        }
        Ok(Self {
            algorithm,
            version,
            params,
            salt: salt.as_ref().to_vec(),
            output: output.as_bytes().to_vec(),
        })
    }
}

/// Handle to the hashing threads; they end with the last clone.
#[derive(Clone)]
pub struct Hasher(Arc<Handle>);

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hasher").field("params", &self.0.params).finish_non_exhaustive()
    }
}

/// A place in the queue, free again when dropped.
#[derive(Debug)]
#[must_use = "it is kept as long as this lives"]
pub struct Place(Hasher);

struct Handle {
    shared: Arc<Shared>,
    params: Params,
    configured: PasswordHash,
}

struct Shared {
    threads: usize,
    state: Mutex<State>,
    work: Condvar,
    /// Room for callers who are kept.
    held: Semaphore,
    stats: Stats,
}

/// What the hasher counts.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    /// How long jobs wait for a thread.
    pub(crate) wait: Histogram,
    /// How long hashes then take.
    pub(crate) hash: Histogram,
    /// Callers who were told to come back.
    pub(crate) refused: Counter,
}

/// How the hasher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Load {
    pub(crate) threads: usize,
    pub(crate) waiting: usize,
    pub(crate) running: usize,
}

struct State {
    queue: VecDeque<Job>,
    /// How long a hash takes, measured; microseconds.
    hash_micros: u64,
    running: usize,
    /// Places that are kept for callers who do something else first.
    reserved: usize,
    closed: bool,
}

struct Job {
    password: Zeroizing<Vec<u8>>,
    algorithm: Algorithm,
    version: Version,
    params: Params,
    salt: Vec<u8>,
    since: Instant,
    trace: otel::Hashing,
    answer: oneshot::Sender<Zeroizing<Vec<u8>>>,
}

impl Hasher {
    /// Starts one thread a core.
    ///
    /// # Errors
    /// Where the parameters are none that argon2 takes, or a thread cannot be started.
    pub fn start(configured: PasswordHash) -> Result<Self, String> {
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let params =
            Params::new(configured.memory_kib, configured.iterations, configured.parallelism, Some(32))
                .map_err(|error| format!("password.hash: {error}"))?;
        let shared = Arc::new(Shared {
            threads,
            state: Mutex::new(State {
                queue: VecDeque::new(),
                hash_micros: 25_000,
                reserved: 0,
                running: 0,
                closed: false,
            }),
            work: Condvar::new(),
            held: Semaphore::new(MOST_HELD),
            stats: Stats::default(),
        });
        for index in 0..threads {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("argon2-{index}"))
                .spawn(move || worker(&shared))
                .map_err(|error| format!("cannot start a hashing thread: {error}"))?;
        }
        Ok(Self(Arc::new(Handle { shared, params, configured })))
    }

    /// [`Place::verify`] with a place of its own.
    ///
    /// # Errors
    /// [`Busy`], before any work.
    pub async fn verify(&self, password: &Password, phc: Option<&str>) -> Result<bool, Busy> {
        self.reserve().await?.verify(password, phc).await
    }

    /// [`Place::hash`] with a place of its own.
    ///
    /// # Errors
    /// [`Busy`], before any work.
    pub async fn hash(&self, password: &Password, salt: [u8; 16]) -> Result<String, Busy> {
        self.reserve().await?.hash(password, salt).await
    }

    /// Whether this hash was made with other parameters than the configured ones, so that the next login should
    /// replace it.
    #[must_use]
    pub fn is_outdated(&self, phc: &str) -> bool {
        let PasswordHash { memory_kib, iterations, parallelism } = self.0.configured;
        !phc.starts_with(&format!("$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}$"))
    }

    pub(crate) fn load(&self) -> Load {
        let state = self.0.shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        Load { threads: self.0.shared.threads, waiting: state.queue.len(), running: state.running }
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.0.shared.stats
    }

    /// Keeps a place in the queue: to be asked for before a try is counted, since one that is turned away was no
    /// guess. However many ask at once, whoever has a place is not turned away.
    ///
    /// # Errors
    /// [`Busy`], after a quarter of a second.
    pub async fn reserve(&self) -> Result<Place, Busy> {
        let shared = &self.0.shared;
        let mut reserved = self.try_reserve();
        if reserved.is_err()
            && let Ok(_held) = shared.held.try_acquire()
        {
            tokio::time::sleep(HELD).await;
            reserved = self.try_reserve();
        }
        if reserved.is_err() {
            shared.stats.refused.add_one();
        }
        reserved
    }

    /// [`Self::reserve`] without the wait.
    pub(crate) fn try_reserve(&self) -> Result<Place, Busy> {
        let shared = &self.0.shared;
        let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
        shared.admit(&mut state)?;
        state.reserved += 1;
        drop(state);
        Ok(Place(self.clone()))
    }
}

impl Place {
    /// Whether `password` is the one behind `phc`. None, or a hash that does not parse, costs the same and is
    /// false: nobody learns from the time whether there is such a user.
    ///
    /// # Errors
    /// [`Busy`], where the hasher closes.
    pub async fn verify(self, password: &Password, phc: Option<&str>) -> Result<bool, Busy> {
        match phc.and_then(|text| Phc::parse(text).ok()) {
            Some(stored) => {
                let Phc { algorithm, version, params, salt, output } = stored;
                let made = self.run(password, algorithm, version, params, salt).await?;
                Ok(aws_lc_rs::constant_time::verify_slices_are_equal(&made, &output).is_ok())
            }
            None => {
                let params = self.0.0.params.clone();
                self.run(password, Algorithm::Argon2id, Version::V0x13, params, vec![0; 16]).await?;
                Ok(false)
            }
        }
    }

    /// A PHC string with the configured parameters.
    ///
    /// # Errors
    /// [`Busy`], where the hasher closes.
    pub async fn hash(self, password: &Password, salt: [u8; 16]) -> Result<String, Busy> {
        let params = self.0.0.params.clone();
        let PasswordHash { memory_kib, iterations, parallelism } = self.0.0.configured;
        let made = self.run(password, Algorithm::Argon2id, Version::V0x13, params, salt.to_vec()).await?;
        Ok(format!(
            "$argon2id$v=19$m={memory_kib},t={iterations},p={parallelism}${}${}",
            STANDARD_NO_PAD.encode(salt),
            STANDARD_NO_PAD.encode(&*made)
        ))
    }

    async fn run(
        self,
        password: &Password,
        algorithm: Algorithm,
        version: Version,
        params: Params,
        salt: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>, Busy> {
        let shared = Arc::clone(&self.0.0.shared);
        let (answer, answered) = oneshot::channel();
        {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            let password = Zeroizing::new(password.as_bytes().to_vec());
            state.queue.push_back(Job {
                password,
                algorithm,
                version,
                params,
                salt,
                since: Instant::now(),
                trace: otel::Hashing::wait(),
                answer,
            });
        }
        // It is in the queue now.
        drop(self);
        shared.work.notify_one();
        // A thread drops the sender where the hash failed or the hasher closes.
        answered.await.map_err(|_| Busy { retry_after: Duration::from_secs(1) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.0.shared.state.lock().unwrap_or_else(PoisonError::into_inner).reserved -= 1;
    }
}

impl Shared {
    /// Whether there is room for one more.
    fn admit(&self, state: &mut State) -> Result<(), Busy> {
        let wait = |state: &State| {
            let ahead =
                u64::try_from((state.queue.len() + state.reserved) / self.threads).unwrap_or(u64::MAX);
            Duration::from_micros(ahead.saturating_mul(state.hash_micros))
        };
        if wait(state) >= LONGEST_WAIT {
            // Callers who went away meanwhile must not keep others out.
            state.queue.retain(|job| !job.answer.is_closed());
        }
        let waiting = wait(state);
        if waiting >= LONGEST_WAIT {
            return Err(Busy { retry_after: Duration::from_secs(waiting.as_secs().max(1)) });
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.shared.work.notify_all();
    }
}

fn worker(shared: &Shared) {
    // Best effort: a container may forbid it.
    let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), NICENESS);
    let mut arena: Vec<Block> = Vec::new();
    while let Some(mut job) = next(shared, &mut arena) {
        let started = Instant::now();
        job.trace.start();
        shared.stats.wait.observe(started.saturating_duration_since(job.since));
        let blocks = job.params.block_count();
        if arena.len() < blocks {
            // Not resize: it would copy the old blocks.
            arena = Vec::new();
            arena.resize_with(blocks, Block::new);
        }
        let mut output = Zeroizing::new(vec![0; job.params.output_len().unwrap_or(32)]);
        let argon2 = Argon2::new(job.algorithm, job.version, job.params);
        let memory = arena.get_mut(..blocks).unwrap_or_default();
        let hashed = argon2.hash_password_into_with_memory(&job.password, &job.salt, &mut output, memory);
        let took = started.elapsed();
        shared.stats.hash.observe(took);
        job.trace.end();
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        {
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running -= 1;
            state.hash_micros = (state.hash_micros.saturating_mul(7).saturating_add(took)) / 8;
        }
        // Parameters were checked before; were it to fail all the same, zeros must not pass for a hash.
        if hashed.is_ok() {
            let _ = job.answer.send(output);
        }
    }
}

/// The next job whose caller still waits; none when the hasher is closed.
fn next(shared: &Shared, arena: &mut Vec<Block>) -> Option<Job> {
    let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        while let Some(job) = state.queue.pop_front() {
            if !job.answer.is_closed() {
                state.running += 1;
                return Some(job);
            }
        }
        if state.closed {
            return None;
        }
        if arena.is_empty() {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        } else {
            let (guard, timeout) =
                shared.work.wait_timeout(state, ARENA_IDLE).unwrap_or_else(PoisonError::into_inner);
            state = guard;
            if timeout.timed_out() && state.queue.is_empty() {
                *arena = Vec::new();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str) -> Password {
        Password::typed(text).unwrap()
    }

    const CHEAP: PasswordHash = PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 };

    #[tokio::test]
    async fn a_hash_verifies_its_own_password_only() {
        let hasher = Hasher::start(CHEAP).unwrap();
        let phc = hasher.hash(&typed("correct horse"), [7; 16]).await.unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=64,t=1,p=1$"), "{phc}");
        assert_eq!(hasher.verify(&typed("correct horse"), Some(&phc)).await, Ok(true));
        assert_eq!(hasher.verify(&typed("correct horsf"), Some(&phc)).await, Ok(false));
        assert_eq!(hasher.verify(&typed("correct horse"), None).await, Ok(false));
        assert_eq!(hasher.verify(&typed("correct horse"), Some("$argon2id$broken")).await, Ok(false));
        assert!(!hasher.is_outdated(&phc));
        assert!(hasher.is_outdated(&phc.replace("t=1", "t=2")));
    }

    /// The reference implementation's own vector (its test.c: version 0x13, id, t=2, m=2^16, p=1).
    #[tokio::test]
    async fn reads_what_the_reference_implementation_wrote() {
        let phc = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let hasher = Hasher::start(CHEAP).unwrap();
        assert_eq!(hasher.verify(&typed("password"), Some(phc)).await, Ok(true));
    }

    #[test]
    fn a69_a_stored_hash_cannot_ask_for_the_machine() {
        let with = |params: &str| {
            Phc::parse(&format!(
                "$argon2id$v=19${params}$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
            ))
        };
        assert!(with("m=65536,t=2,p=1").is_ok());
        assert_eq!(with("m=4194304,t=1000,p=1").err(), Some(PhcError::TooExpensive));
        assert_eq!(with("m=262144,t=64,p=1").err(), Some(PhcError::TooExpensive));
        for broken in ["m=65536", "t=2,p=1", "m=-1,t=1,p=1", "m=0,t=0,p=0", "m=99999999999,t=1,p=1", ""] {
            let parsed = with(broken);
            // Missing parameters have defaults in the format; none of them may be out of bounds.
            if let Ok(phc) = parsed {
                assert!(phc.params.m_cost() <= MAX_MEMORY_KIB, "{broken}");
            }
        }
        for text in [
            "",
            "$",
            "$argon2id",
            "$2b$12$abcdefghijklmnopqrstuv",
            "plain",
            "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ",
        ] {
            assert_eq!(Phc::parse(text).err(), Some(PhcError::Malformed), "{text}");
        }
    }

    #[tokio::test]
    async fn a_kept_place_is_not_given_to_another() {
        let hasher = Hasher::start(CHEAP).unwrap();
        hasher.0.shared.state.lock().unwrap().hash_micros = u64::from(u32::MAX);
        let places: Vec<_> = std::iter::repeat_with(|| hasher.try_reserve()).take(64).collect();
        let kept: Vec<_> = places.into_iter().flatten().collect();
        assert_eq!(kept.len(), hasher.load().threads);
        assert!(hasher.verify(&typed("x"), None).await.is_err());
        for place in kept {
            assert_eq!(place.verify(&typed("x"), None).await, Ok(false));
        }
        assert_eq!(hasher.0.shared.state.lock().unwrap().reserved, 0);
        drop(hasher.try_reserve().unwrap());
        assert_eq!(hasher.0.shared.state.lock().unwrap().reserved, 0);
    }

    /// A client that does not wait, told at once, asks some ten thousand times a second.
    #[tokio::test(start_paused = true)]
    async fn a_refusal_takes_its_time_and_a_place_that_is_free_by_then_is_given() {
        let hasher = Hasher::start(CHEAP).unwrap();
        hasher.0.shared.state.lock().unwrap().hash_micros = u64::from(u32::MAX);
        let mut kept: Vec<_> = std::iter::from_fn(|| hasher.try_reserve().ok()).take(64).collect();
        let begun = tokio::time::Instant::now();
        assert!(hasher.reserve().await.is_err());
        assert_eq!(begun.elapsed(), HELD);
        assert_eq!(hasher.stats().refused.value(), 1);

        let waits = tokio::spawn({
            let hasher = hasher.clone();
            async move { hasher.reserve().await.is_ok() }
        });
        tokio::time::sleep(HELD / 2).await;
        kept.pop();
        assert!(waits.await.unwrap());
        assert_eq!(hasher.stats().refused.value(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn so_many_are_kept_waiting_and_no_more() {
        let hasher = Hasher::start(CHEAP).unwrap();
        hasher.0.shared.state.lock().unwrap().hash_micros = u64::from(u32::MAX);
        let _kept: Vec<_> = std::iter::from_fn(|| hasher.try_reserve().ok()).take(64).collect();
        let begun = tokio::time::Instant::now();
        let held = hasher.0.shared.held.try_acquire_many(MOST_HELD as u32).unwrap();
        assert!(hasher.reserve().await.is_err());
        assert_eq!(begun.elapsed(), Duration::ZERO);
        drop(held);
        // Nobody who went away is counted any more.
        assert!(tokio::time::timeout(HELD / 2, hasher.reserve()).await.is_err());
        assert_eq!(hasher.0.shared.held.available_permits(), MOST_HELD);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn past_two_seconds_of_queue_a_caller_is_told_to_come_back() {
        let hasher = Hasher::start(PasswordHash { memory_kib: 8, iterations: 1, parallelism: 1 }).unwrap();
        hasher.0.shared.state.lock().unwrap().hash_micros = u64::from(u32::MAX);
        // With hashes that slow, more than one waiting per thread is past the bound at once.
        let calls = (0..64).map(|_| {
            let hasher = hasher.clone();
            tokio::spawn(async move {
                hasher.0.shared.state.lock().unwrap().hash_micros = u64::from(u32::MAX);
                hasher.verify(&typed("x"), None).await
            })
        });
        let mut busy = 0;
        for call in calls.collect::<Vec<_>>() {
            if let Err(refused) = call.await.unwrap() {
                assert!(refused.retry_after >= Duration::from_secs(1));
                busy += 1;
            }
        }
        let load = hasher.load();
        assert_eq!((load.waiting, load.running), (0, 0));
        assert_eq!(hasher.stats().refused.value(), busy);
        // At least one call got through; whether others were refused depends on the threads' speed.
        assert!(busy < 64);
    }
}
