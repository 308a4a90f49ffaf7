//! Signing in with a name and a password.
//!
//! In this order: the address's throttle, the account's throttle (in one step with reading the user), the hash
//! (of equal cost for whoever it is), the rule, one transaction that holds only if the user is still as decided on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::login;
use jotgate_domain::name::lookup;
use jotgate_domain::password;
use jotgate_domain::session::{FIRST_PARTY, RefreshState, Session};
use jotgate_domain::store::{Attempt, Change, Expect, Lookup, StoreError};
use jotgate_domain::throttle::{BucketKey, Limit, Verdict};
use jotgate_domain::{SessionId, Timestamp, User};

use super::{App, Fault, Grant, TRIES, Visitor};

/// What a login shows.
#[derive(Clone, Copy)]
pub struct LoginForm<'a> {
    /// User name or e-mail address.
    pub username: &'a str,
    pub password: &'a str,
    pub delivery: Delivery,
    /// `"scope": "admin"` was asked for.
    pub admin: bool,
    /// The session whose cookie came along: it ends when this login succeeds, whoever it was.
    pub replaces: Option<SessionId>,
    /// Value of the known-device cookie.
    pub device: Option<&'a str>,
}

/// How the tokens get to the client; it decides what they are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Body,
    Cookie,
}

/// Why a login was refused.
#[derive(Debug)]
pub enum LoginError {
    /// 401 `invalid_credentials`, whatever it was.
    InvalidCredentials,
    /// 400: longer than any password can be; told before any work.
    PasswordTooLong,
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
        let password = password::normalize(form.password).map_err(|_| LoginError::PasswordTooLong)?;
        let now = self.now();
        if let Verdict::Refused { retry_after } = self.addresses.take(&visitor.network, now) {
            return Err(Fault::Throttled { retry_after }.into());
        }
        let lookup = lookup(form.username);
        let bucket = self.bucket(&lookup, form.device).await?;
        let attempt = Attempt { bucket, limit: Limit::ACCOUNT, lookup, now };
        let attempted = self.store.attempt(attempt).await?;
        if let Verdict::Refused { retry_after } = attempted.verdict {
            return Err(Fault::Throttled { retry_after }.into());
        }
        let stored = attempted.user.as_ref().and_then(|user| user.password_hash.as_deref());
        let matched = self.hasher.verify(&password, stored).await?;
        let Ok(user) = login::decide(attempted.user.as_ref(), matched) else {
            self.record_failure(visitor, attempted.user.as_ref()).await?;
            return Err(LoginError::InvalidCredentials);
        };
        self.addresses.give_back(&visitor.network);

        let fresh_hash = match stored {
            Some(stored) if self.hasher.is_outdated(stored) => {
                Some(self.hasher.hash(&password, self.edge.random()?).await?)
            }
            _ => None,
        };
        let mut user = user.clone();
        let verified_against = user.password_hash.clone();
        for _ in 0..TRIES {
            match self.start_session(visitor, &form, &user, bucket, fresh_hash.clone()).await {
                Err(LoginError::Fault(Fault::Unavailable(why))) if why == CONFLICT => {}
                done => return done,
            }
            // The user's record changed while the hash ran: what was verified must still be what is stored.
            let current = self.store.user(Lookup::Id(user.id)).await?;
            match current {
                Some(current) if current.is_active() && current.password_hash == verified_against => {
                    user = current;
                }
                _ => return Err(LoginError::InvalidCredentials),
            }
        }
        Err(Fault::Unavailable(CONFLICT.into()).into())
    }

    /// One transaction: the session, the cleared throttle, the audit entry, and the session it replaces.
    async fn start_session(
        &self,
        visitor: &Visitor,
        form: &LoginForm<'_>,
        user: &User,
        bucket: BucketKey,
        fresh_hash: Option<String>,
    ) -> Result<Grant, LoginError> {
        let now = self.now();
        let mut user = user.clone();
        let expect = vec![Expect::User(user.id, user.version)];
        let mut changes = Vec::with_capacity(5);
        if let Some(hash) = fresh_hash {
            user.password_hash = Some(hash);
            user.version += 1;
            changes.push(Change::UpdateUser(user.clone()));
        }
        changes.push(Change::ClearThrottle(bucket));
        changes.extend(form.replaces.map(Change::EndSession));
        let (refresh_token, handle_hash) = self.refresh_keys.first(self.edge.random()?);
        let session = self.new_session(visitor, form, &user, handle_hash, now)?;
        changes.push(Change::StartSession {
            session: session.clone(),
            max_per_user: self.config.policy.max_per_user,
        });
        changes.push(Change::Audit(Event {
            at: now,
            action: Action::LoginSucceeded,
            actor: Actor::User(user.id),
            user: Some(user.id),
            session: Some(session.id),
            address: visitor.address.clone(),
            detail: String::new(),
        }));
        let applied = self.apply(changes, expect).await?;
        let session = Session { status: applied.status.first().copied(), ..session };
        let device = match form.delivery {
            Delivery::Cookie => Some(self.known_device(&user)?),
            Delivery::Body => None,
        };
        Ok(Grant { device, ..self.grant(session, user, refresh_token, now)? })
    }

    fn new_session(
        &self,
        visitor: &Visitor,
        form: &LoginForm<'_>,
        user: &User,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Session, Fault> {
        let policy = &self.config.policy;
        let scope = match form.delivery {
            Delivery::Body if form.admin && user.has_role("admin") => "account admin",
            Delivery::Body => "account",
            Delivery::Cookie => "",
        };
        let expires_at = now.plus(policy.max_ttl);
        Ok(Session {
            id: SessionId::new(now, self.edge.random()?),
            user_id: user.id,
            client_id: FIRST_PARTY.to_owned(),
            scope: scope.to_owned(),
            refresh: RefreshState::new(handle_hash),
            status: None,
            access_until: self.access_until(now),
            created_at: now,
            authenticated_at: now,
            last_used_at: now,
            idle_until: now.plus(policy.idle_ttl).min(expires_at),
            expires_at,
            address: visitor.address.clone(),
            user_agent: visitor.user_agent.clone(),
        })
    }

    /// The account's bucket, or the device's own where its cookie proves that the user signed in from it before
    /// with the password they have now.
    async fn bucket(&self, lookup: &Lookup, device: Option<&str>) -> Result<BucketKey, Fault> {
        let name = match lookup {
            Lookup::Name(name) | Lookup::Email(name) => name.as_str().to_owned(),
            Lookup::Id(id) => id.to_string(),
        };
        let secret = &*self.bucket_secret;
        if let Some(device) = device
            && let Some(user) = self.store.user(lookup.clone()).await?
            && self.is_known_device(&user, device)
        {
            return Ok(jotgate_domain::throttle::bucket_key(secret, "device", device));
        }
        Ok(jotgate_domain::throttle::bucket_key(secret, "account", &name))
    }

    /// The bucket of a user who is signed in and shows the password again.
    pub(super) fn own_bucket(&self, user: &User) -> BucketKey {
        jotgate_domain::throttle::bucket_key(&*self.bucket_secret, "confirm", &user.id.to_string())
    }

    /// `base64url(random 16 ‖ tag 16)`, good for this user while they have this password.
    pub(super) fn known_device(&self, user: &User) -> Result<String, Fault> {
        let random: [u8; 16] = self.edge.random()?;
        let tag = self.device_tag(user, &random);
        let mut bytes = random.to_vec();
        bytes.extend_from_slice(tag.as_ref().get(..16).unwrap_or_default());
        Ok(URL_SAFE_NO_PAD.encode(bytes))
    }

    fn is_known_device(&self, user: &User, device: &str) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(device) else { return false };
        let Some((random, tag)) = bytes.split_at_checked(16) else { return false };
        let expected = self.device_tag(user, random);
        expected
            .as_ref()
            .get(..16)
            .is_some_and(|good| aws_lc_rs::constant_time::verify_slices_are_equal(good, tag).is_ok())
    }

    fn device_tag(&self, user: &User, random: &[u8]) -> aws_lc_rs::hmac::Tag {
        let changed = user.password_changed_at.unwrap_or(user.created_at);
        let text = [user.id.0.as_bytes().as_slice(), &changed.0.to_be_bytes(), random].concat();
        aws_lc_rs::hmac::sign(&self.device_key, &text)
    }

    async fn record_failure(&self, visitor: &Visitor, user: Option<&User>) -> Result<(), Fault> {
        let event = Event {
            at: self.now(),
            action: Action::LoginFailed,
            actor: Actor::Anonymous,
            user: user.map(|user| user.id),
            session: None,
            address: visitor.address.clone(),
            detail: String::new(),
        };
        self.apply(vec![Change::Audit(event)], Vec::new()).await?;
        Ok(())
    }
}

/// The text of [`StoreError::Conflict`] once it is a [`Fault`].
const CONFLICT: &str = "the row changed meanwhile";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conflict_is_told_by_its_text() {
        assert_eq!(Fault::from(StoreError::Conflict), Fault::Unavailable(CONFLICT.into()));
    }
}
