//! Ending a token on behalf of the client that it was issued to (RFC 7009).

use jotgate_domain::account::{self, By};
use jotgate_domain::audit::{Action, Actor};
use jotgate_domain::store::{Expect, StoreError};
use jotgate_domain::{Session, User};

use super::{App, Authenticated, Fault, TRIES, Visitor};

/// Why a token was not revoked. One that is not known, or not good any more, is no error (RFC 7009 §2.2).
#[derive(Debug)]
pub enum RevokeError {
    /// It was issued to another client, and stays as it is (§2.1).
    OtherClient,
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for RevokeError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// Ends the session of a refresh token, whatever its generation, or the access tokens of the session of an access
    /// token. Which of the two it is shows in its form: hints are not needed (§2.1).
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(
        &self,
        visitor: &Visitor,
        caller: &Authenticated,
        token: &str,
    ) -> Result<(), RevokeError> {
        if let Ok(presented) = self.refresh_keys.parse(token) {
            let found = self.store.session_by_handle(presented.handle_hash, self.now()).await?;
            let Some((session, user)) = of_caller(found, caller)? else { return Ok(()) };
            // False where somebody else ended it meanwhile.
            self.end_session(visitor, user.id, session.id, Action::SessionRevoked).await?;
            return Ok(());
        }
        let now = u64::try_from(self.now().secs()).unwrap_or(0);
        let Ok(verified) = self.verifier.verify(token, now) else { return Ok(()) };
        for _ in 0..TRIES {
            let found = self.live_session(verified.claims()).await?;
            let Some((session, user)) = of_caller(found, caller)? else { return Ok(()) };
            let by = self.by(visitor, &user);
            let changes = account::revoke_tokens(&user, session.id, caller.id(), &by);
            match self.apply(changes, vec![Expect::Session(session.id)]).await {
                // It ended, or is read again as it is now.
                Err(StoreError::Conflict) => {}
                done => return done.map(drop).map_err(Into::into),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    fn by(&self, visitor: &Visitor, user: &User) -> By {
        By { actor: Actor::User(user.id), at: self.now(), address: visitor.address.clone() }
    }
}

fn of_caller(
    found: Option<(Session, User)>,
    caller: &Authenticated,
) -> Result<Option<(Session, User)>, RevokeError> {
    match found {
        Some((session, _)) if session.client_id != caller.id() => Err(RevokeError::OtherClient),
        found => Ok(found),
    }
}
