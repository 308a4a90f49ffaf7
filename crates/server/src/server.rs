//! The server as a value: the state of its own router, and what an application nests in its own.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use jotgate_domain::StoreError;

use crate::app::{App, Embedding, OpenError};
use crate::config::{Config, Mount, Ops, Origin};
use crate::edge::Edge;
use crate::events::Events;
use crate::hooks::{
    CustomClaims, HookError, Hooks, LoggedIn, LoggedOut, Minting, Refusal, Registering, Theft, hook,
};
use crate::http::{Site, pages, router};
use crate::serve::Lifecycle;

/// A running installation and its HTTP surface. Cheap to clone; an application's state gives it out by `FromRef`,
/// and [`Claims`](crate::Claims) and [`CurrentUser`](crate::CurrentUser) then work in its handlers.
///
/// Make it inside a tokio runtime.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    app: Arc<App>,
    site: Arc<Site>,
    /// Follows the database and keeps the keys; ends with the last clone.
    jobs: tokio::task::JoinHandle<()>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.jobs.abort();
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("issuer", &self.0.app.issuer()).finish_non_exhaustive()
    }
}

impl Server {
    /// Opens the installation that `config` describes, making its database and keys on a first start.
    /// `public_url` (the issuer) has to be known: it is the configured one, or made of the address that was bound.
    ///
    /// # Errors
    /// [`OpenError`]: one sentence that names the file and the fix.
    pub async fn open(config: Config, public_url: Origin) -> Result<Self, OpenError> {
        Self::builder(config, public_url).open().await
    }

    /// The same with what an application around it adds: a path to be nested under, hooks.
    pub fn builder(config: Config, public_url: Origin) -> Builder {
        Builder { config, public_url, under: String::new(), edge: Edge::system(), hooks: Hooks::default() }
    }

    /// The server over an installation that is open already. Its jobs run from now on.
    #[must_use]
    pub fn new(app: App) -> Self {
        let site = Site::new(
            &app.config,
            app.issuer.clone(),
            app.mount.clone(),
            app.past_cookie_domains(),
            app.form_secret(),
            pages::render_error,
            app.edge.clone(),
        );
        let app = Arc::new(app);
        let jobs = tokio::spawn(Arc::clone(&app).run_jobs());
        Self(Arc::new(Inner { app, site: Arc::new(site), jobs }))
    }

    /// Every route of the contract, to be nested in an application's own router under [`Builder::under`], or merged
    /// into it where that is not set. What is not among them stays the application's.
    pub fn router(&self) -> Router {
        router::routes(self)
    }

    /// What programs look for at the root of the origin while [`Self::router`] is nested under a path: the metadata
    /// (RFC 8414 §3.1) and `/.well-known/change-password`. To be merged into the outermost router; empty without a path.
    pub fn root_routes(&self) -> Router {
        router::root_routes(self)
    }

    /// Health, metrics and the API's description, to be nested where operators alone can ask for them.
    pub fn operations(&self, lifecycle: Lifecycle) -> Router {
        router::embedded_operations(self, lifecycle)
    }

    /// The audit trail from now on, what other nodes and the command line do included.
    ///
    /// # Errors
    /// [`StoreError`]: the database is away.
    pub async fn events(&self) -> Result<Events, StoreError> {
        Events::from_now(Arc::clone(&self.app().store)).await
    }

    /// The whole HTTP surface for a listener of its own, 404 and 405 included, and with it that of `ops.listen`.
    /// While that is not set, health is served on the main listener, if `public_url` is loopback.
    pub fn standalone(&self, lifecycle: Lifecycle) -> (Router, Option<Router>) {
        match self.app().config.ops {
            Ops::Own(_) => (router::whole(self, None), Some(router::ops(self, lifecycle))),
            Ops::Main => (router::whole(self, Some(lifecycle)), None),
            Ops::Auto if self.app().issuer.is_loopback() => (router::whole(self, Some(lifecycle)), None),
            Ops::Auto => (router::whole(self, None), None),
        }
    }

    #[must_use]
    pub fn app(&self) -> &App {
        &self.0.app
    }

    #[must_use]
    pub fn site(&self) -> &Arc<Site> {
        &self.0.site
    }
}

/// A server to be opened inside an application: [`Server::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    config: Config,
    public_url: Origin,
    under: String,
    edge: Edge,
    hooks: Hooks,
}

impl Builder {
    /// The path at which [`Server::router`] will be nested, such as `/id`. It becomes part of the issuer and of every
    /// link, cookies excepted: those belong to the whole origin, so that the application's handlers know who is asking.
    /// Changing it later makes another issuer: tokens that are out are refused.
    pub fn under(mut self, path: &str) -> Self {
        path.clone_into(&mut self.under);
        self
    }

    /// Where the time and randomness come from; the system's by default.
    pub fn edge(mut self, edge: Edge) -> Self {
        self.edge = edge;
        self
    }

    /// Asked before somebody gets an account of their own making, after the form was found good. It has
    /// [`REGISTRATION_PATIENCE`](crate::hooks::REGISTRATION_PATIENCE). Accounts that operators make are not asked about.
    ///
    /// ```
    /// # async fn invited(_: &str) -> Result<bool, std::io::Error> { Ok(true) }
    /// # fn example(builder: jotgate::Builder) -> jotgate::Builder {
    /// use jotgate::hooks::Refusal;
    ///
    /// builder.before_registration(|who| async move {
    ///     match invited(&who.username).await {
    ///         Ok(true) => Ok(()),
    ///         Ok(false) => Err(Refusal::new("Ask a member for an invitation first.")),
    ///         Err(error) => Err(Refusal::unavailable(error)),
    ///     }
    /// })
    /// # }
    /// ```
    pub fn before_registration<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(Registering) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Refusal>> + Send + 'static,
    {
        self.hooks.before_registration = hook(ask);
        self
    }

    /// Asked before every access token: the claims to add, over those of the user's record. Every login and refresh
    /// waits for it, [`TOKEN_PATIENCE`](crate::hooks::TOKEN_PATIENCE) at most. An error, a panic, a reserved name, or
    /// more than fits a cookie is no token (503): one without the claims could be taken for another.
    ///
    /// ```
    /// # fn example(builder: jotgate::Builder) -> jotgate::Builder {
    /// use jotgate::hooks::CustomClaims;
    ///
    /// builder.before_token(|about| async move {
    ///     let plan = if about.roles.iter().any(|role| role.as_str() == "staff") { "all" } else { "free" };
    ///     Ok(CustomClaims::from([("plan".to_owned(), plan.into())]))
    /// })
    /// # }
    /// ```
    pub fn before_token<F, Fut>(mut self, ask: F) -> Self
    where
        F: Fn(Minting) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<CustomClaims, HookError>> + Send + 'static,
    {
        self.hooks.before_token = hook(ask);
        self
    }

    /// Told of every login, once its session is there.
    pub fn after_login<F, Fut>(mut self, tell: F) -> Self
    where
        F: Fn(LoggedIn) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.after_login = hook(tell);
        self
    }

    /// Told of every sign-out by a user on this node, of other devices included.
    pub fn after_logout<F, Fut>(mut self, tell: F) -> Self
    where
        F: Fn(LoggedOut) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.after_logout = hook(tell);
        self
    }

    /// Told when a spent refresh token was shown here, and its session ended for it.
    pub fn after_theft<F, Fut>(mut self, tell: F) -> Self
    where
        F: Fn(Theft) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.hooks.after_theft = hook(tell);
        self
    }

    /// As [`Server::open`].
    ///
    /// # Errors
    /// [`OpenError`]: also where [`Self::under`] is no path that everybody reads alike.
    pub async fn open(self) -> Result<Server, OpenError> {
        let mount = Mount::parse(&self.under).map_err(|why| {
            OpenError::Other(format!("the path {:?} cannot be nested under: {why}", self.under))
        })?;
        let embedding = Embedding { mount, hooks: self.hooks };
        Ok(Server::new(App::open_in(self.config, self.public_url, self.edge, embedding).await?))
    }
}
