//! `POST /oauth/introspect` (RFC 7662).

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value};

use super::Call;
use crate::app::Introspected;
use crate::http::error::{OAuthCode, OAuthError};
use crate::server::Server;

/// `token_type_hint` is ignored: what a token is shows in its form. Whatever is not active is not told from what is
/// not this client's to know of.
pub(in crate::http) async fn post(
    State(server): State<Server>,
    call: Call,
) -> Result<Json<Map<String, Value>>, OAuthError> {
    let client = call
        .client
        .introspects()
        .ok_or_else(|| OAuthError::new(OAuthCode::InvalidClient).log("a public client may not introspect"))?;
    let token = call.parameters.require("token")?;
    let told = server.app().introspect(client, token).await?;
    Ok(Json(told.map_or_else(inactive, |Introspected(members)| members)))
}

fn inactive() -> Map<String, Value> {
    Map::from_iter([("active".to_owned(), Value::Bool(false))])
}
