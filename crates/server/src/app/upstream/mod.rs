//! Signing in with what another provider vouches for: by redirect on the hosted pages, by a code that an application
//! shows, and linking and unlinking.
//!
//! The provider is asked before anything is read or written, so no transaction waits for it.

mod admit;
mod codes;
mod error;
mod github;
mod identities;
mod provider;
mod redeem;
mod redirect;

use std::collections::BTreeMap;

use jotgate_domain::account::By;
use jotgate_domain::audit::Actor;
use jotgate_domain::throttle::Verdict;
use jotgate_domain::upstream::flow::FlowKey;
use jotgate_domain::{SessionId, Timestamp};

pub use self::codes::CodeForm;
pub use self::error::UpstreamError;
use self::provider::Provider;
pub use self::redirect::{Back, Begun, CameBack};
use super::{App, Delivery, Fault, Visitor};
use crate::config::{self, Config};

/// The providers of this installation.
#[derive(Debug)]
pub(super) struct Upstream {
    key: FlowKey,
    providers: BTreeMap<String, Provider>,
}

impl Upstream {
    pub(super) fn new(config: &Config, key: &[u8; 32]) -> Self {
        let providers = config.providers.iter();
        let providers = providers.map(|(name, one)| (name.clone(), Provider::new(name, one))).collect();
        Self { key: FlowKey::new(key), providers }
    }

    fn provider(&self, name: &str) -> Result<&Provider, UpstreamError> {
        self.providers.get(name).ok_or(UpstreamError::UnknownProvider)
    }
}

/// A provider, as it is offered to people.
#[derive(Clone, Copy, Debug)]
pub struct Offered<'a> {
    pub name: &'a str,
    /// What stands on its button, after "Continue with".
    pub label: &'a str,
    /// As `providers.NAME.preset` has it.
    pub preset: Option<&'static str>,
    /// Whether it can say when somebody signed in there; else nobody can show by it that they did so recently.
    pub tells_when: bool,
}

/// How a session is handed over.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    pub delivery: Delivery,
    pub admin: bool,
    pub replaces: Option<SessionId>,
}

impl App {
    /// Every provider, in the order of names.
    pub fn providers(&self) -> impl Iterator<Item = Offered<'_>> {
        self.config.providers.iter().map(|(name, one)| Offered {
            name,
            label: one.label(name),
            preset: one.preset_name(),
            tells_when: one.tells_when(),
        })
    }

    fn take_try(&self, visitor: &Visitor) -> Result<(), UpstreamError> {
        match self.addresses.take(&visitor.network, self.now()) {
            Verdict::Granted => Ok(()),
            Verdict::Refused { retry_after } => Err(Fault::Throttled { retry_after }.into()),
        }
    }

    fn by_visitor(&self, visitor: &Visitor, actor: Actor) -> By {
        By { actor, at: self.now(), address: visitor.address.clone() }
    }
}

/// For `jotgate doctor`: whether what a provider says of itself can be used.
///
/// # Errors
/// What is wrong, in words for the operator.
pub(crate) async fn examine(name: &str, config: &config::Provider, now: Timestamp) -> Result<(), String> {
    let provider = Provider::new(name, config);
    let metadata = provider.metadata(now).await.map_err(|trouble| trouble.to_string())?;
    if provider.has_no_id_token() {
        return Ok(());
    }
    provider.keys(&metadata, now, false).await.map(drop).map_err(|trouble| trouble.to_string())
}
