//! The statements that read, and rows as records. Hot statements are constants, so that a test can ask SQLite how
//! it would run each.

use jotgate_domain::audit::{self, Action, Event};
use jotgate_domain::client::{Client, ClientId, Proof};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::{Email, RoleName, Username};
use jotgate_domain::session::RefreshState;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::{DeliveryCount, Lookup, Revocable, Revoked};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{IdentityId, Session, SessionId, StoreError, Timestamp, User, UserId};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSqlOutput, Type, ValueRef};
use rusqlite::{Connection, OptionalExtension as _, Row, ToSql};
use uuid::Uuid;

use crate::store::codec;
use crate::store::plan::LastUse;

macro_rules! user_columns {
    () => {
        "u.id, u.username, u.email, u.email_verified_at, u.password_hash, u.password_changed_at, u.roles, \
         u.claims, u.created_at, u.disabled_at, u.version"
    };
}
const USER_COLUMNS: usize = 11;

macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.client_id, s.scope, s.handle_hash, s.generation, s.previous, s.first, s.rotated_at, \
         s.status, s.access_until, s.created_at, s.authenticated_at, s.last_used_at, s.idle_until, \
         s.expires_at, s.address, s.user_agent"
    };
}
const SESSION_COLUMNS: usize = 18;

pub(super) const USER_BY_ID: &str = concat!("SELECT ", user_columns!(), " FROM users u WHERE u.id = ?1");
pub(super) const USER_BY_NAME: &str =
    concat!("SELECT ", user_columns!(), " FROM users u WHERE u.username_canonical = ?1");
pub(super) const USER_BY_EMAIL: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.email_canonical = ?1 AND u.email_verified_at IS NOT NULL"
);
pub(super) const USERS_AFTER: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users u WHERE u.username_canonical > ?1 ORDER BY u.username_canonical LIMIT ?2"
);
pub(super) const SESSION_WITH_USER: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    session_columns!(),
    " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = ?1"
);
pub(super) const SESSION_BY_HANDLE: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", ",
    session_columns!(),
    ", s.rowid, s.used_address, s.used_agent, s.elsewhere_at",
    " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.handle_hash = ?1"
);
pub(super) const SESSIONS_OF: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s WHERE s.user_id = ?1 AND s.idle_until > ?2 AND s.expires_at > ?2",
    " ORDER BY s.last_used_at DESC, s.id DESC LIMIT ?3"
);
/// For the operator's list; reads them all.
pub(super) const SESSIONS: &str = concat!(
    "SELECT ",
    session_columns!(),
    " FROM sessions s WHERE s.idle_until > ?1 AND s.expires_at > ?1",
    " ORDER BY s.last_used_at DESC, s.id DESC LIMIT ?2"
);
pub(super) const CLIENT: &str =
    "SELECT id, name, secret_hash, audiences, created_at FROM clients WHERE id = ?1";
pub(super) const CLIENTS_AFTER: &str =
    "SELECT id, name, secret_hash, audiences, created_at FROM clients WHERE id > ?1 ORDER BY id LIMIT ?2";
pub(super) const TICKET: &str =
    "SELECT hash, session_id, origin, binding, expires_at FROM sso_tickets WHERE hash = ?1";
pub(super) const IDENTITY: &str = concat!(
    "SELECT ",
    user_columns!(),
    ", i.id, i.user_id, i.issuer, i.subject, i.provider, i.label, i.created_at",
    " FROM identities i JOIN users u ON u.id = i.user_id WHERE i.issuer = ?1 AND i.subject = ?2"
);
pub(super) const IDENTITIES_OF: &str = "SELECT id, user_id, issuer, subject, provider, label, created_at \
     FROM identities WHERE user_id = ?1 ORDER BY created_at, id";
pub(super) const KEYS: &str =
    "SELECT kid, algorithm, sealed, published_at, signs_at, gone_at FROM signing_keys";
pub(super) const SETTING: &str = "SELECT value FROM settings WHERE name = ?1";
pub(super) const REVOCATIONS: &str =
    "SELECT status, kid, until_at FROM revocations WHERE seq > ?1 ORDER BY seq";
pub(super) const REVOCATIONS_LAST: &str = "SELECT seq FROM sqlite_sequence WHERE name = 'revocations'";
pub(super) const AUDIT_AFTER: &str = concat!(
    "SELECT id, at, action, actor, actor_id, user_id, session_id, address, detail FROM audit ",
    "WHERE id > ?1 AND (?2 IS NULL OR user_id = ?2) AND (?3 IS NULL OR action = ?3) ORDER BY id LIMIT ?4"
);
pub(super) const AUDIT_LAST: &str = "SELECT coalesce(max(id), 0) FROM audit";
pub(super) const AUDIT_NEWEST: &str = concat!(
    "SELECT id, at, action, actor, actor_id, user_id, session_id, address, detail FROM audit ",
    "WHERE (?1 IS NULL OR action = ?1) ORDER BY id DESC LIMIT ?2"
);
pub(super) const AUDIT_NEWEST_OF: &str = concat!(
    "SELECT id, at, action, actor, actor_id, user_id, session_id, address, detail FROM audit ",
    "WHERE user_id = ?3 AND (?1 IS NULL OR action = ?1) ORDER BY id DESC LIMIT ?2"
);

pub(super) fn user(connection: &Connection, lookup: &Lookup) -> rusqlite::Result<Option<User>> {
    match lookup {
        Lookup::Id(id) => one_user(connection, USER_BY_ID, Id(id.0)),
        Lookup::Name(name) => one_user(connection, USER_BY_NAME, name.as_str()),
        Lookup::Email(address) => one_user(connection, USER_BY_EMAIL, address.as_str()),
    }
}

fn one_user(connection: &Connection, sql: &str, key: impl ToSql) -> rusqlite::Result<Option<User>> {
    connection.prepare_cached(sql)?.query_row([key], |row| user_at(row, 0)).optional()
}

pub(super) fn setting(connection: &Connection, name: &str) -> rusqlite::Result<Option<String>> {
    connection.prepare_cached(SETTING)?.query_row([name], |row| row.get(0)).optional()
}

/// The session with its user, live or not.
pub(super) fn session(connection: &Connection, id: SessionId) -> rusqlite::Result<Option<(Session, User)>> {
    connection
        .prepare_cached(SESSION_WITH_USER)?
        .query_row([Id(id.0)], |row| Ok((session_at(row, USER_COLUMNS)?, user_at(row, 0)?)))
        .optional()
}

pub(super) fn ticket(connection: &Connection, hash: &[u8; 32]) -> rusqlite::Result<Option<Ticket>> {
    let read = |row: &Row<'_>| {
        Ok(Ticket {
            hash: row.get(0)?,
            session: SessionId(row.get::<_, Id>(1)?.0),
            origin: row.get(2)?,
            binding: row.get(3)?,
            expires_at: Timestamp(row.get(4)?),
        })
    };
    connection.prepare_cached(TICKET)?.query_row([hash.as_slice()], read).optional()
}

/// The identity with its user.
pub(super) fn identity(
    connection: &Connection,
    issuer: &str,
    subject: &str,
) -> rusqlite::Result<Option<(Identity, User)>> {
    connection
        .prepare_cached(IDENTITY)?
        .query_row([issuer, subject], |row| Ok((identity_at(row, USER_COLUMNS)?, user_at(row, 0)?)))
        .optional()
}

/// What a refresh reads.
pub(super) struct ByHandle {
    pub(super) rowid: i64,
    pub(super) session: Session,
    pub(super) user: User,
    pub(super) last: LastUse,
}

pub(super) fn by_handle(connection: &Connection, hash: &[u8; 32]) -> rusqlite::Result<Option<ByHandle>> {
    const AFTER: usize = USER_COLUMNS + SESSION_COLUMNS;
    connection
        .prepare_cached(SESSION_BY_HANDLE)?
        .query_row([hash.as_slice()], |row| {
            let session = session_at(row, USER_COLUMNS)?;
            let used_address: Option<String> = row.get(AFTER + 1)?;
            let used_agent: Option<String> = row.get(AFTER + 2)?;
            Ok(ByHandle {
                rowid: row.get(AFTER)?,
                last: LastUse {
                    address: used_address.unwrap_or_else(|| session.address.clone()),
                    user_agent: used_agent.unwrap_or_else(|| session.user_agent.clone()),
                    elsewhere_at: instant(row, AFTER + 3)?,
                },
                user: user_at(row, 0)?,
                session,
            })
        })
        .optional()
}

pub(super) fn user_at(row: &Row<'_>, at: usize) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(row.get::<_, Id>(at)?.0),
        username: Username::from_stored(row.get(at + 1)?),
        email: row.get::<_, Option<String>>(at + 2)?.map(Email::from_stored),
        email_verified_at: instant(row, at + 3)?,
        password_hash: row.get(at + 4)?,
        password_changed_at: instant(row, at + 5)?,
        roles: row.get::<_, Json<Vec<RoleName>>>(at + 6)?.0,
        claims: row.get::<_, Json<_>>(at + 7)?.0,
        created_at: Timestamp(row.get(at + 8)?),
        disabled_at: instant(row, at + 9)?,
        version: row.get(at + 10)?,
    })
}

pub(super) fn session_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Session> {
    Ok(Session {
        id: SessionId(row.get::<_, Id>(at)?.0),
        user_id: UserId(row.get::<_, Id>(at + 1)?.0),
        client_id: row.get(at + 2)?,
        scope: row.get(at + 3)?,
        refresh: RefreshState {
            handle_hash: row.get(at + 4)?,
            generation: row.get(at + 5)?,
            previous: row.get(at + 6)?,
            first: row.get(at + 7)?,
            rotated_at: instant(row, at + 8)?,
        },
        status: row.get(at + 9)?,
        access_until: Timestamp(row.get(at + 10)?),
        created_at: Timestamp(row.get(at + 11)?),
        authenticated_at: Timestamp(row.get(at + 12)?),
        last_used_at: Timestamp(row.get(at + 13)?),
        idle_until: Timestamp(row.get(at + 14)?),
        expires_at: Timestamp(row.get(at + 15)?),
        address: row.get(at + 16)?,
        user_agent: row.get(at + 17)?,
    })
}

pub(super) fn client(row: &Row<'_>) -> rusqlite::Result<Client> {
    Ok(Client {
        id: ClientId::from_stored(row.get(0)?),
        name: row.get(1)?,
        proof: row.get::<_, Option<[u8; 32]>>(2)?.map_or(Proof::None, Proof::Secret),
        audiences: row.get::<_, Json<Vec<String>>>(3)?.0,
        created_at: Timestamp(row.get(4)?),
    })
}

pub(super) fn identity_at(row: &Row<'_>, at: usize) -> rusqlite::Result<Identity> {
    Ok(Identity {
        id: IdentityId(row.get::<_, Id>(at)?.0),
        user_id: UserId(row.get::<_, Id>(at + 1)?.0),
        issuer: row.get(at + 2)?,
        subject: row.get(at + 3)?,
        provider: row.get(at + 4)?,
        label: row.get(at + 5)?,
        created_at: Timestamp(row.get(at + 6)?),
    })
}

pub(super) fn key(row: &Row<'_>) -> rusqlite::Result<StoredKey> {
    Ok(StoredKey {
        kid: row.get(0)?,
        algorithm: row.get(1)?,
        sealed: row.get(2)?,
        published_at: Timestamp(row.get(3)?),
        signs_at: instant(row, 4)?,
        gone_at: instant(row, 5)?,
    })
}

macro_rules! deliveries {
    ($which:literal) => {
        concat!(
            "SELECT id, webhook, kind, body, tries, next_at, dead_at, problem FROM webhook_deliveries ",
            $which
        )
    };
}

pub(super) const DELIVERIES_DUE: &str =
    deliveries!("WHERE webhook = ?1 AND dead_at IS NULL AND next_at <= ?2 ORDER BY next_at LIMIT ?3");
pub(super) const DELIVERIES_DEAD: &str = deliveries!(
    "WHERE dead_at IS NOT NULL AND (?1 IS NULL OR webhook = ?1) ORDER BY dead_at DESC, id DESC LIMIT ?2"
);
pub(super) const DELIVERY: &str = deliveries!("WHERE id = ?1");
pub(super) const DELIVERY_COUNTS: &str = "SELECT webhook, sum(pending), sum(dead) FROM \
     (SELECT webhook, count(*) AS pending, 0 AS dead FROM webhook_deliveries WHERE dead_at IS NULL GROUP BY webhook \
     UNION ALL SELECT webhook, 0, count(*) FROM webhook_deliveries WHERE dead_at IS NOT NULL GROUP BY webhook) \
     GROUP BY webhook ORDER BY webhook";

pub(super) fn delivery(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        id: row.get(0)?,
        webhook: row.get(1)?,
        kind: row.get(2)?,
        body: row.get(3)?,
        tries: row.get(4)?,
        next_at: Timestamp(row.get(5)?),
        dead_at: instant(row, 6)?,
        problem: row.get(7)?,
    })
}

pub(super) fn delivery_count(row: &Row<'_>) -> rusqlite::Result<DeliveryCount> {
    Ok(DeliveryCount { webhook: row.get(0)?, pending: row.get(1)?, dead: row.get(2)? })
}

pub(super) fn revoked(row: &Row<'_>) -> rusqlite::Result<Revoked> {
    let what = match row.get(0)? {
        Some(status) => Revocable::Status(status),
        None => Revocable::Key(row.get(1)?),
    };
    Ok(Revoked { what, until: Timestamp(row.get(2)?) })
}

pub(super) fn entry(row: &Row<'_>) -> rusqlite::Result<audit::Entry> {
    let action: String = row.get(2)?;
    let kind: String = row.get(3)?;
    let actor_id: Option<Id> = row.get(4)?;
    Ok(audit::Entry {
        id: row.get(0)?,
        event: Event {
            at: Timestamp(row.get(1)?),
            action: Action::from_name(&action)
                .ok_or_else(|| conversion(2, codec::corrupt(format!("action {action:?}"))))?,
            actor: codec::actor_from_row(&kind, actor_id.map(|id| id.0))
                .map_err(|error| conversion(3, error))?,
            user: row.get::<_, Option<Id>>(5)?.map(|id| UserId(id.0)),
            session: row.get::<_, Option<Id>>(6)?.map(|id| SessionId(id.0)),
            address: row.get(7)?,
            detail: row.get(8)?,
        },
    })
}

fn instant(row: &Row<'_>, at: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(at)?.map(Timestamp))
}

fn conversion(column: usize, error: StoreError) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// An id as its 16 bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Id(pub(super) Uuid);

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(ValueRef::Blob(self.0.as_bytes())))
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        Uuid::from_slice(value.as_blob()?).map(Self).map_err(FromSqlError::other)
    }
}

/// A column of JSON, read from where it lies.
struct Json<T>(T);

impl FromSql for Json<Vec<RoleName>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        codec::roles_from_json(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl FromSql for Json<Vec<String>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        codec::texts_from_json(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}

impl FromSql for Json<std::collections::BTreeMap<String, serde_json::Value>> {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        codec::claims_from_json(value.as_str()?).map(Self).map_err(FromSqlError::other)
    }
}
