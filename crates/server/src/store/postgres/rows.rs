//! Rows as records, and the columns that make them.

use jotgate_domain::audit::{self, Action, Event};
use jotgate_domain::client::{Client, ClientId, Proof};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::{Email, Username};
use jotgate_domain::session::RefreshState;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::DeliveryCount;
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{IdentityId, Session, SessionId, StoreError, Timestamp, User, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::store::codec;
use crate::store::plan::LastUse;

macro_rules! user_columns {
    () => {
        "u.id, u.username, u.email, u.email_verified_at, u.password_hash, u.password_changed_at, u.roles, \
         u.claims, u.created_at, u.disabled_at, u.version"
    };
}
pub(super) use user_columns;
pub(super) const USER_COLUMNS: usize = 11;

macro_rules! session_columns {
    () => {
        "s.id, s.user_id, s.client_id, s.scope, s.handle_hash, s.generation, s.previous, s.first, s.rotated_at, \
         s.status, s.access_until, s.created_at, s.authenticated_at, s.last_used_at, s.idle_until, \
         s.expires_at, s.address, s.user_agent"
    };
}
pub(super) use session_columns;
pub(super) const SESSION_COLUMNS: usize = 18;

/// A column; another type than the schema's is a schema that is not ours.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, at: usize) -> Result<T, StoreError> {
    row.try_get(at).map_err(|error| codec::corrupt(super::error::text(&error)))
}

fn number<T: TryFrom<i64>>(row: &Row, at: usize) -> Result<T, StoreError> {
    within(get(row, at)?, at)
}

fn within<T: TryFrom<i64>>(value: i64, at: usize) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| codec::corrupt(format!("{value} in column {at}")))
}

fn hash(bytes: &[u8], at: usize) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|_| codec::corrupt(format!("{} bytes in column {at}", bytes.len())))
}

pub(super) fn instant(row: &Row, at: usize) -> Result<Timestamp, StoreError> {
    get(row, at).map(Timestamp)
}

pub(super) fn maybe_instant(row: &Row, at: usize) -> Result<Option<Timestamp>, StoreError> {
    Ok(get::<Option<i64>>(row, at)?.map(Timestamp))
}

pub(super) fn status(row: &Row, at: usize) -> Result<Option<u64>, StoreError> {
    get::<Option<i64>>(row, at)?.map(|value| within(value, at)).transpose()
}

pub(super) fn user_at(row: &Row, at: usize) -> Result<User, StoreError> {
    Ok(User {
        id: UserId(get(row, at)?),
        username: Username::from_stored(get(row, at + 1)?),
        email: get::<Option<String>>(row, at + 2)?.map(Email::from_stored),
        email_verified_at: maybe_instant(row, at + 3)?,
        password_hash: get(row, at + 4)?,
        password_changed_at: maybe_instant(row, at + 5)?,
        roles: codec::roles_from_json(get(row, at + 6)?)?,
        claims: codec::claims_from_json(get(row, at + 7)?)?,
        created_at: instant(row, at + 8)?,
        disabled_at: maybe_instant(row, at + 9)?,
        version: get(row, at + 10)?,
    })
}

/// The same where the row may hold no user.
pub(super) fn maybe_user_at(row: &Row, at: usize) -> Result<Option<User>, StoreError> {
    get::<Option<Uuid>>(row, at)?.map(|_| user_at(row, at)).transpose()
}

pub(super) fn session_at(row: &Row, at: usize) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(get(row, at)?),
        user_id: UserId(get(row, at + 1)?),
        client_id: get(row, at + 2)?,
        scope: get(row, at + 3)?,
        refresh: RefreshState {
            handle_hash: hash(get(row, at + 4)?, at + 4)?,
            generation: number(row, at + 5)?,
            previous: number(row, at + 6)?,
            first: number(row, at + 7)?,
            rotated_at: maybe_instant(row, at + 8)?,
        },
        status: status(row, at + 9)?,
        access_until: instant(row, at + 10)?,
        created_at: instant(row, at + 11)?,
        authenticated_at: instant(row, at + 12)?,
        last_used_at: instant(row, at + 13)?,
        idle_until: instant(row, at + 14)?,
        expires_at: instant(row, at + 15)?,
        address: get(row, at + 16)?,
        user_agent: get(row, at + 17)?,
    })
}

/// User and session, in this order.
pub(super) fn both(row: &Row) -> Result<(Session, User), StoreError> {
    Ok((session_at(row, USER_COLUMNS)?, user_at(row, 0)?))
}

/// What a refresh reads behind the two.
pub(super) fn last_use(row: &Row, session: &Session) -> Result<LastUse, StoreError> {
    const AFTER: usize = USER_COLUMNS + SESSION_COLUMNS;
    let address: Option<String> = get(row, AFTER)?;
    let user_agent: Option<String> = get(row, AFTER + 1)?;
    Ok(LastUse {
        address: address.unwrap_or_else(|| session.address.clone()),
        user_agent: user_agent.unwrap_or_else(|| session.user_agent.clone()),
        elsewhere_at: maybe_instant(row, AFTER + 2)?,
    })
}

pub(super) fn client(row: &Row) -> Result<Client, StoreError> {
    let secret = get::<Option<&[u8]>>(row, 2)?.map(|bytes| hash(bytes, 2)).transpose()?;
    Ok(Client {
        id: ClientId::from_stored(get(row, 0)?),
        name: get(row, 1)?,
        proof: secret.map_or(Proof::None, Proof::Secret),
        audiences: codec::texts_from_json(get(row, 3)?)?,
        created_at: instant(row, 4)?,
    })
}

pub(super) fn ticket(row: &Row) -> Result<Ticket, StoreError> {
    Ok(Ticket {
        hash: hash(get(row, 0)?, 0)?,
        session: SessionId(get(row, 1)?),
        origin: get(row, 2)?,
        binding: hash(get(row, 3)?, 3)?,
        expires_at: instant(row, 4)?,
    })
}

pub(super) fn identity_at(row: &Row, at: usize) -> Result<Identity, StoreError> {
    Ok(Identity {
        id: IdentityId(get(row, at)?),
        user_id: UserId(get(row, at + 1)?),
        issuer: get(row, at + 2)?,
        subject: get(row, at + 3)?,
        provider: get(row, at + 4)?,
        label: get(row, at + 5)?,
        created_at: instant(row, at + 6)?,
    })
}

pub(super) fn key(row: &Row) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        kid: get(row, 0)?,
        algorithm: get(row, 1)?,
        sealed: get(row, 2)?,
        published_at: instant(row, 3)?,
        signs_at: maybe_instant(row, 4)?,
        gone_at: maybe_instant(row, 5)?,
    })
}

pub(super) fn delivery(row: &Row) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: get(row, 0)?,
        webhook: get(row, 1)?,
        kind: get(row, 2)?,
        body: get(row, 3)?,
        tries: number(row, 4)?,
        next_at: instant(row, 5)?,
        dead_at: maybe_instant(row, 6)?,
        problem: get(row, 7)?,
    })
}

pub(super) fn delivery_count(row: &Row) -> Result<DeliveryCount, StoreError> {
    Ok(DeliveryCount { webhook: get(row, 0)?, pending: number(row, 1)?, dead: number(row, 2)? })
}

pub(super) fn entry(row: &Row) -> Result<audit::Entry, StoreError> {
    let action: &str = get(row, 2)?;
    Ok(audit::Entry {
        id: get(row, 0)?,
        event: Event {
            at: instant(row, 1)?,
            action: Action::from_name(action).ok_or_else(|| codec::corrupt(format!("action {action:?}")))?,
            actor: codec::actor_from_row(get(row, 3)?, get(row, 4)?)?,
            user: get::<Option<Uuid>>(row, 5)?.map(UserId),
            session: get::<Option<Uuid>>(row, 6)?.map(SessionId),
            address: get(row, 7)?,
            detail: get(row, 8)?,
        },
    })
}
