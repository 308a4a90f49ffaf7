//! The server inside an application: nested under a path, with hooks, and with its events followed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod events;
mod hooks;
mod nested;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;

use axum::Router;
use axum::extract::FromRef;
use axum::routing::get;
use jotgate::config::{Config, Origin};
use jotgate::edge::Edge;
use jotgate::{Builder, Claims, Server};
use support::{Fixed, Site};
use tempfile::TempDir;

#[derive(Clone, FromRef)]
struct State {
    server: Server,
}

/// An application with pages of its own, and the server at `/id` in it.
async fn application(origin: Origin, hooks: impl FnOnce(Builder) -> Builder) -> Site {
    let dir = Arc::new(TempDir::new().unwrap());
    let config = Config { registration_enabled: Some(true), ..support::config(&dir) };
    open(dir, config, origin, Fixed::new(), hooks).await
}

async fn open(
    dir: Arc<TempDir>,
    config: Config,
    origin: Origin,
    clock: Fixed,
    hooks: impl FnOnce(Builder) -> Builder,
) -> Site {
    let builder = Server::builder(config.clone(), origin.clone()).edge(Edge::new(clock.clone())).under("/id");
    let server = hooks(builder).open().await.unwrap();
    let own = Router::new()
        .route("/", get(async || "the application's own door"))
        .route("/hello", get(hello))
        .route("/login", get(async || "the application's own page"))
        .fallback(async || (http::StatusCode::NOT_FOUND, "the application's own 404"))
        .with_state(State { server: server.clone() });
    let router = own.nest("/id", server.router()).merge(server.root_routes());
    Site { server, router, clock, dir, config, origin }
}

async fn hello(claims: Claims) -> String {
    claims.get().preferred_username().unwrap_or_default().to_owned()
}
