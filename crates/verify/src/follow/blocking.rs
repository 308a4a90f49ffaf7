//! Following for programs without async.

use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use jotgate_jose::Error;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{Failure, Follower, Issuer, SetupError};
use crate::clock::now;
use crate::{Issuers, Refusal, Token};

/// A [`Follower`] for programs without async: it lives in a thread of its own, and calling it is calling a function.
/// Cheap to clone; the last clone ends it.
///
/// ```no_run
/// use std::time::Duration;
/// use jotgate_verify::follow::{BlockingFollower, Issuer};
///
/// let issuer = Issuer::new("https://login.example.com", "https://api.example.com");
/// let follower = BlockingFollower::start([issuer])?;
/// follower.ready(Duration::from_secs(5));
/// # let token = "";
/// match follower.check(token) {
///     Ok(token) => println!("{:?}", token.claims().sub()),
///     Err(refusal) => println!("{}", refusal.code()),
/// }
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct BlockingFollower {
    follower: Follower,
    handle: Handle,
    /// Dropped, it ends the thread.
    _end: Arc<oneshot::Sender<()>>,
}

impl BlockingFollower {
    /// As [`Follower::start`], wherever it is called.
    ///
    /// # Errors
    /// [`SetupError`], [`SetupError::Thread`] too.
    pub fn start(all: impl IntoIterator<Item = Issuer>) -> Result<Self, SetupError> {
        let all: Vec<_> = all.into_iter().collect();
        let broken = |error: std::io::Error| SetupError::Thread(error.to_string());
        let runtime = Builder::new_current_thread().enable_all().build().map_err(broken)?;
        let handle = runtime.handle().clone();
        let follower = {
            let _inside = handle.enter();
            Follower::start(all)?
        };
        let (end, ended) = oneshot::channel();
        let live = move || {
            let _ = runtime.block_on(ended);
            // Nothing is waited for: not even a name being looked up.
            runtime.shutdown_background();
        };
        thread::Builder::new().name("jotgate-verify".to_owned()).spawn(live).map_err(broken)?;
        Ok(Self { follower, handle, _end: Arc::new(end) })
    }

    /// As [`Follower::check`]. At once, but for a token whose key is unknown while the keys may be asked for: that waits
    /// for the answer, five seconds at most.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, token: &str) -> Result<Token, Refusal> {
        let verifier = self.issuers().choose(token)?;
        let result = verifier.check_uncounted(token, now());
        if !matches!(result, Err(Refusal::Token(Error::UnknownKey) | Refusal::NotReady)) {
            return result.inspect_err(|refusal| verifier.counters().refused(*refusal));
        }
        // Not `Handle::block_on`: it panics in a program that has async after all.
        let (send, receive) = sync_channel(1);
        let (follower, token) = (self.follower.clone(), token.to_owned());
        self.handle.spawn(async move { send.send(follower.check(&token).await) });
        receive.recv().unwrap_or(Err(Refusal::NotReady))
    }

    /// As [`Follower::ready`].
    #[must_use]
    pub fn ready(&self, within: Duration) -> bool {
        let (send, receive) = sync_channel(1);
        let follower = self.follower.clone();
        self.handle.spawn(async move { send.send(follower.ready(within).await) });
        receive.recv().unwrap_or(false)
    }

    /// As [`Follower::issuers`].
    #[must_use]
    pub fn issuers(&self) -> &Issuers {
        self.follower.issuers()
    }

    /// As [`Follower::trouble`].
    #[must_use]
    pub fn trouble(&self, issuer: &str) -> Option<Failure> {
        self.follower.trouble(issuer)
    }
}
