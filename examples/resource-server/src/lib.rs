//! Notes, for whom Jotgate has signed in.

use axum::Router;
use axum::routing::{get, post};
use jotgate_verify::Token;
use jotgate_verify::follow::Follower;
use jotgate_verify::protect::{Allowed, Demand, Protect, Require};

/// Who may delete: an editor.
#[derive(Debug)]
pub struct Editors;

impl Demand for Editors {
    const REQUIRE: Require = Require::new().roles(&["editor"]);
}

/// The application behind its tokens.
pub fn app(issuer: Follower) -> Router {
    let recently = Require::new().signed_in_within(300);
    Router::new()
        .route("/notes", get(read).delete(delete))
        .route("/notes/export", post(export).layer(recently))
        .layer(Protect::new(issuer))
}

async fn read(token: Token) -> String {
    format!("notes of {}", token.claims().preferred_username().unwrap_or("somebody"))
}

async fn delete(token: Allowed<Editors>) -> String {
    format!("deleted by {}", token.claims().sub().unwrap_or_default())
}

async fn export() -> &'static str {
    "all of them"
}
