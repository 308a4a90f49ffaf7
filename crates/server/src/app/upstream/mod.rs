//! Signing in with what another provider vouches for: by redirect on the hosted pages, by a code that an application
//! shows, and linking and unlinking.
//!
//! The provider is asked before anything is read or written, so no transaction waits for it. What a browser brings
//! back is written down as spent before the provider is asked: of two that bring back the same, one is refused.

mod github;
mod provider;
mod redeem;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use jotgate_domain::account::By;
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::login::LoginOk;
use jotgate_domain::store::{Change, Expect, Lookup, StoreError, Unique};
use jotgate_domain::throttle::Verdict;
use jotgate_domain::token::{TooLarge, check_size};
use jotgate_domain::upstream::flow::{self, Flow, FlowError, FlowKey, Intent};
use jotgate_domain::upstream::{self, Admitted, Identity, RECENT, Refused, Rules, UnlinkError, Vouched};
use jotgate_domain::{IdentityId, Session, SessionId, Timestamp, User, UserId};

use self::provider::{Provider, Trouble};
use self::redeem::Code;
use super::grant::shape;
use super::login::Entry;
use super::{App, Delivery, Fault, Grant, RegisterError, SignedIn, TRIES, Visitor, mail};
use crate::config::Config;

/// When to come back where a provider is away.
const RETRY: Duration = Duration::from_secs(30);

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

/// Why nobody was signed in, linked or unlinked.
#[derive(Debug)]
pub enum UpstreamError {
    /// 400, or of a page 404.
    UnknownProvider,
    /// 400: not among `providers.NAME.redirect_uris`.
    RedirectUri,
    /// 400: `code` or `code_verifier` cannot be one.
    Malformed(&'static str),
    /// 400: what came back is not what set out, or came back before.
    Flow(String),
    /// 403: the provider, or the person there, said no; with its reason, of letters and `_`.
    Denied(String),
    /// 401: the provider does not accept the code.
    Code(String),
    /// 401: what the provider answered proves nothing.
    Token(String),
    /// 503.
    Away(String),
    /// 403
    AccountDisabled,
    /// 403
    RegistrationClosed,
    /// 403: what the application around this server says to the person.
    RegistrationRefused(String),
    /// 409: it is another user's, or this one's already.
    IdentityTaken,
    /// 403: the sign-in was too long ago for this.
    SignInAgain,
    /// 404 or 409.
    Unlink(UnlinkError),
    /// 422
    TooLarge(TooLarge),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for UpstreamError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<RegisterError> for UpstreamError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(reason) => Self::RegistrationRefused(reason),
            RegisterError::Fault(fault) => Self::Fault(fault),
            _ => Self::RegistrationClosed,
        }
    }
}

impl From<Trouble> for UpstreamError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(why) => Self::Away(why),
            Trouble::Code(why) => Self::Code(why),
            Trouble::Token(why) => Self::Token(why),
        }
    }
}

impl From<FlowError> for UpstreamError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error.to_string())
    }
}

impl From<Refused> for UpstreamError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Disabled(_) => Self::AccountDisabled,
            Refused::RegistrationClosed => Self::RegistrationClosed,
        }
    }
}

impl UpstreamError {
    /// When to come back where the provider is away.
    #[must_use]
    pub fn retry_after() -> Duration {
        RETRY
    }
}

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

/// A code that an application shows.
#[derive(Clone, Copy)]
pub struct CodeForm<'a> {
    pub provider: &'a str,
    pub code: &'a str,
    pub code_verifier: &'a str,
    pub redirect_uri: &'a str,
    pub nonce: Option<&'a str>,
}

impl fmt::Debug for CodeForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeForm").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// How a session is handed over.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    pub delivery: Delivery,
    pub admin: bool,
    pub replaces: Option<SessionId>,
}

impl App {
    /// Name and label of every provider, in the order of names.
    pub fn providers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.config.providers.iter().map(|(name, one)| (name.as_str(), one.label(name)))
    }

    /// Sends a browser to a provider. `return_to` was found good.
    ///
    /// # Errors
    /// [`UpstreamError::UnknownProvider`], [`UpstreamError::Away`].
    pub async fn begin(
        &self,
        provider: &str,
        intent: Intent,
        return_to: &str,
    ) -> Result<Begun, UpstreamError> {
        let provider = self.upstream.provider(provider)?;
        let now = self.now();
        let metadata = provider.metadata(now).await?;
        let flow = Flow {
            id: self.edge.random()?,
            provider: provider.name.clone(),
            intent,
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

    /// Signs in with a code that an application had sent to itself.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn login_by_code(
        &self,
        visitor: &Visitor,
        form: CodeForm<'_>,
        hand: Handover,
    ) -> Result<Grant, UpstreamError> {
        let result = async {
            let (provider, vouched) = self.redeem_shown(visitor, form).await?;
            let grant = self.admit(visitor, provider, &vouched, hand).await?;
            self.addresses.give_back(&visitor.network);
            Ok(grant)
        };
        let result = result.await;
        self.counts.upstream(result.as_ref().map(drop));
        result
    }

    /// Links an identity, shown by a code, to whoever is signed in.
    ///
    /// # Errors
    /// [`UpstreamError`].
    pub async fn link_by_code(
        &self,
        visitor: &Visitor,
        asker: &SignedIn,
        form: CodeForm<'_>,
    ) -> Result<Identity, UpstreamError> {
        self.check_recent(&asker.session)?;
        let (provider, vouched) = self.redeem_shown(visitor, form).await?;
        let identity = self.link(visitor, asker, provider, &vouched).await?;
        self.addresses.give_back(&visitor.network);
        Ok(identity)
    }

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
            let user = self.store.user(Lookup::Id(asker.user.id)).await?.filter(User::is_active);
            let user = user.ok_or(UpstreamError::AccountDisabled)?;
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
    ///
    /// # Errors
    /// [`UpstreamError::SignInAgain`].
    pub fn check_recent(&self, session: &Session) -> Result<(), UpstreamError> {
        let recent = self.now().since(session.authenticated_at) < RECENT;
        if recent { Ok(()) } else { Err(UpstreamError::SignInAgain) }
    }

    async fn redeem_shown(
        &self,
        visitor: &Visitor,
        form: CodeForm<'_>,
    ) -> Result<(&Provider, Vouched), UpstreamError> {
        let provider = self.upstream.provider(form.provider)?;
        if !provider.config.redirect_uris.iter().any(|uri| uri == form.redirect_uri) {
            return Err(UpstreamError::RedirectUri);
        }
        if !flow::is_verifier(form.code_verifier) {
            return Err(UpstreamError::Malformed("code_verifier"));
        }
        if form.code.is_empty() {
            return Err(UpstreamError::Malformed("code"));
        }
        self.take_try(visitor)?;
        let code = Code {
            code: form.code,
            verifier: form.code_verifier,
            redirect_uri: form.redirect_uri,
            nonce: form.nonce,
        };
        Ok((provider, provider.redeem(code, self.now()).await?))
    }

    /// A session for whomever the provider vouches for.
    async fn admit(
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
                        self.tell_of_link(&linked.edited().user, provider);
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
        before: Option<&jotgate_domain::account::Edited>,
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
    async fn free_name(
        &self,
        vouched: &Vouched,
        random: u32,
    ) -> Result<jotgate_domain::name::Username, UpstreamError> {
        for name in upstream::candidates(vouched, random) {
            if self.store.user(Lookup::Name(name.canonical())).await?.is_none() {
                return Ok(name);
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    async fn link(
        &self,
        visitor: &Visitor,
        asker: &SignedIn,
        provider: &Provider,
        vouched: &Vouched,
    ) -> Result<Identity, UpstreamError> {
        for _ in 0..TRIES {
            let user = self.store.user(Lookup::Id(asker.user.id)).await?.filter(User::is_active);
            let user = user.ok_or(UpstreamError::AccountDisabled)?;
            let by = self.by_visitor(visitor, Actor::User(user.id));
            let id = IdentityId::new(by.at, self.edge.random()?);
            let mut linked = upstream::link(&user, vouched, &provider.name, id, &by).into_edited();
            // Whoever asked may have been signed out while the provider was asked: what they began ends with that.
            linked.expect.push(Expect::Session(asker.session.id));
            if self.store.session(asker.session.id, self.now()).await?.is_none() {
                return Err(UpstreamError::SignInAgain);
            }
            let identity = linked.changes.iter().find_map(|change| match change {
                Change::LinkIdentity(identity) => Some(identity.clone()),
                _ => None,
            });
            match self.apply(linked.changes, linked.expect).await {
                Ok(_) => {
                    self.tell_of_link(&user, provider);
                    return identity.ok_or_else(|| Fault::Internal("nothing was linked".into()).into());
                }
                Err(StoreError::Taken(Unique::Identity)) => return Err(UpstreamError::IdentityTaken),
                Err(StoreError::Conflict) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    fn tell_of_link(&self, user: &User, provider: &Provider) {
        let Some(address) = user.verified_email() else { return };
        if self.mails.take(address.canonical().as_str(), self.now()) != Verdict::Granted {
            return; // its owner heard of it just now
        }
        if let Err(error) = mail::identity_linked(self, user, provider.config.label(&provider.name)) {
            tracing::error!(%error, "a mail could not be written");
        }
    }

    /// Whoever comes second with the same is refused, on whichever node.
    async fn spend(&self, flow: &Flow) -> Result<(), UpstreamError> {
        let spent = Change::Spend { id: flow.use_id(), until: flow.until };
        match self.apply(vec![spent], Vec::new()).await {
            Err(StoreError::Taken(Unique::Use)) => Err(UpstreamError::Flow("it came back before".to_owned())),
            applied => Ok(applied.map(drop)?),
        }
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

    /// The redirect URI to register at the provider.
    fn callback(&self, provider: &str) -> String {
        format!("{}/login/{provider}/callback", self.issuer())
    }
}

/// The provider's reason, as far as it is of the characters of one (RFC 6749 §4.1.2.1 has letters and `_` alone).
fn reason(error: &str) -> String {
    error.chars().filter(|c| c.is_ascii_lowercase() || *c == '_').take(64).collect()
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

/// For `jotgate doctor`: whether what a provider says of itself can be used.
///
/// # Errors
/// What is wrong, in words for the operator.
pub(crate) async fn examine(
    name: &str,
    config: &crate::config::Provider,
    now: Timestamp,
) -> Result<(), String> {
    let provider = Provider::new(name, config);
    let metadata = provider.metadata(now).await.map_err(|trouble| trouble.to_string())?;
    if provider.has_no_id_token() {
        return Ok(());
    }
    provider.keys(&metadata, now, false).await.map(drop).map_err(|trouble| trouble.to_string())
}
