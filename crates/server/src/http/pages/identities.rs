//! `POST /account/identities`: links a provider, or unlinks an identity.

use axum::extract::State;
use axum::response::Response;
use http::HeaderMap;
use jotgate_domain::IdentityId;
use jotgate_domain::upstream::flow::Intent;
use serde::Deserialize;

use super::page::{self, Page};
use super::{account, here, login, upstream};
use crate::app::{SignedIn, Visitor};
use crate::http::error::{Code, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::Notice;

#[derive(Deserialize)]
pub(super) struct Fields {
    /// A provider to link.
    #[serde(default)]
    provider: String,
    /// Or the id of an identity to unlink.
    #[serde(default)]
    identity: String,
}

pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let (signed_in, sent) = match here::of_form(&server, &headers, "/account/identities").await? {
        Ok(both) => both,
        Err(to_login) => return Ok(to_login),
    };
    if !server.app().is_recent(&signed_in.session) {
        return Ok(page::see_own(&server, &login::again(&server, account::PATH), Vec::new()));
    }
    if !fields.provider.is_empty() {
        let SignedIn { session, .. } = &signed_in;
        let page = Page::new(&server, &sent, "")?;
        return upstream::leave(&server, &page, &fields.provider, Intent::Link(session.id)).await;
    }
    let id: IdentityId = fields.identity.parse().map_err(|_| Code::InvalidRequest)?;
    server.app().unlink(&visitor, &signed_in, id).await?;
    Ok(page::see_own(&server, &account::done(Notice::IdentityUnlinked), Vec::new()))
}
