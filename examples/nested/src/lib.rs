//! An application of one's own with Jotgate inside: one process, one port, and handlers that know who is asking.

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Json, Router};
use jotgate::{Claims, CurrentUser, Server};

/// The application's state; the extractors find the server in it.
#[derive(Clone, FromRef)]
struct State {
    server: Server,
}

/// Login, tokens, pages and keys are Jotgate's; `/hello` and `/profile` are the application's.
pub fn app(server: Server) -> Router {
    let own = Router::new()
        .route("/hello", get(hello))
        .route("/profile", get(profile))
        .with_state(State { server: server.clone() });
    own.merge(server.router())
}

/// The verified claims alone: no look-up.
async fn hello(claims: Claims) -> String {
    format!("Hello, {}\n", claims.get().preferred_username().unwrap_or("stranger"))
}

/// The user's record, read from the database.
async fn profile(current: CurrentUser) -> Json<Vec<String>> {
    Json(current.user.roles.iter().map(ToString::to_string).collect())
}
