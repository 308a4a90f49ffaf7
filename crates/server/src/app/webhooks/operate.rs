//! What operators see and do.

use jotgate_domain::Timestamp;
use jotgate_domain::store::{Change, Deliveries, Expect};
use jotgate_domain::webhook::{Answer, Delivery};

use super::{Cursor, PATIENCE, message, send};
use crate::app::{Operator, OperatorError};
use crate::outbound::Outbound;

/// Dead letters that are taken up at once.
const BATCH: u32 = 500;

/// A webhook as it stands.
#[derive(Clone, Debug)]
pub struct WebhookState {
    pub name: String,
    /// Else it was, and left messages: nothing is sent to it.
    pub configured: bool,
    /// Scheme and host: the rest of the address may be a secret.
    pub origin: String,
    /// Names of actions; `*`: all.
    pub events: Vec<String>,
    pub pending: u64,
    pub dead: u64,
    /// Since when the receiver is gone.
    pub gone_at: Option<Timestamp>,
}

impl Operator {
    /// Those of the configuration, and former ones that left messages.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn webhooks(&self) -> Result<Vec<WebhookState>, OperatorError> {
        let counts = self.store.delivery_counts().await?;
        let mut states = Vec::new();
        for (name, webhook) in &self.config.webhooks {
            let count = counts.iter().find(|count| count.webhook == *name).cloned().unwrap_or_default();
            let cursor = Cursor::read(&*self.store, name).await?;
            states.push(WebhookState {
                name: name.clone(),
                configured: true,
                origin: webhook.origin(),
                events: webhook.event_names(),
                pending: count.pending,
                dead: count.dead,
                gone_at: cursor.and_then(|(_, cursor)| cursor.gone_at),
            });
        }
        let former = counts.into_iter().filter(|count| !self.config.webhooks.contains_key(&count.webhook));
        states.extend(former.map(|count| WebhookState {
            name: count.webhook,
            configured: false,
            origin: String::new(),
            events: Vec::new(),
            pending: count.pending,
            dead: count.dead,
            gone_at: None,
        }));
        Ok(states)
    }

    /// The newest dead letters; of all webhooks where none is named.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn dead_letters(
        &self,
        webhook: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Delivery>, OperatorError> {
        let which = Deliveries::Dead { webhook: webhook.map(str::to_owned) };
        Ok(self.store.deliveries(which, limit).await?)
    }

    /// Sends a message again, from the first try on.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchDelivery`].
    pub async fn retry_delivery(&self, id: &str) -> Result<Delivery, OperatorError> {
        let which = Deliveries::One { id: id.to_owned() };
        let found = self.store.deliveries(which, 1).await?.pop();
        let delivery = found.ok_or_else(|| OperatorError::NoSuchDelivery(id.to_owned()))?;
        let delivery = self.begun_again(delivery);
        self.store.apply(vec![Change::PutDelivery(delivery.clone())], Vec::new()).await?;
        Ok(delivery)
    }

    /// The same for every dead letter; how many they were.
    ///
    /// # Errors
    /// [`OperatorError::Fault`].
    pub async fn retry_dead(&self, webhook: Option<&str>) -> Result<u64, OperatorError> {
        let mut retried = 0;
        loop {
            let dead = self.dead_letters(webhook, BATCH).await?;
            if dead.is_empty() {
                return Ok(retried);
            }
            retried += dead.len() as u64;
            let again = dead.into_iter().map(|delivery| Change::PutDelivery(self.begun_again(delivery)));
            self.store.apply(again.collect(), Vec::new()).await?;
        }
    }

    /// Sends to a receiver that was gone again, beginning with what it has not been told. False where it was not gone.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchWebhook`].
    pub async fn enable_webhook(&self, name: &str) -> Result<bool, OperatorError> {
        self.webhook(name)?;
        let Some((before, cursor)) = Cursor::read(&*self.store, name).await? else { return Ok(false) };
        if cursor.gone_at.is_none() {
            return Ok(false);
        }
        let after = Cursor { gone_at: None, ..cursor };
        let stands = Expect::Setting { name: Cursor::setting(name), value: Some(before) };
        self.store.apply(vec![after.put(name)], vec![stands]).await?;
        Ok(true)
    }

    /// Sends a message of type `webhook.test` from here, once; what the receiver said.
    ///
    /// # Errors
    /// [`OperatorError::NoSuchWebhook`].
    pub async fn test_webhook(&self, name: &str) -> Result<(Delivery, Answer), OperatorError> {
        let webhook = self.webhook(name)?;
        let delivery = message::test(name, self.edge.random()?, self.now());
        let answer = send::send(&Outbound::new(PATIENCE), webhook, &delivery, self.now()).await;
        Ok((delivery, answer))
    }

    fn webhook(&self, name: &str) -> Result<&crate::config::Webhook, OperatorError> {
        self.config.webhooks.get(name).ok_or_else(|| OperatorError::NoSuchWebhook(name.to_owned()))
    }

    fn begun_again(&self, delivery: Delivery) -> Delivery {
        Delivery { tries: 0, next_at: self.now(), dead_at: None, ..delivery }
    }
}
