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
