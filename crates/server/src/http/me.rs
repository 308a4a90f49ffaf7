//! `GET /auth/me`: the record behind the token, as it is now.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;

use super::auth::CurrentUser;
use super::error::ApiError;
use super::view::{SessionView, UserView};

#[derive(Serialize)]
struct Me<'a> {
    user: UserView<'a>,
    session: SessionView<'a>,
    /// As they stand in the token.
    claims: &'a RawValue,
}

pub(super) async fn get(current: CurrentUser) -> Result<Response, ApiError> {
    let CurrentUser { user, session, claims } = &current;
    let claims = serde_json::from_str(claims.get().json()).map_err(ApiError::internal)?;
    Ok(Json(Me { user: UserView::of(user), session: SessionView::of(session, session.id), claims })
        .into_response())
}
