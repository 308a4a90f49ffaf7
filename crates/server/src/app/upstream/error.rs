//! Why a provider's word led to nothing.

use std::time::Duration;

use jotgate_domain::token::TooLarge;
use jotgate_domain::upstream::flow::FlowError;
use jotgate_domain::upstream::id_token::Stale;
use jotgate_domain::upstream::{Refused, UnlinkError};

use super::provider::Trouble;
use crate::app::{Fault, RegisterError};

/// When to come back where a provider is away.
const RETRY: Duration = Duration::from_secs(30);

/// Why nobody was signed in, linked or unlinked.
#[derive(Debug)]
pub enum UpstreamError {
    /// 400, or of a page 404.
    UnknownProvider,
    /// 400: not among `providers.NAME.redirect_uris`.
    RedirectUri,
    /// 400: `code` or `code_verifier` cannot be one.
    Malformed(&'static str),
    /// 400: what came back is not what set out, or came back before.
    Flow(String),
    /// 403: the provider, or the person there, said no; with its reason, of letters and `_`.
    Denied(String),
    /// 401: the provider does not accept the code.
    Code(String),
    /// 401: what the provider answered proves nothing.
    Token(String),
    /// 403: a recent sign-in was asked for, and the provider does not vouch for one.
    Stale(Stale),
    /// 503.
    Away(String),
    /// 403
    AccountDisabled,
    /// 403
    RegistrationClosed,
    /// 403: what the application around this server says to the person.
    RegistrationRefused(String),
    /// 409: it is another user's, or this one's already.
    IdentityTaken,
    /// 403: the sign-in was too long ago for this.
    SignInAgain,
    /// 404 or 409.
    Unlink(UnlinkError),
    /// 422
    TooLarge(TooLarge),
    Fault(Fault),
}

impl<F: Into<Fault>> From<F> for UpstreamError {
    fn from(fault: F) -> Self {
        Self::Fault(fault.into())
    }
}

impl From<RegisterError> for UpstreamError {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Refused(reason) => Self::RegistrationRefused(reason),
            RegisterError::Fault(fault) => Self::Fault(fault),
            _ => Self::RegistrationClosed,
        }
    }
}

impl From<Trouble> for UpstreamError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Away(why) => Self::Away(why),
            Trouble::Code(why) => Self::Code(why),
            Trouble::Token(why) => Self::Token(why),
        }
    }
}

impl From<FlowError> for UpstreamError {
    fn from(error: FlowError) -> Self {
        Self::Flow(error.to_string())
    }
}

impl From<Stale> for UpstreamError {
    fn from(stale: Stale) -> Self {
        Self::Stale(stale)
    }
}

impl From<Refused> for UpstreamError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Disabled(_) => Self::AccountDisabled,
            Refused::RegistrationClosed => Self::RegistrationClosed,
        }
    }
}

impl UpstreamError {
    /// When to come back where the provider is away.
    #[must_use]
    pub fn retry_after() -> Duration {
        RETRY
    }
}
