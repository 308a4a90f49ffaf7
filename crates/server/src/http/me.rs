//! `GET /auth/me`: the record behind the token, as it is now.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};

use super::auth::CurrentUser;
use super::error::ApiError;
use super::view::{SessionView, UserView};

/// `claims`: as they stand in the token, which was verified, so that they are JSON.
pub(super) async fn get(current: CurrentUser) -> Result<Response, ApiError> {
    let CurrentUser { user, session, claims } = &current;
    let mut body = Vec::with_capacity(2048);
    body.extend_from_slice(br#"{"user":"#);
    serde_json::to_writer(&mut body, &UserView::of(user)).map_err(ApiError::internal)?;
    body.extend_from_slice(br#","session":"#);
    serde_json::to_writer(&mut body, &SessionView::of(session, session.id)).map_err(ApiError::internal)?;
    body.extend_from_slice(br#","claims":"#);
    body.extend_from_slice(claims.get().json().as_bytes());
    body.push(b'}');
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
