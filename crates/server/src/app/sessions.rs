//! Logout, the device list and remote sign-out: all end in the same two changes.

use jotgate_domain::account::{self, By};
use jotgate_domain::audit::{Action, Actor};
use jotgate_domain::store::{Lookup, Revocable, Revoked};
use jotgate_domain::{Session, SessionId, User, UserId};

use super::feed::{Entry, What};
use super::{App, Fault, SignedIn, Visitor};
use crate::hooks::{Ended, LoggedOut};

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
        let owner = match self.store.session(id, now).await? {
            Some((session, owner)) if session.user_id == user => owner,
            _ => return Ok(false),
        };
        let by = By { actor: Actor::User(user), at: now, address: visitor.address.clone() };
        self.apply(account::end_session(&owner, id, action, &by), Vec::new()).await?;
        self.signed_out(visitor, user, Ended::One(id));
        Ok(true)
    }

    /// Ends every session of a user but for `except`; how many they were.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn end_sessions(
        &self,
        visitor: &Visitor,
        user: &User,
        except: Option<SessionId>,
    ) -> Result<u32, Fault> {
        let by = By { actor: Actor::User(user.id), at: self.now(), address: visitor.address.clone() };
        let changes = account::end_sessions(user, except, Action::SessionRevoked, &by);
        let ended = self.apply(changes, Vec::new()).await?.ended;
        if ended > 0 {
            self.signed_out(visitor, user.id, except.map_or(Ended::All, Ended::AllBut));
        }
        Ok(ended)
    }

    fn signed_out(&self, visitor: &Visitor, user: UserId, ended: Ended) {
        self.hooks.logged_out(|| LoggedOut { user, ended, address: visitor.address.clone() });
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
    pub async fn user(&self, id: UserId) -> Result<Option<User>, Fault> {
        Ok(self.store.user(Lookup::Id(id)).await?)
    }

    /// Makes this node refuse what was revoked, and tells the followers.
    pub(super) fn revoked(&self, revoked: &[Revoked]) {
        let refused = self.verifier.revocations();
        let mut uri = (u64::MAX, String::new());
        let entries: Vec<Entry> = revoked
            .iter()
            .map(|Revoked { what, until }| {
                let seconds = until.secs().saturating_add(1);
                let what = match what {
                    Revocable::Status(number) => {
                        let position = self.positions.of(*number);
                        if uri.0 != position.list {
                            uri = (position.list, self.status_uri(position.list));
                        }
                        refused.insert(&uri.1, position.index, seconds);
                        What::Status(position)
                    }
                    Revocable::Key(kid) => {
                        refused.insert_key(kid, seconds);
                        What::Key(kid.as_str().into())
                    }
                };
                Entry { what, until: *until }
            })
            .collect();
        self.feed.push(entries);
    }
}
