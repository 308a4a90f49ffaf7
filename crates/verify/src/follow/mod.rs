//! Follows issuers: keeps a [`Verifier`]'s keys and revocations as the issuer has them.
//!
//! Connections go to the configured issuer's own host and to nowhere else: whatever its metadata, its lists or a
//! token name elsewhere is not asked, and no redirect is followed.

mod client;
mod discovery;
mod feed;
mod issuer;
mod keys;
mod lists;
mod sse;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jotgate_jose::Error;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;

use client::Client;
pub use client::Failure;
use discovery::Endpoints;
pub use issuer::{Issuer, SetupError, Source};
use keys::Keys;

use crate::clock::now;
use crate::{IssuerError, Issuers, Refusal, Token, Verifier};

/// Verifies tokens of the issuers that it follows in the background. Cheap to clone; the last clone ends it.
///
/// ```no_run
/// # async fn run(token: &str) -> Result<(), Box<dyn std::error::Error>> {
/// use jotgate_verify::follow::Issuer;
///
/// let follower = Issuer::new("https://login.example.com", "https://api.example.com").follow()?;
/// let token = follower.check(token).await?;
/// println!("{:?}", token.claims().sub());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Follower(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuers: Issuers,
    followed: Vec<Arc<Followed>>,
    tasks: Vec<JoinHandle<()>>,
}

/// One issuer, and what is needed to follow it.
#[derive(Debug)]
struct Followed {
    verifier: Arc<Verifier>,
    client: Client,
    settings: Issuer,
    endpoints: OnceCell<Endpoints>,
    keys: Keys,
    trouble: Mutex<Option<Failure>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Follower {
    /// Follows several issuers side by side; [`Issuer::follow`] follows one. It begins at once and needs nobody to be
    /// up: until an issuer was heard, its tokens are refused.
    ///
    /// # Errors
    /// [`SetupError`]: an address that cannot be followed, or one twice.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(all: impl IntoIterator<Item = Issuer>) -> Result<Self, SetupError> {
        let mut issuers = Issuers::new();
        let mut followed = Vec::new();
        for settings in all {
            let client = settings.client()?;
            let verifier = Arc::new(settings.verifier()?);
            issuers.insert(Arc::clone(&verifier)).map_err(|error| match error {
                IssuerError::Twice => SetupError::Twice,
                IssuerError::None => SetupError::NoIssuer,
            })?;
            let (endpoints, keys, trouble) = (OnceCell::new(), Keys::default(), Mutex::default());
            followed.push(Arc::new(Followed { verifier, client, settings, endpoints, keys, trouble }));
        }
        let mut tasks = Vec::new();
        for one in &followed {
            tasks.push(tokio::spawn(keys::follow(Arc::clone(one))));
            tasks.push(tokio::spawn(feed::follow(Arc::clone(one))));
        }
        Ok(Self(Arc::new(Inner { issuers, followed, tasks })))
    }

    /// Verifies an access token now, as [`Verifier::check`] does. Where its key is unknown, the keys are asked for
    /// first, at most once per [`Issuer::cool_down`]; else nothing is waited for.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn check(&self, token: &str) -> Result<Token, Refusal> {
        let verifier = self.0.issuers.choose(token)?;
        let mut result = verifier.check_uncounted(token, now());
        if let Err(Refusal::Token(Error::UnknownKey) | Refusal::NotReady) = result
            && let Some(followed) = self.0.followed.iter().find(|one| Arc::ptr_eq(&one.verifier, verifier))
            && followed.keys.refetch().await
        {
            result = verifier.check_uncounted(token, now());
        }
        result.inspect_err(|refusal| verifier.counters().refused(*refusal))
    }

    /// Waits until keys and revocations of every issuer are here, at most `within`; whether they are.
    pub async fn ready(&self, within: Duration) -> bool {
        let all = || self.0.issuers.iter().all(|one| is_ready(one));
        let wait = async {
            while !all() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(within, wait).await.is_ok()
    }

    /// The verifiers, for their [`freshness`](Verifier::freshness) and [`metrics`](Verifier::metrics).
    #[must_use]
    pub fn issuers(&self) -> &Issuers {
        &self.0.issuers
    }

    /// What last went wrong with this issuer, for the log. Cleared by the next success.
    #[must_use]
    pub fn trouble(&self, issuer: &str) -> Option<Failure> {
        let one = self.0.followed.iter().find(|one| one.settings.address == issuer)?;
        one.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn is_ready(verifier: &Verifier) -> bool {
    !verifier.keys().is_empty() && verifier.freshness().revocations_as_of.is_some()
}

impl Followed {
    async fn endpoints(&self) -> Result<&Endpoints, Failure> {
        self.endpoints.get_or_try_init(|| discovery::discover(&self.client, &self.settings.address)).await
    }

    fn note(&self, trouble: Option<Failure>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
