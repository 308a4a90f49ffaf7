//! What an application around the server is asked, and told: hooks, set with [`Builder`](crate::Builder).
//!
//! Two are asked before something is done, and what they say counts: they have a moment, and where one fails, panics
//! or is late, nothing is done (503). Three are told afterwards: they run beside the request and cannot fail it, at
//! most [`AT_ONCE`] at a time, each with [`AFTER_PATIENCE`]; what is more than that is left out, with a line in the log.
//!
//! Hooks are called for what this process does. What other nodes and the command line do comes as an event
//! ([`Server::events`](crate::Server::events)).

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use jotgate_domain::name::RoleName;
use jotgate_domain::{SessionId, UserId};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The longest that [`Builder::before_registration`](crate::Builder::before_registration) may take.
pub const REGISTRATION_PATIENCE: Duration = Duration::from_secs(5);
/// The longest that [`Builder::before_token`](crate::Builder::before_token) may take: every login and refresh waits.
pub const TOKEN_PATIENCE: Duration = Duration::from_secs(1);
/// The longest that a hook after the fact may take.
pub const AFTER_PATIENCE: Duration = Duration::from_secs(10);
/// Hooks after the fact that run at once.
pub const AT_ONCE: usize = 256;

/// Most characters of [`Refusal`]'s reason.
const REASON_MAX: usize = 200;

/// Claims to add to a token, by name.
pub type CustomClaims = BTreeMap<String, Value>;

/// Why a hook has no answer; for the log alone.
pub type HookError = Box<dyn Error + Send + Sync>;

type Answer<O> = Pin<Box<dyn Future<Output = O> + Send>>;
type Hook<I, O> = Arc<dyn Fn(I) -> Answer<O> + Send + Sync>;

/// Somebody is about to get an account of their own making. The password is not shown to anybody.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Registering {
    pub username: String,
    /// As it was typed: nothing proves yet that it is theirs.
    pub email: Option<String>,
    /// The client's address; empty where the application did not pass it on.
    pub address: String,
}

/// Why somebody gets no account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(Why);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Why {
    Refused(String),
    Unavailable(String),
}

impl Refusal {
    /// 403 `registration_refused`, with this reason for the person to read: one line of at most 200 characters. Control
    /// characters become spaces, and what is beyond is cut.
    #[must_use]
    pub fn new(reason: &str) -> Self {
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        Self(Why::Refused(reason.chars().map(plain).take(REASON_MAX).collect()))
    }

    /// 503: nobody can say at this moment. `why` is for the log alone.
    pub fn unavailable(why: impl fmt::Display) -> Self {
        Self(Why::Unavailable(why.to_string()))
    }
}

/// An access token is about to be made, at a login, a refresh or a change of password.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Minting {
    pub user: UserId,
    pub username: String,
    /// The address, where it is proven.
    pub email: Option<String>,
    pub roles: Vec<RoleName>,
    /// Those of the user's record, which the token carries already.
    pub claims: CustomClaims,
    pub session: SessionId,
    /// `jotgate` for first-party logins.
    pub client_id: String,
}

/// Somebody signed in.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedIn {
    pub user: UserId,
    pub username: String,
    pub session: SessionId,
    pub address: String,
    /// As the device list shows it.
    pub user_agent: String,
}

/// Somebody signed out, here or another device.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoggedOut {
    pub user: UserId,
    pub ended: Ended,
    pub address: String,
}

/// Which of a user's sessions ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ended {
    One(SessionId),
    All,
    AllBut(SessionId),
}

/// A spent refresh token was shown: somebody has a copy. The session has ended, and with it its tokens.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Theft {
    pub user: UserId,
    pub session: SessionId,
    /// Where the spent token came from: the thief, or whom it was stolen from.
    pub address: String,
    pub user_agent: String,
}

/// The hooks of an installation; none is set by default, and one that is not costs nothing.
#[derive(Clone)]
pub struct Hooks {
    pub(crate) before_registration: Option<Hook<Registering, Result<(), Refusal>>>,
    pub(crate) before_token: Option<Hook<Minting, Result<CustomClaims, HookError>>>,
    pub(crate) after_login: Option<Hook<LoggedIn, ()>>,
    pub(crate) after_logout: Option<Hook<LoggedOut, ()>>,
    pub(crate) after_theft: Option<Hook<Theft, ()>>,
    places: Arc<Semaphore>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            before_registration: None,
            before_token: None,
            after_login: None,
            after_logout: None,
            after_theft: None,
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

/// An async closure as a hook.
pub(crate) fn hook<I, O, F, Fut>(f: F) -> Option<Hook<I, O>>
where
    F: Fn(I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = O> + Send + 'static,
{
    Some(Arc::new(move |input| Box::pin(f(input))))
}

/// Why a registration does not go on.
#[derive(Debug)]
pub(crate) enum NotRegistered {
    Refused(String),
    /// For the log.
    Failed(String),
}

impl Hooks {
    /// Whether this registration may go on.
    pub(crate) async fn may_register(&self, who: impl FnOnce() -> Registering) -> Result<(), NotRegistered> {
        let Some(hook) = &self.before_registration else { return Ok(()) };
        match asked(hook, who(), REGISTRATION_PATIENCE).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Refusal(Why::Refused(reason)))) => Err(NotRegistered::Refused(reason)),
            Ok(Err(Refusal(Why::Unavailable(why)))) => Err(NotRegistered::Failed(why)),
            Err(why) => Err(NotRegistered::Failed(why)),
        }
    }

    /// What to add to a token; none where no hook is set. The error is for the log.
    pub(crate) async fn claims(
        &self,
        about: impl FnOnce() -> Minting,
    ) -> Result<Option<CustomClaims>, String> {
        let Some(hook) = &self.before_token else { return Ok(None) };
        let claims = asked(hook, about(), TOKEN_PATIENCE).await?;
        claims.map(Some).map_err(|error| error.to_string())
    }

    pub(crate) fn logged_in(&self, what: impl FnOnce() -> LoggedIn) {
        self.tell("after_login", self.after_login.as_ref(), what);
    }

    pub(crate) fn logged_out(&self, what: impl FnOnce() -> LoggedOut) {
        self.tell("after_logout", self.after_logout.as_ref(), what);
    }

    pub(crate) fn stolen(&self, what: impl FnOnce() -> Theft) {
        self.tell("after_theft", self.after_theft.as_ref(), what);
    }

    /// Beside the request.
    fn tell<I: Send + 'static>(
        &self,
        name: &'static str,
        hook: Option<&Hook<I, ()>>,
        what: impl FnOnce() -> I,
    ) {
        let Some(hook) = hook.cloned() else { return };
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            tracing::error!(hook = name, "too many hooks run already: this one is left out");
            return;
        };
        let what = what();
        tokio::spawn(async move {
            if let Err(error) = asked(&hook, what, AFTER_PATIENCE).await {
                tracing::error!(hook = name, %error, "a hook failed");
            }
            drop(place);
        });
    }
}

/// What the hook answers, unless it panics or is late.
async fn asked<I, O>(hook: &Hook<I, O>, input: I, patience: Duration) -> Result<O, String> {
    let answer = AssertUnwindSafe(async { hook(input).await }).catch_unwind();
    match timeout(patience, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) => Err("the hook panicked".to_owned()),
        Err(_) => Err(format!("the hook took longer than {} s", patience.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn registering() -> Registering {
        Registering { username: "ada".into(), email: None, address: String::new() }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hook_that_panics_or_is_late_is_no_answer() {
        let mut hooks = Hooks::default();
        assert!(hooks.may_register(registering).await.is_ok(), "none is set");
        hooks.before_registration = hook(|_| async { panic!("a bug") });
        let error = hooks.may_register(registering).await.unwrap_err();
        assert!(matches!(error, NotRegistered::Failed(why) if why == "the hook panicked"));
        // Before its future is there at all.
        hooks.before_registration = hook(|_| -> std::future::Ready<_> { panic!("a bug") });
        assert!(matches!(hooks.may_register(registering).await, Err(NotRegistered::Failed(_))));
        hooks.before_registration = hook(|_| std::future::pending());
        let error = hooks.may_register(registering).await.unwrap_err();
        assert!(matches!(error, NotRegistered::Failed(why) if why == "the hook took longer than 5 s"));
    }

    #[test]
    fn a_reason_is_one_short_line() {
        let Refusal(Why::Refused(reason)) = Refusal::new(&format!("a\r\nb{}", "ä".repeat(300))) else {
            panic!()
        };
        assert!(reason.starts_with("a  b") && reason.chars().count() == 200, "{reason}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_run_at_once_and_one_that_hangs_gives_its_place_back() {
        let began = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&began);
        let hooks = Hooks {
            after_theft: hook(move |_| {
                counted.fetch_add(1, Ordering::SeqCst);
                std::future::pending()
            }),
            ..Hooks::default()
        };
        let theft = || Theft {
            user: UserId(uuid::Uuid::nil()),
            session: SessionId(uuid::Uuid::nil()),
            address: String::new(),
            user_agent: String::new(),
        };
        let flood = |hooks: &Hooks| (0..2 * AT_ONCE).for_each(|_| hooks.stolen(theft));
        flood(&hooks);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(began.load(Ordering::SeqCst) as usize, AT_ONCE);
        tokio::time::sleep(AFTER_PATIENCE).await;
        flood(&hooks);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(began.load(Ordering::SeqCst) as usize, 2 * AT_ONCE);
    }
}
