//! Logout, the device list and remote sign-out: all end in the same two changes.

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::store::{Change, Lookup, Revoked};
use jotgate_domain::{Session, SessionId, UserId};

use super::{App, Fault, SignedIn, Visitor};

impl App {
    /// Ends one session of the user's own; false where they have no such session.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn end_session(
        &self,
        visitor: &Visitor,
        user: UserId,
        id: SessionId,
        action: Action,
    ) -> Result<bool, Fault> {
        let now = self.now();
        match self.store.session(id, now).await? {
            Some((session, _)) if session.user_id == user => {}
            _ => return Ok(false),
        }
        let event = Event {
            at: now,
            action,
            actor: Actor::User(user),
            user: Some(user),
            session: Some(id),
            address: visitor.address.clone(),
            detail: String::new(),
        };
        self.apply(vec![Change::EndSession(id), Change::Audit(event)], Vec::new()).await?;
        Ok(true)
    }

    /// Ends every session of a user but for `except`; how many they were.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn end_sessions(
        &self,
        visitor: &Visitor,
        user: UserId,
        except: Option<SessionId>,
    ) -> Result<u32, Fault> {
        let event = Event {
            at: self.now(),
            action: Action::SessionRevoked,
            actor: Actor::User(user),
            user: Some(user),
            session: None,
            address: visitor.address.clone(),
            detail: if except.is_some() { "all others" } else { "all" }.to_owned(),
        };
        let changes = vec![Change::EndSessionsOf { user, except }, Change::Audit(event)];
        Ok(self.apply(changes, Vec::new()).await?.ended)
    }

    /// The device list, newest use first.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn sessions(&self, user: UserId) -> Result<Vec<Session>, Fault> {
        let limit = self.config.policy.max_per_user.saturating_add(1);
        Ok(self.store.sessions(Some(user), self.now(), limit).await?)
    }

    /// The records behind a verified token (step 7); none where the session or the user is gone.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn load(&self, session: SessionId) -> Result<Option<SignedIn>, Fault> {
        let found = self.store.session(session, self.now()).await?;
        Ok(found.filter(|(_, user)| user.is_active()).map(|(session, user)| SignedIn { session, user }))
    }

    /// The user's record alone.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn user(&self, id: UserId) -> Result<Option<jotgate_domain::User>, Fault> {
        Ok(self.store.user(Lookup::Id(id)).await?)
    }

    /// Makes this node refuse what was revoked.
    pub(super) fn revoked(&self, revoked: &[Revoked]) {
        for entry in revoked {
            let position = self.status.position(entry.status);
            let uri = self.status_uri(position.list);
            self.verifier.revocations().insert(&uri, position.index, entry.until.secs().saturating_add(1));
        }
    }
}
