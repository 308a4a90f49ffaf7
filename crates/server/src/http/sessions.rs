//! `GET /auth/sessions`, `DELETE /auth/sessions/{id}`, `DELETE /auth/sessions`: the device list.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::SET_COOKIE;
use jotgate_domain::SessionId;
use jotgate_domain::audit::Action;

use super::auth::Manager;
use super::error::{ApiError, Code};
use super::view::SessionView;
use crate::app::{Delivery, SignedIn, Visitor};
use crate::server::Server;

pub(super) async fn list(State(server): State<Server>, manager: Manager) -> Result<Response, ApiError> {
    let sessions = server.app().sessions(manager.signed_in.user.id).await?;
    let current = manager.signed_in.session.id;
    let views: Vec<SessionView<'_>> = sessions.iter().map(|one| SessionView::of(one, current)).collect();
    Ok(Json(BTreeMap::from([("sessions", views)])).into_response())
}

/// 404 for another user's as for none: ids say nothing.
pub(super) async fn delete_one(
    State(server): State<Server>,
    visitor: Visitor,
    manager: Manager,
    id: Result<Path<SessionId>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::new(Code::NotFound))?;
    let user = manager.signed_in.user.id;
    if !server.app().end_session(&visitor, user, id, Action::SessionRevoked).await? {
        return Err(Code::NotFound.into());
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if id == manager.signed_in.session.id && manager.delivery == Delivery::Cookie {
        for cookie in server.site().cookies.clear() {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    Ok(response)
}

pub(super) async fn delete_others(
    State(server): State<Server>,
    visitor: Visitor,
    manager: Manager,
) -> Result<Response, ApiError> {
    let SignedIn { user, session } = &manager.signed_in;
    server.app().end_sessions(&visitor, user, Some(session.id)).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
