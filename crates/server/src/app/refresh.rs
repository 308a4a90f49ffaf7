//! Renewal with a rotating refresh token; the rule is [`jotgate_domain::refresh::decide`], inside the store.

use jotgate_domain::refresh::{self, Decision, Granted, Outcome, Renewal, Request, decide};
use jotgate_domain::session::FIRST_PARTY;
use jotgate_domain::token::access_until;
use jotgate_domain::{Session, StoreError};

use super::grant::Signed;
use super::metrics::Renewed;
use super::{App, Delivery, Fault, Grant, SignedIn, TRIES, Visitor};
use crate::hooks::Theft;

/// Why a refresh was refused.
#[derive(Debug)]
pub enum RefreshError {
    /// 401 `invalid_refresh_token`: mangled, unknown, another client's, expired. No alarm.
    Invalid,
    /// 401 `refresh_token_reused`: spent before; the session has ended.
    Reused,
    Fault(Fault),
}

/// Who shows a refresh token without asking for another.
#[derive(Clone, Debug)]
pub struct Holder {
    pub signed_in: SignedIn,
    /// [`App::refresh`] would take it for stolen.
    pub spent: bool,
}

impl<F: Into<Fault>> From<F> for RefreshError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// # Errors
    /// [`RefreshError`].
    pub async fn refresh(
        &self,
        visitor: &Visitor,
        token: &str,
        delivery: Delivery,
    ) -> Result<Grant, RefreshError> {
        let result = self.decide_refresh(visitor, token, delivery).await;
        self.counts.refresh(&result);
        result
    }

    async fn decide_refresh(
        &self,
        visitor: &Visitor,
        token: &str,
        delivery: Delivery,
    ) -> Result<Grant, RefreshError> {
        let presented = self.refresh_keys.parse(token).map_err(|_| RefreshError::Invalid)?;
        let now = self.now();
        let policy = &self.config.policy;
        let request = Request {
            handle_hash: presented.handle_hash,
            generation: presented.generation,
            client_id: FIRST_PARTY.to_owned(),
            now,
            grace: policy.grace,
            idle_ttl: policy.idle_ttl,
            access_until: access_until(policy, now),
            address: visitor.address.clone(),
            user_agent: visitor.user_agent.clone(),
        };
        match self.store.refresh(request).await? {
            Outcome::Granted(granted) => {
                // Where there is no token now, the same refresh token gets one inside the grace, and later a sibling.
                let Granted { session, user, generation } = *granted;
                let subject = self.subject(user, session.id).await?;
                let handle = &presented.handle;
                Ok(self.grant_generation(session, subject, handle, generation, delivery, now)?)
            }
            Outcome::Reused { session, revoked } => {
                self.revoked(&revoked);
                self.hooks.stolen(|| Theft {
                    user: session.user_id,
                    session: session.id,
                    address: visitor.address.clone(),
                    user_agent: visitor.user_agent.clone(),
                });
                Err(RefreshError::Reused)
            }
            Outcome::Invalid => Err(RefreshError::Invalid),
        }
    }

    /// An access token for the session of this refresh token, whose counter stays: for a proxy that asks about many
    /// requests at once and can hand on one cookie. None where it would not be granted, or rotation is due and
    /// nothing is lost by it (not `must`). A spent one ends the session, as [`App::refresh`] does.
    ///
    /// # Errors
    /// [`RefreshError`], never of an unknown token.
    pub async fn renew(
        &self,
        visitor: &Visitor,
        token: &str,
        must: bool,
    ) -> Result<Option<Signed>, RefreshError> {
        let Ok(presented) = self.refresh_keys.parse(token) else { return Ok(None) };
        let policy = &self.config.policy;
        for _ in 0..TRIES {
            let now = self.now();
            let Some((session, user)) = self.store.session_by_handle(presented.handle_hash, now).await?
            else {
                return Ok(None);
            };
            if !user.is_active() || session.client_id != FIRST_PARTY {
                return Ok(None);
            }
            match refresh::decide_renewal(&session, presented.generation, now, policy.grace, must) {
                Renewal::Granted => {}
                Renewal::Refused => return Ok(None),
                // What is spent stays so: the store comes to the same, and ends the session.
                Renewal::Reused => {
                    return match self.refresh(visitor, token, Delivery::Cookie).await {
                        Err(RefreshError::Invalid) | Ok(_) => Ok(None),
                        Err(error) => Err(error),
                    };
                }
            }
            let (changes, expect) = refresh::renew(&session, &user, policy, now);
            let subject = self.subject(user, session.id).await?;
            match self.apply(changes, expect).await {
                Ok(applied) => {
                    let status = applied.status.first().copied().or(session.status);
                    let signed =
                        self.sign(&Session { status, ..session }, &subject, Delivery::Cookie, now)?;
                    self.counts.renewed(Renewed::Verify);
                    return Ok(Some(signed));
                }
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StoreError::Conflict.into())
    }

    /// Who may act by this refresh token: it is one that [`App::refresh`] would accept. The counter stays.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn signed_in(&self, token: &str) -> Result<Option<SignedIn>, Fault> {
        let holder = self.holder(token).await?;
        Ok(holder.filter(|holder| !holder.spent).map(|holder| holder.signed_in))
    }

    /// Whose session this refresh token is of, whatever its generation: enough to end it. None where it is not
    /// authentic, or its session is over.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn holder(&self, token: &str) -> Result<Option<Holder>, Fault> {
        let Ok(presented) = self.refresh_keys.parse(token) else { return Ok(None) };
        let now = self.now();
        let found = self.store.session_by_handle(presented.handle_hash, now).await?;
        let grace = self.config.policy.grace;
        Ok(found.filter(|(session, user)| user.is_active() && session.client_id == FIRST_PARTY).map(
            |(session, user)| {
                let decision = decide(&session.refresh, presented.generation, now, grace);
                Holder { signed_in: SignedIn { session, user }, spent: decision == Decision::Reused }
            },
        ))
    }
}
