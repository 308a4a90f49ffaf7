//! Codes of other providers in the JSON API, and what is refused about them.

use serde::Deserialize;

use super::error::{ApiError, Code as Refusal};
use super::login::{needed, text};
use crate::app::{CodeForm, UpstreamError};
use jotgate_domain::upstream::UnlinkError;

/// What goes with `provider`.
#[derive(Deserialize)]
pub(super) struct Code {
    #[serde(default, deserialize_with = "text")]
    code: Option<String>,
    #[serde(default, deserialize_with = "text")]
    code_verifier: Option<String>,
    #[serde(default, deserialize_with = "text")]
    redirect_uri: Option<String>,
    #[serde(default, deserialize_with = "text")]
    nonce: Option<String>,
}

impl Code {
    /// # Errors
    /// 400 where a member is missing.
    pub(super) fn of<'f>(&'f self, provider: &'f str) -> Result<CodeForm<'f>, ApiError> {
        Ok(CodeForm {
            provider,
            code: needed(&self.code, "code")?,
            code_verifier: needed(&self.code_verifier, "code_verifier")?,
            redirect_uri: needed(&self.redirect_uri, "redirect_uri")?,
            nonce: self.nonce.as_deref(),
        })
    }
}

impl From<UpstreamError> for ApiError {
    fn from(error: UpstreamError) -> Self {
        let refused = |code: Refusal, log: String| Self::new(code).log(log);
        match error {
            UpstreamError::UnknownProvider => Refusal::UnknownProvider.into(),
            UpstreamError::RedirectUri => Refusal::InvalidRedirectUri.into(),
            UpstreamError::Malformed(member) => Self::new(Refusal::InvalidRequest)
                .detail(format!("The member \"{member}\" has a wrong type or value.")),
            UpstreamError::Flow(why) => refused(Refusal::InvalidFlow, why),
            UpstreamError::Denied(reason) => refused(Refusal::ProviderDenied, reason),
            UpstreamError::Code(why) => refused(Refusal::InvalidCode, why),
            UpstreamError::Token(why) => refused(Refusal::InvalidIdToken, why),
            UpstreamError::Stale(why) => refused(Refusal::StaleSignIn, why.to_string()),
            UpstreamError::Away(why) => {
                refused(Refusal::ProviderUnavailable, why).retry_after(UpstreamError::retry_after())
            }
            UpstreamError::AccountDisabled => Refusal::AccountDisabled.into(),
            UpstreamError::RegistrationClosed => Refusal::RegistrationDisabled.into(),
            UpstreamError::RegistrationRefused(reason) => {
                Self::new(Refusal::RegistrationRefused).detail(reason)
            }
            UpstreamError::IdentityTaken => Refusal::IdentityTaken.into(),
            UpstreamError::SignInAgain => Refusal::RecentSignInRequired.into(),
            UpstreamError::Unlink(UnlinkError::LastWayIn) => Refusal::LastWayIn.into(),
            UpstreamError::Unlink(_) => Refusal::NotFound.into(),
            UpstreamError::TooLarge(why) => Self::new(Refusal::TooManyRoles).log(why),
            UpstreamError::Fault(fault) => fault.into(),
        }
    }
}
