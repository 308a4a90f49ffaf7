//! `/logout`: asks, and signs out on the post only. Whoever is not signed in is told so.

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use jotgate_domain::audit::Action;
use serde::Deserialize;

use super::here;
use super::page::{self, Page};
use crate::app::{SignedIn, Visitor};
use crate::http::auth::Claims;
use crate::http::cookies::Sent;
use crate::http::error::{ApiError, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::{LogoutPage, SignedOutPage};

pub(super) const PATH: &str = "/logout";

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    return_to: String,
}

pub(super) async fn get(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &page::asked(&uri, "return_to"))?;
    match leaving(&server, &sent).await? {
        Some(SignedIn { user, .. }) => {
            page.show(&LogoutPage { form: page.form(), username: user.username.to_string() }, Vec::new())
        }
        None => page.show(&SignedOutPage { form: page.form(), destination: page.host() }, Vec::new()),
    }
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let page = Page::new(&server, &sent, &fields.return_to)?;
    if let Some(SignedIn { session, user }) = leaving(&server, &sent).await? {
        server.app().end_session(&visitor, user.id, session.id, Action::LoggedOut).await?;
    }
    Ok(page.leave(PATH, server.site().cookies.clear().collect()))
}

/// Whose session ends: that of the session cookie, else of the access cookie, which is enough for this.
async fn leaving(server: &Server, sent: &Sent<'_>) -> Result<Option<SignedIn>, ApiError> {
    if let Some(signed_in) = here::of_session_cookie(server, sent).await? {
        return Ok(Some(signed_in));
    }
    let claims = sent.access.and_then(|token| Claims::verify(server, token).ok());
    match claims.and_then(|claims| claims.session_id().ok()) {
        Some(id) => Ok(server.app().load(id).await?),
        None => Ok(None),
    }
}
