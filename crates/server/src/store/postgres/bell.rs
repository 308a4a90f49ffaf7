//! How a node hears of what others changed: an empty NOTIFY after a commit, and a look every half second for
//! whatever a lost connection or a pooler swallowed.
//!
//! The NOTIFY is never part of the transaction: all that carry one are committed one after the other. A node sends
//! at most one in ten milliseconds.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_postgres::AsyncMessage;

use super::connect::Connector;
use super::pool::{Pool, lock};

/// What is sent after a commit.
pub(super) const RING: &str = "NOTIFY jotgate";
const LISTEN: &str = "LISTEN jotgate";
/// Between two of them.
const PACE: Duration = Duration::from_millis(10);
/// A change is noticed after this even where no bell is heard.
const LOOK: Duration = Duration::from_millis(500);
/// Between attempts to listen again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Bell {
    shared: Arc<Shared>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    ring: watch::Sender<u64>,
    /// When the last NOTIFY was sent.
    sent: Mutex<Option<Instant>>,
    /// One was wanted too soon after that.
    owed: Notify,
    listening: AtomicBool,
}

impl Default for Bell {
    fn default() -> Self {
        let shared = Shared {
            ring: watch::Sender::new(1),
            sent: Mutex::default(),
            owed: Notify::new(),
            listening: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), tasks: Mutex::default() }
    }
}

impl Bell {
    /// What to send after a commit that others wait for; none where one was sent just now, and another will follow.
    pub(super) fn after_commit(&self) -> Option<&'static str> {
        if self.shared.may_send() {
            return Some(RING);
        }
        self.shared.owed.notify_one();
        None
    }

    /// Others are told soon: for a commit that turned out to hold what they wait for.
    pub(super) fn owe(&self) {
        self.shared.owed.notify_one();
        self.shared.ring();
    }

    /// Those who wait in this process need no detour.
    pub(super) fn ring(&self) {
        self.shared.ring();
    }

    pub(super) async fn changed(&self, seen: u64, pool: &Arc<Pool>) -> u64 {
        self.start(pool);
        let mut rings = self.shared.ring.subscribe();
        // The sender lives as long as `self`.
        rings.wait_for(|now| *now > seen).await.map_or(seen, |now| *now)
    }

    /// Begins to listen, once; a program that never waits needs no connection for it.
    fn start(&self, pool: &Arc<Pool>) {
        let mut tasks = lock(&self.tasks);
        if !tasks.is_empty() {
            return;
        }
        let shared = Arc::clone(&self.shared);
        tasks.push(tokio::spawn(async move {
            loop {
                sleep(LOOK).await;
                shared.ring();
            }
        }));
        tasks.push(tokio::spawn(listen(Arc::clone(&self.shared), Arc::clone(pool))));
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }
}

impl Shared {
    fn ring(&self) {
        self.ring.send_modify(|now| *now += 1);
    }

    fn may_send(&self) -> bool {
        let mut sent = lock(&self.sent);
        let due = sent.is_none_or(|at| at.elapsed() >= PACE);
        if due {
            *sent = Some(Instant::now());
        }
        due
    }
}

/// Listens as long as it lives, on a connection of its own, and sends what is owed.
async fn listen(shared: Arc<Shared>, pool: Arc<Pool>) {
    let mut pause = RETRY_FIRST;
    loop {
        match listen_once(&shared, pool.connector()).await {
            Ok(()) => {
                tracing::debug!("the database tells of changes no longer; it is looked at twice a second");
                pause = RETRY_FIRST;
            }
            Err(why) => {
                tracing::debug!(why, "the database cannot be listened to; it is looked at twice a second");
                pause = (pause * 2).min(RETRY_LONGEST);
            }
        }
        sleep(pause).await;
    }
}

/// Until the connection is lost.
async fn listen_once(shared: &Arc<Shared>, connector: &Connector) -> Result<(), String> {
    let drive = |mut connection: tokio_postgres::Connection<_, _>| {
        let shared = Arc::clone(shared);
        async move {
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if matches!(message, AsyncMessage::Notification(_)) {
                    shared.ring();
                }
            }
        }
    };
    let (client, driver, about) = connector.open_with(drive).await.map_err(|problem| problem.to_string())?;
    let mut driver = AbortOnDrop(driver);
    // A pooler would give the listening connection to somebody else.
    if !about.pooled {
        client.batch_execute(LISTEN).await.map_err(|error| error.to_string())?;
        shared.listening.store(true, Ordering::Relaxed);
    }
    // What was said before, nobody heard.
    shared.ring();
    loop {
        tokio::select! {
            _ = &mut driver.0 => return Ok(()),
            () = shared.owed.notified() => {
                let wait = lock(&shared.sent).map_or(Duration::ZERO, |at| PACE.saturating_sub(at.elapsed()));
                sleep(wait).await;
                if shared.may_send() && client.batch_execute(RING).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
}

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
