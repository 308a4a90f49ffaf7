//! By redirect: a browser leaves one of our pages for a provider, and comes back.
//!
//! What it brings back is written down as spent before the provider is asked: of two that bring back the same, one is
//! refused.

use std::fmt;

use jotgate_domain::store::{Change, StoreError, Unique};
use jotgate_domain::upstream::flow::{self, Flow, Intent};
use jotgate_domain::upstream::id_token::{self, Stale};

use super::redeem::Code;
use super::{Handover, UpstreamError};
use crate::app::{App, Grant, SignedIn, Visitor};

/// A browser about to leave for a provider.
#[derive(Debug)]
pub struct Begun {
    /// The provider's page.
    pub to: String,
    /// Value of the flow cookie.
    pub cookie: String,
}

/// A browser that came back.
#[derive(Clone, Copy)]
pub struct Back<'a> {
    /// At whose address.
    pub provider: &'a str,
    /// Value of the flow cookie.
    pub cookie: Option<&'a str>,
    pub state: &'a str,
    /// Empty where there is none, as the two below.
    pub code: &'a str,
    pub error: &'a str,
    pub iss: &'a str,
    /// Whose the session cookie is.
    pub signed_in: Option<&'a SignedIn>,
}

impl fmt::Debug for Back<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Back").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// What became of it.
#[derive(Debug)]
pub struct CameBack {
    /// Where to go, as it was found good when it set out; empty for the default.
    pub return_to: String,
    /// None where an identity was linked.
    pub grant: Option<Grant>,
}

impl App {
    /// Sends a browser to a provider. `return_to` was found good. `max_age`: for how many seconds the person may have
    /// been signed in there; with none of it, as long as the provider likes.
    ///
    /// # Errors
    /// [`UpstreamError::UnknownProvider`], [`UpstreamError::Away`], [`UpstreamError::Stale`].
    pub async fn begin(
        &self,
        provider: &str,
        intent: Intent,
        max_age: Option<u32>,
        return_to: &str,
    ) -> Result<Begun, UpstreamError> {
        let provider = self.upstream.provider(provider)?;
        if max_age.is_some() && !provider.config.tells_when() {
            return Err(Stale::Untold.into());
        }
        let now = self.now();
        let metadata = provider.metadata(now).await?;
        let flow = Flow {
            id: self.edge.random()?,
            provider: provider.name.clone(),
            intent,
            max_age,
            until: now.plus(flow::LIFE),
            return_to: return_to.to_owned(),
        };
        let key = &self.upstream.key;
        let mut to = metadata.authorization_endpoint.clone();
        to.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.config.client_id)
            .append_pair("redirect_uri", &self.callback(&provider.name))
            .append_pair("scope", &provider.config.scope())
            .append_pair("state", &key.state(&flow))
            .append_pair("code_challenge", &flow::challenge(&key.verifier(&flow)))
            .append_pair("code_challenge_method", "S256");
        if !provider.has_no_id_token() {
            to.query_pairs_mut().append_pair("nonce", &key.nonce(&flow));
        }
        if provider.posts_back() {
            to.query_pairs_mut().append_pair("response_mode", "form_post");
        }
        provider.ask_when(&mut to, max_age);
        Ok(Begun { to: to.into(), cookie: key.cookie(&flow) })
    }

    /// Takes a browser that came back from a provider.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn come_back(
        &self,
        visitor: &Visitor,
        back: Back<'_>,
        hand: Handover,
    ) -> Result<CameBack, UpstreamError> {
        let result = self.decide_come_back(visitor, back, hand).await;
        self.counts.upstream(result.as_ref().map(drop));
        result
    }

    async fn decide_come_back(
        &self,
        visitor: &Visitor,
        back: Back<'_>,
        hand: Handover,
    ) -> Result<CameBack, UpstreamError> {
        let provider = self.upstream.provider(back.provider)?;
        let now = self.now();
        let key = &self.upstream.key;
        // First, for it costs nothing: a page of others cannot use up the tries of its visitors.
        let flow = key.open(back.cookie, &provider.name, back.state, now)?;
        self.take_try(visitor)?;
        self.spend(&flow).await?;
        let metadata = provider.metadata(now).await?;
        // RFC 9207 §2.4, of errors as well: whoever answered has to be who was asked.
        let named = metadata.names_itself || !back.iss.is_empty();
        if named && !provider.answers_as(&metadata.issuer, back.iss) {
            return Err(UpstreamError::Flow("the answer is of another issuer".to_owned()));
        }
        if !back.error.is_empty() || back.code.is_empty() {
            return Err(UpstreamError::Denied(reason(back.error)));
        }
        // Who asked to link has to be here still.
        let asker = match flow.intent {
            Intent::SignIn => None,
            Intent::Link(session) => {
                let here = back.signed_in.filter(|here| here.session.id == session);
                Some(here.ok_or(UpstreamError::SignInAgain)?)
            }
        };
        let (verifier, nonce) = (key.verifier(&flow), key.nonce(&flow));
        let code = Code {
            code: back.code,
            verifier: &verifier,
            redirect_uri: &self.callback(&provider.name),
            nonce: Some(&nonce),
        };
        let vouched = provider.redeem(code, now).await?;
        id_token::check_fresh(vouched.authenticated_at, flow.fresh_since())?;
        let return_to = flow.return_to;
        let grant = match asker {
            Some(asker) => {
                self.link(visitor, asker, provider, &vouched).await?;
                None
            }
            None => Some(self.admit(visitor, provider, &vouched, hand).await?),
        };
        self.addresses.give_back(&visitor.network);
        Ok(CameBack { return_to, grant })
    }

    /// Whoever comes second with the same is refused, on whichever node.
    async fn spend(&self, flow: &Flow) -> Result<(), UpstreamError> {
        let spent = Change::Spend { id: flow.use_id(), until: flow.until };
        match self.apply(vec![spent], Vec::new()).await {
            Err(StoreError::Taken(Unique::Use)) => Err(UpstreamError::Flow("it came back before".to_owned())),
            applied => Ok(applied.map(drop)?),
        }
    }

    /// The redirect URI to register at the provider.
    fn callback(&self, provider: &str) -> String {
        format!("{}/login/{provider}/callback", self.issuer())
    }
}

/// The provider's reason, as far as it is of the characters of one (RFC 6749 §4.1.2.1 has letters and `_` alone).
fn reason(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64).collect()
}
