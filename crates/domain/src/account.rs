//! What is done to an account, by its user, an operator or an administrator, and what that ends.
//!
//! | what | ends |
//! |---|---|
//! | role granted, claim added, enabled, address set | nothing; tokens say it at their next refresh |
//! | role revoked, claim changed or removed, address changed or no longer proven | the access tokens of all sessions ([`Change::RevokeTokensOf`]) |
//! | password changed by its user, or their first one set | the other sessions, and all earlier tokens of this one |
//! | password set by an operator, user disabled, user deleted | every session |
//!
//! Each function gives the row as it will stand and the changes; where there is nothing to change there are no
//! changes, so doing a thing twice is as good as once.

use std::fmt;

use serde_json::Value;

use crate::audit::{Action, Actor, Event};
use crate::config::Policy;
use crate::name::{Email, RoleName};
use crate::session::{RefreshState, Session};
use crate::store::{Change, Expect};
use crate::token::{ClaimError, Shape, TooLarge, access_until, check_claim, check_size};
use crate::{SessionId, Timestamp, User};

/// Who does it, when and from where.
#[derive(Clone, Debug)]
pub struct By {
    pub actor: Actor,
    pub at: Timestamp,
    /// Empty for the operator.
    pub address: String,
}

/// An account as it will stand, and what has to be written for it.
#[derive(Clone, Debug)]
pub struct Edited {
    pub user: User,
    /// Empty where nothing changes.
    pub changes: Vec<Change>,
    pub expect: Vec<Expect>,
}

/// Why an account was left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AccountError {
    /// `too_many_roles`: the access cookie would not fit any more.
    TooLarge(TooLarge),
    /// `invalid_claim`
    Claim(ClaimError),
}

impl AccountError {
    /// Stable, for programs.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::TooLarge(_) => "too_many_roles",
            Self::Claim(_) => "invalid_claim",
        }
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge(e) => e.fmt(f),
            Self::Claim(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for AccountError {}

impl From<TooLarge> for AccountError {
    fn from(error: TooLarge) -> Self {
        Self::TooLarge(error)
    }
}

impl From<ClaimError> for AccountError {
    fn from(error: ClaimError) -> Self {
        Self::Claim(error)
    }
}

/// Gives a role.
///
/// # Errors
/// [`AccountError::TooLarge`].
pub fn grant_role(
    user: &User,
    role: &RoleName,
    policy: &Policy,
    shape: &Shape,
    by: &By,
) -> Result<Edited, AccountError> {
    if user.has_role(role.as_str()) {
        return Ok(unchanged(user));
    }
    let mut next = user.clone();
    next.roles.push(role.clone());
    check_size(&next, policy, shape)?;
    Ok(edited(user, next, by, Action::RoleGranted, role.to_string(), []))
}

/// Takes a role away, at once.
#[must_use]
pub fn revoke_role(user: &User, role: &RoleName, by: &By) -> Edited {
    if !user.has_role(role.as_str()) {
        return unchanged(user);
    }
    let mut next = user.clone();
    next.roles.retain(|r| r != role);
    edited(user, next, by, Action::RoleRevoked, role.to_string(), [Change::RevokeTokensOf(user.id)])
}

/// Sets a custom claim, or removes it where `value` is none.
///
/// # Errors
/// [`AccountError`].
pub fn set_claim(
    user: &User,
    name: &str,
    value: Option<&Value>,
    policy: &Policy,
    shape: &Shape,
    by: &By,
) -> Result<Edited, AccountError> {
    if let Some(value) = value {
        check_claim(name, value)?;
    }
    let before = user.claims.get(name);
    if before == value {
        return Ok(unchanged(user));
    }
    let mut next = user.clone();
    match value {
        Some(value) => next.claims.insert(name.to_owned(), value.clone()),
        None => next.claims.remove(name),
    };
    if value.is_some() {
        check_size(&next, policy, shape)?;
    }
    // What it said before may have been a right.
    let ends = before.map(|_| Change::RevokeTokensOf(user.id));
    // A name on its way out need not be a good one.
    let detail = format!("claim {}", crate::session::cleaned(name, 64));
    Ok(edited(user, next, by, Action::UserChanged, detail, ends))
}

/// Sets or removes the address. `verified`: it was proven, or an operator vouches for it.
///
/// # Errors
/// [`AccountError::TooLarge`].
pub fn set_email(
    user: &User,
    email: Option<&Email>,
    verified: bool,
    policy: &Policy,
    shape: &Shape,
    by: &By,
) -> Result<Edited, AccountError> {
    let verified_at = match email {
        Some(email) if verified && user.verified_email() == Some(email) => user.email_verified_at,
        Some(_) if verified => Some(by.at),
        _ => None,
    };
    let next = User { email: email.cloned(), email_verified_at: verified_at, ..user.clone() };
    if next == *user {
        return Ok(unchanged(user));
    }
    check_size(&next, policy, shape)?;
    let ends = user
        .verified_email()
        .filter(|before| next.verified_email() != Some(before))
        .map(|_| Change::RevokeTokensOf(user.id));
    Ok(edited(user, next, by, Action::UserChanged, "email".to_owned(), ends))
}

/// Disables the account: every session ends.
#[must_use]
pub fn disable(user: &User, by: &By) -> Edited {
    if !user.is_active() {
        return unchanged(user);
    }
    let next = User { disabled_at: Some(by.at), ..user.clone() };
    edited(user, next, by, Action::UserDisabled, String::new(), [end_all(user)])
}

/// Enables it again; what ended stays ended.
#[must_use]
pub fn enable(user: &User, by: &By) -> Edited {
    if user.is_active() {
        return unchanged(user);
    }
    let next = User { disabled_at: None, ..user.clone() };
    edited(user, next, by, Action::UserEnabled, String::new(), [])
}

/// Sets a password in the user's place (operator, or a reset by mail): every session ends. `hash` is a PHC
/// string; none leaves the user without a password.
#[must_use]
pub fn set_password(user: &User, hash: Option<String>, by: &By) -> Edited {
    let next = User { password_hash: hash, password_changed_at: Some(by.at), ..user.clone() };
    edited(user, next, by, Action::PasswordChanged, String::new(), [end_all(user)])
}

/// A password change by its user, to be written; [`Edited`] and the session as it goes on.
#[derive(Clone, Debug)]
pub struct PasswordChanged {
    pub edited: Edited,
    /// As it will stand, but for its new status entry ([`crate::store::Applied::status`]).
    pub session: Session,
}

/// Changes the password of a user who proved the current one in `session`, or sets the first one of a user who has
/// none: the other sessions end, this one gets new refresh and status state, so all its earlier tokens are dead.
/// `handle_hash` is of a newly drawn [`crate::refresh_token::Handle`].
#[must_use]
pub fn change_password(
    user: &User,
    session: &Session,
    hash: String,
    handle_hash: [u8; 32],
    policy: &Policy,
    by: &By,
) -> PasswordChanged {
    let renewed = Session {
        refresh: RefreshState::new(handle_hash),
        status: None,
        access_until: access_until(policy, by.at),
        // A password that there was none of is no proof.
        authenticated_at: if user.password_hash.is_some() { by.at } else { session.authenticated_at },
        last_used_at: by.at,
        idle_until: by.at.plus(policy.idle_ttl),
        ..session.clone()
    };
    let next = User { password_hash: Some(hash), password_changed_at: Some(by.at), ..user.clone() };
    let ends = [
        Change::EndSessionsOf { user: user.id, except: Some(session.id) },
        Change::RenewSession(renewed.clone()),
    ];
    let mut edited = edited(user, next, by, Action::PasswordChanged, String::new(), ends);
    edited.expect.push(Expect::Session(session.id));
    PasswordChanged { edited, session: renewed }
}

/// Deletes the account and all that is its own.
#[must_use]
pub fn delete(user: &User, by: &By) -> (Vec<Change>, Vec<Expect>) {
    let changes = vec![
        Change::DeleteUser(user.id),
        Change::Audit(event(user, by, Action::UserDeleted, None, String::new())),
    ];
    (changes, vec![Expect::User(user.id, user.version)])
}

/// Ends one session: `action` is [`Action::LoggedOut`] or [`Action::SessionRevoked`].
#[must_use]
pub fn end_session(user: &User, session: SessionId, action: Action, by: &By) -> Vec<Change> {
    vec![Change::EndSession(session), Change::Audit(event(user, by, action, Some(session), String::new()))]
}

/// Revokes the access tokens of a session that goes on, for the client that has them.
#[must_use]
pub fn revoke_tokens(user: &User, session: SessionId, client_id: &str, by: &By) -> Vec<Change> {
    let event = event(user, by, Action::TokenRevoked, Some(session), format!("by {client_id}"));
    vec![Change::RevokeTokens(session), Change::Audit(event)]
}

/// Ends all sessions of a user but for `except`.
#[must_use]
pub fn end_sessions(user: &User, except: Option<SessionId>, action: Action, by: &By) -> Vec<Change> {
    let detail = if except.is_some() { "all others" } else { "all" };
    vec![
        Change::EndSessionsOf { user: user.id, except },
        Change::Audit(event(user, by, action, except, detail.to_owned())),
    ]
}

fn end_all(user: &User) -> Change {
    Change::EndSessionsOf { user: user.id, except: None }
}

fn unchanged(user: &User) -> Edited {
    Edited { user: user.clone(), changes: Vec::new(), expect: Vec::new() }
}

fn edited(
    before: &User,
    mut next: User,
    by: &By,
    action: Action,
    detail: String,
    ends: impl IntoIterator<Item = Change>,
) -> Edited {
    next.version = before.version.saturating_add(1);
    let mut changes = vec![Change::UpdateUser(next.clone())];
    changes.extend(ends);
    changes.push(Change::Audit(event(before, by, action, None, detail)));
    Edited { user: next, changes, expect: vec![Expect::User(before.id, before.version)] }
}

fn event(user: &User, by: &By, action: Action, session: Option<SessionId>, detail: String) -> Event {
    Event {
        at: by.at,
        action,
        actor: by.actor.clone(),
        user: Some(user.id),
        session,
        address: by.address.clone(),
        detail,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::sample::{NOW, role, session, shape, user, words};

    fn by() -> By {
        By { actor: Actor::Operator, at: NOW, address: String::new() }
    }

    fn policy() -> Policy {
        Policy::default()
    }

    fn email(text: &str) -> Email {
        Email::parse(text).unwrap()
    }

    /// Every change: what it ends, and that it is written once, on the version that was read.
    #[test]
    fn what_each_change_ends() {
        let (p, s, by) = (policy(), shape(), by());
        let u = user();
        let off = User { disabled_at: Some(Timestamp(9)), ..user() };
        let unproven = User { email_verified_at: None, ..user() };
        let claim = |name, value: Option<&Value>| set_claim(&u, name, value, &p, &s, &by).unwrap();
        let address = |user: &User, to: Option<&str>, verified| {
            set_email(user, to.map(email).as_ref(), verified, &p, &s, &by).unwrap()
        };
        let update = "update user to 8";
        let revoke = "revoke tokens";
        let table: Vec<(Edited, Vec<&str>)> = vec![
            (grant_role(&u, &role("new"), &p, &s, &by).unwrap(), vec![update, "audit role.granted new"]),
            (grant_role(&u, &role("editor"), &p, &s, &by).unwrap(), vec![]),
            (revoke_role(&u, &role("editor"), &by), vec![update, revoke, "audit role.revoked editor"]),
            (revoke_role(&u, &role("none"), &by), vec![]),
            (claim("plan", Some(&json!("pro"))), vec![update, "audit user.changed claim plan"]),
            (claim("tenant", Some(&json!("acme"))), vec![]),
            (claim("tenant", Some(&json!("other"))), vec![update, revoke, "audit user.changed claim tenant"]),
            (claim("tenant", None), vec![update, revoke, "audit user.changed claim tenant"]),
            (claim("none", None), vec![]),
            (address(&u, Some("alice@example.com"), true), vec![]),
            (address(&u, Some("new@example.com"), true), vec![update, revoke, "audit user.changed email"]),
            (address(&u, Some("new@example.com"), false), vec![update, revoke, "audit user.changed email"]),
            (address(&u, None, false), vec![update, revoke, "audit user.changed email"]),
            (address(&unproven, Some("alice@example.com"), true), vec![update, "audit user.changed email"]),
            (address(&unproven, Some("new@example.com"), false), vec![update, "audit user.changed email"]),
            (disable(&u, &by), vec![update, "end all sessions", "audit user.disabled"]),
            (disable(&off, &by), vec![]),
            (enable(&off, &by), vec![update, "audit user.enabled"]),
            (enable(&u, &by), vec![]),
            (
                set_password(&u, Some("$new".to_owned()), &by),
                vec![update, "end all sessions", "audit password.changed"],
            ),
            (set_password(&u, None, &by), vec![update, "end all sessions", "audit password.changed"]),
        ];
        for (edited, expected) in table {
            assert_eq!(words(&edited.changes), expected);
            if expected.is_empty() {
                assert_eq!(edited.expect, []);
            } else {
                assert_eq!(edited.expect, [Expect::User(u.id, 7)]);
                assert_eq!(edited.user.version, 8);
                assert!(
                    matches!(edited.changes.first(), Some(Change::UpdateUser(row)) if *row == edited.user)
                );
            }
        }
    }

    #[test]
    fn the_row_after_it() {
        let (p, s, by) = (policy(), shape(), by());
        let next = |change: &dyn Fn(&mut User)| {
            let mut user = user();
            change(&mut user);
            user.version = 8;
            user
        };
        let granted = grant_role(&user(), &role("new"), &p, &s, &by).unwrap().user;
        assert_eq!(granted, next(&|u| u.roles.push(role("new"))));
        assert_eq!(revoke_role(&user(), &role("editor"), &by).user, next(&|u| u.roles = vec![role("admin")]));
        assert_eq!(disable(&user(), &by).user, next(&|u| u.disabled_at = Some(NOW)));
        let changed = set_password(&user(), Some("$new".to_owned()), &by).user;
        assert_eq!(
            changed,
            next(&|u| {
                u.password_hash = Some("$new".to_owned());
                u.password_changed_at = Some(NOW);
            })
        );
        let proven = set_email(&user(), Some(&email("new@example.com")), true, &p, &s, &by).unwrap().user;
        assert_eq!(
            proven,
            next(&|u| {
                u.email = Some(email("new@example.com"));
                u.email_verified_at = Some(NOW);
            })
        );
        let typed = set_email(&user(), Some(&email("new@example.com")), false, &p, &s, &by).unwrap().user;
        assert_eq!((typed.verified_email(), &typed.email), (None, &Some(email("new@example.com"))));
    }

    #[test]
    fn what_would_not_fit_or_is_not_a_claim_is_refused() {
        let (p, s, by) = (policy(), shape(), by());
        let mut many = user();
        while let Ok(edited) = grant_role(&many, &role(&format!("role-{}", many.roles.len())), &p, &s, &by) {
            many = edited.user;
        }
        assert!(many.roles.len() > 100);
        let code = |e: AccountError| e.code();
        assert_eq!(
            grant_role(&many, &role("another"), &p, &s, &by).map_err(code).unwrap_err(),
            "too_many_roles"
        );
        let long = json!("v".repeat(200));
        assert_eq!(
            set_claim(&many, "x", Some(&long), &p, &s, &by).map_err(code).unwrap_err(),
            "too_many_roles"
        );
        let far = email(&format!("{}@example.com", "a".repeat(64)));
        assert_eq!(
            set_email(&many, Some(&far), true, &p, &s, &by).map_err(code).unwrap_err(),
            "too_many_roles"
        );
        assert_eq!(
            set_claim(&user(), "sub", Some(&long), &p, &s, &by).map_err(code).unwrap_err(),
            "invalid_claim"
        );
        // What is too much can always be taken away.
        let tight = Policy { permissions: [("admin".to_owned(), vec!["p".repeat(3000)])].into(), ..policy() };
        assert!(set_claim(&many, "tenant", None, &tight, &s, &by).is_ok());
        assert!(!revoke_role(&many, &role("role-7"), &by).changes.is_empty());
    }

    /// Attack 120.
    #[test]
    fn a_password_change_keeps_this_session_and_kills_its_tokens() {
        let changed = change_password(&user(), &session(), "$new".to_owned(), [6; 32], &policy(), &by());
        assert_eq!(
            words(&changed.edited.changes),
            ["update user to 8", "end other sessions", "renew session", "audit password.changed"]
        );
        assert_eq!(
            changed.edited.expect,
            [Expect::User(user().id, 7), Expect::Session(session().id)],
            "not if it was signed out meanwhile"
        );
        let renewed = changed.session;
        assert_eq!(renewed.refresh, RefreshState::new([6; 32]), "another handle: no earlier token is found");
        assert_eq!((renewed.status, renewed.authenticated_at, renewed.last_used_at), (None, NOW, NOW));
        assert_eq!((renewed.id, renewed.expires_at), (session().id, session().expires_at), "no longer life");
        assert_eq!(changed.edited.user.password_hash.as_deref(), Some("$new"));
    }

    #[test]
    fn a_first_password_makes_no_sign_in_younger() {
        let keyless = User { password_hash: None, ..user() };
        let hour = std::time::Duration::from_secs(3600);
        let old = Session { authenticated_at: NOW.minus(hour), ..session() };
        let set = change_password(&keyless, &old, "$new".to_owned(), [6; 32], &policy(), &by());
        assert_eq!((set.session.authenticated_at, set.session.last_used_at), (NOW.minus(hour), NOW));
        assert_eq!(
            words(&set.edited.changes),
            ["update user to 8", "end other sessions", "renew session", "audit password.changed"]
        );
    }

    #[test]
    fn deleting_and_signing_out() {
        let (changes, expect) = delete(&user(), &by());
        assert_eq!(words(&changes), ["delete user", "audit user.deleted"]);
        assert_eq!(expect, [Expect::User(user().id, 7)]);
        let ended = end_session(&user(), session().id, Action::LoggedOut, &by());
        assert_eq!(words(&ended), ["end session", "audit session.logged_out"]);
        let revoked = revoke_tokens(&user(), session().id, "app", &by());
        assert_eq!(words(&revoked), ["revoke tokens of a session", "audit token.revoked by app"]);
        let all = end_sessions(&user(), None, Action::LoggedOut, &by());
        assert_eq!(words(&all), ["end all sessions", "audit session.logged_out all"]);
        let others = end_sessions(&user(), Some(session().id), Action::SessionRevoked, &by());
        assert_eq!(words(&others), ["end other sessions", "audit session.revoked all others"]);
    }
}
