//! From the audit trail into the table of messages.

use jotgate_domain::audit::Entry;
use jotgate_domain::store::{AuditPage, AuditQuery, Change, Expect, StoreError};
use jotgate_domain::webhook::MOST_PENDING;

use super::{Cursor, message};
use crate::app::App;
use crate::config::Webhook;

/// Entries that are read at once.
const PAGE: u32 = 100;
/// Entries that are looked through for what is new after the database was exchanged for another.
const NEWEST: u32 = 10_000;

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
        let page =
            if moved { self.since_entry(cursor.entry).await? } else { self.since(&cursor.position).await? };
        if page.entries.is_empty() && !moved {
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
        let after = Cursor {
            mark: self.webhooks.mark.clone(),
            position: page.position,
            entry: newest.max(cursor.entry),
            gone_at: None,
        };
        changes.push(after.put(name));
        let stands = Expect::Setting { name: Cursor::setting(name), value: Some(before) };
        self.apply(changes, vec![self.webhooks.lease.expect(), stands]).await?;
        let full = page.entries.len() >= usize::try_from(PAGE).unwrap_or(usize::MAX);
        Ok(if full { Next::ReadOn } else { Next::Send })
    }

    async fn since(&self, position: &str) -> Result<AuditPage, StoreError> {
        let query = AuditQuery { limit: PAGE, ..AuditQuery::default() };
        self.store.audit_since(query, Some(position)).await
    }

    /// In a database that was filled from another one, whose positions mean nothing here: by number. While it was
    /// carried over nobody wrote, so no number can come late.
    async fn since_entry(&self, last: i64) -> Result<AuditPage, StoreError> {
        let position = self.store.audit_since(AuditQuery::default(), None).await?.position;
        let query = AuditQuery { limit: NEWEST, ..AuditQuery::default() };
        let mut entries: Vec<Entry> = self.store.audit(query).await?;
        entries.retain(|entry| entry.id > last);
        Ok(AuditPage { entries, position })
    }
}
