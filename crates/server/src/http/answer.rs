//! The answer to a login, a refresh and a changed password: the pair of tokens, in the body or in cookies.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, HeaderValue, SET_COOKIE};
use jotgate_domain::SessionId;
use serde::Serialize;

use super::cookies::Helper;
use super::error::ApiError;
use super::view::UserView;
use crate::app::{Delivery, Grant};
use crate::server::Server;

/// How long a device is remembered that the user signed in from: what browsers keep at most, 400 days.
const DEVICE_MAX_AGE: u64 = 400 * 24 * 60 * 60;

#[derive(Serialize)]
struct Tokens<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    token_type: &'static str,
    expires_in: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    scope: &'a str,
    session_id: SessionId,
    user: UserView<'a>,
}

/// 200 with the pair, as `delivery` says.
///
/// # Errors
/// 422 `too_many_roles` where the token is too large for a cookie: then none is set.
pub(super) fn tokens(server: &Server, grant: &Grant, delivery: Delivery) -> Result<Response, ApiError> {
    let in_body = delivery == Delivery::Body;
    let body = Tokens {
        access_token: in_body.then_some(grant.access_token.as_str()),
        token_type: "Bearer",
        expires_in: grant.expires_in,
        refresh_token: in_body.then(|| grant.refresh_token.expose()),
        scope: &grant.scope,
        session_id: grant.session.id,
        user: UserView::of(&grant.user),
    };
    let cookies = if in_body { Vec::new() } else { cookies(server, grant)? };
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        headers.append(SET_COOKIE, cookie);
    }
    Ok(response)
}

/// The cookies that carry this pair.
///
/// # Errors
/// As [`tokens`].
pub(super) fn cookies(server: &Server, grant: &Grant) -> Result<Vec<HeaderValue>, ApiError> {
    let mut cookies = server.site().cookies.access(&grant.access_token, grant.expires_in)?;
    cookies.push(server.site().cookies.session(grant.refresh_token.expose(), grant.session_expires_in)?);
    if let Some(device) = &grant.device {
        cookies.push(server.site().cookies.helper(Helper::Device, device, DEVICE_MAX_AGE)?);
    }
    Ok(cookies)
}
