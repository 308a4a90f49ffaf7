//! One user and one session for the tests of this crate.

use std::collections::BTreeMap;

use serde_json::json;

use crate::name::{Email, RoleName, Username};
use crate::session::{FIRST_PARTY, RefreshState};
use crate::store::Change;
use crate::token::Shape;
use crate::{Session, SessionId, Timestamp, User, UserId};

pub(crate) const NOW: Timestamp = Timestamp(1_800_000_000_123);

pub(crate) fn user() -> User {
    User {
        id: UserId::new(NOW, [1; 10]),
        username: Username::parse("Alice").unwrap(),
        email: Some(Email::parse("alice@example.com").unwrap()),
        email_verified_at: Some(Timestamp(5)),
        password_hash: Some("$argon2id$old".to_owned()),
        password_changed_at: Some(Timestamp(4)),
        roles: ["editor", "admin"].map(role).to_vec(),
        claims: BTreeMap::from([("tenant".to_owned(), json!("acme"))]),
        created_at: Timestamp(3),
        disabled_at: None,
        version: 7,
    }
}

pub(crate) fn session() -> Session {
    Session {
        id: SessionId::new(NOW, [2; 10]),
        user_id: user().id,
        client_id: FIRST_PARTY.to_owned(),
        scope: "account admin".to_owned(),
        refresh: RefreshState { generation: 9, previous: 8, first: 9, ..RefreshState::new([3; 32]) },
        status: Some(77),
        access_until: Timestamp(1),
        created_at: Timestamp(2),
        authenticated_at: Timestamp(1_799_999_000_999),
        last_used_at: Timestamp(3),
        idle_until: Timestamp(1_900_000_000_000),
        expires_at: Timestamp(1_900_000_000_000),
        address: "192.0.2.1".to_owned(),
        user_agent: "Firefox".to_owned(),
    }
}

pub(crate) fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

pub(crate) fn shape() -> Shape {
    Shape {
        issuer: "https://auth.example.com".to_owned(),
        audience: vec!["https://auth.example.com".to_owned()],
        algorithm: "ES256".to_owned(),
        signature_len: 64,
        kid_len: 43,
        status_uri: "https://auth.example.com/auth/status/4294967295".to_owned(),
        cookie_name_len: "__Secure-jwt".len(),
    }
}

/// Changes in a word each, in order.
pub(crate) fn words(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::CreateUser(_) => "create user".to_owned(),
            Change::UpdateUser(user) => format!("update user to {}", user.version),
            Change::DeleteUser(_) => "delete user".to_owned(),
            Change::StartSession { max_per_user, .. } => format!("start session, at most {max_per_user}"),
            Change::EndSession(_) => "end session".to_owned(),
            Change::EndSessionsOf { except, .. } => {
                format!("end {}", if except.is_some() { "other sessions" } else { "all sessions" })
            }
            Change::RevokeTokens(_) => "revoke tokens of a session".to_owned(),
            Change::RevokeTokensOf(_) => "revoke tokens".to_owned(),
            Change::RenewSession(_) => "renew session".to_owned(),
            Change::CreateClient(client) => format!("create client {}", client.id),
            Change::DeleteClient(id) => format!("delete client {id}"),
            Change::ClearThrottle(key) => format!("clear throttle {}", key[0]),
            Change::Audit(event) => {
                format!("audit {} {}", event.action.name(), event.detail).trim().to_owned()
            }
            other => format!("{other:?}"),
        })
        .collect()
}
