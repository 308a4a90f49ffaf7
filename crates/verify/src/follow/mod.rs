//! Follows issuers: keeps a [`Verifier`]'s keys and revocations as the issuer has them.
//!
//! Connections go to the configured issuer's own host and to nowhere else: whatever its metadata, its lists or a
//! token name elsewhere is not asked, and no redirect is followed.

#[cfg(feature = "blocking")]
mod blocking;
pub(crate) mod client;
pub(crate) mod discovery;
mod feed;
mod issuer;
mod keys;
mod lists;
mod sse;

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jotgate_jose::Error;
use tokio::task::JoinHandle;

#[cfg(feature = "blocking")]
pub use blocking::BlockingFollower;
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
    endpoints: ArcSwapOption<Endpoints>,
    keys: Keys,
    trouble: Mutex<Option<Failure>>,
    /// The last instant that the feed named as that up to which it knows all.
    told: AtomicU64,
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
            let one = Followed::new(settings)?;
            issuers.insert(Arc::clone(&one.verifier)).map_err(|error| match error {
                IssuerError::Twice => SetupError::Twice,
                IssuerError::None => SetupError::NoIssuer,
            })?;
            followed.push(Arc::new(one));
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
        let generation = verifier.generation();
        let mut result = verifier.check_uncounted(token, now());
        if let Err(Refusal::Token(Error::UnknownKey) | Refusal::NotReady) = result
            && let Some(followed) = self.0.followed.iter().find(|one| Arc::ptr_eq(&one.verifier, verifier))
            // Or they came just after they were looked at.
            && (followed.keys.refetch().await || verifier.generation() != generation)
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
    fn new(settings: Issuer) -> Result<Self, SetupError> {
        Ok(Self {
            verifier: Arc::new(settings.verifier()?),
            client: settings.client()?,
            settings,
            endpoints: ArcSwapOption::empty(),
            keys: Keys::default(),
            trouble: Mutex::default(),
            told: AtomicU64::new(0),
        })
    }

    async fn endpoints(&self) -> Result<Arc<Endpoints>, Failure> {
        if let Some(known) = self.endpoints.load_full() {
            return Ok(known);
        }
        let found = Arc::new(discovery::discover(&self.client, &self.settings.address).await?);
        self.endpoints.store(Some(Arc::clone(&found)));
        Ok(found)
    }

    /// They are asked for again when they are needed next.
    fn forget_endpoints(&self) {
        self.endpoints.store(None);
    }

    fn note(&self, trouble: Option<Failure>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}
