//! Login: the decision after the hash, and what a login writes.
//!
//! The order outside: [`crate::Store::attempt`] takes a try and reads the user; [`hash_to_check`] says which hash
//! the password is held against (none: a dummy of equal cost); [`decide`]; [`start`]; [`crate::Store::apply`]. Whoever
//! is refused learns nothing: unknown, disabled, unproven address, no password and wrong password are one answer,
//! and each costs one hash. The reason goes into the audit trail only.

use std::fmt;

use crate::audit::{Action, Actor, Event};
use crate::config::Policy;
use crate::session::{FIRST_PARTY, RefreshState, Session, UNTOLD};
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

/// A user who proved who they are; only [`decide`] makes it, and [`crate::upstream::decide`].
#[derive(Clone, Copy, Debug)]
pub struct LoginOk<'u> {
    user: &'u User,
    /// When they proved it; none for this moment.
    proven_at: Option<Timestamp>,
}

impl<'u> LoginOk<'u> {
    /// Somebody else vouches for them, who may say when they proved it there.
    pub(crate) fn vouched(user: &'u User, proven_at: Option<Timestamp>) -> Self {
        Self { user, proven_at: Some(proven_at.unwrap_or(UNTOLD)) }
    }

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
    if hash_matched { Ok(LoginOk { user, proven_at: None }) } else { Err(LoginError::WrongPassword) }
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
    /// How they proved it, for the audit trail; empty for a password.
    pub detail: String,
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
        authenticated_at: login.proven_at.map_or(at.now, |then| then.min(at.now)),
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
        detail: at.detail,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::canonical;
    use crate::sample::{NOW, role, user, words};

    /// Attack 52: whatever is wrong, one code; and a hash is checked, real or not, before any is told.
    #[test]
    fn who_may_sign_in() {
        let by_name = Lookup::Name(canonical("alice"));
        let by_email = Lookup::Email(canonical("alice@example.com"));
        let unproven = User { email_verified_at: None, ..user() };
        let disabled = User { disabled_at: Some(NOW), ..user() };
        let no_password = User { password_hash: None, ..user() };
        // (user, looked up by, refused though the password fits)
        let table: &[(Option<&User>, &Lookup, Option<LoginError>)] = &[
            (Some(&user()), &by_name, None),
            (Some(&user()), &by_email, None),
            (None, &by_name, Some(LoginError::UnknownUser)),
            (None, &by_email, Some(LoginError::UnknownUser)),
            (Some(&unproven), &by_name, None),
            (Some(&unproven), &by_email, Some(LoginError::UnprovenEmail)),
            (Some(&disabled), &by_name, Some(LoginError::Disabled)),
            (Some(&disabled), &by_email, Some(LoginError::Disabled)),
            (Some(&no_password), &by_name, Some(LoginError::NoPassword)),
        ];
        for (user, lookup, refused) in table {
            let decided = decide(*user, lookup, true).map(|ok| ok.user().id);
            assert_eq!(decided.err(), *refused, "{user:?} {lookup:?}");
            assert_eq!(
                decide(*user, lookup, false).err(),
                Some(refused.unwrap_or(LoginError::WrongPassword)),
                "{user:?} {lookup:?}"
            );
            assert_eq!(hash_to_check(*user, lookup).is_some(), refused.is_none(), "a dummy otherwise");
        }
        assert_eq!(LoginError::Disabled.to_string(), "invalid_credentials");
    }

    fn circumstances(policy: &Policy) -> Circumstances<'_> {
        Circumstances {
            now: NOW,
            policy,
            session_id: SessionId::new(NOW, [9; 10]),
            handle_hash: [8; 32],
            scope: "account".to_owned(),
            address: "192.0.2.7".to_owned(),
            user_agent: "Firefox".to_owned(),
            buckets: Vec::new(),
            rehashed: None,
            replaces: None,
            detail: String::new(),
        }
    }

    fn ok(user: &User) -> LoginOk<'_> {
        decide(Some(user), &Lookup::Id(user.id), true).unwrap()
    }

    #[test]
    fn a_login_writes_a_session() {
        let (policy, user) = (Policy::default(), user());
        let started = start(ok(&user), circumstances(&policy));
        assert_eq!(words(&started.changes), ["start session, at most 100", "audit login.succeeded"]);
        assert_eq!(started.expect, [Expect::User(user.id, 7)], "not if the user was changed meanwhile");
        let session = started.session;
        assert_eq!((session.user_id, session.client_id.as_str()), (user.id, "jotgate"));
        assert_eq!(session.refresh, RefreshState::new([8; 32]));
        assert_eq!(session.authenticated_at, NOW);
        assert_eq!(session.access_until, Timestamp(1_800_000_600_000));
        assert_eq!(session.idle_until.since(NOW), policy.idle_ttl);
        assert_eq!(session.expires_at.since(NOW), policy.max_ttl);
        assert!(session.is_live(NOW));
    }

    /// A provider's word is as old as what it vouches for, and never younger than this moment.
    #[test]
    fn when_they_proved_it() {
        let (policy, user) = (Policy::default(), user());
        let hour = std::time::Duration::from_secs(3600);
        for (said, counts) in
            [(Some(NOW.minus(hour)), NOW.minus(hour)), (Some(NOW.plus(hour)), NOW), (None, UNTOLD)]
        {
            let session = start(LoginOk::vouched(&user, said), circumstances(&policy)).session;
            assert_eq!((session.authenticated_at, session.created_at), (counts, NOW), "{said:?}");
        }
    }

    #[test]
    fn and_what_else_there_is_to_write() {
        let (policy, user) = (Policy::default(), user());
        let started = start(
            ok(&user),
            Circumstances {
                buckets: vec![[1; 32], [2; 32]],
                rehashed: Some("$argon2id$new".to_owned()),
                replaces: Some(SessionId::new(NOW, [4; 10])),
                detail: "by google".to_owned(),
                ..circumstances(&policy)
            },
        );
        assert_eq!(
            words(&started.changes),
            [
                "update user to 8",
                "end session",
                "start session, at most 100",
                "clear throttle 1",
                "clear throttle 2",
                "audit login.succeeded by google",
            ]
        );
        let Some(Change::UpdateUser(rehashed)) = started.changes.first() else { panic!() };
        let expected = User { password_hash: Some("$argon2id$new".to_owned()), version: 8, ..user.clone() };
        assert_eq!(*rehashed, expected, "nothing but the hash");
    }

    #[test]
    fn scopes() {
        let admin = user();
        let other = User { roles: vec![role("editor")], ..user() };
        for (delivery, asks, to_admin, to_other) in [
            (Delivery::Body, false, "account", "account"),
            (Delivery::Body, true, "account admin", "account"),
            (Delivery::Cookie, false, "", ""),
            (Delivery::Cookie, true, "admin", ""),
        ] {
            assert_eq!(scope(delivery, asks, &admin), to_admin);
            assert_eq!(scope(delivery, asks, &other), to_other);
        }
    }

    #[test]
    fn a_refusal_is_in_the_audit_trail() {
        let Change::Audit(event) = refused(Some(&user()), LoginError::Disabled, NOW, "192.0.2.7".to_owned())
        else {
            panic!()
        };
        assert_eq!(
            (event.user, event.actor, event.detail.as_str()),
            (Some(user().id), Actor::Anonymous, "disabled")
        );
        let Change::Audit(event) = refused(None, LoginError::UnknownUser, NOW, String::new()) else {
            panic!()
        };
        assert_eq!((event.user, event.detail.as_str()), (None, "unknown_user"));
    }
}
