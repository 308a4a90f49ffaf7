//! Access tokens on the way of a request: a tower layer that verifies, requirements a route, and the answers of
//! RFC 6750 §3, RFC 9470 §3 and RFC 9728 §5.1 to who does not meet them.
//!
//! ```
//! # #[cfg(feature = "axum")] mod example {
//! use axum::{Router, routing::{get, post}};
//! use jotgate_verify::Token;
//! use jotgate_verify::protect::{Allowed, Check, Demand, Protect, Require};
//!
//! struct Editors;
//! impl Demand for Editors {
//!     const REQUIRE: Require = Require::new().roles(&["editor"]).scopes(&["notes:write"]);
//! }
//!
//! async fn read(token: Token) -> String {
//!     format!("notes of {}", token.claims().sub().unwrap_or_default())
//! }
//!
//! async fn write(_: Allowed<Editors>) {}
//! async fn delete_all() {}
//!
//! fn app(issuer: impl Check) -> Router {
//!     // Who deletes has signed in within the last five minutes.
//!     let recently = Require::new().signed_in_within(300);
//!     Router::new()
//!         .route("/notes", get(read).post(write))
//!         .route("/notes/delete-all", post(delete_all).layer(recently))
//!         .layer(Protect::new(issuer))
//! }
//! # }
//! ```
//!
//! Layers that answer without a user, such as one for CORS, go outside of [`Protect`].

mod credential;
mod denied;
#[cfg(feature = "axum")]
mod extract;
mod intercept;
mod require;
mod resource;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tower_layer::Layer;
use tower_service::Service;

use credential::{Cookie, Credential};
pub use denied::{Denied, Reason};
#[cfg(feature = "axum")]
pub use extract::{Allowed, Demand};
pub use intercept::Intercepted;
pub use require::Require;
pub use resource::{ProtectedResource, ResourceError};

use crate::clock::now;
use crate::{Issuers, Refusal, Token, Verifier};

/// What verifies tokens for [`Protect`]: a [`Follower`](crate::follow::Follower), or whatever brings keys and
/// revocations itself.
pub trait Check: Clone + Send + Sync + 'static {
    /// Verifies a token now.
    ///
    /// # Errors
    /// [`Refusal`].
    fn check(&self, token: &str) -> impl Future<Output = Result<Token, Refusal>> + Send;
}

impl Check for Arc<Verifier> {
    async fn check(&self, token: &str) -> Result<Token, Refusal> {
        Verifier::check(self, token, now())
    }
}

impl Check for Arc<Issuers> {
    async fn check(&self, token: &str) -> Result<Token, Refusal> {
        Issuers::check(self, token, now())
    }
}

#[cfg(feature = "follow")]
impl Check for crate::follow::Follower {
    async fn check(&self, token: &str) -> Result<Token, Refusal> {
        Self::check(self, token).await
    }
}

/// A tower layer that lets requests with a good access token pass, with the [`Token`] in their extensions, and
/// answers all others.
///
/// The token comes in `Authorization: Bearer` (RFC 6750 §2.1). Where that header is present it alone counts, good or
/// bad. Two credentials are refused, for whoever reads the request next might take the other one; so is a header beside
/// `access_token` in the query, where a token alone is never looked at (RFC 9700 §4.3.2).
#[derive(Debug, Clone)]
pub struct Protect<C> {
    check: C,
    settings: Arc<Settings>,
}

#[derive(Debug, Clone, Default)]
struct Settings {
    cookie: Option<Cookie>,
    origins: Vec<Box<str>>,
    anonymous: bool,
    /// Told with every refusal.
    metadata: Option<Arc<str>>,
}

/// In the extensions: this request passed a [`Protect`], which names this metadata.
#[derive(Debug, Clone)]
struct Passed(Option<Arc<str>>);

impl<C: Check> Protect<C> {
    /// Bearer tokens that `check` accepts, and nothing else.
    #[must_use]
    pub fn new(check: C) -> Self {
        Self { check, settings: Arc::default() }
    }

    /// Also takes the token from the access cookie: `name` (Jotgate's is `jwt`) with the prefix `__Host-`, else with
    /// `__Secure-`, else plain, since who may set a weaker one may not set a stronger one. A name given with its
    /// prefix is taken alone.
    ///
    /// A cookie comes without its user's will. So a request with one that may change something (any method but GET, HEAD,
    /// OPTIONS and TRACE, and any `Upgrade`) has to say `Sec-Fetch-Site: same-origin`, or come from a
    /// [trusted origin](Self::trusted_origin); else it is refused as `csrf`. Handlers of GET must change nothing.
    #[must_use]
    pub fn cookie(self, name: &str) -> Self {
        self.with(|settings| settings.cookie = Some(Cookie::new(name)))
    }

    /// Pages of this origin (`https://app.example.com`) may send requests with the cookie. To be named: other origins
    /// than this server's own, and its own where browsers reach it by plain `http` or by web sockets.
    #[must_use]
    pub fn trusted_origin(self, origin: &str) -> Self {
        self.with(|settings| settings.origins.push(origin.into()))
    }

    /// Lets requests pass that show no credential at all; a bad one is still refused. Handlers take
    /// `Option<Token>`.
    #[must_use]
    pub fn or_anonymous(self) -> Self {
        self.with(|settings| settings.anonymous = true)
    }

    /// The URL of this resource's metadata, which refusals then name (RFC 9728 §5.1): a client that knows nothing
    /// yet finds the authorization server by it. [`Self::describe`] takes it from the metadata.
    #[must_use]
    pub fn resource_metadata(self, url: &str) -> Self {
        self.with(|settings| settings.metadata = Some(url.into()))
    }

    fn with(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }
}

impl Settings {
    fn denied(&self, reason: Reason) -> Denied {
        Denied::new(reason, self.metadata.clone())
    }
}

impl<S, C: Clone> Layer<S> for Protect<C> {
    type Service = Protected<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Protected { inner, protect: self.clone() }
    }
}

/// A service behind [`Protect`].
#[derive(Debug, Clone)]
pub struct Protected<S, C> {
    inner: S,
    protect: Protect<C>,
}

/// The future of the services here.
pub type Answer<R, E> = Pin<Box<dyn Future<Output = Result<Response<R>, E>> + Send>>;

impl<S, C, B, R> Service<Request<B>> for Protected<S, C>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    C: Check,
    B: Send + 'static,
    R: From<String>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Answer<R, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The one that is ready goes; its copy stays.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let Protect { check, settings } = self.protect.clone();
        Box::pin(async move {
            let token = match credential(&check, &settings, &request).await {
                Ok(token) => token,
                Err(reason) => return Ok(settings.denied(reason).into_response()),
            };
            let extensions = request.extensions_mut();
            extensions.insert(Passed(settings.metadata.clone()));
            match token {
                Some(token) => drop(extensions.insert(token)),
                // What another layer may have put there is not this one's word.
                None => drop(extensions.remove::<Token>()),
            }
            inner.call(request).await
        })
    }
}

/// Reads the request's head before it waits: a body need not be `Sync`.
fn credential<'r, C: Check, B>(
    check: &'r C,
    settings: &'r Settings,
    request: &'r Request<B>,
) -> impl Future<Output = Result<Option<Token>, Reason>> + Send + use<'r, C, B> {
    let shown = Credential::of(request.method(), request.uri(), request.headers(), settings);
    async move {
        match shown? {
            Some(token) => Ok(Some(check.check(token).await.map_err(Reason::Refused)?)),
            None if settings.anonymous => Ok(None),
            None => Err(Reason::Unauthenticated),
        }
    }
}
