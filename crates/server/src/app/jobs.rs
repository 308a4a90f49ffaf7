//! What goes on beside the requests: following the database, moving on the keys, sweeping what has expired,
//! telling webhooks.

use std::sync::Arc;
use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::status::LIST_SIZE;
use jotgate_domain::store::StoreError;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::App;

/// Audit entries that are kept.
const KEEP_AUDIT: u64 = 1_000_000;
/// Rows of a kind that one sweep removes: short enough to wait behind.
const SWEEP_BATCH: u32 = 500;
/// A clock that is further ahead of the database's removes nothing: others still need what it calls expired.
const AHEAD: Duration = Duration::from_secs(60);
/// The database is heard at least this often.
const HEAR_EVERY: Duration = Duration::from_secs(1);

impl App {
    /// Runs until dropped.
    pub async fn run_jobs(self: Arc<Self>) {
        tokio::join!(self.follow(), self.tick(), self.sweep(), self.serve_webhooks());
    }

    /// Takes over what other processes change: revocations and keys. It reads at once when told of a change, and
    /// once a second at least, so that what it serves is as fresh as it says.
    async fn follow(&self) {
        let (mut seen, mut cursor) = (0, 0);
        loop {
            if let Ok(now_seen) = timeout(HEAR_EVERY, self.store.changed(seen)).await {
                seen = now_seen;
            }
            match self.catch_up(cursor).await {
                Ok(next) => cursor = next,
                Err(error) => {
                    tracing::warn!(%error, "the database cannot be followed");
                    sleep(HEAR_EVERY).await;
                }
            }
        }
    }

    /// Reads the revocation log from `cursor` on, and the keys.
    pub(super) async fn catch_up(&self, cursor: i64) -> Result<i64, super::OpenError> {
        let asked_at = self.now();
        let page = self.store.revocations(cursor).await?;
        // Before the log grows, so that no list is signed anew with a key that was revoked just now; but what was
        // revoked is refused even where the keys cannot be read.
        let keys = self.reload_keys().await;
        self.revoked(&page.revoked);
        self.status_lists.exist_up_to(page.last_status / LIST_SIZE);
        keys?;
        self.feed.heard(asked_at);
        self.verifier.heard(u64::try_from(asked_at.secs()).unwrap_or(0));
        Ok(page.cursor)
    }

    async fn tick(&self) {
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut count = 0_u32;
        loop {
            second.tick().await;
            count = count.wrapping_add(1);
            let moved = if count % 60 == 1 { self.maintain_keys().await } else { self.advance_keys() };
            if let Err(error) = moved {
                tracing::error!(%error, "the signing keys cannot be kept up");
            }
            if count % 60 == 1 {
                self.verifier.revocations().forget_expired(self.now().secs());
                self.feed.forget_expired(self.now());
            }
        }
    }

    async fn sweep(&self) {
        loop {
            match self.sweep_once().await {
                // There is more of it: go on, but let others write in between.
                Ok(gone) if gone >= u64::from(SWEEP_BATCH) => sleep(Duration::from_millis(50)).await,
                Ok(_) => sleep(Duration::from_secs(60)).await,
                Err(error) => {
                    tracing::warn!(%error, "expired rows cannot be removed");
                    sleep(Duration::from_secs(60)).await;
                }
            }
        }
    }

    async fn sweep_once(&self) -> Result<u64, StoreError> {
        match self.trusted_now().await? {
            Some(now) => self.store.sweep(now, KEEP_AUDIT, SWEEP_BATCH).await,
            None => Ok(0),
        }
    }

    /// By which something may be removed: now, unless this clock is ahead of the database's.
    pub(super) async fn trusted_now(&self) -> Result<Option<Timestamp>, StoreError> {
        let now = self.now();
        let theirs = self.store.clock().await?;
        let ahead = theirs.map_or(Duration::ZERO, |theirs| now.since(theirs));
        if ahead <= AHEAD {
            return Ok(Some(now));
        }
        tracing::warn!(
            seconds = ahead.as_secs(),
            "this machine's clock is ahead of the database's: nothing that has expired is removed"
        );
        Ok(None)
    }
}
