//! Changing one's own password, or setting the first one: every other session ends, and this one gets a new pair.

use jotgate_domain::account::{self, By};
use jotgate_domain::audit::Actor;
use jotgate_domain::name::{Email, Username};
use jotgate_domain::password::{Password, PasswordError, Rules};
use jotgate_domain::refresh_token::Handle;
use jotgate_domain::store::{Attempt, Change, Lookup, StoreError};
use jotgate_domain::throttle::{Limit, Verdict};
use jotgate_domain::{Session, User};

use crate::config::Origin;

use super::mail::{self, WayIn};
use super::{App, Delivery, Fault, Grant, SignedIn, TRIES, Visitor};

/// Why a password was not changed.
#[derive(Debug)]
pub enum ChangePasswordError {
    /// 401 `invalid_credentials`: the current password is another.
    WrongPassword,
    /// 403 `recent_sign_in_required`: there is no current password, and the sign-in was too long ago to do without.
    SignInAgain,
    /// 422 `weak_password`.
    Password(PasswordError),
    /// 401: the session or the account is not what it was.
    SessionEnded,
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for ChangePasswordError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// A password that is being chosen for this user.
    ///
    /// # Errors
    /// [`PasswordError`].
    pub fn chosen_password(
        &self,
        text: &str,
        username: &Username,
        email: Option<&Email>,
    ) -> Result<Password, PasswordError> {
        let min_length = self.config.policy.password_min_length;
        choose(text, &self.issuer, min_length, username, email)
    }

    /// `current`: none for the first password of somebody who came with a provider; then their sign-in has to be
    /// recent.
    ///
    /// # Errors
    /// [`ChangePasswordError`].
    pub async fn change_password(
        &self,
        visitor: &Visitor,
        signed_in: SignedIn,
        current: Option<&str>,
        new: &str,
        delivery: Delivery,
    ) -> Result<Grant, ChangePasswordError> {
        let SignedIn { session, user } = signed_in;
        let new = self
            .chosen_password(new, &user.username, user.email.as_ref())
            .map_err(ChangePasswordError::Password)?;
        let bucket = self.own_bucket(&user);
        let mut user = match current {
            Some(current) => self.by_current_password(&user, current).await?,
            None => self.by_recent_sign_in(&session).await?,
        };
        let shown = user.password_hash.clone();
        let hash = self.hasher.hash(&new, self.edge.random()?).await?;

        for _ in 0..TRIES {
            let now = self.now();
            let handle = Handle::new(self.edge.random()?);
            let by = By { actor: Actor::User(user.id), at: now, address: visitor.address.clone() };
            let policy = &self.config.policy;
            let changed = account::change_password(&user, &session, hash.clone(), handle.hash(), policy, &by);
            let mut changes = changed.edited.changes;
            changes.push(Change::ClearThrottle(bucket));
            let subject = self.subject(changed.edited.user, session.id).await?;
            match self.apply(changes, changed.edited.expect).await {
                Ok(applied) => {
                    let session = Session { status: applied.status.first().copied(), ..changed.session };
                    let grant = self.grant(session, subject, &handle, delivery, now)?;
                    let device = self.device_for(delivery, &grant.user)?;
                    if shown.is_none() {
                        mail::way_in_added(self, &grant.user, WayIn::Password);
                    }
                    return Ok(Grant { device, ..grant });
                }
                // Another password, a logout, a disabled account: then what was shown proves nothing any more. A
                // role or an address that changed is no reason to refuse.
                Err(StoreError::Conflict) => match self.load(session.id).await? {
                    Some(found) if found.user.password_hash == shown => user = found.user,
                    _ => return Err(ChangePasswordError::SessionEnded),
                },
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// The user as they are now, who knows their password.
    async fn by_current_password(&self, user: &User, current: &str) -> Result<User, ChangePasswordError> {
        let current = Password::typed(current).map_err(|_| ChangePasswordError::WrongPassword)?;
        let place = self.hasher.reserve().await?;
        let bucket = self.own_bucket(user);
        let attempt = Attempt { bucket, limit: Limit::ACCOUNT, lookup: Lookup::Id(user.id), now: self.now() };
        let attempted = self.store.attempt(attempt).await?;
        if let Verdict::Refused { retry_after } = attempted.verdict {
            return Err(Fault::Throttled { retry_after }.into());
        }
        let user = attempted.user.filter(User::is_active).ok_or(ChangePasswordError::SessionEnded)?;
        if place.verify(&current, user.password_hash.as_deref()).await? {
            Ok(user)
        } else {
            Err(ChangePasswordError::WrongPassword)
        }
    }

    /// The user as they are now, who has none.
    async fn by_recent_sign_in(&self, session: &Session) -> Result<User, ChangePasswordError> {
        let found = self.load(session.id).await?.ok_or(ChangePasswordError::SessionEnded)?;
        if found.user.password_hash.is_some() {
            return Err(ChangePasswordError::WrongPassword);
        }
        if self.is_recent(&found.session) { Ok(found.user) } else { Err(ChangePasswordError::SignInAgain) }
    }
}

/// A password that is being chosen at this issuer.
pub(super) fn choose(
    text: &str,
    issuer: &Origin,
    min_length: usize,
    username: &Username,
    email: Option<&Email>,
) -> Result<Password, PasswordError> {
    // The label that is registered, not `com` or `login`: those stand in good passwords by chance.
    let registered = issuer.host.rsplit('.').nth(1).filter(|label| label.len() >= 4);
    let service_names: Vec<&str> = std::iter::once("jotgate").chain(registered).collect();
    Password::chosen(text, &Rules { min_length, service_names: &service_names, username, email })
}
