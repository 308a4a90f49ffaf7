//! `/auth/verify` and `/auth/me`: what every request of every application costs.

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CLIENTS, answered};
use crate::Settings;
use crate::clients::{Ask, Get, Refresh, log_in, register};
use crate::load::{closed, once};
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let hyper = Program::bare("hyper", &[])?;
    let axum = Program::bare("axum", &[])?;
    let like = Program::bare("like-verify", &[])?;
    let jotgate = Program::jotgate(&settings.binary, &[])?;
    let signature = Program::bare("signature", &[("BENCH_KEY", &key_of(jotgate.address).await?)])?;
    register(jotgate.address, 8).await?;
    let sessions = log_in(jotgate.address, 0..8, 64).await?;
    let token = sessions.first().ok_or("no session")?.access.clone();

    let get = |path: &str, bearer: Option<&str>| vec![Get::new(path, bearer); CLIENTS];
    let mut figures = [
        "bare hyper, hello",
        "bare axum, hello",
        "bare axum, the headers and the log line of /auth/verify",
        "bare axum, the bare ES256 signature of each token checked",
        "Jotgate /auth/verify, a token seen before",
        "Jotgate /auth/verify, each token new",
        "Jotgate /auth/me",
        "Jotgate /healthz",
    ]
    .map(|name| Figures::new(name, "1/s"));
    for _ in 0..settings.rounds {
        let time = settings.round;
        // Without a write, inside the grace: the same sessions bring as many access tokens as are asked for.
        let clients = sessions.chunks(2).map(|some| Refresh::new(some.to_vec(), true));
        let (_, clients) = closed(jotgate.address, clients.collect(), time * 4).await?;
        // Both check the same signatures: one signature over and over is checked faster than many.
        let tokens: Vec<Arc<[String]>> =
            clients.into_iter().map(|client| client.collected.unwrap_or_default().into()).collect();
        let cold = || tokens.iter().map(|tokens| Ask::cold("/auth/verify", Arc::clone(tokens))).collect();
        let tallies = [
            closed(hyper.address, get("/", None), time).await?.0,
            closed(axum.address, get("/", None), time).await?.0,
            closed(like.address, get("/auth/verify", None), time).await?.0,
            closed(signature.address, cold(), time).await?.0,
            closed(jotgate.address, get("/auth/verify", Some(&token)), time).await?.0,
            closed(jotgate.address, cold(), time).await?.0,
            closed(jotgate.address, get("/auth/me", Some(&token)), time).await?.0,
            closed(jotgate.address, get("/healthz", None), time).await?.0,
        ];
        for (figures, tally) in figures.iter_mut().zip(&tallies) {
            figures.add(answered(&figures.name, tally, 200)?);
        }
    }
    let [hyper, axum, like, signature, warm, cold, me, health] = &figures;
    let rows = vec![
        Row::ratio(
            "verify, warm, against the same headers and log line",
            warm,
            like,
            Some(Bar::AtLeast(0.80)),
        ),
        Row::ratio("verify, warm, against bare axum", warm, axum, Some(Bar::AtLeast(0.55))),
        Row::ratio("verify, warm, against bare hyper", warm, hyper, None),
        Row::ratio(
            "verify, cold, against a server that checks the bare signature",
            cold,
            signature,
            Some(Bar::AtLeast(0.85)),
        ),
        Row::ratio("/auth/me, which reads the user, against bare axum", me, axum, Some(Bar::AtLeast(0.5))),
        Row::ratio("/healthz against bare axum", health, axum, None),
    ];
    let about = format!(
        "{CLIENTS} connections, SQLite, ES256. Of “each token new” no token was ever shown to the server before."
    );
    Ok(Part { name: "verify", title: "Verification", about, rows, figures: figures.to_vec() })
}

/// The public key with which this server's tokens are checked, as a point.
async fn key_of(address: SocketAddr) -> Outcome<String> {
    let request = b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let (_, answer) = once(address, request).await?;
    let keys: serde_json::Value = serde_json::from_slice(&answer)?;
    let mut point = vec![4];
    for name in ["x", "y"] {
        let half = keys.pointer(&format!("/keys/0/{name}")).and_then(serde_json::Value::as_str);
        point.extend(URL_SAFE_NO_PAD.decode(half.ok_or("no ES256 key")?)?);
    }
    Ok(URL_SAFE_NO_PAD.encode(point))
}
