//! `/auth/verify` and `/auth/me`: what every request of every application costs.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{CLIENTS, answered};
use crate::Settings;
use crate::clients::{Ask, Get, Refresh, log_in, register};
use crate::load::closed;
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let (key, signed) = signed_by_a_bare_key()?;
    let hyper = Program::bare("hyper", &[])?;
    let axum = Program::bare("axum", &[])?;
    let like = Program::bare("like-verify", &[])?;
    let signature = Program::bare("signature", &[("BENCH_KEY", &key)])?;
    let jotgate = Program::jotgate(&settings.binary, &[])?;
    register(jotgate.address, 8).await?;
    let sessions = log_in(jotgate.address, 0..8, 64).await?;
    let token = sessions.first().ok_or("no session")?.access.clone();

    let get = |path: &str, bearer: Option<&str>| vec![Get::new(path, bearer); CLIENTS];
    let mut figures = [
        "bare hyper, hello",
        "bare axum, hello",
        "bare axum, the headers and the log line of /auth/verify",
        "bare axum, one bare ES256 signature checked",
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
        let cold =
            clients.into_iter().map(|client| Ask::cold("/auth/verify", client.collected.unwrap_or_default()));
        let tallies = [
            closed(hyper.address, get("/", None), time).await?.0,
            closed(axum.address, get("/", None), time).await?.0,
            closed(like.address, get("/auth/verify", None), time).await?.0,
            closed(signature.address, get("/auth/verify", Some(&signed)), time).await?.0,
            closed(jotgate.address, get("/auth/verify", Some(&token)), time).await?.0,
            closed(jotgate.address, cold.collect(), time).await?.0,
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

/// A key, and a token of it that is as long as one of ours.
fn signed_by_a_bare_key() -> Outcome<(String, String)> {
    let random = SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)?;
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref())?;
    let text = format!("{}.{}", "h".repeat(120), "p".repeat(640));
    let signature = pair.sign(&random, text.as_bytes())?;
    Ok((
        URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()),
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())),
    ))
}
