//! An application of one's own with Jotgate inside: one process, one port, and handlers that know who is asking.

use axum::extract::FromRef;
use axum::routing::get;
use axum::{Json, Router};
use jotgate::config::{Config, Origin};
use jotgate::hooks::CustomClaims;
use jotgate::{Builder, Claims, CurrentUser, Server};

/// The server as this application wants it: below `/id`, with a claim of its own in every token.
pub fn identity(config: Config, public_url: Origin) -> Builder {
    Server::builder(config, public_url).under("/id").before_token(|about| async move {
        let plan = if about.roles.iter().any(|role| role.as_str() == "staff") { "staff" } else { "free" };
        Ok(CustomClaims::from([("plan".to_owned(), plan.into())]))
    })
}

/// The application's state; the extractors find the server in it.
#[derive(Clone, FromRef)]
struct State {
    server: Server,
}

/// Login, tokens, pages and keys are Jotgate's; all else is the application's.
pub fn app(server: Server) -> Router {
    Router::new()
        .route("/hello", get(hello))
        .route("/profile", get(profile))
        .with_state(State { server: server.clone() })
        .nest("/id", server.router())
        .merge(server.root_routes())
}

/// The verified claims alone: no look-up.
async fn hello(claims: Claims) -> String {
    let claims = claims.get();
    let name = claims.preferred_username().unwrap_or("stranger");
    format!("Hello, {name} ({})\n", claims.get_str("plan").unwrap_or_default())
}

/// The user's record, read from the database.
async fn profile(current: CurrentUser) -> Json<Vec<String>> {
    Json(current.user.roles.iter().map(ToString::to_string).collect())
}

/// Prints what happens, on whichever node or by whichever command.
pub async fn follow(server: Server) -> Result<(), Box<dyn std::error::Error>> {
    let mut events = server.events().await?;
    while let Some(entry) = events.next().await {
        println!("{} {}", entry.id, entry.event.action.name());
    }
    Ok(())
}
