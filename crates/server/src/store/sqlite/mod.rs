//! SQLite inside the process: one file, write-ahead log, `synchronous=FULL`, one writer thread with group commit,
//! readers beside it. Other processes (the CLI) use the same file at the same time.

pub(crate) mod backup;
mod changes;
pub(in crate::store) mod connection;
mod migrate;
mod reader;
mod rows;
mod sweep;
#[cfg(test)]
mod tests;
mod tx;
mod writer;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jotgate_domain::client::{Client, ClientId};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::Canonical;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::{
    Applied, Attempt, Attempted, AuditPage, AuditQuery, Connections, Deliveries, DeliveryCount, Lookup,
    RevocationPage,
};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{
    Change, Expect, Session, SessionId, Store, StoreError, Timestamp, User, UserId, audit, refresh,
};
use rusqlite::{Connection, OptionalExtension as _, params};

use self::connection::{Owner, open_error};
use self::reader::Readers;
use self::rows::Id;
use self::writer::Writer;
use super::{OpenError, codec};

/// An SQLite database.
#[derive(Debug)]
pub struct Sqlite {
    // Before the writer: the last connection to close tidies the file up, and that one should be the writer's.
    readers: Readers,
    writer: Writer,
}

impl Sqlite {
    /// Opens the database at `path`, made with mode 0600 if it is missing, and brings its schema up to date.
    ///
    /// # Errors
    /// [`OpenError`], which names the file and the fix.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        Self::open_with(path, migrate::MIGRATIONS, now)
    }

    /// Migrations that the database at `path` has not had. Changes nothing.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn pending(path: &Path) -> Result<Vec<&'static str>, OpenError> {
        let failed = |error: rusqlite::Error| open_error(path, &error);
        let connection = connection::open_reader(path).map_err(failed)?;
        if matches!(connection::owner(&connection).map_err(failed)?, Owner::Another) {
            return Err(OpenError::NotOurs { path: path.to_owned() });
        }
        connection::check_length(&connection, path)?;
        migrate::pending(&connection, path, migrate::MIGRATIONS)
    }

    fn open_with(path: &Path, migrations: &[migrate::Migration], now: Timestamp) -> Result<Self, OpenError> {
        connection::prepare_file(path)?;
        let failed = |error: rusqlite::Error| open_error(path, &error);
        let mut connection = connection::open_writer(path).map_err(failed)?;
        if matches!(connection::owner(&connection).map_err(failed)?, Owner::Another) {
            return Err(OpenError::NotOurs { path: path.to_owned() });
        }
        connection::check_length(&connection, path)?;
        if !connection::use_wal(&connection).map_err(failed)? {
            return Err(OpenError::NoSharedMemory { path: path.to_owned() });
        }
        migrate::migrate(&mut connection, path, migrations, now)?;
        let epoch = Arc::default();
        let readers = Readers::open(path.to_owned(), Arc::clone(&epoch)).map_err(failed)?;
        let writer = Writer::start(path.to_owned(), connection, epoch)?;
        Ok(Self { readers, writer })
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn attempt(&self, attempt: Attempt) -> Result<Attempted, StoreError> {
        self.writer.write(move |tx| changes::attempt(tx, &attempt)).await
    }

    async fn refresh(&self, request: refresh::Request) -> Result<refresh::Outcome, StoreError> {
        self.writer.write(move |tx| changes::refresh(tx, &request)).await
    }

    async fn apply(&self, changes: Vec<Change>, expect: Vec<Expect>) -> Result<Applied, StoreError> {
        self.writer.write(move |tx| changes::apply(tx, &changes, &expect)).await
    }

    async fn user(&self, lookup: Lookup) -> Result<Option<User>, StoreError> {
        self.readers.point(move |connection| rows::user(connection, &lookup)).await
    }

    async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.readers
            .long(move |connection| {
                let after = after.as_ref().map_or("", Canonical::as_str);
                connection
                    .prepare_cached(rows::USERS_AFTER)?
                    .query_map(params![after, limit], |row| rows::user_at(row, 0))?
                    .collect()
            })
            .await
    }

    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.readers.point(move |connection| rows::session(connection, id)).await?;
        Ok(found.filter(|(session, _)| session.is_live(now)))
    }

    async fn session_by_handle(
        &self,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.readers.point(move |connection| rows::by_handle(connection, &handle_hash)).await?;
        Ok(found.map(|found| (found.session, found.user)).filter(|(session, _)| session.is_live(now)))
    }

    async fn sessions(
        &self,
        user: Option<UserId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        self.readers
            .long(move |connection| match user {
                Some(user) => connection
                    .prepare_cached(rows::SESSIONS_OF)?
                    .query_map(params![Id(user.0), now.0, limit], |row| rows::session_at(row, 0))?
                    .collect(),
                None => connection
                    .prepare_cached(rows::SESSIONS)?
                    .query_map(params![now.0, limit], |row| rows::session_at(row, 0))?
                    .collect(),
            })
            .await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        let id = id.as_str().to_owned();
        let read = move |connection: &Connection| {
            connection.prepare_cached(rows::CLIENT)?.query_row([&id], rows::client).optional()
        };
        self.readers.point(read).await
    }

    async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, StoreError> {
        self.readers
            .long(move |connection| {
                let after = after.as_ref().map_or("", ClientId::as_str);
                connection
                    .prepare_cached(rows::CLIENTS_AFTER)?
                    .query_map(params![after, limit], rows::client)?
                    .collect()
            })
            .await
    }

    async fn ticket(&self, hash: [u8; 32]) -> Result<Option<Ticket>, StoreError> {
        self.readers.point(move |connection| rows::ticket(connection, &hash)).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<(Identity, User)>, StoreError> {
        let (issuer, subject) = (issuer.to_owned(), subject.to_owned());
        self.readers.point(move |connection| rows::identity(connection, &issuer, &subject)).await
    }

    async fn identities(&self, user: UserId) -> Result<Vec<Identity>, StoreError> {
        self.readers
            .point(move |connection| {
                connection
                    .prepare_cached(rows::IDENTITIES_OF)?
                    .query_map([Id(user.0)], |row| rows::identity_at(row, 0))?
                    .collect()
            })
            .await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.readers
            .long(|connection| connection.prepare_cached(rows::KEYS)?.query_map([], rows::key)?.collect())
            .await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let name = name.to_owned();
        self.readers.point(move |connection| rows::setting(connection, &name)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<audit::Entry>, StoreError> {
        self.readers.long(move |connection| audit_entries(connection, &query)).await
    }

    async fn audit_since(&self, query: AuditQuery, position: Option<&str>) -> Result<AuditPage, StoreError> {
        let after = position.map(|position| {
            position.parse().map_err(|_| codec::corrupt(format!("position {position:?} in the audit trail")))
        });
        let after = after.transpose()?;
        self.readers.long(move |connection| audit_since(connection, &query, after)).await
    }

    async fn audit_after(&self, after: i64, limit: u32) -> Result<Vec<audit::Entry>, StoreError> {
        let query = AuditQuery { limit, ..AuditQuery::default() };
        self.readers.long(move |connection| Ok(audit_since(connection, &query, Some(after))?.entries)).await
    }

    async fn mark(&self) -> Result<String, StoreError> {
        Ok("sqlite".to_owned())
    }

    async fn deliveries(&self, which: Deliveries, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.readers
            .long(move |connection| match &which {
                Deliveries::Due { webhook, now } => connection
                    .prepare_cached(rows::DELIVERIES_DUE)?
                    .query_map(params![webhook, now.0, limit], rows::delivery)?
                    .collect(),
                Deliveries::Dead { webhook } => connection
                    .prepare_cached(rows::DELIVERIES_DEAD)?
                    .query_map(params![webhook, limit], rows::delivery)?
                    .collect(),
                Deliveries::One { id } => {
                    connection.prepare_cached(rows::DELIVERY)?.query_map([id], rows::delivery)?.collect()
                }
            })
            .await
    }

    async fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, StoreError> {
        self.readers
            .long(|connection| {
                connection
                    .prepare_cached(rows::DELIVERY_COUNTS)?
                    .query_map([], rows::delivery_count)?
                    .collect()
            })
            .await
    }

    async fn revocations(&self, cursor: i64) -> Result<RevocationPage, StoreError> {
        self.readers.long(move |connection| revocations(connection, cursor)).await
    }

    async fn changed(&self, seen: u64) -> u64 {
        self.writer.changed(seen).await
    }

    async fn sweep(&self, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, StoreError> {
        // In several short transactions, so that other writes come between.
        let mut gone = self.writer.write(move |tx| sweep::sweep_rest(tx, now, keep_audit, batch)).await?;
        let mut left = batch;
        while left > 0 {
            let swept = self.writer.write(move |tx| sweep::sweep_sessions(tx, now, left)).await?;
            gone += u64::from(swept.gone);
            if swept.seen < left {
                break;
            }
            left -= swept.gone;
        }
        Ok(gone)
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    fn connections(&self) -> Option<Connections> {
        None
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.readers
            .point(|connection| {
                connection
                    .prepare_cached("SELECT value FROM counters WHERE name = 'status'")?
                    .query_row([], |_| Ok(()))
            })
            .await
    }
}

fn audit_entries(connection: &Connection, query: &AuditQuery) -> rusqlite::Result<Vec<audit::Entry>> {
    let user = query.user.map(|id| Id(id.0));
    let action = query.action.map(audit::Action::name);
    let mut entries = match user {
        Some(user) => connection
            .prepare_cached(rows::AUDIT_NEWEST_OF)?
            .query_map(params![action, query.limit, user], rows::entry)?
            .collect::<rusqlite::Result<Vec<_>>>()?,
        None => connection
            .prepare_cached(rows::AUDIT_NEWEST)?
            .query_map(params![action, query.limit], rows::entry)?
            .collect::<rusqlite::Result<Vec<_>>>()?,
    };
    entries.reverse();
    Ok(entries)
}

/// One transaction writes at a time, so ids become visible in their order and are positions.
fn audit_since(
    connection: &Connection,
    query: &AuditQuery,
    after: Option<i64>,
) -> rusqlite::Result<AuditPage> {
    let Some(after) = after else {
        let last: i64 = connection.prepare_cached(rows::AUDIT_LAST)?.query_row([], |row| row.get(0))?;
        return Ok(AuditPage { entries: Vec::new(), position: last.to_string() });
    };
    let user = query.user.map(|id| Id(id.0));
    let action = query.action.map(audit::Action::name);
    let entries = connection
        .prepare_cached(rows::AUDIT_AFTER)?
        .query_map(params![after, user, action, query.limit], rows::entry)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let position = entries.last().map_or(after, |entry| entry.id).to_string();
    Ok(AuditPage { entries, position })
}

fn revocations(connection: &Connection, cursor: i64) -> rusqlite::Result<RevocationPage> {
    // One transaction, so that the last position and the rows are of one instant.
    let transaction = connection.unchecked_transaction()?;
    let last: i64 = transaction
        .prepare_cached(rows::REVOCATIONS_LAST)?
        .query_row([], |row| row.get(0))
        .optional()?
        .unwrap_or(0);
    let after = if cursor > last { 0 } else { cursor };
    let revoked = transaction
        .prepare_cached(rows::REVOCATIONS)?
        .query_map([after], rows::revoked)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let last_status = transaction
        .prepare_cached("SELECT value FROM counters WHERE name = 'status'")?
        .query_row([], |row| row.get(0))?;
    transaction.commit()?;
    Ok(RevocationPage { cursor: last, revoked, last_status })
}
