//! A session for whomever a provider vouches for, who may be new here.

use jotgate_domain::account::{By, Edited};
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::login::LoginOk;
use jotgate_domain::name::Username;
use jotgate_domain::store::{Change, Lookup, StoreError};
use jotgate_domain::token::check_size;
use jotgate_domain::upstream::{self, Admitted, Refused, Rules, Vouched};
use jotgate_domain::{IdentityId, UserId};

use super::provider::Provider;
use super::{Handover, UpstreamError};
use crate::app::grant::shape;
use crate::app::login::Entry;
use crate::app::mail::{self, WayIn};
use crate::app::{App, Delivery, Fault, Grant, TRIES, Visitor};

impl App {
    /// A session for whomever the provider vouches for.
    pub(super) async fn admit(
        &self,
        visitor: &Visitor,
        provider: &Provider,
        vouched: &Vouched,
        hand: Handover,
    ) -> Result<Grant, UpstreamError> {
        let rules = Rules {
            trust_email: provider.config.trusts_email(),
            may_register: provider.config.registration.unwrap_or_else(|| self.registration_enabled()),
        };
        for _ in 0..TRIES {
            let owner = self.store.identity(&vouched.issuer, &vouched.subject).await?.map(|(_, user)| user);
            let by_email = match vouched.trusted_email(rules.trust_email) {
                Some(email) => self.store.user(Lookup::Email(email.canonical())).await?,
                None => None,
            };
            let by = self.by_visitor(visitor, Actor::Anonymous);
            let identity = IdentityId::new(by.at, self.edge.random()?);
            let name = &provider.name;
            let admitted = match upstream::decide(vouched, rules, owner.as_ref(), by_email.as_ref()) {
                Ok(admitted) => admitted,
                Err(refused) => {
                    self.apply(vec![refusal(refused, name, &by)], Vec::new()).await?;
                    return Err(refused.into());
                }
            };
            let grant = match admitted {
                Admitted::Known(allowed) => self.enter(visitor, allowed, hand, name, None).await?,
                Admitted::ByEmail(allowed) => {
                    let linked = upstream::link(allowed.user(), vouched, name, identity, &by);
                    let grant =
                        self.enter(visitor, linked.login(), hand, name, Some(linked.edited())).await?;
                    if grant.is_some() {
                        mail::way_in_added(self, &linked.edited().user, WayIn::Provider(provider.label()));
                    }
                    grant
                }
                Admitted::New => {
                    let id = UserId::new(by.at, self.edge.random()?);
                    let random = u32::from_ne_bytes(self.edge.random()?);
                    let username = self.free_name(vouched, random).await?;
                    self.ask_hook(visitor, &username, vouched.email.as_ref()).await?;
                    let linked = upstream::register(vouched, rules, name, (id, identity), username, &by);
                    self.enter(visitor, linked.login(), hand, name, Some(linked.edited())).await?
                }
            };
            if let Some(grant) = grant {
                return Ok(grant);
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    async fn enter(
        &self,
        visitor: &Visitor,
        allowed: LoginOk<'_>,
        hand: Handover,
        provider: &str,
        before: Option<&Edited>,
    ) -> Result<Option<Grant>, UpstreamError> {
        if hand.delivery == Delivery::Cookie {
            check_size(allowed.user(), &self.config.policy, &shape(&self.config, &self.issuer, &self.mount))
                .map_err(UpstreamError::TooLarge)?;
        }
        let entry = Entry {
            delivery: hand.delivery,
            admin: hand.admin,
            replaces: hand.replaces,
            detail: format!("by {provider}"),
            before: before.cloned(),
            ..Entry::default()
        };
        Ok(self.start_session(visitor, allowed, entry).await?)
    }

    /// A user name that nobody has; whoever takes it meanwhile makes the caller ask again.
    async fn free_name(&self, vouched: &Vouched, random: u32) -> Result<Username, UpstreamError> {
        for name in upstream::candidates(vouched, random) {
            if self.store.user(Lookup::Name(name.canonical())).await?.is_none() {
                return Ok(name);
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }
}

fn refusal(refused: Refused, provider: &str, by: &By) -> Change {
    let user = match refused {
        Refused::Disabled(user) => Some(user),
        Refused::RegistrationClosed => None,
    };
    Change::Audit(Event {
        at: by.at,
        action: Action::LoginFailed,
        actor: Actor::Anonymous,
        user,
        session: None,
        address: by.address.clone(),
        detail: format!("{} by {provider}", refused.reason()),
    })
}
