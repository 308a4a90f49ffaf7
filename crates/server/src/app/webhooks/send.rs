//! From the table of messages to the receiver, and what becomes of each.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::HeaderMap;
use http::header::RETRY_AFTER;
use jotgate_domain::Timestamp;
use jotgate_domain::store::{Change, Deliveries, StoreError};
use jotgate_domain::webhook::{Answer, Delivery, Verdict, decide};
use tokio::time::{Instant, sleep};

use super::collect::Next;
use super::{Cursor, PATIENCE, TICK, message};
use crate::app::App;
use crate::config::Webhook;
use crate::outbound::Outbound;

/// Messages under way to one webhook.
const AT_ONCE: usize = 8;

/// Whether it is written down what became of some messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    Written,
    /// It is, and the receiver said that it is gone.
    Gone,
    /// They will be sent again.
    Failed,
}

impl App {
    /// Keeps one webhook told, while this node holds the lease.
    pub(super) async fn serve_webhook(&self, name: &str, webhook: &Webhook) {
        // Of its own, so that a receiver that hangs takes no place from another's messages.
        let outbound = Outbound::new(PATIENCE);
        let mut under_way = FuturesUnordered::new();
        let mut ids: HashSet<String> = HashSet::new();
        let (mut read_at, mut next) = (None::<Instant>, Next::ReadOn);
        loop {
            let held = self.webhooks.lease.is_held();
            if held && (next == Next::ReadOn || read_at.is_none_or(|at| at.elapsed() >= TICK)) {
                read_at = Some(Instant::now());
                next = match self.collect(name, webhook).await {
                    Ok(next) => next,
                    // Another node took over, or the operator changed something: look again.
                    Err(StoreError::Conflict) => Next::Send,
                    Err(error) => {
                        tracing::warn!(webhook = name, %error, "the audit trail cannot be read for a webhook");
                        Next::Send
                    }
                };
            }
            if held && next != Next::Nothing && under_way.len() < AT_ONCE {
                for delivery in self.due(name, &ids).await {
                    ids.insert(delivery.id.clone());
                    under_way.push(self.try_once(&outbound, webhook, delivery));
                }
            }
            tokio::select! {
                Some(first) = under_way.next(), if !under_way.is_empty() => {
                    let mut done = vec![first];
                    while let Some(Some(more)) = under_way.next().now_or_never() {
                        done.push(more);
                    }
                    for (delivery, _) in &done {
                        ids.remove(&delivery.id);
                    }
                    match self.settle(name, done).await {
                        Settled::Written => {}
                        Settled::Gone => next = Next::Nothing,
                        Settled::Failed => sleep(TICK).await,
                    }
                }
                () = sleep(TICK), if next != Next::ReadOn || !held => {}
                else => {}
            }
        }
    }

    /// What is due and not under way, as much as may be.
    async fn due(&self, name: &str, under_way: &HashSet<String>) -> Vec<Delivery> {
        let which = Deliveries::Due { webhook: name.to_owned(), now: self.now() };
        let limit = u32::try_from(AT_ONCE + under_way.len()).unwrap_or(u32::MAX);
        match self.store.deliveries(which, limit).await {
            Ok(mut due) => {
                due.retain(|delivery| !under_way.contains(&delivery.id));
                due.truncate(AT_ONCE.saturating_sub(under_way.len()));
                due
            }
            Err(error) => {
                tracing::warn!(webhook = name, %error, "messages for a webhook cannot be read");
                Vec::new()
            }
        }
    }

    async fn try_once(
        &self,
        outbound: &Outbound,
        webhook: &Webhook,
        delivery: Delivery,
    ) -> (Delivery, Answer) {
        let answer = send(outbound, webhook, &delivery, self.now()).await;
        (delivery, answer)
    }

    /// Writes down what became of these.
    async fn settle(&self, name: &str, done: Vec<(Delivery, Answer)>) -> Settled {
        let now = self.now();
        let mut changes = Vec::new();
        let mut gone = false;
        for (mut delivery, answer) in done {
            delivery.tries = delivery.tries.saturating_add(1);
            let random = self.edge.random::<1>().map_or(0, |[random]| random);
            let verdict = decide(delivery.tries, &answer, now, random);
            self.count(name, verdict);
            delivery.problem = problem(&answer);
            match verdict {
                Verdict::Delivered => {
                    changes.push(Change::DeleteDelivery { id: delivery.id });
                    continue;
                }
                Verdict::Again { at } => delivery.next_at = at,
                Verdict::Dead => {
                    let (id, problem) = (&delivery.id, &delivery.problem);
                    tracing::error!(
                        webhook = name,
                        id,
                        problem,
                        "a message for a webhook was not taken: dead letter"
                    );
                    delivery.dead_at = Some(now);
                }
                Verdict::Gone => gone = true,
            }
            changes.push(Change::PutDelivery(delivery));
        }
        if gone {
            match self.mark_gone(name, now).await {
                Ok(change) => changes.extend(change),
                Err(error) => {
                    tracing::warn!(webhook = name, %error, "a webhook that is gone cannot be marked so")
                }
            }
        }
        match self.apply(changes, vec![self.webhooks.lease.expect()]).await {
            Ok(_) if gone => Settled::Gone,
            Ok(_) => Settled::Written,
            Err(error) => {
                tracing::warn!(webhook = name, %error, "what became of messages for a webhook cannot be written down");
                Settled::Failed
            }
        }
    }

    async fn mark_gone(&self, name: &str, now: Timestamp) -> Result<Option<Change>, StoreError> {
        let Some((_, cursor)) = Cursor::read(&*self.store, name).await? else { return Ok(None) };
        if cursor.gone_at.is_none() {
            tracing::error!(
                webhook = name,
                "the receiver of a webhook answered 410 and is sent nothing more, until `jotgate webhook enable`"
            );
        }
        Ok(Some(Cursor { gone_at: Some(now), ..cursor }.put(name)))
    }

    fn count(&self, name: &str, verdict: Verdict) {
        let Some(counts) = self.webhooks.counts.get(name) else { return };
        let counter = if verdict == Verdict::Delivered { &counts.delivered } else { &counts.failed };
        counter.add_one();
    }
}

/// One try.
pub(super) async fn send(
    outbound: &Outbound,
    webhook: &Webhook,
    delivery: &Delivery,
    now: Timestamp,
) -> Answer {
    let request = match message::request(webhook, delivery, now) {
        Ok(request) => request,
        Err(error) => return Answer::None(error.to_string()),
    };
    match outbound.ask(request).await {
        Ok(answer) => {
            let retry_after = retry_after(answer.headers(), now);
            Answer::Status { status: answer.status().as_u16(), retry_after }
        }
        Err(error) => Answer::None(error.to_string()),
    }
}

/// In few words, for the operator.
pub(super) fn problem(answer: &Answer) -> String {
    match answer {
        Answer::Status { status, .. } => format!("answered {status}"),
        Answer::None(why) => why.chars().take(200).collect(),
    }
}

/// `Retry-After` (RFC 9110 §10.2.3): seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp(date.as_millisecond()).since(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receiver_says_when_in_either_form() {
        let now = Timestamp(784_111_777_000); // 1994-11-06T08:49:37Z
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().unwrap());
            retry_after(&headers, now).map(|wait| wait.as_secs())
        };
        for (text, seconds) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:48:37 GMT", Some(0)),
            ("soon", None),
            ("-5", None),
        ] {
            assert_eq!(read(text), seconds, "{text}");
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
