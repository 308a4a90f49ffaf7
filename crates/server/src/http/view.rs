//! What the JSON API shows of a record: never a hash, never a counter.

use jotgate_domain::{Session, SessionId, Timestamp, User, UserId};
use serde::Serialize;

/// A user, as they may see themselves.
#[derive(Debug, Serialize)]
pub(super) struct UserView<'a> {
    pub id: UserId,
    pub username: &'a str,
    pub email: Option<&'a str>,
    pub email_verified: bool,
    pub roles: Vec<&'a str>,
    pub created_at: String,
}

impl<'a> UserView<'a> {
    #[must_use]
    pub(super) fn of(user: &'a User) -> Self {
        Self {
            id: user.id,
            username: user.username.as_str(),
            email: user.email.as_ref().map(|email| email.as_str()),
            email_verified: user.verified_email().is_some(),
            roles: user.roles.iter().map(|role| role.as_str()).collect(),
            created_at: instant(user.created_at),
        }
    }
}

/// A row of the device list.
#[derive(Debug, Serialize)]
pub(super) struct SessionView<'a> {
    pub id: SessionId,
    /// Whether it is the one that asks.
    pub current: bool,
    pub client_id: &'a str,
    pub scope: &'a str,
    pub created_at: String,
    pub authenticated_at: String,
    pub last_used_at: String,
    pub expires_at: String,
    pub address: &'a str,
    pub user_agent: &'a str,
}

impl<'a> SessionView<'a> {
    #[must_use]
    pub(super) fn of(session: &'a Session, current: SessionId) -> Self {
        Self {
            id: session.id,
            current: session.id == current,
            client_id: &session.client_id,
            scope: &session.scope,
            created_at: instant(session.created_at),
            authenticated_at: instant(session.authenticated_at),
            last_used_at: instant(session.last_used_at),
            expires_at: instant(session.idle_until.min(session.expires_at)),
            address: &session.address,
            user_agent: &session.user_agent,
        }
    }
}

/// RFC 3339 in UTC, to the second.
#[must_use]
pub(super) fn instant(at: Timestamp) -> String {
    jiff::Timestamp::from_second(at.secs()).map_or_else(|_| String::new(), |at| at.to_string())
}
