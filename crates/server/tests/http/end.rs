//! The end of a server, and addresses.

use std::time::{Duration, Instant};

use jotgate::config::{Config, Ops};
use jotgate::serve;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::support::{Request, Server, read_answer};

#[tokio::test(flavor = "multi_thread")]
async fn a209_what_is_in_flight_finishes_streams_end_and_idle_connections_close() {
    let server = Server::start().await;
    let mut idle = server.connect().await;
    idle.write_all(&Request::get("/auth/me").bytes(&server.host())).await.unwrap();
    assert_eq!(read_answer(&mut idle).await.unwrap().status, 200);

    let mut slow = server.connect().await;
    slow.write_all(&Request::get("/auth/slow").bytes(&server.host())).await.unwrap();
    let mut stream = server.connect().await;
    stream.write_all(&Request::get("/auth/stream").bytes(&server.host())).await.unwrap();
    let mut first = [0; 1024];
    let read = stream.read(&mut first).await.unwrap();
    assert!(first[..read].starts_with(b"HTTP/1.1 200"));
    let (mut client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("http://{}/auth/slow", server.host())).body(()).unwrap();
    let slow2 = client.send_request(request, true).unwrap().0;
    tokio::time::sleep(Duration::from_millis(300)).await;

    let began = Instant::now();
    server.lifecycle.stop();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    stream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "a whole body: {}", String::from_utf8_lossy(&rest));
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "accepts nothing more");
    let answer = read_answer(&mut slow).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "at last"));
    assert_eq!(slow2.await.unwrap().status(), 200);
    drop(client);
    server.serving.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test]
async fn what_cannot_be_bound_names_the_key_and_the_fix() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config { listen: taken.local_addr().unwrap(), ..Config::default() };
    let error = serve::bind(&config).await.unwrap_err().to_string();
    assert!(
        error.starts_with("listen = \"127.0.0.1:") && error.contains("another program listens there"),
        "{error}"
    );

    let listen = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen, ops: Ops::Own(taken.local_addr().unwrap()), ..Config::default() };
    let error = serve::bind(&config).await.unwrap_err().to_string();
    assert!(error.starts_with("ops.listen = "), "{error}");

    let config = Config { listen: "203.0.113.1:0".parse().unwrap(), ..Config::default() };
    let error = serve::bind(&config).await.unwrap_err().to_string();
    assert!(error.contains("no such address"), "{error}");
}

#[tokio::test]
async fn a207_operations_have_a_listener_of_their_own_where_one_is_set() {
    let any = "127.0.0.1:0".parse().unwrap();
    let config = Config { listen: any, ops: Ops::Own(any), ..Config::default() };
    let listeners = serve::bind(&config).await.unwrap();
    let (main, ops) = (listeners.local_url.to_string(), listeners.ops_url.clone().unwrap().to_string());
    assert_ne!(main, ops);
    assert_eq!(listeners.public_url.to_string(), main, "public_url follows the port");
    let answer =
        |text: &'static str| axum::Router::new().route("/", axum::routing::get(move || async move { text }));
    let lifecycle = serve::Lifecycle::new();
    let serving = tokio::spawn({
        let lifecycle = lifecycle.clone();
        async move { serve::run(&config, listeners, answer("main"), Some(answer("ops")), lifecycle).await }
    });
    for (url, text) in [(main, "main"), (ops, "ops")] {
        let host = url.strip_prefix("http://").unwrap();
        let mut stream = tokio::net::TcpStream::connect(host).await.unwrap();
        stream.write_all(&Request::get("/").bytes(host)).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.unwrap().body, text);
    }
    lifecycle.stop();
    serving.await.unwrap().unwrap();
}
