//! What a webhook is told: an entry of the audit trail, and no more than that.

use http::Request;
use http::header::CONTENT_TYPE;
use jotgate_domain::Timestamp;
use jotgate_domain::audit::{Actor, Entry};
use jotgate_domain::webhook::{Delivery, signature};
use serde::Serialize;

use crate::app::backup::rfc3339;
use crate::config::Webhook;

/// `type` of a message that `jotgate webhook test` sends.
pub(super) const TEST: &str = "webhook.test";

/// The body, in the form of Standard Webhooks.
#[derive(Serialize)]
struct Body<T> {
    r#type: &'static str,
    /// When it happened.
    timestamp: String,
    data: T,
}

#[derive(Serialize)]
struct Data<'a> {
    /// Number of the entry in the audit trail.
    entry: i64,
    /// `anonymous`, `operator`, `system`, or a user's id.
    actor: String,
    /// The user whom it concerns.
    user_id: Option<String>,
    session_id: Option<String>,
    address: &'a str,
    detail: &'a str,
}

/// The message about an entry, due at once.
pub(super) fn about(webhook: &str, entry: &Entry, now: Timestamp) -> Delivery {
    let event = &entry.event;
    let data = Data {
        entry: entry.id,
        actor: match &event.actor {
            Actor::Anonymous => "anonymous".to_owned(),
            Actor::Operator => "operator".to_owned(),
            Actor::System => "system".to_owned(),
            Actor::User(id) => id.to_string(),
        },
        user_id: event.user.map(|id| id.to_string()),
        session_id: event.session.map(|id| id.to_string()),
        address: &event.address,
        detail: &event.detail,
    };
    // With the instant in it, since a database that was put back gives a number twice.
    let id = format!("{webhook}-{}-{}", entry.id, event.at.0);
    new(id, webhook, event.action.name(), event.at, data, now)
}

/// A message that says nothing but that it arrives.
pub(super) fn test(webhook: &str, random: [u8; 8], now: Timestamp) -> Delivery {
    let id = format!("{webhook}-test-{:016x}", u64::from_be_bytes(random));
    new(id, webhook, TEST, now, serde_json::Map::new(), now)
}

fn new(
    id: String,
    webhook: &str,
    kind: &'static str,
    at: Timestamp,
    data: impl Serialize,
    now: Timestamp,
) -> Delivery {
    let body = Body { r#type: kind, timestamp: rfc3339(at), data };
    Delivery {
        id,
        webhook: webhook.to_owned(),
        kind: kind.to_owned(),
        // Strings, numbers and nulls: they always are JSON.
        body: serde_json::to_string(&body).unwrap_or_default(),
        tries: 0,
        next_at: now,
        dead_at: None,
        problem: String::new(),
    }
}

/// What is sent: one try of a message.
pub(super) fn request(
    webhook: &Webhook,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<Request<Vec<u8>>, http::Error> {
    let at = now.secs();
    Request::post(&webhook.url)
        .header(CONTENT_TYPE, "application/json")
        .header("webhook-id", &delivery.id)
        .header("webhook-timestamp", at)
        .header("webhook-signature", signature(&webhook.secrets, &delivery.id, at, &delivery.body))
        .body(delivery.body.clone().into_bytes())
}
