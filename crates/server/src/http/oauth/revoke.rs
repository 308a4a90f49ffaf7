//! `POST /oauth/revoke` (RFC 7009).

use axum::extract::State;
use http::StatusCode;

use super::Call;
use crate::app::RevokeError;
use crate::http::error::{OAuthCode, OAuthError};
use crate::server::Server;

/// 200 for whatever is not good any more afterwards, and for what never was. `token_type_hint` is ignored, whatever it
/// says.
pub(in crate::http) async fn post(
    State(server): State<Server>,
    call: Call,
) -> Result<StatusCode, OAuthError> {
    let token = call.parameters.require("token")?;
    match server.app().revoke(&call.visitor, &call.client, token).await {
        Ok(()) => Ok(StatusCode::OK),
        Err(RevokeError::OtherClient) => {
            Err(OAuthError::new(OAuthCode::InvalidGrant)
                .description("The token was issued to another client."))
        }
        Err(RevokeError::Fault(fault)) => Err(fault.into()),
    }
}
