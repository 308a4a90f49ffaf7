//! Records to begin with.

use std::collections::BTreeMap;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jotgate_domain::name::{Email, RoleName, Username};
use jotgate_domain::session::{FIRST_PARTY, RefreshState};
use jotgate_domain::store::{Applied, AuditQuery, Revocable, Revoked};
use jotgate_domain::{Change, Session, SessionId, Store, Timestamp, User, UserId, audit, refresh};

/// A day in 2026.
pub(crate) const T0: Timestamp = Timestamp(1_795_000_000_000);
pub(crate) const IDLE: Duration = Duration::from_secs(14 * 24 * 3600);
pub(crate) const MAX: Duration = Duration::from_secs(90 * 24 * 3600);
pub(crate) const ACCESS: Duration = Duration::from_secs(600);
pub(crate) const GRACE: Duration = Duration::from_secs(10);

pub(crate) type DynStore = dyn Store;

pub(crate) fn after(seconds: u64) -> Timestamp {
    T0.plus(Duration::from_secs(seconds))
}

/// Ten bytes that no other call in this process returns.
pub(crate) fn unique() -> [u8; 10] {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    bytes
}

pub(crate) fn hash() -> [u8; 32] {
    let mut hash = [7; 32];
    hash[..10].copy_from_slice(&unique());
    hash
}

pub(crate) fn user(name: &str) -> User {
    User {
        id: UserId::new(T0, unique()),
        username: Username::from_stored(name.to_owned()),
        email: None,
        email_verified_at: None,
        password_hash: Some("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA".to_owned()),
        password_changed_at: Some(T0),
        roles: vec![RoleName::from_stored("editor".to_owned())],
        claims: BTreeMap::new(),
        created_at: T0,
        disabled_at: None,
        version: 1,
    }
}

pub(crate) fn proven(address: &str, user: User) -> User {
    User { email: email(address), email_verified_at: Some(after(1)), ..user }
}

pub(crate) fn email(text: &str) -> Option<Email> {
    Some(Email::from_stored(text.to_owned()))
}

pub(crate) fn session(user: &User, at: Timestamp) -> Session {
    Session {
        id: SessionId::new(at, unique()),
        user_id: user.id,
        client_id: FIRST_PARTY.to_owned(),
        scope: "account".to_owned(),
        refresh: RefreshState::new(hash()),
        status: None,
        access_until: at.plus(ACCESS),
        created_at: at,
        authenticated_at: at,
        last_used_at: at,
        idle_until: at.plus(IDLE),
        expires_at: at.plus(MAX),
        address: "192.0.2.1".to_owned(),
        user_agent: "Firefox".to_owned(),
    }
}

pub(crate) fn start(session: &Session) -> Change {
    Change::StartSession { session: session.clone(), max_per_user: 100 }
}

pub(crate) async fn apply(store: &DynStore, changes: impl Into<Vec<Change>>) -> Applied {
    store.apply(changes.into(), Vec::new()).await.unwrap()
}

/// A user and a session of theirs, begun at [`T0`]; with the status number it got.
pub(crate) async fn signed_in(store: &DynStore, name: &str) -> (User, Session) {
    let user = user(name);
    let mut session = session(&user, T0);
    let applied = apply(store, [Change::CreateUser(user.clone()), start(&session)]).await;
    session.status = Some(applied.status[0]);
    (user, session)
}

/// A refresh of `session` with generation `generation`, from where it began.
pub(crate) fn request(session: &Session, generation: u32, now: Timestamp) -> refresh::Request {
    refresh::Request {
        handle_hash: session.refresh.handle_hash,
        generation,
        client_id: session.client_id.clone(),
        now,
        grace: GRACE,
        idle_ttl: IDLE,
        access_until: now.plus(ACCESS),
        address: session.address.clone(),
        user_agent: session.user_agent.clone(),
    }
}

pub(crate) async fn try_refresh(
    store: &DynStore,
    session: &Session,
    generation: u32,
    now: Timestamp,
) -> refresh::Outcome {
    store.refresh(request(session, generation, now)).await.unwrap()
}

/// A refresh that has to be granted.
pub(crate) async fn refresh(
    store: &DynStore,
    session: &Session,
    generation: u32,
    now: Timestamp,
) -> refresh::Granted {
    match try_refresh(store, session, generation, now).await {
        refresh::Outcome::Granted(granted) => *granted,
        other => panic!("generation {generation} was refused: {other:?}"),
    }
}

/// The session's row, live at [`T0`] or not.
pub(crate) async fn row(store: &DynStore, id: SessionId) -> Option<Session> {
    store.session(id, Timestamp(0)).await.unwrap().map(|(session, _)| session)
}

pub(crate) async fn actions(store: &DynStore) -> Vec<audit::Action> {
    let query = AuditQuery { limit: 1000, ..AuditQuery::default() };
    store.audit(query).await.unwrap().into_iter().map(|entry| entry.event.action).collect()
}

/// Numbers of the live set, in order.
pub(crate) async fn revoked(store: &DynStore) -> Vec<u64> {
    status_numbers(&store.revocations(0).await.unwrap().revoked)
}

/// Nothing else must be among them.
pub(crate) fn status_numbers(revoked: &[Revoked]) -> Vec<u64> {
    let number = |revoked: &Revoked| match &revoked.what {
        Revocable::Status(number) => *number,
        Revocable::Key(kid) => panic!("the key {kid} was revoked"),
    };
    revoked.iter().map(number).collect()
}

/// What a reader that has `known` learns from `cursor` on. Rows may come again: a transaction of anybody's that has
/// not ended keeps a position where it is.
pub(crate) async fn news(store: &DynStore, cursor: i64, known: &[Revoked]) -> Vec<Revoked> {
    let mut page = store.revocations(cursor).await.unwrap().revoked;
    page.retain(|revoked| !known.contains(revoked));
    page
}
