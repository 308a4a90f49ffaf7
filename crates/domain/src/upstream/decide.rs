//! Whose identity it is here, and what linking and unlinking write.
//!
//! | the identity | the address | then |
//! |---|---|---|
//! | is linked | of no matter | its user signs in, unless disabled |
//! | is new | vouched for by a provider that is trusted with it, and proven by a user here | that user's: linked, signs in |
//! | is new | anything else | a new user, where registration is open; an address that was only typed joins nobody |
//!
//! An address that somebody typed into a registration and never proved is nobody's: whoever comes with the same one
//! and a provider's word for it gets an account of their own, which then has the address, and the other keeps none of
//! it. So nobody can lie in wait in an account under somebody else's address.

use std::fmt;
use std::time::Duration;

use super::{Identity, Vouched};
use crate::account::{self, By, Edited};
use crate::audit::{Action, Actor, Event};
use crate::login::LoginOk;
use crate::name::Username;
use crate::store::{Change, Expect};
use crate::{IdentityId, SessionId, Timestamp, User, UserId};

/// What the operator said of the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `providers.NAME.trust_email`
    pub trust_email: bool,
    /// `providers.NAME.registration`, or else `registration.enabled`
    pub may_register: bool,
}

/// Who signs in.
#[derive(Clone, Copy, Debug)]
pub enum Admitted<'u> {
    /// The identity is theirs.
    Known(LoginOk<'u>),
    /// The address is theirs, on both sides: to be linked first.
    ByEmail(LoginOk<'u>),
    /// Nobody yet: to be registered first.
    New,
}

/// Why somebody is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Their account may not be used.
    Disabled(UserId),
    /// They have none, and cannot make one.
    RegistrationClosed,
}

impl Refused {
    /// For the audit trail and the log.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Disabled(_) => "disabled",
            Self::RegistrationClosed => "registration_closed",
        }
    }
}

/// Decides who signs in. `owner`: whose the identity is; `by_email`: the user who proved the address that
/// [`Vouched::trusted_email`] gives.
///
/// # Errors
/// [`Refused`].
pub fn decide<'u>(
    vouched: &Vouched,
    rules: Rules,
    owner: Option<&'u User>,
    by_email: Option<&'u User>,
) -> Result<Admitted<'u>, Refused> {
    let active = |user: &'u User| {
        let ok = user.is_active().then(|| LoginOk::vouched(user, vouched.authenticated_at));
        ok.ok_or(Refused::Disabled(user.id))
    };
    if let Some(owner) = owner {
        return active(owner).map(Admitted::Known);
    }
    // Looked up by the caller; whether it may count is decided here.
    let proven = vouched.trusted_email(rules.trust_email).map(crate::name::Email::canonical);
    let theirs = by_email.filter(|user| {
        proven.is_some() && user.verified_email().map(crate::name::Email::canonical) == proven
    });
    match theirs {
        Some(user) => active(user).map(Admitted::ByEmail),
        None if rules.may_register => Ok(Admitted::New),
        None => Err(Refused::RegistrationClosed),
    }
}

/// How long after a sign-in somebody may change what they can sign in with; later they sign in once more. A session
/// that was stolen is seldom so young.
pub const RECENT: Duration = Duration::from_secs(600);

/// A user with the identity that they came with, to be written; only [`link`] and [`register`] make it.
#[derive(Clone, Debug)]
pub struct Linked {
    edited: Edited,
    authenticated_at: Option<Timestamp>,
}

impl Linked {
    /// The provider's word for them, as they will stand.
    #[must_use]
    pub fn login(&self) -> LoginOk<'_> {
        LoginOk::vouched(&self.edited.user, self.authenticated_at)
    }

    #[must_use]
    pub fn edited(&self) -> &Edited {
        &self.edited
    }

    #[must_use]
    pub fn into_edited(self) -> Edited {
        self.edited
    }
}

/// Links the identity to a user. The user's version moves on, so that of two changes to what somebody can sign in
/// with one is decided again.
#[must_use]
pub fn link(user: &User, vouched: &Vouched, provider: &str, id: IdentityId, by: &By) -> Linked {
    let next = User { version: user.version.saturating_add(1), ..user.clone() };
    let changes = vec![
        Change::UpdateUser(next.clone()),
        Change::LinkIdentity(identity(vouched, provider, id, user.id, by.at)),
        Change::Audit(event(user.id, by, Action::IdentityLinked, provider)),
    ];
    let edited = Edited { user: next, changes, expect: vec![Expect::User(user.id, user.version)] };
    Linked { edited, authenticated_at: vouched.authenticated_at }
}

/// A new user with this identity and no password.
#[must_use]
pub fn register(
    vouched: &Vouched,
    rules: Rules,
    provider: &str,
    id: (UserId, IdentityId),
    username: Username,
    by: &By,
) -> Linked {
    let proven = vouched.trusted_email(rules.trust_email).is_some();
    let user = User {
        id: id.0,
        username,
        email: vouched.email.clone(),
        email_verified_at: proven.then_some(by.at),
        password_hash: None,
        password_changed_at: None,
        roles: Vec::new(),
        claims: std::collections::BTreeMap::new(),
        created_at: by.at,
        disabled_at: None,
        version: 1,
    };
    let changes = vec![
        Change::CreateUser(user.clone()),
        Change::LinkIdentity(identity(vouched, provider, id.1, user.id, by.at)),
        Change::Audit(event(user.id, by, Action::UserRegistered, provider)),
    ];
    let edited = Edited { user, changes, expect: Vec::new() };
    Linked { edited, authenticated_at: vouched.authenticated_at }
}

/// Why an identity stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnlinkError {
    /// The user has no such identity.
    NotFound,
    /// The user has no password and no other identity: they could never sign in again.
    LastWayIn,
}

impl fmt::Display for UnlinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "there is no such identity",
            Self::LastWayIn => "it is the only way to sign in to this account",
        })
    }
}

impl std::error::Error for UnlinkError {}

/// Takes an identity away from a user who has `identities`. Whoever signed in with it does not stay: every session
/// ends but for `except`, told as any other remote sign-out.
///
/// # Errors
/// [`UnlinkError`].
pub fn unlink(
    user: &User,
    identities: &[Identity],
    id: IdentityId,
    except: Option<SessionId>,
    by: &By,
) -> Result<Edited, UnlinkError> {
    let found = identities.iter().find(|one| one.id == id && one.user_id == user.id);
    let identity = found.ok_or(UnlinkError::NotFound)?;
    if user.password_hash.is_none() && identities.len() < 2 {
        return Err(UnlinkError::LastWayIn);
    }
    let next = User { version: user.version.saturating_add(1), ..user.clone() };
    let mut changes = vec![
        Change::UpdateUser(next.clone()),
        Change::UnlinkIdentity { id, user: user.id },
        Change::Audit(event(user.id, by, Action::IdentityUnlinked, &identity.provider)),
    ];
    changes.extend(account::end_sessions(user, except, Action::SessionRevoked, by));
    let mut expect = vec![Expect::User(user.id, user.version)];
    // Whoever asks may have been signed out a moment ago.
    expect.extend(except.map(Expect::Session));
    Ok(Edited { user: next, changes, expect })
}

fn identity(
    vouched: &Vouched,
    provider: &str,
    id: IdentityId,
    user_id: UserId,
    created_at: Timestamp,
) -> Identity {
    Identity {
        id,
        user_id,
        issuer: vouched.issuer.clone(),
        subject: vouched.subject.clone(),
        provider: provider.to_owned(),
        label: vouched.label(),
        created_at,
    }
}

fn event(user: UserId, by: &By, action: Action, provider: &str) -> Event {
    Event {
        at: by.at,
        action,
        actor: match by.actor {
            // Whoever comes with a provider's word is that user, known by then or not.
            Actor::Anonymous => Actor::User(user),
            _ => by.actor.clone(),
        },
        user: Some(user),
        session: None,
        address: by.address.clone(),
        detail: format!("by {provider}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Email;
    use crate::sample::{NOW, session, user, words};

    fn by() -> By {
        By { actor: Actor::Anonymous, at: NOW, address: "192.0.2.9".into() }
    }

    fn vouched(email: Option<&str>, email_verified: bool) -> Vouched {
        Vouched {
            issuer: "https://idp.example".into(),
            subject: "248289761001".into(),
            email: email.map(|email| Email::parse(email).unwrap()),
            email_verified,
            names: vec!["Ada".into()],
            authenticated_at: None,
        }
    }

    fn id(n: u8) -> IdentityId {
        IdentityId::new(NOW, [n; 10])
    }

    fn linked(n: u8) -> Identity {
        identity(&vouched(None, false), "google", id(n), user().id, NOW)
    }

    /// Attacks 150 and 153: who an identity signs in, in every case.
    #[test]
    fn a150_a153_whose_it_is() {
        let alice = user();
        let other = User { id: UserId::new(NOW, [9; 10]), ..user() };
        let disabled = User { disabled_at: Some(NOW), ..user() };
        let squatter = User { email_verified_at: None, ..user() };
        let open = Rules { trust_email: true, may_register: true };
        let closed = Rules { may_register: false, ..open };
        let untrusted = Rules { trust_email: false, ..open };
        let hers = vouched(Some("Alice@Example.com"), true);
        let typed = vouched(Some("alice@example.com"), false);
        let elsewhere = vouched(Some("bob@example.com"), true);
        let none = vouched(None, false);
        let answer = |vouched: &Vouched, rules, owner: Option<&User>, by_email: Option<&User>| match decide(
            vouched, rules, owner, by_email,
        ) {
            Ok(Admitted::Known(ok)) => format!("known {}", ok.user().id == alice.id),
            Ok(Admitted::ByEmail(ok)) => format!("by email {}", ok.user().id == alice.id),
            Ok(Admitted::New) => "new".to_owned(),
            Err(refused) => refused.reason().to_owned(),
        };
        for (vouched, rules, owner, by_email, expected) in [
            // Linked: its user, whatever the address says.
            (&hers, open, Some(&alice), None, "known true"),
            (&hers, closed, Some(&alice), Some(&other), "known true"),
            (&typed, untrusted, Some(&alice), Some(&other), "known true"),
            (&none, open, Some(&disabled), None, "disabled"),
            // Proven on both sides.
            (&hers, open, None, Some(&alice), "by email true"),
            (&hers, closed, None, Some(&alice), "by email true"),
            (&hers, open, None, Some(&disabled), "disabled"),
            // Not proven there, not trusted, or not proven here: joins nobody.
            (&typed, open, None, Some(&alice), "new"),
            (&hers, untrusted, None, Some(&alice), "new"),
            (&hers, open, None, Some(&squatter), "new"),
            (&elsewhere, open, None, Some(&alice), "new"),
            (&none, open, None, Some(&alice), "new"),
            (&hers, open, None, None, "new"),
            (&typed, closed, None, Some(&alice), "registration_closed"),
            (&none, closed, None, None, "registration_closed"),
        ] {
            assert_eq!(answer(vouched, rules, owner, by_email), expected, "{vouched:?} {rules:?}");
        }
    }

    /// Attack 153: the address is the newcomer's, proven; nothing of the account that only typed it is touched.
    #[test]
    fn a153_a_new_user_has_the_address_and_no_rights() {
        let rules = Rules { trust_email: true, may_register: true };
        let ids = (UserId::new(NOW, [5; 10]), id(1));
        let name = || Username::parse("ada").unwrap();
        let made = register(&vouched(Some("a@x.example"), true), rules, "google", ids, name(), &by());
        assert_eq!(made.login().user(), &made.edited().user);
        let made = made.into_edited();
        let said = words(&made.changes);
        assert_eq!(said.first().map(String::as_str), Some("create user"));
        assert_eq!(said.last().map(String::as_str), Some("audit user.registered by google"));
        assert!(matches!(&made.changes[1], Change::LinkIdentity(one) if one.user_id == ids.0));
        assert_eq!(made.expect, []);
        assert_eq!(made.user.verified_email(), made.user.email.as_ref());
        assert!(made.user.roles.is_empty() && made.user.password_hash.is_none() && made.user.version == 1);
        for (verified, trust_email) in [(false, true), (true, false)] {
            let rules = Rules { trust_email, ..rules };
            let made = register(&vouched(Some("a@x.example"), verified), rules, "x", ids, name(), &by());
            let made = made.into_edited();
            assert_eq!((made.user.verified_email(), made.user.email.is_some()), (None, true));
        }
    }

    #[test]
    fn linking_moves_the_users_version() {
        let made = link(&user(), &vouched(None, false), "github", id(1), &by()).into_edited();
        assert_eq!(made.expect, [Expect::User(user().id, 7)]);
        assert_eq!(made.user.version, 8);
        assert!(matches!(&made.changes[1], Change::LinkIdentity(one)
            if *one == Identity { provider: "github".into(), label: "Ada".into(), ..linked(1) }));
        assert_eq!(words(&made.changes)[2], "audit identity.linked by github");
    }

    #[test]
    fn the_last_way_in_stays() {
        let keyless = User { password_hash: None, ..user() };
        let theirs = Identity { user_id: UserId::new(NOW, [8; 10]), ..linked(3) };
        let table: &[(&User, &[Identity], IdentityId, Option<UnlinkError>)] = &[
            (&user(), &[linked(1)], id(1), None),
            (&keyless, &[linked(1), linked(2)], id(1), None),
            (&keyless, &[linked(1)], id(1), Some(UnlinkError::LastWayIn)),
            (&keyless, &[linked(1)], id(2), Some(UnlinkError::NotFound)),
            (&user(), &[], id(1), Some(UnlinkError::NotFound)),
            (&user(), &[theirs], id(3), Some(UnlinkError::NotFound)),
        ];
        for (user, identities, id, error) in table {
            assert_eq!(unlink(user, identities, *id, None, &by()).err(), *error);
        }
        let done = unlink(&user(), &[linked(1)], id(1), Some(session().id), &by()).unwrap();
        assert_eq!(done.expect, [Expect::User(user().id, 7), Expect::Session(session().id)]);
        assert_eq!(
            words(&done.changes)[2..],
            ["audit identity.unlinked by google", "end other sessions", "audit session.revoked all others"]
        );
    }
}
