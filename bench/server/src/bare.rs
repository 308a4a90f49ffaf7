//! The least that any server of this kind does: what the figures are held against. Each is a process of its own.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Serves until it is killed; says where on standard output.
pub(crate) async fn serve(what: &str) -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    io::stdout().flush()?;
    match what {
        "hyper" => hyper_hello(listener).await,
        "axum" => axum::serve(listener, Router::new().route("/", get(|| async { "hello" }))).await,
        "like-verify" => {
            log_as_jotgate_does();
            let routes = Router::new().route("/auth/verify", get(headers)).layer(middleware::from_fn(line));
            axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>()).await
        }
        "signature" => {
            let key = std::env::var("BENCH_KEY").map_err(io::Error::other)?;
            let key = URL_SAFE_NO_PAD.decode(key).map_err(io::Error::other)?;
            let key: &'static [u8] = key.leak();
            let routes = Router::new().route("/auth/verify", get(signature)).with_state(key);
            axum::serve(listener, routes).await
        }
        other => Err(io::Error::other(format!("there is no bare server `{other}`"))),
    }
}

async fn hyper_hello(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let hello = service_fn(|_| async {
                Ok::<_, Infallible>(http::Response::new(Full::new(Bytes::from_static(b"hello"))))
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}

/// The headers of an answer of `/auth/verify`, of no token.
async fn headers() -> Response {
    let mut response = Response::new(Body::empty());
    for (name, value) in [
        ("x-auth-user", "019ac3f2-a7d4-7c1e-8000-000000000001"),
        ("x-auth-username", "ada"),
        ("x-auth-email", ""),
        ("x-auth-roles", "editor"),
        ("x-auth-scopes", "account"),
        ("x-auth-session", "019ac3f2-a7d4-7c1e-8000-000000000002"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
        ("cross-origin-resource-policy", "same-origin"),
        ("cache-control", "no-store"),
        ("vary", "Cookie, Authorization"),
        ("x-request-id", "0123456789abcdef0123456789abcdef"),
    ] {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response
}

/// The line in the log that each request has.
async fn line(ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next) -> Response {
    let (began, method) = (Instant::now(), request.method().clone());
    let response = next.run(request).await;
    tracing::info!(
        method = method.as_str(),
        route = "/auth/verify",
        status = response.status().as_u16(),
        us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        address = %peer.ip(),
        request_id = "0123456789abcdef0123456789abcdef",
    );
    response
}

fn log_as_jotgate_does() {
    tracing_subscriber::fmt().json().with_writer(io::stderr).init();
}

/// The signature of the token and nothing else of it: what a server that verifies each token cannot do without.
async fn signature(State(key): State<&'static [u8]>, request: Request) -> Response {
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let parts = token.and_then(|token| token.strip_prefix("Bearer ")?.rsplit_once('.'));
    let good = parts.is_some_and(|(signed, signature)| {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key).verify(signed.as_bytes(), &signature).is_ok()
    });
    let mut response = Response::new(Body::empty());
    if !good {
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
    }
    response
}
