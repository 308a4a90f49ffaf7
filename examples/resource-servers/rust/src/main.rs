//! `ISSUER=http://127.0.0.1:8080 cargo run -p example-resource-server`

use std::env::var;
use std::error::Error;
use std::time::{Duration, SystemTime};

use axum::routing::get;
use axum::{Json, Router};
use jotgate_verify::follow::{Follower, Issuer};
use jotgate_verify::protect::{Allowed, Demand, Protect, Require};
use jotgate_verify::{Staleness, Token};
use serde_json::{Value, json};

struct Editors;

impl Demand for Editors {
    const REQUIRE: Require = Require::new().roles(&["editor"]);
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let issuer = var("ISSUER")?;
    let audience = var("AUDIENCE").unwrap_or_else(|_| issuer.clone());
    let after = Duration::from_secs(var("STALE_AFTER").map_or(Ok(60), |seconds| seconds.parse())?);
    let follower = Issuer::new(&issuer, &audience).staleness(Staleness::Refuse { after }).follow()?;
    let guarded = get(read).delete(delete).layer(Protect::new(follower.clone()));
    let health = get(async move || health(&follower, after));
    let port = var("PORT").unwrap_or_else(|_| "3000".to_owned());
    let listener = tokio::net::TcpListener::bind(format!("127.0.0.1:{port}")).await?;
    Ok(axum::serve(listener, Router::new().route("/notes", guarded).route("/healthz", health)).await?)
}

async fn read(token: Token) -> Json<Value> {
    Json(json!({"notes": [], "of": token.claims().preferred_username()}))
}

async fn delete(token: Allowed<Editors>) -> Json<Value> {
    Json(json!({"deleted_by": token.claims().sub()}))
}

fn health(follower: &Follower, after: Duration) -> Json<Value> {
    let verifier = follower.issuers().iter().next();
    let heard = verifier.and_then(|one| one.freshness().revocations_as_of);
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    let age = heard.map(|heard| now.saturating_sub(heard));
    let streaming = verifier.is_some_and(|one| one.metrics().streams > 0);
    Json(json!({"fresh": age.is_some_and(|age| age <= after.as_secs()), "age": age, "streaming": streaming}))
}
