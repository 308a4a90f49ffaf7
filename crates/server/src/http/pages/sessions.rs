//! `POST /account/sessions`: signs out one device, or all others.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use jotgate_domain::SessionId;
use jotgate_domain::audit::Action;
use serde::Deserialize;

use super::{account, here, logout, page};
use crate::app::{SignedIn, Visitor};
use crate::http::error::{Code, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::Notice;

#[derive(Deserialize)]
pub(super) struct Fields {
    /// A session's id, or `others`.
    session: String,
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let (SignedIn { session, user }, _) = match here::of_form(&server, &headers, "/account/sessions").await? {
        Ok(both) => both,
        Err(to_login) => return Ok(to_login),
    };
    if fields.session == "others" {
        server.app().end_sessions(&visitor, &user, Some(session.id)).await?;
        return Ok(page::see_own(&server, &account::done(Notice::OthersEnded), Vec::new()));
    }
    let id: SessionId = fields.session.parse().map_err(|_| Code::InvalidRequest)?;
    // One that is over already, or was never theirs, is not signed in: what was asked for.
    server.app().end_session(&visitor, user.id, id, Action::SessionRevoked).await?;
    if id == session.id {
        return Ok(page::see_own(&server, logout::PATH, server.site().cookies.clear().collect()));
    }
    Ok(page::see_own(&server, &account::done(Notice::SessionEnded), Vec::new()))
}
