//! The audit trail as it grows, for an application around the server.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _, unfold};
use jotgate_domain::audit::Entry;
use jotgate_domain::store::{AuditQuery, Store, StoreError};
use tokio::time::sleep;

/// How soon an entry is seen.
const POLL: Duration = Duration::from_millis(250);
/// Entries in memory at once.
const PAGE: u32 = 100;

/// Every entry of the audit trail that is committed from its making on, by whichever node or program, each once: a
/// stream without an end. It waits while the database is away.
pub struct Events(Pin<Box<dyn Stream<Item = Entry> + Send>>);

struct Follower {
    store: Arc<dyn Store>,
    position: String,
    read: VecDeque<Entry>,
}

impl Events {
    pub(crate) async fn from_now(store: Arc<dyn Store>) -> Result<Self, StoreError> {
        let position = store.audit_since(AuditQuery::default(), None).await?.position;
        let follower = Follower { store, position, read: VecDeque::new() };
        Ok(Self(Box::pin(unfold(follower, async |mut follower| {
            let entry = follower.next().await;
            Some((entry, follower))
        }))))
    }

    /// The next entry.
    pub async fn next(&mut self) -> Option<Entry> {
        self.0.next().await
    }
}

impl Follower {
    async fn next(&mut self) -> Entry {
        loop {
            if let Some(entry) = self.read.pop_front() {
                return entry;
            }
            let query = AuditQuery { limit: PAGE, ..AuditQuery::default() };
            match self.store.audit_since(query, Some(&self.position)).await {
                Ok(page) => {
                    self.position = page.position;
                    self.read = page.entries.into();
                }
                Err(error) => tracing::warn!(%error, "the audit trail cannot be followed"),
            }
            if self.read.is_empty() {
                sleep(POLL).await;
            }
        }
    }
}

impl Stream for Events {
    type Item = Entry;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Entry>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
