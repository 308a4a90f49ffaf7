//! The server as a value: the state of its own router, and what an application nests in its own.

use std::fmt;
use std::sync::Arc;

use axum::Router;

use crate::app::{App, OpenError};
use crate::config::{Config, Ops, Origin};
use crate::edge::Edge;
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
        Ok(Self::new(App::open(config, public_url, Edge::system()).await?))
    }

    /// The server over an installation that is open already. Its jobs run from now on.
    #[must_use]
    pub fn new(app: App) -> Self {
        let site = Site::new(
            &app.config,
            app.issuer.clone(),
            app.past_cookie_domains(),
            app.form_secret(),
            pages::render_error,
            app.edge.clone(),
        );
        let app = Arc::new(app);
        let jobs = tokio::spawn(Arc::clone(&app).run_jobs());
        Self(Arc::new(Inner { app, site: Arc::new(site), jobs }))
    }

    /// Every route of the contract, to merge into an application's own router.
    pub fn router(&self) -> Router {
        router::routes(self)
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
