//! The user's record: all that a token says of a user lies in this one row.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::name::{Email, RoleName, Username};
use crate::{Timestamp, UserId};

/// One row of `users`.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: UserId,
    /// As it was typed at registration; looked up by [`Username::canonical`].
    pub username: Username,
    pub email: Option<Email>,
    /// When the address was proven; an unproven one is neither in tokens nor good for login.
    pub email_verified_at: Option<Timestamp>,
    /// PHC string; none for a user who has no password.
    pub password_hash: Option<String>,
    pub password_changed_at: Option<Timestamp>,
    /// In the order in which they were granted, without repetition.
    pub roles: Vec<RoleName>,
    /// Custom claims; no reserved name among the keys ([`crate::token::RESERVED_CLAIMS`]).
    pub claims: BTreeMap<String, Value>,
    pub created_at: Timestamp,
    /// Set while the account may not be used.
    pub disabled_at: Option<Timestamp>,
    /// Grows by one with every change of this row ([`crate::Expect::User`]).
    pub version: i64,
}

impl User {
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.disabled_at.is_none()
    }

    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|r| r.as_str() == role)
    }

    /// The address, where it is proven.
    #[must_use]
    pub fn verified_email(&self) -> Option<&Email> {
        self.email.as_ref().filter(|_| self.email_verified_at.is_some())
    }
}
