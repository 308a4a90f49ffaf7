//! Login: the decision after the hash, and what a login writes.
//!
//! The order outside: [`crate::Store::attempt`] takes a try and reads the user; [`hash_to_check`] says which hash
//! the password is held against (none: a dummy of equal cost); [`decide`]; [`start`]; [`crate::Store::apply`]. Whoever
//! is refused learns nothing: unknown, disabled, unproven address, no password and wrong password are one answer,
//! and each costs one hash. The reason goes into the audit trail only.

use std::fmt;

use crate::audit::{Action, Actor, Event};
use crate::config::Policy;
use crate::session::{FIRST_PARTY, RefreshState, Session};
use crate::store::{Change, Expect, Lookup};
use crate::throttle::BucketKey;
use crate::token::{ROLE_ADMIN, SCOPE_ACCOUNT, SCOPE_ADMIN, access_until};
use crate::{SessionId, Timestamp, User};

/// Why a login was refused. Outside all are one: [`LoginError::CODE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginError {
    UnknownUser,
    /// Found by an address that nobody has proven.
    UnprovenEmail,
    Disabled,
    /// The user signs in by other means only.
    NoPassword,
    WrongPassword,
}

impl LoginError {
    /// What the caller is told.
    pub const CODE: &str = "invalid_credentials";

    /// For the audit trail and the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::UnknownUser => "unknown_user",
            Self::UnprovenEmail => "unproven_email",
            Self::Disabled => "disabled",
            Self::NoPassword => "no_password",
            Self::WrongPassword => "wrong_password",
        }
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::CODE)
    }
}

impl std::error::Error for LoginError {}

/// A user who proved who they are; only [`decide`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct LoginOk<'u> {
    user: &'u User,
}

impl<'u> LoginOk<'u> {
    #[must_use]
    pub fn user(&self) -> &'u User {
        self.user
    }
}

/// The hash that the typed password is to be held against; where there is none, hash against a dummy with the
/// configured parameters instead, so that the answer takes as long.
#[must_use]
pub fn hash_to_check<'u>(user: Option<&'u User>, lookup: &Lookup) -> Option<&'u str> {
    candidate(user, lookup).ok().map(|(_, hash)| hash)
}

/// Decides on a login. `hash_matched`: the password fits [`hash_to_check`]; of no meaning where that gave none.
///
/// # Errors
/// [`LoginError`].
pub fn decide<'u>(
    user: Option<&'u User>,
    lookup: &Lookup,
    hash_matched: bool,
) -> Result<LoginOk<'u>, LoginError> {
    let (user, _) = candidate(user, lookup)?;
    if hash_matched { Ok(LoginOk { user }) } else { Err(LoginError::WrongPassword) }
}

fn candidate<'u>(user: Option<&'u User>, lookup: &Lookup) -> Result<(&'u User, &'u str), LoginError> {
    let user = user.ok_or(LoginError::UnknownUser)?;
    if matches!(lookup, Lookup::Email(_)) && user.verified_email().is_none() {
        return Err(LoginError::UnprovenEmail);
    }
    if !user.is_active() {
        return Err(LoginError::Disabled);
    }
    let hash = user.password_hash.as_deref().ok_or(LoginError::NoPassword)?;
    Ok((user, hash))
}

/// How the tokens are handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Body,
    /// In `HttpOnly` cookies and nowhere else.
    Cookie,
}

/// The scope of a new session: `account` where its tokens are delivered in the body (a page's cookie needs none,
/// it shows the session cookie), `admin` where an administrator asked for it.
#[must_use]
pub fn scope(delivery: Delivery, asks_admin: bool, user: &User) -> String {
    let account = (delivery == Delivery::Body).then_some(SCOPE_ACCOUNT);
    let admin = (asks_admin && user.has_role(ROLE_ADMIN)).then_some(SCOPE_ADMIN);
    account.into_iter().chain(admin).collect::<Vec<_>>().join(" ")
}

/// The circumstances of a login that was granted.
#[derive(Clone, Debug)]
pub struct Circumstances<'a> {
    pub now: Timestamp,
    pub policy: &'a Policy,
    pub session_id: SessionId,
    /// Of a handle that was drawn for this session ([`crate::refresh_token::Handle::hash`]).
    pub handle_hash: [u8; 32],
    pub scope: String,
    /// Bounded and cleaned ([`crate::session::cleaned`]).
    pub address: String,
    pub user_agent: String,
    /// Throttles that this login clears: the account's and the known device's, never the address's.
    pub buckets: Vec<BucketKey>,
    /// The password hashed anew, where the stored hash has other parameters than the configured ones.
    pub rehashed: Option<String>,
    /// The session that the same browser had: it ends, so nobody's earlier session lives on behind a new one.
    pub replaces: Option<SessionId>,
}

/// A login to be written.
#[derive(Clone, Debug)]
pub struct Started {
    /// As it will stand, but for its status entry, which the store gives ([`crate::store::Applied::status`]).
    pub session: Session,
    pub changes: Vec<Change>,
    /// A user disabled or changed while the hash ran gets no session.
    pub expect: Vec<Expect>,
}

/// What a granted login writes.
#[must_use]
pub fn start(login: LoginOk<'_>, at: Circumstances<'_>) -> Started {
    let user = login.user;
    let session = Session {
        id: at.session_id,
        user_id: user.id,
        client_id: FIRST_PARTY.to_owned(),
        scope: at.scope,
        refresh: RefreshState::new(at.handle_hash),
        status: None,
        access_until: access_until(at.policy, at.now),
        created_at: at.now,
        authenticated_at: at.now,
        last_used_at: at.now,
        idle_until: at.now.plus(at.policy.idle_ttl),
        expires_at: at.now.plus(at.policy.max_ttl),
        address: at.address,
        user_agent: at.user_agent,
    };
    let mut changes = Vec::new();
    if let Some(hash) = at.rehashed {
        changes.push(Change::UpdateUser(User {
            password_hash: Some(hash),
            version: user.version.saturating_add(1),
            ..user.clone()
        }));
    }
    changes.extend(at.replaces.map(Change::EndSession));
    changes.push(Change::StartSession { session: session.clone(), max_per_user: at.policy.max_per_user });
    changes.extend(at.buckets.into_iter().map(Change::ClearThrottle));
    changes.push(Change::Audit(Event {
        at: at.now,
        action: Action::LoginSucceeded,
        actor: Actor::User(user.id),
        user: Some(user.id),
        session: Some(session.id),
        address: session.address.clone(),
        detail: String::new(),
    }));
    Started { session, changes, expect: vec![Expect::User(user.id, user.version)] }
}

/// The audit entry of a login that was refused; of an unknown user only that somebody tried.
#[must_use]
pub fn refused(user: Option<&User>, error: LoginError, now: Timestamp, address: String) -> Change {
    Change::Audit(Event {
        at: now,
        action: Action::LoginFailed,
        actor: Actor::Anonymous,
        user: user.map(|u| u.id),
        session: None,
        address,
        detail: error.reason().to_owned(),
    })
}
