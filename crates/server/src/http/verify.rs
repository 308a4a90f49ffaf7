//! `/auth/verify`: forward-auth for proxies (nginx `auth_request`, Caddy `forward_auth`). No database look-up.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, VARY};
use http::{StatusCode, Uri};

use super::auth::Claims;
use super::bearer::{Credential, credential};
use super::error::{ApiError, Code};
use crate::server::Server;

/// The identity headers: all always there, empty if unset, so that none of the client's own passes through.
const USER: HeaderName = HeaderName::from_static("x-auth-user");
const USERNAME: HeaderName = HeaderName::from_static("x-auth-username");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const ROLES: HeaderName = HeaderName::from_static("x-auth-roles");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");
const SESSION: HeaderName = HeaderName::from_static("x-auth-session");

pub(super) async fn any(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let claims = match credential(&headers, &uri, &server.site().cookies)? {
        Credential::Bearer(token) | Credential::Cookie { access: Some(token), .. } => {
            Claims::verify(&server, token)
        }
        _ => Err(Code::Unauthenticated.into()),
    };
    let claims = match claims {
        Ok(claims) => claims,
        Err(error) => return Ok(refused(&server, error)),
    };
    if !allows(&claims, uri.query().unwrap_or_default()) {
        return Err(Code::Forbidden.into());
    }
    identity(&claims)
}

/// 401 with the login page in `Location`, for proxies that cannot pass a redirect on.
fn refused(server: &Server, error: ApiError) -> Response {
    let mut response = error.into_response();
    if let Ok(login) = HeaderValue::from_str(&format!("{}/login", server.app().issuer())) {
        response.headers_mut().insert(LOCATION, login);
    }
    response
}

/// Whether all that `?role=` and `?scope=` ask for is there.
fn allows(claims: &Claims, query: &str) -> bool {
    form_pairs(query).all(|(name, value)| match name.as_str() {
        "role" => claims.has_role(&value),
        "scope" => claims.get().has_scope(&value),
        _ => true,
    })
}

fn form_pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    url::form_urlencoded::parse(query.as_bytes()).map(|(name, value)| (name.into_owned(), value.into_owned()))
}

fn identity(claims: &Claims) -> Result<Response, ApiError> {
    let token = claims.get();
    let roles: Vec<_> = token.roles().iter().collect();
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(USER, encoded(token.sub().unwrap_or_default())?);
    headers.insert(USERNAME, encoded(token.preferred_username().unwrap_or_default())?);
    headers.insert(EMAIL, encoded(token.email().unwrap_or_default())?);
    headers.insert(ROLES, encoded_but(&roles.join(","), b',')?);
    headers.insert(SCOPES, encoded_but(token.scope().unwrap_or_default(), b' ')?);
    headers.insert(SESSION, encoded(token.sid().unwrap_or_default())?);
    headers.insert(VARY, HeaderValue::from_static("Cookie, Authorization"));
    Ok(response)
}

/// Percent-encoded UTF-8: unreserved characters (RFC 3986 §2.3), `@`, `:` and `+` stay.
fn encoded(text: &str) -> Result<HeaderValue, ApiError> {
    encoded_but(text, b'@')
}

fn encoded_but(text: &str, separator: u8) -> Result<HeaderValue, ApiError> {
    let stays = |b: u8| b.is_ascii_alphanumeric() || b"-._~@:+".contains(&b) || b == separator;
    if text.bytes().all(stays) {
        return HeaderValue::from_str(text).map_err(ApiError::internal);
    }
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&out).map_err(ApiError::internal)
}
