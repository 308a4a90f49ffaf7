//! What verifiers read: the JWK Set (RFC 7517 §5) and the metadata (RFC 8414, OpenID Connect Discovery 1.0).
//! Served from memory; they never touch the database.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::error::ApiError;
use crate::server::Server;

pub(super) async fn jwks(State(server): State<Server>, headers: HeaderMap) -> Result<Response, ApiError> {
    let ring = server.app().keys();
    let mut response = if is_known(&headers, &ring.jwks_etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = ring.jwks.clone().into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/jwk-set+json"));
        response
    };
    let max_age = server.app().config.policy.jwks_max_age.as_secs();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, value(&format!("public, max-age={max_age}"))?);
    headers.insert(ETAG, value(&ring.jwks_etag)?);
    Ok(response)
}

/// Whether the client has this version already (RFC 9110 §13.1.2).
pub(super) fn is_known(headers: &HeaderMap, etag: &str) -> bool {
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim().trim_start_matches("W/") == etag || tag.trim() == "*")
}

/// The same document at both addresses: what is served here, and nothing that is not.
pub(super) async fn metadata(State(server): State<Server>) -> Result<Response, ApiError> {
    let mut response = Json(document(&server)).into_response();
    let max_age = server.app().config.policy.jwks_max_age.as_secs();
    response.headers_mut().insert(CACHE_CONTROL, value(&format!("public, max-age={max_age}"))?);
    Ok(response)
}

fn document(server: &Server) -> Value {
    let app = server.app();
    let issuer = app.issuer();
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        // No grant is offered to OAuth clients: an absent member would mean some (RFC 8414 §2).
        "response_types_supported": [],
        "grant_types_supported": [],
        "introspection_endpoint": format!("{issuer}/oauth/introspect"),
        "introspection_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "none"],
        "revocation_feed_endpoint": format!("{issuer}/auth/revocations"),
        "status_list_aggregation_endpoint": format!("{issuer}/auth/status"),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": [app.config.token.algorithm.name()],
        "scopes_supported": ["account", "admin"],
        "claims_supported": [
            "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "sid", "auth_time", "roles",
            "permissions", "preferred_username", "email",
        ],
    })
}

fn value(text: &str) -> Result<HeaderValue, ApiError> {
    HeaderValue::from_str(text).map_err(ApiError::internal)
}
