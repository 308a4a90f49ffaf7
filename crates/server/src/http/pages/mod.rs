//! The hosted pages: server-rendered, a redirect (303) after every post, nothing that needs JavaScript.
//!
//! One file a page. A page knows who is asking by the session cookie alone (`here`), and gives out fresh cookies
//! in the same answer when the access cookie is due.

mod account;
mod assets;
mod here;
mod identities;
mod login;
mod logout;
mod page;
mod password;
mod problem;
mod register;
pub mod return_to;
mod sessions;
pub(super) mod sso;
mod upstream;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use http::HeaderMap;

pub use problem::render as render_error;

use super::error::PageError;
use crate::app::Visitor;
use crate::server::Server;

/// Where password managers look, at the root of the origin.
const CHANGE_PASSWORD: &str = "/.well-known/change-password";

/// Of the pages, what has its place at the root of the origin even where the others are below a path.
pub(super) fn root_routes() -> Router<Server> {
    Router::new().route(CHANGE_PASSWORD, get(account::change_password))
}

/// The routes of all pages.
pub(super) fn routes() -> Router<Server> {
    Router::new()
        .route("/", get(home))
        .route("/login", get(login::get).post(login::post))
        .route("/login/{provider}", get(upstream::start).post(upstream::go))
        .route("/login/{provider}/callback", get(upstream::back).post(upstream::posted))
        .route("/register", get(register::get).post(register::post))
        .route("/logout", get(logout::get).post(logout::post))
        .route("/sso", get(sso::ticket))
        .route("/_jotgate/start", get(sso::start))
        .route("/_jotgate/finish", get(sso::finish))
        .route("/_jotgate/assets/{file}", get(assets::visiting))
        .route("/account", get(account::get))
        .route("/account/sessions", post(sessions::post).get(account::back))
        .route("/account/identities", post(identities::post).get(account::back))
        .route("/account/password", post(password::post).get(account::back))
        .route("/assets/{file}", get(assets::get))
        .route(CHANGE_PASSWORD, get(account::change_password))
}

/// `GET /`
async fn home(
    State(server): State<Server>,
    visitor: Visitor,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let sent = server.site().cookies.read_or_clear(&headers, "/")?;
    let here = here::find(&server, &visitor, &sent).await?;
    let to = if here.is_some() { account::PATH } else { login::PATH };
    Ok(page::see_own(&server, to, here::cookies(here)))
}
