//! With whom a user can sign in: linked, listed, unlinked.

use jotgate_domain::audit::Actor;
use jotgate_domain::store::{Change, Expect, StoreError, Unique};
use jotgate_domain::upstream::{self, Identity, RECENT, Vouched};
use jotgate_domain::{IdentityId, Session, User, UserId};

use super::UpstreamError;
use super::provider::Provider;
use crate::app::mail::{self, WayIn};
use crate::app::{App, Fault, SignedIn, TRIES, Visitor};

impl App {
    /// # Errors
    /// [`Fault`].
    pub async fn identities(&self, user: UserId) -> Result<Vec<Identity>, Fault> {
        Ok(self.store.identities(user).await?)
    }

    /// Takes an identity from whoever is signed in; their other sessions end.
    ///
    /// # Errors
    /// [`UpstreamError::Unlink`], [`UpstreamError::SignInAgain`].
    pub async fn unlink(
        &self,
        visitor: &Visitor,
        asker: &SignedIn,
        id: IdentityId,
    ) -> Result<(), UpstreamError> {
        self.check_recent(&asker.session)?;
        for _ in 0..TRIES {
            let user = self.still_here(asker).await?;
            let identities = self.store.identities(user.id).await?;
            let by = self.by_visitor(visitor, Actor::User(user.id));
            let done = upstream::unlink(&user, &identities, id, Some(asker.session.id), &by);
            let done = done.map_err(UpstreamError::Unlink)?;
            match self.apply(done.changes, done.expect).await {
                Err(StoreError::Conflict) => {}
                applied => return applied.map(drop).map_err(UpstreamError::from),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// Whether the sign-in of a session is recent enough to change what its user can sign in with.
    #[must_use]
    pub fn is_recent(&self, session: &Session) -> bool {
        self.now().since(session.authenticated_at) < RECENT
    }

    /// # Errors
    /// [`UpstreamError::SignInAgain`].
    pub(super) fn check_recent(&self, session: &Session) -> Result<(), UpstreamError> {
        if self.is_recent(session) { Ok(()) } else { Err(UpstreamError::SignInAgain) }
    }

    pub(super) async fn link(
        &self,
        visitor: &Visitor,
        asker: &SignedIn,
        provider: &Provider,
        vouched: &Vouched,
    ) -> Result<Identity, UpstreamError> {
        for _ in 0..TRIES {
            let user = self.still_here(asker).await?;
            let by = self.by_visitor(visitor, Actor::User(user.id));
            let id = IdentityId::new(by.at, self.edge.random()?);
            let mut linked = upstream::link(&user, vouched, &provider.name, id, &by).into_edited();
            linked.expect.push(Expect::Session(asker.session.id));
            let identity = linked.changes.iter().find_map(|change| match change {
                Change::LinkIdentity(identity) => Some(identity.clone()),
                _ => None,
            });
            match self.apply(linked.changes, linked.expect).await {
                Ok(_) => {
                    mail::way_in_added(self, &user, WayIn::Provider(provider.label()));
                    return identity.ok_or_else(|| Fault::Internal("nothing was linked".into()).into());
                }
                Err(StoreError::Taken(Unique::Identity)) => return Err(UpstreamError::IdentityTaken),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// Whoever asked, as they are now. They may have been signed out meanwhile, as while a provider was asked: what they
    /// began ends with that.
    async fn still_here(&self, asker: &SignedIn) -> Result<User, UpstreamError> {
        let found = self.load(asker.session.id).await?;
        found.map(|found| found.user).ok_or(UpstreamError::SignInAgain)
    }
}
