//! `GET` and `POST /auth/identities`, `DELETE /auth/identities/{id}`: with whom a user can sign in.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jotgate_domain::IdentityId;
use jotgate_domain::upstream::Identity;
use serde::{Deserialize, Serialize};

use super::auth::Manager;
use super::error::{ApiError, Code};
use super::json::Json;
use super::upstream;
use super::view::instant;
use crate::app::Visitor;
use crate::server::Server;

#[derive(Serialize)]
struct IdentityView<'a> {
    id: IdentityId,
    provider: &'a str,
    issuer: &'a str,
    subject: &'a str,
    label: &'a str,
    created_at: String,
}

impl<'a> IdentityView<'a> {
    fn of(identity: &'a Identity) -> Self {
        Self {
            id: identity.id,
            provider: &identity.provider,
            issuer: &identity.issuer,
            subject: &identity.subject,
            label: &identity.label,
            created_at: instant(identity.created_at),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Form {
    provider: String,
    #[serde(flatten)]
    code: upstream::Code,
}

pub(super) async fn list(State(server): State<Server>, manager: Manager) -> Result<Response, ApiError> {
    let identities = server.app().identities(manager.signed_in.user.id).await?;
    let views: Vec<IdentityView<'_>> = identities.iter().map(IdentityView::of).collect();
    Ok(axum::Json(BTreeMap::from([("identities", views)])).into_response())
}

pub(super) async fn link(
    State(server): State<Server>,
    visitor: Visitor,
    manager: Manager,
    Json(form): Json<Form>,
) -> Result<Response, ApiError> {
    let code = form.code.of(&form.provider)?;
    let identity = server.app().link_by_code(&visitor, &manager.signed_in, code).await?;
    let body = axum::Json(BTreeMap::from([("identity", IdentityView::of(&identity))]));
    Ok((StatusCode::CREATED, body).into_response())
}

/// 404 for another user's as for none.
pub(super) async fn unlink(
    State(server): State<Server>,
    visitor: Visitor,
    manager: Manager,
    id: Result<Path<IdentityId>, PathRejection>,
) -> Result<Response, ApiError> {
    let Path(id) = id.map_err(|_| ApiError::new(Code::NotFound))?;
    server.app().unlink(&visitor, &manager.signed_in, id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
