//! What OAuth clients call (RFC 6749 §2.3, §3.2): a form in, JSON out, errors as RFC 6749 §5.2.
//!
//! A client proves who it is in the `Authorization` header or in the form, never by a cookie. What it sends is read
//! strictly: a parameter twice is refused, an empty one is not there, an unknown one is ignored.

pub mod credential;
pub(super) mod introspect;
pub mod parameters;
pub(super) mod revoke;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::Uri;

use self::credential::credential;
use self::parameters::Parameters;
use super::body::{self, MediaType};
use super::error::{ApiError, OAuthCode, OAuthError};
use super::form;
use crate::app::{Authenticated, ClientAuthError, Fault, Visitor};
use crate::server::Server;

/// A request of a client that was authenticated, as far as it can be.
pub(super) struct Call {
    pub(super) visitor: Visitor,
    pub(super) client: Authenticated,
    pub(super) parameters: Parameters,
}

impl FromRequest<Server> for Call {
    type Rejection = OAuthError;

    async fn from_request(request: Request, server: &Server) -> Result<Self, OAuthError> {
        let (mut parts, body) = request.into_parts();
        // It cannot fail.
        let visitor = Visitor::from_request_parts(&mut parts, &()).await.unwrap_or_default();
        if body::media_type(&parts.headers) != MediaType::Form {
            return Err(invalid_request("Send application/x-www-form-urlencoded, not compressed."));
        }
        refuse_query(&parts.uri)?;
        let parameters = Parameters::parse(&form::read(&parts.headers, body).await?)?;
        let client = authenticate(server, &visitor, &parts.headers, &parameters).await?;
        Ok(Self { visitor, client, parameters })
    }
}

async fn authenticate(
    server: &Server,
    visitor: &Visitor,
    headers: &http::HeaderMap,
    parameters: &Parameters,
) -> Result<Authenticated, OAuthError> {
    let shown = match credential(headers, parameters) {
        Err(refused) if refused.code() == OAuthCode::InvalidClient => {
            server.app().client_failed(visitor)?;
            return Err(refused);
        }
        shown => shown?,
    };
    match server.app().authenticate_client(visitor, shown.as_shown()).await {
        Ok(client) => Ok(client),
        Err(ClientAuthError::Invalid(why)) => Err(OAuthError::new(OAuthCode::InvalidClient).log(why)),
        Err(ClientAuthError::Fault(fault)) => Err(fault.into()),
    }
}

/// What a log or a history keeps is no place for tokens and secrets (RFC 6749 §2.3.1).
fn refuse_query(uri: &Uri) -> Result<(), OAuthError> {
    const BODY_ONLY: [&str; 4] = ["token", "token_type_hint", "client_id", "client_secret"];
    let query = uri.query().unwrap_or_default().as_bytes();
    if url::form_urlencoded::parse(query).any(|(name, _)| BODY_ONLY.contains(&name.as_ref())) {
        return Err(invalid_request("Parameters go into the body, not into the address."));
    }
    Ok(())
}

fn invalid_request(description: &'static str) -> OAuthError {
    OAuthError::new(OAuthCode::InvalidRequest).description(description)
}

impl From<Fault> for OAuthError {
    fn from(fault: Fault) -> Self {
        ApiError::from(fault).into()
    }
}
