//! Messages for a webhook that is configured no longer.
//!
//! Nodes need not have the same configuration, least of all while it is rolled out. So each node writes down which
//! webhooks it has, and only what none had for a month is given up: as dead letters, which can be looked at and sent
//! again. Nothing that waits is ever deleted.

use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::store::{Change, Deliveries, Expect, StoreError};
use jotgate_domain::webhook::{DEAD_FOR, Delivery};
use tokio::time::sleep;

use crate::app::App;

const EVERY: Duration = Duration::from_secs(3600);
/// How old what was written down may become before it is written anew.
const FRESH: Duration = Duration::from_secs(24 * 3600);
/// Messages that are given up at once.
const BATCH: u32 = 500;
const PROBLEM: &str = "the webhook is configured no longer";

impl App {
    /// Runs until dropped.
    pub(super) async fn look_after_forsaken(&self) {
        loop {
            match self.give_up_forsaken().await {
                // Another node did the same, or has the webhook again: look again.
                Ok(()) | Err(StoreError::Conflict) => {}
                Err(error) => tracing::warn!(%error, "messages for former webhooks cannot be looked after"),
            }
            sleep(EVERY).await;
        }
    }

    async fn give_up_forsaken(&self) -> Result<(), StoreError> {
        for name in self.config.webhooks.keys() {
            let (now, written) = (self.now(), self.configured_at(name).await?);
            // One in the future is of a clock that was wrong.
            if written.is_none_or(|at| at > now || now.since(at) >= FRESH) {
                self.store.apply(vec![configured(name, now)], Vec::new()).await?;
            }
        }
        let Some(now) = self.trusted_now().await? else { return Ok(()) };
        for count in self.store.delivery_counts().await? {
            if count.pending == 0 || self.config.webhooks.contains_key(&count.webhook) {
                continue;
            }
            match self.configured_at(&count.webhook).await? {
                Some(at) if now.since(at) >= DEAD_FOR => self.give_up(&count.webhook, at, now).await?,
                Some(_) => {}
                // Of a version that wrote nothing down: its month begins.
                None => drop(self.store.apply(vec![configured(&count.webhook, now)], Vec::new()).await?),
            }
        }
        Ok(())
    }

    /// All that waits for this webhook, while no node has written down that it has it again.
    async fn give_up(&self, name: &str, configured_at: Timestamp, now: Timestamp) -> Result<(), StoreError> {
        let mut given_up = 0;
        loop {
            let whenever = Deliveries::Due { webhook: name.to_owned(), now: Timestamp(i64::MAX) };
            let waiting = self.store.deliveries(whenever, BATCH).await?;
            if waiting.is_empty() {
                tracing::warn!(webhook = name, given_up, "{PROBLEM}: what waited for it is dead letters");
                return Ok(());
            }
            given_up += waiting.len();
            let dead = waiting.into_iter().map(|delivery| {
                Change::PutDelivery(Delivery { dead_at: Some(now), problem: PROBLEM.to_owned(), ..delivery })
            });
            let stands = Expect::Setting { name: setting(name), value: Some(configured_at.0.to_string()) };
            self.store.apply(dead.collect(), vec![stands]).await?;
        }
    }

    /// When a node wrote down last that it has this webhook.
    async fn configured_at(&self, name: &str) -> Result<Option<Timestamp>, StoreError> {
        let Some(text) = self.store.setting(&setting(name)).await? else { return Ok(None) };
        let at = text.parse().map_err(|_| StoreError::Corrupt(format!("setting {}", setting(name))))?;
        Ok(Some(Timestamp(at)))
    }
}

fn setting(webhook: &str) -> String {
    format!("webhook_configured:{webhook}")
}

fn configured(webhook: &str, at: Timestamp) -> Change {
    Change::PutSetting { name: setting(webhook), value: at.0.to_string() }
}
