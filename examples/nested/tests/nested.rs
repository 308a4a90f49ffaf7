//! The application's own routes know who is asking, and Jotgate's are there beside them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use http_body_util::BodyExt as _;
use jotgate::Server;
use jotgate::config::{Config, Origin, PasswordHash};
use serde_json::{Value, json};
use tower::ServiceExt as _;

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

#[tokio::test]
async fn handlers_of_the_application_know_who_is_asking() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        data_dir: dir.path().to_owned(),
        password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
        ..Config::default()
    };
    let public_url = Origin { https: false, host: "127.0.0.1".into(), port: Some(8080) };
    let app = example_nested::app(Server::open(config, public_url).await.unwrap());

    let form = json!({"username": "ada", "password": "a long enough passphrase"});
    assert_eq!(send(&app, post("/auth/register", &form)).await.0, StatusCode::CREATED);
    let (_, login) = send(&app, post("/auth/login", &form)).await;
    let login: Value = serde_json::from_str(&login).unwrap();
    let token = login["access_token"].as_str().unwrap();

    assert_eq!(send(&app, get("/hello", Some(token))).await, (StatusCode::OK, "Hello, ada\n".into()));
    assert_eq!(send(&app, get("/profile", Some(token))).await, (StatusCode::OK, "[]".into()));
    for path in ["/hello", "/profile"] {
        let (status, body) = send(&app, get(path, None)).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains("\"unauthenticated\""), "{body}");
    }

    let logout = Request::post("/auth/logout").header("authorization", format!("Bearer {token}"));
    assert_eq!(send(&app, logout.body(Body::empty()).unwrap()).await.0, StatusCode::NO_CONTENT);
    for path in ["/hello", "/profile"] {
        let (status, body) = send(&app, get(path, Some(token))).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert!(body.contains("\"revoked\""), "{body}");
    }
    // What is nobody's is the application's 404, not Jotgate's.
    assert_eq!(send(&app, get("/nowhere", None)).await, (StatusCode::NOT_FOUND, String::new()));
}
