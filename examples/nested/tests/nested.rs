//! The application's own routes know who is asking, Jotgate's are below `/id`, and the page about it shows this code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jotgate::Server;
use jotgate::config::{Config, Origin, PasswordHash};
use jotgate::edge::Edge;
use jotgate_verify::follow::Issuer;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

async fn server(dir: &TempDir, port: u16) -> Server {
    let config = Config {
        data_dir: dir.path().to_owned(),
        password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
        ..Config::default()
    };
    let public_url = Origin { https: false, host: "127.0.0.1".into(), port: Some(port) };
    example_nested::identity(config, public_url).open().await.unwrap()
}

async fn send(app: &Router, request: Request<Body>) -> (StatusCode, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn get(path: &str, token: Option<&str>) -> Request<Body> {
    let request = Request::get(path);
    let request = match token {
        Some(token) => request.header("authorization", format!("Bearer {token}")),
        None => request,
    };
    request.body(Body::empty()).unwrap()
}

fn post(path: &str, body: &Value) -> Request<Body> {
    Request::post(path).header("content-type", "application/json").body(Body::from(body.to_string())).unwrap()
}

fn logout(token: &str) -> Request<Body> {
    let request = Request::post("/id/auth/logout").header("authorization", format!("Bearer {token}"));
    request.body(Body::empty()).unwrap()
}

/// Registers and signs in; the access token.
async fn signed_in(app: &Router) -> String {
    let form = json!({"username": "ada", "password": "a long enough passphrase"});
    assert_eq!(send(app, post("/id/auth/register", &form)).await.0, StatusCode::CREATED);
    let (_, login) = send(app, post("/id/auth/login", &form)).await;
    let login: Value = serde_json::from_str(&login).unwrap();
    login["access_token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn handlers_of_the_application_know_who_is_asking() {
    let dir = TempDir::new().unwrap();
    let app = example_nested::app(server(&dir, 8080).await);
    let token = signed_in(&app).await;

    assert_eq!(send(&app, get("/hello", Some(&token))).await, (StatusCode::OK, "Hello, ada (free)\n".into()));
    assert_eq!(send(&app, get("/profile", Some(&token))).await, (StatusCode::OK, "[]".into()));
    for path in ["/hello", "/profile"] {
        let (status, body) = send(&app, get(path, None)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains("\"unauthenticated\""), "{body}");
    }

    assert_eq!(send(&app, logout(&token)).await.0, StatusCode::NO_CONTENT);
    for path in ["/hello", "/profile"] {
        let (status, body) = send(&app, get(path, Some(&token))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains("\"revoked\""), "{body}");
    }
    // What is nobody's is the application's 404, not Jotgate's.
    for path in ["/nowhere", "/id/nowhere"] {
        assert_eq!(send(&app, get(path, None)).await, (StatusCode::NOT_FOUND, String::new()));
    }
}

/// Another program on another machine, to which the issuer is an address with a path.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resource_server_follows_an_issuer_with_a_path() {
    let dir = TempDir::new().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = example_nested::app(server(&dir, port).await);
    let serving = app.clone().into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, serving).await });

    let issuer = format!("http://127.0.0.1:{port}/id");
    let follower = Issuer::new(&issuer, &issuer).follow().unwrap();
    assert!(follower.ready(Duration::from_secs(30)).await, "{:?}", follower.trouble(&issuer));
    let token = signed_in(&app).await;
    let check = || {
        let now = u64::try_from(Edge::system().now().secs()).unwrap();
        follower.issuers().iter().next().unwrap().verify(&token, now)
    };
    assert_eq!(check().unwrap().claims().get_str("plan").as_deref(), Some("free"));

    assert_eq!(send(&app, logout(&token)).await.0, StatusCode::NO_CONTENT);
    let ended = Instant::now();
    while check().is_ok() {
        assert!(ended.elapsed() < Duration::from_secs(2), "still accepted");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(check().unwrap_err().code(), "revoked");
}

/// What `docs/embedding.md` shows is what is compiled and tested here.
#[test]
fn the_page_about_embedding_shows_this_code() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let page = std::fs::read_to_string(format!("{root}/docs/embedding.md")).unwrap();
    let code = [include_str!("../src/lib.rs"), include_str!("../src/main.rs")].concat();
    let mut shown = 0;
    for block in page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
        assert!(code.contains(block), "not in examples/nested:\n{block}");
        shown += 1;
    }
    assert!(shown >= 3, "{shown}");
}
