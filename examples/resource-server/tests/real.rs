//! The application and the real server, over sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::time::{Duration, Instant};

use jotgate::Server;
use jotgate::config::{Config, PasswordHash};
use jotgate::serve::{self, Lifecycle};
use jotgate_verify::follow::{Follower, Issuer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(30);

/// Status, head, body.
type Answer = (u16, String, String);

async fn ask(port: u16, method: &str, path: &str, bearer: Option<&str>, body: &str) -> Answer {
    let bearer = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{bearer}\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_ascii_lowercase(), body.to_owned())
}

async fn jotgate(config: Config) -> u16 {
    let listeners = serve::bind(&config).await.unwrap();
    let port = listeners.local_url.port.unwrap();
    let server = Server::open(config.clone(), listeners.public_url.clone()).await.unwrap();
    let lifecycle = Lifecycle::new();
    let (main, ops) = server.standalone(lifecycle.clone());
    tokio::spawn(async move { serve::run(&config, listeners, main, ops, lifecycle).await });
    port
}

async fn application(follower: Follower) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, example_resource_server::app(follower)).await });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_logged_out_is_refused_within_a_second() {
    let dir = tempfile::TempDir::new().unwrap();
    let login = jotgate(Config {
        data_dir: dir.path().to_owned(),
        listen: "127.0.0.1:0".parse().unwrap(),
        password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
        ..Config::default()
    })
    .await;
    let issuer = format!("http://127.0.0.1:{login}");
    let follower = Issuer::new(&issuer, &issuer).follow().unwrap();
    assert!(follower.ready(PATIENCE).await, "{:?}", follower.trouble(&issuer));
    let api = application(follower.clone()).await;

    let form = json!({"username": "ada", "password": "a long enough passphrase"}).to_string();
    assert_eq!(ask(login, "POST", "/auth/register", None, &form).await.0, 201);
    let (_, _, signed_in) = ask(login, "POST", "/auth/login", None, &form).await;
    let signed_in: Value = serde_json::from_str(&signed_in).unwrap();
    let token = signed_in["access_token"].as_str();

    let (status, head, _) = ask(api, "GET", "/notes", None, "").await;
    assert!(status == 401 && head.contains("www-authenticate: bearer\r\n"), "{head}");
    let (status, _, body) = ask(api, "GET", "/notes", token, "").await;
    assert_eq!((status, &*body), (200, "notes of ada"));
    assert_eq!(ask(api, "POST", "/notes/export", token, "").await.0, 200);
    let (status, _, body) = ask(api, "DELETE", "/notes", token, "").await;
    assert!(status == 403 && body.contains(r#""code":"forbidden""#), "{body}");

    let start = Instant::now();
    while follower.issuers().iter().next().unwrap().metrics().streams == 0 {
        assert!(start.elapsed() < PATIENCE, "no stream");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    assert_eq!(ask(login, "POST", "/auth/logout", token, "{}").await.0, 204);
    let (head, body) = loop {
        let (status, head, body) = ask(api, "GET", "/notes", token, "").await;
        if status != 200 {
            assert_eq!(status, 401);
            break (head, body);
        }
        assert!(start.elapsed() < PATIENCE, "still let in");
    };
    let took = start.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");
    assert!(head.contains("www-authenticate: bearer error=\"invalid_token\""), "{head}");
    assert!(body.contains(r#""code":"revoked""#), "{body}");
}
