//! Which path is answered by what: the one list of routes.

use std::sync::Arc;

use axum::Router;
use axum::routing::{any, delete, get, post};

use super::{
    FrontLayer, clear_cookies, error, health, identities, login, logout, me, metrics, oauth, openapi, pages,
    password, providers, refresh, register, revocations, script, sessions, verify, well_known,
};
use crate::serve::Lifecycle;
use crate::server::Server;

/// Every route of the contract that is built, to nest in an application's: what is not among them stays its own.
pub(crate) fn routes(server: &Server) -> Router {
    bare(server).route_layer(FrontLayer::new(Arc::clone(server.site())))
}

/// Of a server that is nested below a path, what others look for at the root of the origin; else nothing.
pub(crate) fn root_routes(server: &Server) -> Router {
    let mount = &server.site().mount;
    if mount.as_str().is_empty() {
        return Router::new();
    }
    let metadata = |name: &str| format!("/.well-known/{name}{mount}");
    Router::new()
        // RFC 8414 §3.1: between the host and the path, for OpenID Connect as well (§5).
        .route(&metadata("oauth-authorization-server"), get(well_known::metadata))
        .route(&metadata("openid-configuration"), get(well_known::metadata))
        .merge(pages::root_routes())
        .with_state(server.clone())
        .route_layer(FrontLayer::new(Arc::clone(server.site())))
}

/// The same for a listener of its own: what is not among them is answered too. With `ops`, what operators ask for
/// is among them.
pub(crate) fn whole(server: &Server, ops: Option<Lifecycle>) -> Router {
    let routes = match ops {
        Some(lifecycle) => bare(server).merge(operations(server, lifecycle)),
        None => bare(server),
    };
    routes
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(FrontLayer::new(Arc::clone(server.site())))
}

/// For `ops.listen`: what operators ask for, and nothing else.
pub(crate) fn ops(server: &Server, lifecycle: Lifecycle) -> Router {
    operations(server, lifecycle)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(FrontLayer::new(Arc::clone(server.site())))
}

/// What operators ask for, inside an application.
pub(crate) fn embedded_operations(server: &Server, lifecycle: Lifecycle) -> Router {
    operations(server, lifecycle).route_layer(FrontLayer::new(Arc::clone(server.site())))
}

fn operations(server: &Server, lifecycle: Lifecycle) -> Router {
    health::router(server, lifecycle)
        .merge(metrics::router(server))
        .merge(openapi::router(&server.site().mount))
}

fn bare(server: &Server) -> Router {
    Router::new()
        .route("/auth/register", post(register::post))
        .route("/auth/login", post(login::post))
        .route("/auth/refresh", post(refresh::post))
        .route("/auth/logout", post(logout::post))
        .route("/auth/me", get(me::get))
        .route("/auth/sessions", get(sessions::list).delete(sessions::delete_others))
        .route("/auth/sessions/{id}", delete(sessions::delete_one))
        .route("/auth/identities", get(identities::list).post(identities::link))
        .route("/auth/identities/{id}", delete(identities::unlink))
        .route("/auth/providers", get(providers::list))
        .route("/auth/password/change", post(password::change))
        .route("/auth/verify", any(verify::any))
        .route("/auth/verify/envoy/", any(verify::envoy))
        .route("/auth/verify/envoy/{*path}", any(verify::envoy))
        .route("/auth/revocations", get(revocations::feed))
        .route("/auth/status", get(revocations::lists))
        .route("/auth/status/{list}", get(revocations::status))
        .route("/oauth/introspect", post(oauth::introspect::post))
        .route("/oauth/revoke", post(oauth::revoke::post))
        .route("/.well-known/jwks.json", get(well_known::jwks))
        .route("/.well-known/openid-configuration", get(well_known::metadata))
        .route("/.well-known/oauth-authorization-server", get(well_known::metadata))
        .route("/jotgate.js", get(script::get))
        .route("/jotgate.d.ts", get(script::types))
        .merge(pages::routes())
        .with_state(server.clone())
        .merge(clear_cookies::router(Arc::clone(server.site())))
}
