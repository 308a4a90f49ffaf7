//! What a token is worth right now (RFC 7662), by the database and not by what this node has heard: whatever revoked
//! it, on whichever node, counts in the answer that begins after it.

use jotgate_domain::client::Client;
use jotgate_domain::refresh::{Decision, decide};
use jotgate_domain::{Session, SessionId, User, key};
use jotgate_jose::Claims;
use serde_json::{Map, Value, json};

use super::{App, Authenticated, Fault};

/// The members of an answer about an active token (RFC 7662 §2.2).
#[derive(Clone, Debug, PartialEq)]
pub struct Introspected(pub Map<String, Value>);

impl App {
    /// What there is to say of `token` to this client; none of one that is not active, or not this client's to know
    /// of: an access token whose `aud` names none of its audiences, another client's refresh token.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn introspect(&self, client: &Client, token: &str) -> Result<Option<Introspected>, Fault> {
        if let Some((session, user)) = self.introspect_refresh(client, token).await? {
            return Ok(Some(self.told_of_session(&session, &user)));
        }
        let now = u64::try_from(self.now().secs()).unwrap_or(0);
        let Ok(verified) = self.verifier.verify(token, now) else { return Ok(None) };
        let claims = verified.claims();
        if !client.may_see(claims.client_id().unwrap_or_default(), |one| claims.aud().contains(one)) {
            return Ok(None);
        }
        if self.live_session(claims).await?.is_none() || !self.is_accepted(verified.kid()).await? {
            return Ok(None);
        }
        Ok(told_of_claims(claims))
    }

    /// The session behind an access token, if the token is still one of it: its status entry is the one that the
    /// session's tokens name at this moment.
    ///
    /// # Errors
    /// [`Fault`].
    pub(super) async fn live_session(&self, claims: Claims<'_>) -> Result<Option<(Session, User)>, Fault> {
        let Some(id) = claims.sid().and_then(|sid| sid.parse::<SessionId>().ok()) else { return Ok(None) };
        let found = self.store.session(id, self.now()).await?;
        Ok(found.filter(|(session, user)| {
            user.is_active()
                && claims.sub() == Some(&user.id.to_string())
                && claims.client_id() == Some(&session.client_id)
                && self.is_under_entry(claims, session.status)
        }))
    }

    fn is_under_entry(&self, claims: Claims<'_>, number: Option<u64>) -> bool {
        let (Some(entry), Some(number)) = (claims.status(), number) else { return false };
        let position = self.positions.of(number);
        entry.idx == position.index && entry.uri == self.status_uri(position.list)
    }

    /// Whether a key is good by the rows as they are: another node may have revoked it within the last moments.
    async fn is_accepted(&self, kid: &str) -> Result<bool, Fault> {
        let rows = self.store.keys().await?;
        Ok(key::verifying(&rows, self.now()).iter().any(|row| row.kid == kid))
    }

    /// The session of a refresh token of this very client that a refresh would accept.
    async fn introspect_refresh(
        &self,
        client: &Client,
        token: &str,
    ) -> Result<Option<(Session, User)>, Fault> {
        let Ok(presented) = self.refresh_keys.parse(token) else { return Ok(None) };
        let now = self.now();
        let found = self.store.session_by_handle(presented.handle_hash, now).await?;
        let grace = self.config.policy.grace;
        Ok(found.filter(|(session, user)| {
            user.is_active()
                && session.client_id == client.id.as_str()
                && decide(&session.refresh, presented.generation, now, grace) != Decision::Reused
        }))
    }

    /// Of a refresh token there is no `token_type`: nobody may take it for an access token.
    fn told_of_session(&self, session: &Session, user: &User) -> Introspected {
        let told = json!({
            "active": true,
            "iss": self.issuer(),
            "sub": user.id.to_string(),
            "username": user.username.as_str(),
            "client_id": session.client_id,
            "scope": session.scope,
            "sid": session.id.to_string(),
            "iat": session.created_at.secs(),
            "exp": session.idle_until.min(session.expires_at).secs(),
        });
        Introspected(match told {
            Value::Object(members) => members,
            _ => Map::new(),
        })
    }
}

/// All that the token says but for its status entry, which is settled here.
fn told_of_claims(claims: Claims<'_>) -> Option<Introspected> {
    let mut members: Map<String, Value> = serde_json::from_str(claims.json()).ok()?;
    members.remove("status");
    members.insert("active".to_owned(), true.into());
    members.insert("token_type".to_owned(), "Bearer".into());
    if let Some(name) = claims.preferred_username() {
        members.insert("username".to_owned(), name.into());
    }
    Some(Introspected(members))
}

impl Authenticated {
    /// The client, where it may introspect: one that proved who it is (RFC 7662 §2.1).
    #[must_use]
    pub fn introspects(&self) -> Option<&Client> {
        match self {
            Self::Confidential(client) => Some(client),
            Self::Public(_) | Self::FirstParty => None,
        }
    }
}
