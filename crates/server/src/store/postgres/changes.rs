//! Changes as the steps of one transaction.

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::client::{Client, Proof};
use jotgate_domain::key::StoredKey;
use jotgate_domain::status::REVOKED_MARGIN;
use jotgate_domain::store::{Applied, Revocable, Revoked};
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, Expect, Session, SessionId, StoreError, Timestamp, User, UserId};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::pool::{Params, Sql};
use super::rows;
use super::sql;
use crate::store::codec;

/// A parameter.
pub(super) type Value = Box<dyn ToSql + Send + Sync>;

/// One statement of a transaction.
pub(super) struct Step {
    sql: &'static Sql,
    values: Vec<Value>,
    then: Then,
}

/// What its rows mean.
#[derive(Clone, Debug)]
enum Then {
    Nothing,
    /// Sessions ended, with the entries that this revoked.
    Ended,
    /// Entries were revoked.
    Revoked,
    /// The entry that a session got.
    Status,
    /// A key was revoked.
    Key(Revoked),
}

/// All steps of a transaction.
#[derive(Default)]
pub(super) struct Steps {
    all: Vec<Step>,
    /// Whether it holds what followers wait for, as far as can be told before.
    pub(super) bell: bool,
}

macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$(Box::new($value) as $crate::store::postgres::changes::Value),*] };
}
pub(super) use values;

pub(super) fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn margin() -> i64 {
    millis(REVOKED_MARGIN)
}

fn at(instant: Option<Timestamp>) -> Option<i64> {
    instant.map(|at| at.0)
}

/// Text as the database takes it, which is any but with a zero in it.
pub(super) fn text(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "") } else { text.to_owned() }
}

impl Steps {
    /// Of changes that hold only if what they were decided on does.
    pub(super) fn new(changes: &[Change], expect: &[Expect]) -> Self {
        let mut steps = Self::default();
        let mut held = Vec::new();
        for expected in expect {
            match expected {
                Expect::User(id, version) => steps.add(&sql::EXPECT_USER, values![id.0, *version]),
                Expect::Session(id) => steps.add(&sql::EXPECT_SESSION, values![id.0]),
                Expect::Client(id) => {
                    steps.add(&sql::EXPECT_CLIENT, values![id.as_str().to_owned()]);
                }
                Expect::Ticket(hash) => steps.add(&sql::EXPECT_TICKET, values![hash.to_vec()]),
                Expect::Setting { name, value: Some(value) } => {
                    steps.add(&sql::EXPECT_SETTING, values![name.clone(), value.clone()]);
                }
                Expect::Setting { name, value: None } => {
                    steps.add(&sql::EXPECT_NO_SETTING, values![name.clone()]);
                    held.push(name);
                }
            }
        }
        for change in changes {
            steps.change(change);
        }
        let is_put = |held: &str| {
            changes.iter().any(|change| matches!(change, Change::PutSetting { name, .. } if name == held))
        };
        for name in held.into_iter().filter(|name| !is_put(name)) {
            steps.add(&sql::RELEASE_SETTING, values![name.clone()]);
        }
        steps
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::CreateUser(user) => self.add(&sql::CREATE_USER, user_values(user)),
            Change::UpdateUser(user) => self.add(&sql::UPDATE_USER, user_values(user)),
            Change::DeleteUser(id) => {
                self.add(&sql::LOCK_USER_AWAY, values![id.0]);
                self.end_sessions_of(*id, None);
                self.add(&sql::UNLINK_ALL, values![id.0]);
                self.add(&sql::DELETE_USER, values![id.0]);
            }
            Change::LinkIdentity(identity) => self.add(
                &sql::LINK_IDENTITY,
                values![
                    identity.id.0,
                    identity.user_id.0,
                    text(&identity.issuer),
                    text(&identity.subject),
                    identity.provider.clone(),
                    text(&identity.label),
                    identity.created_at.0,
                ],
            ),
            Change::UnlinkIdentity { id, user } => self.add(&sql::UNLINK_IDENTITY, values![id.0, user.0]),
            Change::Spend { id, until } => self.add(&sql::SPEND, values![id.to_vec(), until.0]),
            Change::StartSession { session, max_per_user } => self.start_session(session, *max_per_user),
            Change::EndSession(id) => self.end_session(*id),
            Change::EndSessionsOf { user, except } => self.end_sessions_of(*user, *except),
            Change::RevokeTokens(id) => self.revoke_tokens(*id),
            Change::RevokeTokensOf(user) => {
                self.bell = true;
                self.then(&sql::REVOKE_TOKENS_OF, values![user.0, margin()], Then::Revoked);
            }
            Change::RenewSession(session) => self.renew_session(session),
            Change::RevokeKey { kid, until } => {
                self.bell = true;
                let revoked = Revoked { what: Revocable::Key(kid.clone()), until: *until };
                self.then(&sql::REVOKE_KEY, values![kid.clone(), until.0], Then::Key(revoked));
            }
            Change::CreateClient(client) => self.add(&sql::CREATE_CLIENT, client_values(client)),
            Change::DeleteClient(id) => {
                self.bell = true;
                let id = id.as_str().to_owned();
                self.then(&sql::END_SESSIONS_OF_CLIENT, values![id.clone(), margin()], Then::Ended);
                self.add(&sql::DELETE_CLIENT, values![id]);
            }
            Change::ExtendTokens { session, access_until } => {
                self.status(&sql::EXTEND_TOKENS, values![session.0, access_until.0]);
            }
            Change::PutTicket(ticket) => self.add(
                &sql::PUT_TICKET,
                values![
                    ticket.hash.to_vec(),
                    ticket.session.0,
                    ticket.origin.clone(),
                    ticket.binding.to_vec(),
                    ticket.expires_at.0,
                ],
            ),
            Change::TakeTicket(hash) => self.add(&sql::TAKE_TICKET, values![hash.to_vec()]),
            Change::ClearThrottle(bucket) => self.add(&sql::CLEAR_THROTTLE, values![bucket.to_vec()]),
            Change::PutKey(key) => {
                self.bell = true;
                self.add(&sql::PUT_KEY, key_values(key));
            }
            Change::DeleteKey { kid } => {
                self.bell = true;
                self.add(&sql::DELETE_KEY, values![kid.clone()]);
            }
            Change::PutSetting { name, value } => {
                self.bell = true;
                self.add(&sql::PUT_SETTING, values![name.clone(), value.clone()]);
            }
            Change::Audit(event) => self.event(event),
            Change::PutDelivery(delivery) => self.add(&sql::PUT_DELIVERY, delivery_values(delivery)),
            Change::DeleteDelivery { id } => self.add(&sql::DELETE_DELIVERY, values![id.clone()]),
        }
    }

    pub(super) fn add(&mut self, sql: &'static Sql, values: Vec<Value>) {
        self.then(sql, values, Then::Nothing);
    }

    /// A step whose first column is the entry that a session got.
    pub(super) fn status(&mut self, sql: &'static Sql, values: Vec<Value>) {
        self.then(sql, values, Then::Status);
    }

    fn then(&mut self, sql: &'static Sql, values: Vec<Value>, then: Then) {
        self.all.push(Step { sql, values, then });
    }

    fn start_session(&mut self, session: &Session, max_per_user: u32) {
        let state = &session.refresh;
        self.add(&sql::LOCK_USER, values![session.user_id.0]);
        self.status(
            &sql::START_SESSION,
            values![
                session.id.0,
                session.user_id.0,
                session.client_id.clone(),
                session.scope.clone(),
                state.handle_hash.to_vec(),
                i64::from(state.generation),
                i64::from(state.previous),
                i64::from(state.first),
                at(state.rotated_at),
                session.access_until.0,
                session.created_at.0,
                session.authenticated_at.0,
                session.last_used_at.0,
                session.idle_until.0,
                session.expires_at.0,
                text(&session.address),
                text(&session.user_agent),
            ],
        );
        let (actor, _) = codec::actor_to_row(&Actor::System);
        self.then(
            &sql::DISPLACE,
            values![
                session.user_id.0,
                session.id.0,
                session.created_at.0,
                // The new one stays in any case, so one less of the others.
                i64::from(max_per_user.saturating_sub(1)),
                text(&session.address),
                format!("by session {}", session.id),
                margin(),
                Action::SessionDisplaced.name(),
                actor,
            ],
            Then::Ended,
        );
    }

    pub(super) fn end_session(&mut self, id: SessionId) {
        self.bell = true;
        self.then(&sql::END_SESSION, values![id.0, margin()], Then::Ended);
    }

    fn end_sessions_of(&mut self, user: UserId, except: Option<SessionId>) {
        self.bell = true;
        let values = values![user.0, except.map(|id| id.0), margin()];
        self.then(&sql::END_SESSIONS_OF, values, Then::Ended);
    }

    fn revoke_tokens(&mut self, id: SessionId) {
        self.bell = true;
        self.then(&sql::REVOKE_TOKENS, values![id.0, margin()], Then::Revoked);
    }

    fn renew_session(&mut self, session: &Session) {
        let state = &session.refresh;
        self.revoke_tokens(session.id);
        self.status(
            &sql::RENEW_SESSION,
            values![
                session.id.0,
                state.handle_hash.to_vec(),
                i64::from(state.generation),
                i64::from(state.previous),
                i64::from(state.first),
                at(state.rotated_at),
                session.access_until.0,
                session.scope.clone(),
                session.authenticated_at.0,
                session.last_used_at.0,
                session.idle_until.0,
                session.expires_at.0,
            ],
        );
    }

    pub(super) fn event(&mut self, event: &Event) {
        let (actor, actor_id) = codec::actor_to_row(&event.actor);
        self.add(
            &sql::ADD_EVENT,
            values![
                event.at.0,
                event.action.name(),
                actor,
                actor_id,
                event.user.map(|id| id.0),
                event.session.map(|id| id.0),
                text(&event.address),
                text(&event.detail),
            ],
        );
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// References to all that is to be sent.
    pub(super) fn params(&self) -> Vec<Vec<&(dyn ToSql + Sync)>> {
        let one = |value| -> &(dyn ToSql + Sync) {
            let value: &Value = value;
            &**value
        };
        self.all.iter().map(|step| step.values.iter().map(one).collect()).collect()
    }

    pub(super) fn with<'s>(
        &'s self,
        params: &'s [Vec<&'s (dyn ToSql + Sync)>],
    ) -> Vec<(&'s Sql, Params<'s>)> {
        self.all.iter().zip(params).map(|(step, params)| (step.sql, params.as_slice())).collect()
    }

    /// What the answers to all steps say.
    pub(super) fn applied(&self, answers: &[Vec<Row>]) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        for (step, rows) in self.all.iter().zip(answers) {
            match &step.then {
                Then::Nothing => {}
                Then::Key(revoked) => applied.revoked.push(revoked.clone()),
                Then::Status => {
                    for row in rows {
                        let status = rows::status(row, 0)?;
                        applied.status.push(status.ok_or_else(|| codec::corrupt("no status"))?);
                    }
                }
                Then::Ended | Then::Revoked => {
                    for row in rows {
                        applied.ended += u32::from(matches!(step.then, Then::Ended));
                        if let Some(status) = rows::status(row, 0)? {
                            let until = rows::instant(row, 1)?;
                            applied.revoked.push(Revoked { what: Revocable::Status(status), until });
                        }
                    }
                }
            }
        }
        Ok(applied)
    }
}

fn user_values(user: &User) -> Vec<Value> {
    values![
        user.id.0,
        user.username.as_str().to_owned(),
        user.username.canonical().as_str().to_owned(),
        user.email.as_ref().map(|email| email.as_str().to_owned()),
        user.email.as_ref().map(|email| email.canonical().as_str().to_owned()),
        at(user.email_verified_at),
        user.password_hash.clone(),
        at(user.password_changed_at),
        codec::roles_to_json(&user.roles),
        codec::claims_to_json(&user.claims),
        user.created_at.0,
        at(user.disabled_at),
        user.version,
    ]
}

fn client_values(client: &Client) -> Vec<Value> {
    let secret_hash = match &client.proof {
        Proof::None => None,
        Proof::Secret(hash) => Some(hash.to_vec()),
    };
    values![
        client.id.as_str().to_owned(),
        text(&client.name),
        secret_hash,
        codec::texts_to_json(&client.audiences),
        client.created_at.0,
    ]
}

fn delivery_values(delivery: &Delivery) -> Vec<Value> {
    values![
        delivery.id.clone(),
        delivery.webhook.clone(),
        delivery.kind.clone(),
        text(&delivery.body),
        i64::from(delivery.tries),
        delivery.next_at.0,
        at(delivery.dead_at),
        text(&delivery.problem),
    ]
}

fn key_values(key: &StoredKey) -> Vec<Value> {
    values![
        key.kid.clone(),
        key.algorithm.clone(),
        key.sealed.clone(),
        key.published_at.0,
        at(key.signs_at),
        at(key.gone_at),
    ]
}
