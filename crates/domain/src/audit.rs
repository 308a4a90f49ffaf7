//! The audit trail: when, who, what, which session, from where. Never a secret.

use crate::{SessionId, Timestamp, UserId};

/// What happened; [`Action::name`] is stable and what `jotgate audit list` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    UserRegistered,
    UserCreated,
    UserImported,
    UserDeleted,
    UserDisabled,
    UserEnabled,
    UserChanged,
    RoleGranted,
    RoleRevoked,
    /// The configuration permits a role less than at the last start.
    RoleReduced,
    LoginSucceeded,
    LoginFailed,
    LoginThrottled,
    LoggedOut,
    SessionRevoked,
    /// The oldest session ended because the user had `session.max_per_user`.
    SessionDisplaced,
    /// The access tokens of a session, by a client (RFC 7009); the session goes on.
    TokenRevoked,
    ClientCreated,
    ClientDeleted,
    PasswordChanged,
    /// An identity at another provider was linked to the account.
    IdentityLinked,
    IdentityUnlinked,
    RefreshReused,
    /// The answer to a refresh was lost and a sibling was minted.
    RefreshSibling,
    /// A token was repeated inside the grace from another address or agent.
    RefreshRepeatedElsewhere,
    DatabaseWentBack,
    /// A ticket signed its user in at an application on another root domain.
    SsoSignedIn,
    /// A ticket was shown by another browser, at another application, too late, or after its session's end.
    SsoRefused,
    KeyCreated,
    KeyRotated,
    KeyRevoked,
    DatabaseBackedUp,
    DatabaseRestored,
}

impl Action {
    /// Every action with its stable name.
    pub const ALL: &[(Self, &'static str)] = &[
        (Self::UserRegistered, "user.registered"),
        (Self::UserCreated, "user.created"),
        (Self::UserImported, "user.imported"),
        (Self::UserDeleted, "user.deleted"),
        (Self::UserDisabled, "user.disabled"),
        (Self::UserEnabled, "user.enabled"),
        (Self::UserChanged, "user.changed"),
        (Self::RoleGranted, "role.granted"),
        (Self::RoleRevoked, "role.revoked"),
        (Self::RoleReduced, "role.reduced"),
        (Self::LoginSucceeded, "login.succeeded"),
        (Self::LoginFailed, "login.failed"),
        (Self::LoginThrottled, "login.throttled"),
        (Self::LoggedOut, "session.logged_out"),
        (Self::SessionRevoked, "session.revoked"),
        (Self::SessionDisplaced, "session.displaced"),
        (Self::TokenRevoked, "token.revoked"),
        (Self::ClientCreated, "client.created"),
        (Self::ClientDeleted, "client.deleted"),
        (Self::PasswordChanged, "password.changed"),
        (Self::IdentityLinked, "identity.linked"),
        (Self::IdentityUnlinked, "identity.unlinked"),
        (Self::RefreshReused, "refresh.reused"),
        (Self::RefreshSibling, "refresh.sibling"),
        (Self::RefreshRepeatedElsewhere, "refresh.repeated_elsewhere"),
        (Self::DatabaseWentBack, "refresh.database_went_back"),
        (Self::SsoSignedIn, "sso.signed_in"),
        (Self::SsoRefused, "sso.refused"),
        (Self::KeyCreated, "key.created"),
        (Self::KeyRotated, "key.rotated"),
        (Self::KeyRevoked, "key.revoked"),
        (Self::DatabaseBackedUp, "database.backed_up"),
        (Self::DatabaseRestored, "database.restored"),
    ];

    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(action, _)| *action == self).map_or("unknown", |(_, name)| name)
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, n)| *n == name).map(|(action, _)| *action)
    }
}

/// What an action takes from tokens that are out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revokes {
    Nothing,
    /// Access tokens; their sessions go on with others.
    Tokens,
    /// Sessions, and all tokens of each.
    Sessions,
}

impl Action {
    /// What it revokes, at most: every action that does is a row of the table in `docs/revocation.md`, which a test
    /// measures.
    #[must_use]
    pub fn revokes(self) -> Revokes {
        match self {
            Self::UserDeleted
            | Self::UserDisabled
            | Self::LoggedOut
            | Self::SessionRevoked
            | Self::SessionDisplaced
            | Self::ClientDeleted
            | Self::PasswordChanged
            | Self::RefreshReused => Revokes::Sessions,
            Self::RoleRevoked
            | Self::RoleReduced
            | Self::UserChanged
            | Self::TokenRevoked
            | Self::KeyRevoked
            | Self::DatabaseRestored => Revokes::Tokens,
            Self::UserRegistered
            | Self::UserCreated
            | Self::UserImported
            | Self::UserEnabled
            | Self::ClientCreated
            | Self::RoleGranted
            | Self::IdentityLinked
            | Self::IdentityUnlinked
            | Self::LoginSucceeded
            | Self::LoginFailed
            | Self::LoginThrottled
            | Self::RefreshSibling
            | Self::RefreshRepeatedElsewhere
            | Self::DatabaseWentBack
            | Self::SsoSignedIn
            | Self::SsoRefused
            | Self::KeyCreated
            | Self::KeyRotated
            | Self::DatabaseBackedUp => Revokes::Nothing,
        }
    }
}

/// Who did it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Nobody who is signed in (a failed login).
    Anonymous,
    User(UserId),
    /// The `jotgate` program on the server's own machine.
    Operator,
    /// The server itself (a schedule).
    System,
}

/// An entry to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: Timestamp,
    pub action: Action,
    pub actor: Actor,
    /// The user whom it concerns.
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    /// Client address as text; empty for the operator.
    pub address: String,
    /// One bounded line: a role's name, a reason code. Nothing that a visitor typed without cleaning.
    pub detail: String,
}

/// An entry as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Grows with every entry; what `--follow` goes by.
    pub id: i64,
    pub event: Event,
}
