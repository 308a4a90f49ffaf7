//! `/healthz` and `/readyz`, for whoever keeps the process running and whoever sends it requests.

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::StatusCode;

use crate::serve::Lifecycle;
use crate::server::Server;

/// The process answers: 200, whatever the database does, since a restart would not bring that back.
/// Ready: 200 only while requests should be sent here. Not before the database answers, and not once SIGTERM came.
pub(crate) fn router(server: &Server, lifecycle: Lifecycle) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .with_state((server.clone(), lifecycle))
}

async fn ready(State((server, lifecycle)): State<(Server, Lifecycle)>) -> (StatusCode, &'static str) {
    if !lifecycle.is_ready() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if server.app().store.ping().await.is_err() {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}
