//! Signing in at applications on other root domains; the rule is [`jotgate_domain::sso`].

use jotgate_domain::login::Delivery;
use jotgate_domain::sso::{self, Nonce, Refused, TICKET_TTL, Ticket};
use jotgate_domain::store::{AuditQuery, StoreError};
use jotgate_domain::throttle::Verdict;
use jotgate_domain::{Change, Expect, Session};
use zeroize::Zeroizing;

use super::grant::Signed;
use super::metrics::Renewed;
use super::{App, Fault, TRIES, Visitor};
use crate::config::Origin;

/// Why a ticket was not redeemed.
#[derive(Debug)]
pub enum RedeemError {
    Refused(Refused),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for RedeemError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// A ticket of this session for one application and the browser that asked; none where the session has just
    /// ended.
    ///
    /// # Errors
    /// [`Fault`]; throttled where one session asks without end.
    pub async fn give_ticket(
        &self,
        session: &Session,
        application: &Origin,
        binding: [u8; 32],
    ) -> Result<Option<Zeroizing<String>>, Fault> {
        let now = self.now();
        if let Verdict::Refused { retry_after } = self.tickets.take(&session.id.to_string(), now) {
            return Err(Fault::Throttled { retry_after });
        }
        let text = sso::ticket(&self.edge.random()?);
        let hash = sso::hash(&text).ok_or_else(|| Fault::Internal("a ticket of no form".to_owned()))?;
        let (changes, expect) = sso::give(Ticket {
            hash,
            session: session.id,
            origin: application.to_string(),
            binding,
            expires_at: now.plus(TICKET_TTL),
        });
        match self.apply(changes, expect).await {
            Ok(_) => Ok(Some(text)),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The access token that a ticket is good for at this application, in the browser with this number.
    ///
    /// # Errors
    /// [`RedeemError`]; the ticket is used up, unless the database is away.
    pub async fn redeem_ticket(
        &self,
        visitor: &Visitor,
        ticket: &str,
        application: &Origin,
        nonce: Option<&Nonce>,
    ) -> Result<Signed, RedeemError> {
        let hash = sso::hash(ticket).ok_or(RedeemError::Refused(Refused::Unknown))?;
        for _ in 0..TRIES {
            let found = self.store.ticket(hash).await?;
            let ticket = found.ok_or(RedeemError::Refused(Refused::Unknown))?;
            let now = self.now();
            let found = self.store.session(ticket.session, now).await?;
            let checked = sso::check(&ticket, &application.to_string(), nonce, now);
            let live = found.as_ref().filter(|(_, user)| user.is_active());
            let (session, user) = match checked.and_then(|()| live.ok_or(Refused::SessionOver)) {
                Ok(live) => live,
                Err(why) => {
                    let session = found.as_ref().map(|(session, _)| session);
                    let refused = sso::refuse(&ticket, why, session, now, visitor.address.clone());
                    if self.hold(refused).await?.is_none() {
                        continue;
                    }
                    return Err(RedeemError::Refused(why));
                }
            };
            // What the application's hook says is asked before the ticket goes.
            let subject = self.subject(user.clone(), session.id).await?;
            let newest = AuditQuery { user: Some(user.id), action: None, limit: sso::TRAIL };
            let renewal = sso::is_renewal(&ticket, &self.store.audit(newest).await?);
            let policy = &self.config.policy;
            let redeemed = sso::redeem(&ticket, user, renewal, policy, now, visitor.address.clone());
            if let Some(status) = self.hold(redeemed).await? {
                if renewal {
                    self.counts.renewed(Renewed::Sso);
                }
                let session = Session { status: status.or(session.status), ..session.clone() };
                return Ok(self.sign(&session, &subject, Delivery::Cookie, now)?);
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// Applies what was decided, and says which status number it gave; none where it was decided on what has changed
    /// since.
    async fn hold(
        &self,
        (changes, expect): (Vec<Change>, Vec<Expect>),
    ) -> Result<Option<Option<u64>>, Fault> {
        match self.apply(changes, expect).await {
            Ok(applied) => Ok(Some(applied.status.first().copied())),
            Err(StoreError::Conflict) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
