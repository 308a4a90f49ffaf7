//! A new account by its own user.

use std::fmt;

use jotgate_domain::name::{Email, NameError, Username};
use jotgate_domain::password::PasswordError;
use jotgate_domain::register::{self, Mail, Registration};
use jotgate_domain::store::{Lookup, StoreError, Unique};
use jotgate_domain::throttle::Verdict;
use jotgate_domain::{User, UserId};

use super::{App, Fault, TRIES, Visitor, mail};
use crate::hooks::{NotRegistered, Registering};

/// What a registration shows.
#[derive(Clone, Copy)]
pub struct RegisterForm<'a> {
    pub username: &'a str,
    pub password: &'a str,
    pub email: Option<&'a str>,
}

impl fmt::Debug for RegisterForm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegisterForm").field("username", &self.username).finish_non_exhaustive()
    }
}

/// Why a registration was refused.
#[derive(Debug)]
pub enum RegisterError {
    /// 403: `registration.enabled` is off.
    Disabled,
    /// 422 `invalid_username`.
    Username(NameError),
    /// 422 `invalid_email`.
    Email(NameError),
    /// 422 `weak_password`.
    Password(PasswordError),
    /// 409 `username_taken`: names are public.
    Taken,
    /// 403 `registration_refused`: what the application's hook says to the person.
    Refused(String),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for RegisterError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl App {
    /// # Errors
    /// [`RegisterError`].
    pub async fn register(&self, visitor: &Visitor, form: RegisterForm<'_>) -> Result<User, RegisterError> {
        if !self.registration_enabled() {
            return Err(RegisterError::Disabled);
        }
        let username = Username::parse(form.username).map_err(RegisterError::Username)?;
        let email = form.email.map(Email::parse).transpose().map_err(RegisterError::Email)?;
        let password = self
            .chosen_password(form.password, &username, email.as_ref())
            .map_err(RegisterError::Password)?;

        let place = self.hasher.reserve().await?;
        if let Verdict::Refused { retry_after } = self.addresses.take(&visitor.network, self.now()) {
            return Err(Fault::Throttled { retry_after }.into());
        }
        self.ask_hook(visitor, &username, email.as_ref()).await?;
        if self.store.user(Lookup::Name(username.canonical())).await?.is_some() {
            // The try is not given back: somebody may be collecting names.
            return Err(RegisterError::Taken);
        }
        let password_hash = place.hash(&password, self.edge.random()?).await?;
        self.addresses.give_back(&visitor.network);

        for _ in 0..TRIES {
            let by_name = self.store.user(Lookup::Name(username.canonical())).await?;
            let by_email = match &email {
                Some(email) => self.store.user(Lookup::Email(email.canonical())).await?,
                None => None,
            };
            let now = self.now();
            let registration = Registration {
                id: UserId::new(now, self.edge.random()?),
                username: username.clone(),
                email: email.clone(),
                password_hash: password_hash.clone(),
                now,
                address: visitor.address.clone(),
            };
            let registered = register::decide(registration, by_name.as_ref(), by_email.as_ref())
                .map_err(|_| RegisterError::Taken)?;
            match self.apply(registered.changes, Vec::new()).await {
                Ok(_) => {
                    if let (Some(Mail::EmailInUse { to, .. }), Some(owner)) = (registered.mail, &by_email)
                        && self.mails.take(to.canonical().as_str(), now) == Verdict::Granted
                        && let Err(error) = mail::address_in_use(self, owner)
                    {
                        // The caller is not told that there would have been one.
                        tracing::error!(%error, "a mail could not be written");
                    }
                    return Ok(registered.user);
                }
                // Somebody took one of them meanwhile: look again.
                Err(StoreError::Taken(Unique::Username | Unique::Email)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Fault::from(StoreError::Conflict).into())
    }

    /// Whether the application around this server wants this account.
    pub(super) async fn ask_hook(
        &self,
        visitor: &Visitor,
        username: &Username,
        email: Option<&Email>,
    ) -> Result<(), RegisterError> {
        let who = || Registering {
            username: username.to_string(),
            email: email.map(ToString::to_string),
            address: visitor.address.clone(),
        };
        self.hooks.may_register(who).await.map_err(|why| match why {
            NotRegistered::Refused(reason) => RegisterError::Refused(reason),
            NotRegistered::Failed(why) => Fault::Unavailable(format!("before_registration: {why}")).into(),
        })
    }
}
