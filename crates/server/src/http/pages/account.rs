//! `/account`

use axum::extract::State;
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;

use super::page::{self, Page};
use super::{here, login};
use crate::app::{SignedIn, Visitor};
use crate::http::error::{ApiError, PageError};
use crate::server::Server;
use crate::ui::{AccountPage, Notice};

pub(super) const PATH: &str = "/account";

pub(super) async fn get(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, PATH)?;
    let Some(here) = here::find(&server, &visitor, &sent).await? else {
        return Ok(page::see_own(&server, login::PATH, Vec::new()));
    };
    let page = Page::new(&server, &sent, "")?;
    let notice = Notice::from_code(&page::asked(&uri, "done"));
    let view = AccountPage { notice, ..view(&server, &page, &here.signed_in).await? };
    page.show(&view, here.cookies)
}

/// `GET` of a path that only takes posts: where a reload after a refused post leads.
pub(super) async fn back(State(server): State<Server>) -> Response {
    page::see_own(&server, PATH, Vec::new())
}

/// `GET /.well-known/change-password`: where password managers send people.
pub(in crate::http) async fn change_password(State(server): State<Server>) -> Response {
    page::see_own(&server, "/account#password", Vec::new())
}

/// The account page that says what was done.
pub(super) fn done(notice: Notice) -> String {
    format!("{PATH}?done={}", notice.code())
}

/// The account of whoever is signed in.
///
/// # Errors
/// 503 where the database is away.
pub(super) async fn view(
    server: &Server,
    page: &Page,
    signed_in: &SignedIn,
) -> Result<AccountPage, ApiError> {
    let SignedIn { session, user } = signed_in;
    let sessions = server.app().sessions(user.id).await?;
    let min_length = server.app().config.policy.password_min_length;
    let now = server.app().now();
    let identities = server.app().identities(user.id).await?;
    let view = AccountPage::new(page.form(), user, &sessions, session.id, min_length, now);
    Ok(view.with_identities(&identities, page.providers(server)))
}
