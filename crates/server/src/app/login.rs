//! Signing in with a name and a password.
//!
//! In this order: the address's throttle, the account's throttle (in one step with reading the user), the hash
//! (of equal cost for whoever it is), the rule, one transaction that holds only if the user is still as decided on.

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::account::Edited;
use jotgate_domain::login::{self, Circumstances, LoginOk, Started};
use jotgate_domain::name::Canonical;
use jotgate_domain::password::Password;
use jotgate_domain::refresh_token::Handle;
use jotgate_domain::store::{Attempt, Lookup, StoreError};
use jotgate_domain::throttle::{BucketKey, Counted, Limit, Verdict};
use jotgate_domain::token::{TooLarge, check_size};
use jotgate_domain::{Session, SessionId, User};

use super::grant::shape;
use super::{App, Fault, Grant, TRIES, Visitor};
use crate::hooks::LoggedIn;

pub use jotgate_domain::login::Delivery;

/// What a login shows.
#[derive(Clone, Copy)]
pub struct LoginForm<'a> {
    /// User name or e-mail address.
    pub username: &'a str,
    pub password: &'a str,
    pub delivery: Delivery,
    /// `"scope": "admin"` was asked for.
    pub admin: bool,
    /// The session whose cookie came along: it ends when this login succeeds, whoever's it was.
    pub replaces: Option<SessionId>,
    /// Value of the known-device cookie.
    pub device: Option<&'a str>,
}

impl fmt::Debug for LoginForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginForm").field("delivery", &self.delivery).finish_non_exhaustive()
    }
}

/// How a session is begun for somebody who proved who they are.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) delivery: Delivery,
    /// As in [`LoginForm::admin`].
    pub(super) admin: bool,
    /// As in [`LoginForm::replaces`].
    pub(super) replaces: Option<SessionId>,
    /// Throttles to clear.
    pub(super) buckets: Vec<BucketKey>,
    pub(super) rehashed: Option<String>,
    /// How they proved it, for the audit trail.
    pub(super) detail: String,
    /// What is written before the session, in the same transaction: its user, new or changed.
    pub(super) before: Option<Edited>,
}

impl Default for Entry {
    fn default() -> Self {
        Self {
            delivery: Delivery::Body,
            admin: false,
            replaces: None,
            buckets: Vec::new(),
            rehashed: None,
            detail: String::new(),
            before: None,
        }
    }
}

/// Why a login was refused.
#[derive(Debug)]
pub enum LoginError {
    /// 401 `invalid_credentials`, whatever it was.
    InvalidCredentials,
    /// 400: longer than any password can be; told before any work.
    PasswordTooLong,
    /// 422: the configuration grew, and the token of these roles fits no cookie any more. No session was begun.
    TooLarge(TooLarge),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for LoginError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// # Errors
    /// [`LoginError`].
    pub async fn login(&self, visitor: &Visitor, form: LoginForm<'_>) -> Result<Grant, LoginError> {
        let result = self.decide_login(visitor, form).await;
        self.counts.login(&result);
        result
    }

    async fn decide_login(&self, visitor: &Visitor, form: LoginForm<'_>) -> Result<Grant, LoginError> {
        let password = Password::typed(form.password).map_err(|_| LoginError::PasswordTooLong)?;
        let place = self.hasher.reserve().await?;
        let now = self.now();
        if let Verdict::Refused { retry_after } = self.addresses.take(&visitor.network, now) {
            return Err(Fault::Throttled { retry_after }.into());
        }
        let lookup = Lookup::typed(form.username);
        let bucket = self.bucket(&lookup, form.device).await?;
        let attempt = Attempt { bucket, limit: Limit::ACCOUNT, lookup: lookup.clone(), now };
        let attempted = self.store.attempt(attempt).await?;
        if let Verdict::Refused { retry_after } = attempted.verdict {
            return Err(Fault::Throttled { retry_after }.into());
        }
        let mut user = attempted.user;
        let checked = login::hash_to_check(user.as_ref(), &lookup).map(str::to_owned);
        let matched = place.verify(&password, checked.as_deref()).await?;

        let mut rehashed = None;
        for _ in 0..TRIES {
            // What was verified must be what is stored now, in the first round and after a conflict.
            let matched =
                matched && login::hash_to_check(user.as_ref(), &lookup).map(str::to_owned) == checked;
            let allowed = match login::decide(user.as_ref(), &lookup, matched) {
                Ok(allowed) => allowed,
                Err(why) => {
                    let event = login::refused(user.as_ref(), why, self.now(), visitor.address.clone());
                    self.apply(vec![event], Vec::new()).await?;
                    return Err(LoginError::InvalidCredentials);
                }
            };
            if form.delivery == Delivery::Cookie {
                check_size(
                    allowed.user(),
                    &self.config.policy,
                    &shape(&self.config, &self.issuer, &self.mount),
                )
                .map_err(LoginError::TooLarge)?;
            }
            let outdated = checked.as_deref().is_some_and(|phc| self.hasher.is_outdated(phc));
            if outdated && rehashed.is_none() {
                // The right password is not turned away where the queue is full: the next login replaces the hash.
                rehashed = self.hasher.hash(&password, self.edge.random()?).await.ok();
            }
            let id = allowed.user().id;
            let entry = Entry {
                delivery: form.delivery,
                admin: form.admin,
                replaces: form.replaces,
                buckets: vec![bucket],
                rehashed: rehashed.clone(),
                ..Entry::default()
            };
            match self.start_session(visitor, allowed, entry).await? {
                Some(grant) => {
                    self.addresses.give_back(&visitor.network);
                    return Ok(grant);
                }
                None => user = self.store.user(Lookup::Id(id)).await?,
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// One transaction: the session, the cleared throttle, the audit entry, and the end of the session it replaces.
    /// None where the user, or whatever else it was decided on, changed meanwhile.
    pub(super) async fn start_session(
        &self,
        visitor: &Visitor,
        allowed: LoginOk<'_>,
        entry: Entry,
    ) -> Result<Option<Grant>, Fault> {
        let now = self.now();
        let user = allowed.user();
        let handle = Handle::new(self.edge.random()?);
        let session_id = SessionId::new(now, self.edge.random()?);
        let subject = self.subject(user.clone(), session_id).await?;
        let Started { session, mut changes, mut expect } = login::start(
            allowed,
            Circumstances {
                now,
                policy: &self.config.policy,
                session_id,
                handle_hash: handle.hash(),
                scope: login::scope(entry.delivery, entry.admin, user),
                address: visitor.address.clone(),
                user_agent: visitor.user_agent.clone(),
                buckets: entry.buckets,
                rehashed: entry.rehashed,
                replaces: entry.replaces,
                detail: entry.detail,
            },
        );
        if let Some(before) = entry.before {
            changes.splice(0..0, before.changes);
            // The user as they will stand is nothing to expect; as they were, is.
            expect = before.expect;
        }
        let applied = match self.apply(changes, expect).await {
            Ok(applied) => applied,
            Err(StoreError::Conflict | StoreError::Taken(_)) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let session = Session { status: applied.status.first().copied(), ..session };
        let device = self.device_for(entry.delivery, user)?;
        self.hooks.logged_in(|| LoggedIn {
            user: user.id,
            username: user.username.to_string(),
            session: session.id,
            address: visitor.address.clone(),
            user_agent: visitor.user_agent.clone(),
        });
        Ok(Some(Grant { device, ..self.grant(session, subject, &handle, entry.delivery, now)? }))
    }

    /// Which bucket this login is counted in: the account's, one whichever of its names was typed; or that of the
    /// device, where its cookie proves that the user signed in from it before with the password they have now.
    async fn bucket(&self, lookup: &Lookup, device: Option<&str>) -> Result<BucketKey, Fault> {
        let typed = match lookup {
            Lookup::Name(name) | Lookup::Email(name) => name.clone(),
            Lookup::Id(id) => Canonical::from_stored(id.to_string()),
        };
        // The user is read before the throttle only where the bucket depends on who it is.
        let user = match lookup {
            Lookup::Name(_) if device.is_none() => None,
            _ => self.store.user(lookup.clone()).await?,
        };
        let account = user.as_ref().map_or(typed, |user| user.username.canonical());
        if let (Some(user), Some(device)) = (&user, device)
            && self.is_known_device(user, device)
        {
            return Ok(self.buckets.key(Counted::KnownDevice(&account, device.as_bytes())));
        }
        Ok(self.buckets.key(Counted::Account(&account)))
    }

    /// The bucket of a user who is signed in and shows the password again: strangers cannot fill it.
    pub(super) fn own_bucket(&self, user: &User) -> BucketKey {
        self.buckets.key(Counted::KnownDevice(&user.username.canonical(), b"signed in"))
    }

    /// Value of the known-device cookie, where the tokens go into cookies: `base64url(random 16 ‖ tag 16)`, good
    /// for this user while they have this password.
    pub(super) fn device_for(&self, delivery: Delivery, user: &User) -> Result<Option<String>, Fault> {
        if delivery == Delivery::Body {
            return Ok(None);
        }
        let random: [u8; 16] = self.edge.random()?;
        let mut bytes = random.to_vec();
        bytes.extend(self.device_tag(user, &random).as_ref().iter().take(16));
        Ok(Some(URL_SAFE_NO_PAD.encode(bytes)))
    }

    fn is_known_device(&self, user: &User, device: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(device) else { return false };
        let Some((random, tag)) = bytes.split_at_checked(16) else { return false };
        let expected = self.device_tag(user, random);
        let expected = expected.as_ref().get(..16).unwrap_or_default();
        constant_time::verify_slices_are_equal(expected, tag).is_ok()
    }

    fn device_tag(&self, user: &User, random: &[u8]) -> hmac::Tag {
        let changed = user.password_changed_at.unwrap_or(user.created_at);
        let text = [user.id.0.as_bytes().as_slice(), &changed.0.to_be_bytes(), random].concat();
        hmac::sign(&self.device_key, &text)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::app::RegisterForm;
    use crate::config::{Config, Origin, PasswordHash};
    use crate::server::Server;

    const PASSWORD: &str = "four unrelated words";

    async fn server(data_dir: &Path, memory_kib: u32, iterations: u32) -> Server {
        let password = PasswordHash { memory_kib, iterations, parallelism: 1 };
        let config = Config { data_dir: data_dir.to_owned(), password, ..Config::default() };
        let here = Origin { https: false, host: "localhost".into(), port: Some(8080) };
        Server::open(config, here).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_login_whose_hash_cannot_be_replaced_now_succeeds_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        // Slow enough for the queue to be filled while it is verified.
        let before = server(dir.path(), 65_536, 8).await;
        let form = RegisterForm { username: "ada", password: PASSWORD, email: None };
        let user = before.app().register(&Visitor::default(), form).await.unwrap();
        drop(before);

        let server = server(dir.path(), 8, 1).await;
        let login = tokio::spawn({
            let server = server.clone();
            async move {
                let form = LoginForm {
                    username: "ada",
                    password: PASSWORD,
                    delivery: Delivery::Body,
                    admin: false,
                    replaces: None,
                    device: None,
                };
                server.app().login(&Visitor::default(), form).await
            }
        });
        while server.app().hasher.load().running == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        let _full: Vec<_> = std::iter::from_fn(|| server.app().hasher.try_reserve().ok()).collect();
        login.await.unwrap().unwrap();
        let stored = server.app().user(user.id).await.unwrap().unwrap().password_hash.unwrap();
        assert!(server.app().hasher.is_outdated(&stored), "the next login replaces it");
    }
}
