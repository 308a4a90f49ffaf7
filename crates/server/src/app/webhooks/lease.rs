//! Which node sends: one at a time.
//!
//! The holder's name stands in the database, and beside it a number that it moves on. Whoever sees the number stand
//! still for long enough takes over, by compare-and-set; so no clock is compared with another node's. A holder that
//! was away for so long notices by the first of its writes: each of them expects its name to stand there.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jotgate_domain::store::{Change, Expect, Store, StoreError};
use tokio::time::{Instant, sleep};

const HOLDER: &str = "webhook_sender";
const BEAT: &str = "webhook_sender_beat";
/// How often the number moves on.
const BEAT_EVERY: Duration = Duration::from_secs(3);
/// How long it has to stand still.
const STILL: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Lease {
    node: String,
    /// Nobody else can be at work: whoever held it before is no more.
    alone: bool,
    held: AtomicBool,
}

/// What stood in the database, and since when.
struct Seen {
    holder: Option<String>,
    beat: Option<String>,
    since: Instant,
}

impl Lease {
    pub(super) fn new(node: [u8; 16], alone: bool) -> Self {
        let mut name = String::with_capacity(32);
        for byte in node {
            let _ = write!(name, "{byte:02x}");
        }
        Self { node: name, alone, held: AtomicBool::new(false) }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// Holds only while this node sends.
    pub(super) fn expect(&self) -> Expect {
        Expect::Setting { name: HOLDER.to_owned(), value: Some(self.node.clone()) }
    }

    /// Gets it when it can be had, and keeps it; until dropped.
    pub(super) async fn keep(&self, store: &dyn Store) {
        let mut seen: Option<Seen> = None;
        loop {
            match self.beat(store, &mut seen).await {
                Ok(held) => self.held.store(held, Ordering::Release),
                // While the database is away nothing can be struck out, so nothing is sent either.
                Err(error) => {
                    self.held.store(false, Ordering::Release);
                    tracing::warn!(%error, "whether this node sends webhooks cannot be told");
                }
            }
            sleep(BEAT_EVERY).await;
        }
    }

    async fn beat(&self, store: &dyn Store, seen: &mut Option<Seen>) -> Result<bool, StoreError> {
        let (holder, beat) = (store.setting(HOLDER).await?, store.setting(BEAT).await?);
        let ours = holder.as_deref() == Some(&*self.node);
        let first = seen.is_none();
        let unchanged = seen.as_ref().filter(|seen| seen.holder == holder && seen.beat == beat);
        let since = unchanged.map_or_else(Instant::now, |seen| seen.since);
        let free = holder.is_none() || since.elapsed() >= STILL || (first && self.alone);
        *seen = Some(Seen { holder: holder.clone(), beat: beat.clone(), since });
        if !ours && !free {
            return Ok(false);
        }
        let next =
            beat.as_deref().and_then(|beat| beat.parse::<u64>().ok()).map_or(1, |beat| beat.wrapping_add(1));
        let mut changes = vec![Change::PutSetting { name: BEAT.to_owned(), value: next.to_string() }];
        let mut expect = vec![Expect::Setting { name: HOLDER.to_owned(), value: holder }];
        if !ours {
            changes.push(Change::PutSetting { name: HOLDER.to_owned(), value: self.node.clone() });
            expect.push(Expect::Setting { name: BEAT.to_owned(), value: beat });
        }
        match store.apply(changes, expect).await {
            Ok(_) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
