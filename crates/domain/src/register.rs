//! Registration. User names are public, so a name that is taken is said to be; whether an address has an account
//! is nobody's business, so an address in use changes nothing that the caller sees.

use std::fmt;

use crate::audit::{Action, Actor, Event};
use crate::name::{Email, Username};
use crate::store::Change;
use crate::{Timestamp, User, UserId};

/// The canonical name belongs to another user: `username_taken`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsernameTaken;

impl fmt::Display for UsernameTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this user name is taken")
    }
}

impl std::error::Error for UsernameTaken {}

/// A registration whose parts were found good.
#[derive(Clone, Debug)]
pub struct Registration {
    pub id: UserId,
    pub username: Username,
    pub email: Option<Email>,
    /// PHC string of the chosen password.
    pub password_hash: String,
    pub now: Timestamp,
    /// From where, for audit.
    pub address: String,
}

/// A registration to be written.
#[derive(Clone, Debug)]
pub struct Registered {
    pub user: User,
    pub mail: Option<Mail>,
    pub changes: Vec<Change>,
}

/// The mail that goes out after the changes are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// To the address, to prove it for this user.
    VerifyEmail { to: Email, user: UserId },
    /// To the owner of the address: somebody tried to register with it. To the address as *stored*, never as
    /// typed (an address that only looks like it is another mailbox).
    EmailInUse { to: Email, owner: UserId },
}

/// Decides on a registration. `by_name` and `by_email` are the users that the canonical name and address belong
/// to now; where the store then says [`crate::StoreError::Taken`], read them again and decide again.
///
/// An address in use does not stop the registration, and the account keeps it as typed: an address is its owner's
/// by proof only, so it takes nothing from them, and no answer, now or later, tells the two cases apart.
///
/// # Errors
/// [`UsernameTaken`].
pub fn decide(
    registration: Registration,
    by_name: Option<&User>,
    by_email: Option<&User>,
) -> Result<Registered, UsernameTaken> {
    if by_name.is_some() {
        return Err(UsernameTaken);
    }
    let Registration { id, username, email, password_hash, now, address } = registration;
    let user = User {
        id,
        username,
        email: email.clone(),
        email_verified_at: None,
        password_hash: Some(password_hash),
        password_changed_at: Some(now),
        roles: Vec::new(),
        claims: std::collections::BTreeMap::new(),
        created_at: now,
        disabled_at: None,
        version: 1,
    };
    let in_use =
        by_email.and_then(|owner| owner.email.clone().map(|to| Mail::EmailInUse { to, owner: owner.id }));
    let event = Event {
        at: now,
        action: Action::UserRegistered,
        actor: Actor::User(id),
        user: Some(id),
        session: None,
        address,
        detail: String::new(),
    };
    Ok(Registered {
        mail: in_use.or_else(|| email.map(|to| Mail::VerifyEmail { to, user: id })),
        changes: vec![Change::CreateUser(user.clone()), Change::Audit(event)],
        user,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{NOW, user, words};

    fn registration(email: Option<&str>) -> Registration {
        Registration {
            id: UserId::new(NOW, [5; 10]),
            username: Username::parse("Bob").unwrap(),
            email: email.map(|e| Email::parse(e).unwrap()),
            password_hash: "$argon2id$bob".to_owned(),
            now: NOW,
            address: "192.0.2.9".to_owned(),
        }
    }

    #[test]
    fn a_new_user_has_no_rights() {
        let done = decide(registration(Some("bob@example.com")), None, None).unwrap();
        assert_eq!(words(&done.changes), ["create user", "audit user.registered"]);
        let user = done.user;
        assert_eq!((user.roles.len(), user.claims.len(), user.version), (0, 0, 1));
        assert!(user.is_active() && user.email_verified_at.is_none());
        let to = Email::parse("bob@example.com").unwrap();
        assert_eq!(done.mail, Some(Mail::VerifyEmail { to, user: user.id }));
        assert_eq!(decide(registration(None), None, None).unwrap().mail, None);
    }

    #[test]
    fn a_name_that_is_taken_is_said_to_be() {
        for by_email in [None, Some(&user())] {
            assert_eq!(
                decide(registration(Some("alice@example.com")), Some(&user()), by_email).unwrap_err(),
                UsernameTaken
            );
        }
    }

    /// Attack 54: the rows and the answer are the same; only a mail tells its owner, at the address they gave.
    #[test]
    fn an_address_in_use_changes_nothing_that_is_seen() {
        let owner = user();
        let free = decide(registration(Some("ALICE@Example.com")), None, None).unwrap();
        let used = decide(registration(Some("ALICE@Example.com")), None, Some(&owner)).unwrap();
        assert_eq!(free.user, used.user);
        assert_eq!(words(&free.changes), words(&used.changes));
        assert_eq!(
            used.mail,
            Some(Mail::EmailInUse { to: Email::parse("alice@example.com").unwrap(), owner: owner.id })
        );
    }
}
