//! Webhooks: what happened, told to programs elsewhere.
//!
//! The audit trail is the queue, so a login writes nothing more than it did without. One node at a time ([`lease`])
//! reads it on from a position that the database keeps for each webhook, and puts what a webhook wants into a table of
//! messages in the same transaction that moves the position ([`collect`]). A message leaves the table when it was
//! taken ([`send`]). So whoever is killed at whatever moment, no message is lost; one that was sent and not yet struck
//! out is sent again, under the same id.

mod collect;
mod forsaken;
mod lease;
mod message;
mod operate;
mod send;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use jotgate_domain::Timestamp;
use jotgate_domain::store::{AuditQuery, Change, Expect, Store, StoreError};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use self::lease::Lease;
pub use self::operate::WebhookState;
use super::App;
use crate::config::Webhook;
use crate::edge::{Edge, NoRandomness};
use crate::metrics::{Counter, Kind, Text};

/// How soon what happened is seen.
const TICK: Duration = Duration::from_millis(500);
/// The longest that a receiver may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// How often what waits is counted.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// Where a webhook is, as the database keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Cursor {
    /// [`Store::mark`] of the database that the position is of.
    mark: String,
    position: String,
    /// The newest entry that was read: what holds in another database, too.
    entry: i64,
    /// In a database that was filled from another one: up to here entries are read by number, and from the position on
    /// afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    by_number_until: Option<i64>,
    /// The receiver said that it is gone (410): nothing is sent until the operator says so.
    gone_at: Option<Timestamp>,
}

impl Cursor {
    fn setting(webhook: &str) -> String {
        format!("webhook:{webhook}")
    }

    async fn read(store: &dyn Store, webhook: &str) -> Result<Option<(String, Self)>, StoreError> {
        let name = Self::setting(webhook);
        let Some(text) = store.setting(&name).await? else { return Ok(None) };
        let cursor = serde_json::from_str(&text)
            .map_err(|error| StoreError::Corrupt(format!("setting {name}: {error}")))?;
        Ok(Some((text, cursor)))
    }

    fn put(&self, webhook: &str) -> Change {
        let value = serde_json::to_string(self).unwrap_or_default();
        Change::PutSetting { name: Self::setting(webhook), value }
    }
}

/// Position and number where the trail ends. The position first: what is added in between then comes after it.
async fn end_of_trail(store: &dyn Store) -> Result<(String, i64), StoreError> {
    let position = store.audit_since(AuditQuery::default(), None).await?.position;
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await?;
    Ok((position, newest.last().map_or(0, |entry| entry.id)))
}

/// What a running server knows of its webhooks.
#[derive(Debug)]
pub(super) struct Webhooks {
    lease: Lease,
    mark: String,
    counts: BTreeMap<String, Counts>,
}

/// Name, kind, help, and the value of one webhook.
type Family = (&'static str, Kind, &'static str, fn(&Counts) -> u64);

#[derive(Debug, Default)]
struct Counts {
    delivered: Counter,
    failed: Counter,
    pending: AtomicU64,
    dead: AtomicU64,
    gone: AtomicBool,
}

impl Webhooks {
    /// Those of the configuration. One that is new begins here: it is told what happens from now on.
    pub(super) async fn open(
        store: &dyn Store,
        configured: &BTreeMap<String, Webhook>,
        edge: &Edge,
    ) -> Result<Self, OpenWebhooksError> {
        let mark = store.mark().await?;
        for name in configured.keys() {
            if Cursor::read(store, name).await?.is_some() {
                continue;
            }
            let (position, entry) = end_of_trail(store).await?;
            let cursor = Cursor { mark: mark.clone(), position, entry, by_number_until: None, gone_at: None };
            let nothing = Expect::Setting { name: Cursor::setting(name), value: None };
            match store.apply(vec![cursor.put(name)], vec![nothing]).await {
                // Another node was quicker.
                Ok(_) | Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Self {
            lease: Lease::new(edge.random()?, store.connections().is_none()),
            mark,
            counts: configured.keys().map(|name| (name.clone(), Counts::default())).collect(),
        })
    }

    pub(super) fn write_metrics(&self, text: &mut Text) {
        if self.counts.is_empty() {
            return;
        }
        let families: [Family; 5] = [
            (
                "jotgate_webhook_delivered_total",
                Kind::Counter,
                "Messages that this node sent and a webhook took.",
                |c| c.delivered.value(),
            ),
            ("jotgate_webhook_failed_total", Kind::Counter, "Tries of this node that failed.", |c| {
                c.failed.value()
            }),
            ("jotgate_webhook_pending", Kind::Gauge, "Messages that wait for a webhook.", |c| {
                c.pending.load(Ordering::Relaxed)
            }),
            ("jotgate_webhook_dead", Kind::Gauge, "Dead letters: messages that no try follows.", |c| {
                c.dead.load(Ordering::Relaxed)
            }),
            (
                "jotgate_webhook_gone",
                Kind::Gauge,
                "1 where the receiver answered 410 and is sent nothing.",
                |c| u64::from(c.gone.load(Ordering::Relaxed)),
            ),
        ];
        for (name, kind, help, value) in families {
            text.family(name, kind, help);
            for (webhook, counts) in &self.counts {
                text.sample(&[("webhook", webhook)], value(counts));
            }
        }
    }
}

/// Why webhooks cannot be begun.
#[derive(Debug)]
pub(super) enum OpenWebhooksError {
    Store(StoreError),
    Randomness(NoRandomness),
}

impl From<StoreError> for OpenWebhooksError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NoRandomness> for OpenWebhooksError {
    fn from(error: NoRandomness) -> Self {
        Self::Randomness(error)
    }
}

impl From<OpenWebhooksError> for super::OpenError {
    fn from(error: OpenWebhooksError) -> Self {
        match error {
            OpenWebhooksError::Store(error) => error.into(),
            OpenWebhooksError::Randomness(error) => Self::Other(error.to_string()),
        }
    }
}

impl App {
    /// Runs until dropped. Where no webhook is configured it looks after what waits for former ones only.
    pub(super) async fn serve_webhooks(&self) {
        let webhooks = &self.config.webhooks;
        if webhooks.is_empty() {
            return self.look_after_forsaken().await;
        }
        let sending = join_all(webhooks.iter().map(|(name, webhook)| self.serve_webhook(name, webhook)));
        tokio::join!(
            self.webhooks.lease.keep(&*self.store),
            self.count_deliveries(),
            self.look_after_forsaken(),
            sending
        );
    }

    async fn count_deliveries(&self) {
        loop {
            match self.store.delivery_counts().await {
                Ok(found) => {
                    for (name, counts) in &self.webhooks.counts {
                        let found = found.iter().find(|count| count.webhook == *name);
                        counts.pending.store(found.map_or(0, |count| count.pending), Ordering::Relaxed);
                        counts.dead.store(found.map_or(0, |count| count.dead), Ordering::Relaxed);
                        if let Ok(Some((_, cursor))) = Cursor::read(&*self.store, name).await {
                            counts.gone.store(cursor.gone_at.is_some(), Ordering::Relaxed);
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "messages for webhooks cannot be counted"),
            }
            sleep(COUNT_EVERY).await;
        }
    }
}
