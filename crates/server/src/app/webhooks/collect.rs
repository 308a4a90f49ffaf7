//! From the audit trail into the table of messages.

use jotgate_domain::store::{AuditPage, AuditQuery, Change, Expect, StoreError};
use jotgate_domain::webhook::MOST_PENDING;

use super::{Cursor, end_of_trail, message};
use crate::app::App;
use crate::config::Webhook;

/// Entries that are read at once.
const PAGE: u32 = 100;

/// What there is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// There may be more in the trail.
    ReadOn,
    Send,
    /// The receiver is gone.
    Nothing,
}

impl App {
    /// Reads the trail on, and keeps what this webhook wants.
    pub(super) async fn collect(&self, name: &str, webhook: &Webhook) -> Result<Next, StoreError> {
        let Some((before, cursor)) = Cursor::read(&*self.store, name).await? else {
            return Err(StoreError::Corrupt(format!("setting {} is gone", Cursor::setting(name))));
        };
        if cursor.gone_at.is_some() {
            return Ok(Next::Nothing);
        }
        let moved = cursor.mark != self.webhooks.mark;
        let cursor = if moved { self.arrived(cursor).await? } else { cursor };
        let page = match cursor.by_number_until {
            Some(until) => self.by_number(&cursor, until).await?,
            None => self.since(&cursor.position).await?,
        };
        let full = page.entries.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        let by_number_until = cursor.by_number_until.filter(|_| full);
        let turned = moved || by_number_until != cursor.by_number_until;
        if page.entries.is_empty() && !turned {
            return Ok(Next::Send);
        }
        let counts = self.store.delivery_counts().await?;
        if counts.iter().any(|count| count.webhook == name && count.pending >= MOST_PENDING) {
            return Ok(Next::Send);
        }
        let now = self.now();
        let wanted = page.entries.iter().filter(|entry| webhook.wants(entry.event.action));
        let mut changes: Vec<_> =
            wanted.map(|entry| Change::PutDelivery(message::about(name, entry, now))).collect();
        let newest = page.entries.iter().map(|entry| entry.id).max().unwrap_or(cursor.entry);
        let after =
            Cursor { position: page.position, entry: newest.max(cursor.entry), by_number_until, ..cursor };
        changes.push(after.put(name));
        let stands = Expect::Setting { name: Cursor::setting(name), value: Some(before) };
        self.apply(changes, vec![self.webhooks.lease.expect(), stands]).await?;
        Ok(if full || turned { Next::ReadOn } else { Next::Send })
    }

    async fn since(&self, position: &str) -> Result<AuditPage, StoreError> {
        let query = AuditQuery { limit: PAGE, ..AuditQuery::default() };
        self.store.audit_since(query, Some(position)).await
    }

    /// In a database that was filled from another one, whose positions mean nothing here: what was not told there is
    /// read by number, however much it is. While it was carried over nobody wrote, so no number up to here comes late.
    async fn arrived(&self, cursor: Cursor) -> Result<Cursor, StoreError> {
        let (position, newest) = end_of_trail(&*self.store).await?;
        Ok(Cursor { mark: self.webhooks.mark.clone(), position, by_number_until: Some(newest), ..cursor })
    }

    async fn by_number(&self, cursor: &Cursor, until: i64) -> Result<AuditPage, StoreError> {
        let mut entries = self.store.audit_after(cursor.entry, PAGE).await?;
        entries.retain(|entry| entry.id <= until);
        Ok(AuditPage { entries, position: cursor.position.clone() })
    }
}
