//! `POST /auth/refresh`

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use serde::Deserialize;

use super::answer;
use super::error::{ApiError, Code};
use super::json::Json;
use crate::app::{Delivery, RefreshError, Visitor};
use crate::server::Server;

#[derive(Default, Deserialize)]
pub(super) struct Form {
    refresh_token: Option<String>,
}

/// A token in the body is answered in the body, one in the cookie in cookies. A refusal clears no cookie: this
/// request may be the loser of a race, and the cookie the winner's.
pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    form: Option<Json<Form>>,
) -> Result<Response, ApiError> {
    let form = form.map(|Json(form)| form).unwrap_or_default();
    let sent = server.site().cookies.read_or_clear(&headers, "/auth/refresh")?;
    let (token, delivery) = match (form.refresh_token.as_deref(), sent.session) {
        (Some(token), _) => (token, Delivery::Body),
        (None, Some(token)) => (token, Delivery::Cookie),
        (None, None) => {
            return Err(ApiError::new(Code::InvalidRefreshToken)
                .detail("There is no refresh token, neither in the body nor in the session cookie."));
        }
    };
    let grant = server.app().refresh(&visitor, token, delivery).await?;
    answer::tokens(&server, &grant, delivery)
}

impl From<RefreshError> for ApiError {
    fn from(error: RefreshError) -> Self {
        match error {
            RefreshError::Invalid => Code::InvalidRefreshToken.into(),
            RefreshError::Reused => Code::RefreshTokenReused.into(),
            RefreshError::Fault(fault) => fault.into(),
        }
    }
}
