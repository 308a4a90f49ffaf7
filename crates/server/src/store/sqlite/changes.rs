//! What each write does, inside the writer's transaction.

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::client::{Client, ClientId, Proof};
use jotgate_domain::key::StoredKey;
use jotgate_domain::refresh::{self, Granted, Outcome};
use jotgate_domain::sso::Ticket;
use jotgate_domain::status::REVOKED_MARGIN;
use jotgate_domain::store::{Applied, Attempt, Attempted, Revocable, Revoked};
use jotgate_domain::throttle::{self, Bucket, BucketKey, Verdict};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, Expect, Session, SessionId, StoreError, Timestamp, User, UserId};
use rusqlite::types::Null;
use rusqlite::{OptionalExtension as _, params};

use super::rows::{self, Id};
use super::tx::{Failure, Tx};
use crate::store::codec;
use crate::store::plan::{Plan, plan};

pub(super) const BUCKET: &str = "SELECT tries, counted_at, blocked_until FROM throttles WHERE bucket = ?1";
pub(super) const PUT_BUCKET: &str = "INSERT INTO throttles (bucket, tries, counted_at, blocked_until, forgotten_at) \
     VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (bucket) DO UPDATE SET tries = ?2, counted_at = ?3, \
     blocked_until = ?4, forgotten_at = ?5";
pub(super) const NEXT_STATUS: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'status' RETURNING value";
pub(super) const MOVE_SESSION: &str = "UPDATE sessions SET generation = ?2, previous = ?3, first = ?4, rotated_at = ?5, \
     status = ?6, access_until = ?7, last_used_at = ?8, idle_until = ?9, used_address = ?10, \
     used_agent = ?11, elsewhere_at = NULL WHERE rowid = ?1";
pub(super) const START_SESSION: &str = "INSERT INTO sessions (id, user_id, client_id, scope, handle_hash, generation, \
     previous, first, rotated_at, status, access_until, created_at, authenticated_at, last_used_at, idle_until, \
     expires_at, address, user_agent, sweep_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, \
     ?14, ?15, ?16, ?17, ?18, min(?15, ?16))";
pub(super) const DISPLACED: &str = "SELECT id FROM sessions WHERE user_id = ?1 AND id <> ?2 AND idle_until > ?3 \
     AND expires_at > ?3 ORDER BY created_at DESC, id DESC LIMIT -1 OFFSET ?4";
pub(super) const END_SESSION: &str = "DELETE FROM sessions WHERE id = ?1 RETURNING status, access_until";
pub(super) const SESSION_IDS_OF: &str =
    "SELECT id FROM sessions WHERE user_id = ?1 AND (?2 IS NULL OR id <> ?2)";
pub(super) const SESSION_IDS_OF_CLIENT: &str =
    "SELECT id FROM sessions WHERE client_id = ?1 AND client_id <> 'jotgate'";
pub(super) const LINK_IDENTITY: &str = "INSERT INTO identities (id, user_id, issuer, subject, provider, label, \
     created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(super) const UNLINK_IDENTITY: &str = "DELETE FROM identities WHERE id = ?1 AND user_id = ?2";
pub(super) const UNLINK_ALL: &str = "DELETE FROM identities WHERE user_id = ?1";
pub(super) const SPEND: &str = "INSERT INTO spent (id, until_at) VALUES (?1, ?2)";
pub(super) const ADD_EVENT: &str = "INSERT INTO audit (at, action, actor, actor_id, user_id, session_id, address, \
     detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(super) const PUT_TICKET: &str =
    "INSERT INTO sso_tickets (hash, session_id, origin, binding, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)";
pub(super) const IS_TICKET: &str = "SELECT 1 FROM sso_tickets WHERE hash = ?1";
pub(super) const TAKE_TICKET: &str = "DELETE FROM sso_tickets WHERE hash = ?1";
pub(super) const PUT_DELIVERY: &str = "INSERT INTO webhook_deliveries (id, webhook, kind, body, tries, next_at, \
     dead_at, problem) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET tries = ?5, \
     next_at = ?6, dead_at = ?7, problem = ?8";
pub(super) const DELETE_DELIVERY: &str = "DELETE FROM webhook_deliveries WHERE id = ?1";
pub(super) const ADD_REVOCATION: &str = "INSERT INTO revocations (status, kid, until_at) VALUES (?1, ?2, ?3)";

/// A try of the bucket, and the user.
pub(super) fn attempt(tx: &Tx<'_>, attempt: &Attempt) -> Result<Attempted, Failure> {
    let bucket = tx
        .connection
        .prepare_cached(BUCKET)?
        .query_row([attempt.bucket.as_slice()], |row| {
            Ok(Bucket {
                tries: row.get(0)?,
                counted_at: Timestamp(row.get(1)?),
                blocked_until: Timestamp(row.get(2)?),
            })
        })
        .optional()?
        .unwrap_or_default();
    let (verdict, after) = throttle::take(bucket, attempt.limit, attempt.now);
    if verdict == Verdict::Granted {
        let forgiven = after.counted_at.plus(attempt.limit.forgive_every.saturating_mul(after.tries));
        tx.connection.prepare_cached(PUT_BUCKET)?.execute(params![
            attempt.bucket.as_slice(),
            after.tries,
            after.counted_at.0,
            after.blocked_until.0,
            forgiven.max(after.blocked_until).0,
        ])?;
    }
    Ok(Attempted { verdict, user: rows::user(tx.connection, &attempt.lookup)? })
}

/// The rule of rotation, in one step with the row.
pub(super) fn refresh(tx: &Tx<'_>, request: &refresh::Request) -> Result<Outcome, Failure> {
    let Some(found) = rows::by_handle(tx.connection, &request.handle_hash)? else {
        return Ok(Outcome::Invalid);
    };
    let rows::ByHandle { rowid, mut session, user, last } = found;
    let generation = match plan(&session, &user, &last, request) {
        Plan::Invalid => return Ok(Outcome::Invalid),
        Plan::End { event } => {
            let mut applied = Applied::default();
            end_session(tx, session.id, &mut applied)?;
            add_event(tx, &event)?;
            return Ok(Outcome::Reused { session: Box::new(session), revoked: applied.revoked });
        }
        Plan::Repeat { generation, access_until, event } => {
            if let Some(access_until) = access_until {
                if session.status.is_none() {
                    session.status = Some(next_status(tx)?);
                }
                session.access_until = access_until;
                tx.connection
                    .prepare_cached("UPDATE sessions SET status = ?2, access_until = ?3 WHERE rowid = ?1")?
                    .execute(params![rowid, session.status, session.access_until.0])?;
            }
            if let Some(event) = event {
                tx.connection
                    .prepare_cached("UPDATE sessions SET elsewhere_at = rotated_at WHERE rowid = ?1")?
                    .execute([rowid])?;
                add_event(tx, &event)?;
            }
            generation
        }
        Plan::Move { session: moved, event } => {
            session = *moved;
            if session.status.is_none() {
                session.status = Some(next_status(tx)?);
            }
            let state = &session.refresh;
            tx.connection.prepare_cached(MOVE_SESSION)?.execute(params![
                rowid,
                state.generation,
                state.previous,
                state.first,
                state.rotated_at.map(|at| at.0),
                session.status,
                session.access_until.0,
                session.last_used_at.0,
                session.idle_until.0,
                (request.address != session.address).then_some(&request.address),
                (request.user_agent != session.user_agent).then_some(&request.user_agent),
            ])?;
            if let Some(event) = event {
                add_event(tx, &event)?;
            }
            session.refresh.generation
        }
    };
    Ok(Outcome::Granted(Box::new(Granted { session, user, generation })))
}

/// All of `changes` in order, if every expectation holds.
pub(super) fn apply(tx: &Tx<'_>, changes: &[Change], expect: &[Expect]) -> Result<Applied, Failure> {
    for expected in expect {
        if !holds(tx, expected)? {
            return Err(Failure::Refused(StoreError::Conflict));
        }
    }
    let mut applied = Applied::default();
    for change in changes {
        match change {
            Change::CreateUser(user) => create_user(tx, user)?,
            Change::UpdateUser(user) => update_user(tx, user)?,
            Change::DeleteUser(id) => {
                end_sessions_of(tx, *id, None, &mut applied)?;
                tx.connection.prepare_cached(UNLINK_ALL)?.execute([Id(id.0)])?;
                tx.connection.prepare_cached("DELETE FROM users WHERE id = ?1")?.execute([Id(id.0)])?;
            }
            Change::LinkIdentity(identity) => link_identity(tx, identity)?,
            Change::UnlinkIdentity { id, user } => {
                tx.connection.prepare_cached(UNLINK_IDENTITY)?.execute([Id(id.0), Id(user.0)])?;
            }
            Change::Spend { id, until } => {
                tx.connection.prepare_cached(SPEND)?.execute(params![id.as_slice(), until.0])?;
            }
            Change::StartSession { session, max_per_user } => {
                start_session(tx, session, *max_per_user, &mut applied)?;
            }
            Change::EndSession(id) => end_session(tx, *id, &mut applied)?,
            Change::EndSessionsOf { user, except } => end_sessions_of(tx, *user, *except, &mut applied)?,
            Change::RevokeTokens(id) => revoke_tokens(tx, *id, &mut applied)?,
            Change::RevokeTokensOf(user) => {
                for id in session_ids_of(tx, *user, None)? {
                    revoke_tokens(tx, id, &mut applied)?;
                }
            }
            Change::RenewSession(session) => renew_session(tx, session, &mut applied)?,
            Change::CreateClient(client) => create_client(tx, client)?,
            Change::DeleteClient(id) => delete_client(tx, id, &mut applied)?,
            Change::ExtendTokens { session, access_until } => {
                extend_tokens(tx, *session, *access_until, &mut applied)?;
            }
            Change::PutTicket(ticket) => put_ticket(tx, ticket)?,
            Change::TakeTicket(hash) => {
                tx.connection.prepare_cached(TAKE_TICKET)?.execute([hash.as_slice()])?;
            }
            Change::ClearThrottle(bucket) => clear_throttle(tx, bucket)?,
            Change::PutKey(key) => put_key(tx, key)?,
            Change::DeleteKey { kid } => {
                tx.bell.set(true);
                tx.connection.prepare_cached("DELETE FROM signing_keys WHERE kid = ?1")?.execute([kid])?;
            }
            Change::RevokeKey { kid, until } => {
                tx.connection.prepare_cached(ADD_REVOCATION)?.execute(params![Null, kid, until.0])?;
                tx.bell.set(true);
                applied.revoked.push(Revoked { what: Revocable::Key(kid.clone()), until: *until });
            }
            Change::PutSetting { name, value } => put_setting(tx, name, value)?,
            Change::Audit(event) => add_event(tx, event)?,
            Change::PutDelivery(delivery) => put_delivery(tx, delivery)?,
            Change::DeleteDelivery { id } => {
                tx.connection.prepare_cached(DELETE_DELIVERY)?.execute([id])?;
            }
        }
    }
    Ok(applied)
}

fn holds(tx: &Tx<'_>, expected: &Expect) -> Result<bool, Failure> {
    Ok(match expected {
        Expect::User(id, version) => tx
            .connection
            .prepare_cached("SELECT 1 FROM users WHERE id = ?1 AND version = ?2")?
            .exists(params![Id(id.0), version])?,
        Expect::Session(id) => {
            tx.connection.prepare_cached("SELECT 1 FROM sessions WHERE id = ?1")?.exists([Id(id.0)])?
        }
        Expect::Client(id) => {
            tx.connection.prepare_cached("SELECT 1 FROM clients WHERE id = ?1")?.exists([id.as_str()])?
        }
        Expect::Ticket(hash) => tx.connection.prepare_cached(IS_TICKET)?.exists([hash.as_slice()])?,
        Expect::Setting { name, value } => rows::setting(tx.connection, name)? == *value,
    })
}

fn create_user(tx: &Tx<'_>, user: &User) -> Result<(), Failure> {
    write_user(
        tx,
        "INSERT INTO users (id, username, username_canonical, email, email_canonical, email_verified_at, \
         password_hash, password_changed_at, roles, claims, created_at, disabled_at, version) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        user,
    )?;
    Ok(())
}

fn update_user(tx: &Tx<'_>, user: &User) -> Result<(), Failure> {
    let changed = write_user(
        tx,
        "UPDATE users SET username = ?2, username_canonical = ?3, email = ?4, email_canonical = ?5, \
         email_verified_at = ?6, password_hash = ?7, password_changed_at = ?8, roles = ?9, claims = ?10, \
         created_at = ?11, disabled_at = ?12, version = ?13 WHERE id = ?1 AND version = ?13 - 1",
        user,
    )?;
    if changed == 1 { Ok(()) } else { Err(Failure::Refused(StoreError::Conflict)) }
}

/// How many rows it changed.
fn write_user(tx: &Tx<'_>, statement: &str, user: &User) -> Result<usize, Failure> {
    Ok(tx.connection.prepare_cached(statement)?.execute(params![
        Id(user.id.0),
        user.username.as_str(),
        user.username.canonical().as_str(),
        user.email.as_ref().map(|email| email.as_str()),
        user.email.as_ref().map(|email| email.canonical().as_str().to_owned()),
        user.email_verified_at.map(|at| at.0),
        user.password_hash,
        user.password_changed_at.map(|at| at.0),
        codec::roles_to_json(&user.roles),
        codec::claims_to_json(&user.claims),
        user.created_at.0,
        user.disabled_at.map(|at| at.0),
        user.version,
    ])?)
}

fn link_identity(tx: &Tx<'_>, identity: &Identity) -> Result<(), Failure> {
    tx.connection.prepare_cached(LINK_IDENTITY)?.execute(params![
        Id(identity.id.0),
        Id(identity.user_id.0),
        identity.issuer,
        identity.subject,
        identity.provider,
        identity.label,
        identity.created_at.0,
    ])?;
    Ok(())
}

fn start_session(
    tx: &Tx<'_>,
    session: &Session,
    max_per_user: u32,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let status = next_status(tx)?;
    let state = &session.refresh;
    tx.connection.prepare_cached(START_SESSION)?.execute(params![
        Id(session.id.0),
        Id(session.user_id.0),
        session.client_id,
        session.scope,
        state.handle_hash.as_slice(),
        state.generation,
        state.previous,
        state.first,
        state.rotated_at.map(|at| at.0),
        status,
        session.access_until.0,
        session.created_at.0,
        session.authenticated_at.0,
        session.last_used_at.0,
        session.idle_until.0,
        session.expires_at.0,
        session.address,
        session.user_agent,
    ])?;
    applied.status.push(status);
    // The new one stays in any case, so one less of the others.
    let others = max_per_user.saturating_sub(1);
    let displaced = tx
        .connection
        .prepare_cached(DISPLACED)?
        .query_map(params![Id(session.user_id.0), Id(session.id.0), session.created_at.0, others], |row| {
            row.get::<_, Id>(0).map(|id| SessionId(id.0))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for id in displaced {
        end_session(tx, id, applied)?;
        add_event(
            tx,
            &Event {
                at: session.created_at,
                action: Action::SessionDisplaced,
                actor: Actor::System,
                user: Some(session.user_id),
                session: Some(id),
                address: session.address.clone(),
                detail: format!("by session {}", session.id),
            },
        )?;
    }
    Ok(())
}

fn end_session(tx: &Tx<'_>, id: SessionId, applied: &mut Applied) -> Result<(), Failure> {
    let ended = tx
        .connection
        .prepare_cached(END_SESSION)?
        .query_row([Id(id.0)], |row| Ok((row.get::<_, Option<u64>>(0)?, Timestamp(row.get(1)?))))
        .optional()?;
    if let Some((status, access_until)) = ended {
        applied.ended += 1;
        if let Some(status) = status {
            revoke(tx, status, access_until, applied)?;
        }
    }
    Ok(())
}

fn end_sessions_of(
    tx: &Tx<'_>,
    user: UserId,
    except: Option<SessionId>,
    applied: &mut Applied,
) -> Result<(), Failure> {
    for id in session_ids_of(tx, user, except)? {
        end_session(tx, id, applied)?;
    }
    Ok(())
}

fn session_ids_of(tx: &Tx<'_>, user: UserId, except: Option<SessionId>) -> Result<Vec<SessionId>, Failure> {
    let mut statement = tx.connection.prepare_cached(SESSION_IDS_OF)?;
    let ids = statement.query_map(params![Id(user.0), except.map(|id| Id(id.0))], |row| {
        row.get::<_, Id>(0).map(|id| SessionId(id.0))
    })?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}

/// Takes the entry from a session that goes on; one without an entry has no tokens to revoke.
fn revoke_tokens(tx: &Tx<'_>, id: SessionId, applied: &mut Applied) -> Result<(), Failure> {
    let entry = tx
        .connection
        .prepare_cached("SELECT status, access_until FROM sessions WHERE id = ?1 AND status IS NOT NULL")?
        .query_row([Id(id.0)], |row| Ok((row.get::<_, u64>(0)?, Timestamp(row.get(1)?))))
        .optional()?;
    if let Some((status, access_until)) = entry {
        tx.connection
            .prepare_cached("UPDATE sessions SET status = NULL WHERE id = ?1")?
            .execute([Id(id.0)])?;
        revoke(tx, status, access_until, applied)?;
    }
    Ok(())
}

fn renew_session(tx: &Tx<'_>, session: &Session, applied: &mut Applied) -> Result<(), Failure> {
    revoke_tokens(tx, session.id, applied)?;
    let status = next_status(tx)?;
    let state = &session.refresh;
    let changed = tx
        .connection
        .prepare_cached(
            "UPDATE sessions SET handle_hash = ?2, generation = ?3, previous = ?4, first = ?5, rotated_at = ?6, \
             status = ?7, access_until = ?8, scope = ?9, authenticated_at = ?10, last_used_at = ?11, \
             idle_until = ?12, expires_at = ?13, used_address = NULL, used_agent = NULL, elsewhere_at = NULL, \
             sweep_at = min(sweep_at, ?12, ?13) WHERE id = ?1",
        )?
        .execute(params![
            Id(session.id.0),
            state.handle_hash.as_slice(),
            state.generation,
            state.previous,
            state.first,
            state.rotated_at.map(|at| at.0),
            status,
            session.access_until.0,
            session.scope,
            session.authenticated_at.0,
            session.last_used_at.0,
            session.idle_until.0,
            session.expires_at.0,
        ])?;
    if changed == 0 {
        return Err(Failure::Refused(StoreError::Conflict));
    }
    applied.status.push(status);
    Ok(())
}

/// One that is gone is a conflict, as where a session is renewed.
fn extend_tokens(
    tx: &Tx<'_>,
    id: SessionId,
    access_until: Timestamp,
    applied: &mut Applied,
) -> Result<(), Failure> {
    let entry: Option<Option<u64>> = tx
        .connection
        .prepare_cached("SELECT status FROM sessions WHERE id = ?1")?
        .query_row([Id(id.0)], |row| row.get(0))
        .optional()?;
    let status = match entry.ok_or(Failure::Refused(StoreError::Conflict))? {
        Some(status) => status,
        None => next_status(tx)?,
    };
    tx.connection
        .prepare_cached(
            "UPDATE sessions SET status = ?2, access_until = max(access_until, ?3) WHERE id = ?1",
        )?
        .execute(params![Id(id.0), status, access_until.0])?;
    applied.status.push(status);
    Ok(())
}

fn put_ticket(tx: &Tx<'_>, ticket: &Ticket) -> Result<(), Failure> {
    tx.connection.prepare_cached(PUT_TICKET)?.execute(params![
        ticket.hash.as_slice(),
        Id(ticket.session.0),
        ticket.origin,
        ticket.binding.as_slice(),
        ticket.expires_at.0,
    ])?;
    Ok(())
}

fn revoke(tx: &Tx<'_>, status: u64, access_until: Timestamp, applied: &mut Applied) -> Result<(), Failure> {
    let until = access_until.plus(REVOKED_MARGIN);
    tx.connection.prepare_cached(ADD_REVOCATION)?.execute(params![status, Null, until.0])?;
    tx.bell.set(true);
    applied.revoked.push(Revoked { what: Revocable::Status(status), until });
    Ok(())
}

fn next_status(tx: &Tx<'_>) -> Result<u64, Failure> {
    Ok(tx.connection.prepare_cached(NEXT_STATUS)?.query_row([], |row| row.get(0))?)
}

fn clear_throttle(tx: &Tx<'_>, bucket: &BucketKey) -> Result<(), Failure> {
    tx.connection.prepare_cached("DELETE FROM throttles WHERE bucket = ?1")?.execute([bucket.as_slice()])?;
    Ok(())
}

fn create_client(tx: &Tx<'_>, client: &Client) -> Result<(), Failure> {
    let secret_hash = match &client.proof {
        Proof::None => None,
        Proof::Secret(hash) => Some(hash.as_slice()),
    };
    tx.connection
        .prepare_cached(
            "INSERT INTO clients (id, name, secret_hash, audiences, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            client.id.as_str(),
            client.name,
            secret_hash,
            codec::texts_to_json(&client.audiences),
            client.created_at.0,
        ])?;
    Ok(())
}

fn delete_client(tx: &Tx<'_>, id: &ClientId, applied: &mut Applied) -> Result<(), Failure> {
    let sessions = tx
        .connection
        .prepare_cached(SESSION_IDS_OF_CLIENT)?
        .query_map([id.as_str()], |row| row.get::<_, Id>(0).map(|id| SessionId(id.0)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    for session in sessions {
        end_session(tx, session, applied)?;
    }
    tx.connection.prepare_cached("DELETE FROM clients WHERE id = ?1")?.execute([id.as_str()])?;
    Ok(())
}

fn put_key(tx: &Tx<'_>, key: &StoredKey) -> Result<(), Failure> {
    tx.bell.set(true);
    tx.connection
        .prepare_cached(
            "INSERT INTO signing_keys (kid, algorithm, sealed, published_at, signs_at, gone_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (kid) DO UPDATE SET algorithm = ?2, sealed = ?3, \
             published_at = ?4, signs_at = ?5, gone_at = ?6",
        )?
        .execute(params![
            key.kid,
            key.algorithm,
            key.sealed,
            key.published_at.0,
            key.signs_at.map(|at| at.0),
            key.gone_at.map(|at| at.0),
        ])?;
    Ok(())
}

fn put_setting(tx: &Tx<'_>, name: &str, value: &str) -> Result<(), Failure> {
    tx.bell.set(true);
    tx.connection
        .prepare_cached(
            "INSERT INTO settings (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2",
        )?
        .execute([name, value])?;
    Ok(())
}

fn add_event(tx: &Tx<'_>, event: &Event) -> Result<(), Failure> {
    let (actor, actor_id) = codec::actor_to_row(&event.actor);
    tx.connection.prepare_cached(ADD_EVENT)?.execute(params![
        event.at.0,
        event.action.name(),
        actor,
        actor_id.map(Id),
        event.user.map(|id| Id(id.0)),
        event.session.map(|id| Id(id.0)),
        event.address,
        event.detail,
    ])?;
    Ok(())
}

fn put_delivery(tx: &Tx<'_>, delivery: &Delivery) -> Result<(), Failure> {
    tx.connection.prepare_cached(PUT_DELIVERY)?.execute(params![
        delivery.id,
        delivery.webhook,
        delivery.kind,
        delivery.body,
        delivery.tries,
        delivery.next_at.0,
        delivery.dead_at.map(|at| at.0),
        delivery.problem,
    ])?;
    Ok(())
}
