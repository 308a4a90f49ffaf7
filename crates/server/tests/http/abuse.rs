//! Clients that mean harm: slow ones, and floods of HTTP/2 frames.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::support::{Request, Server, read_answer, resident};

/// One request is answered, and at once.
async fn assert_serves(server: &Server) {
    let began = Instant::now();
    assert_eq!(server.send(Request::get("/auth/me")).await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// Whether the server ends the connection, within `wait`.
async fn ends(stream: &mut TcpStream, wait: Duration) -> bool {
    let mut space = [0; 1024];
    let all = async { while matches!(stream.read(&mut space).await, Ok(n) if n > 0) {} };
    tokio::time::timeout(wait, all).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a194_slow_connections_end_and_keep_nobody_out() {
    let server = Server::start().await;
    let began = Instant::now();
    let mut slow = Vec::new();
    for n in 0..600 {
        let mut stream = server.connect().await;
        match n % 3 {
            0 => {}
            1 => stream.write_all(b"GET /auth/me HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap(),
            _ => stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap(),
        }
        slow.push(stream);
    }
    // A body that does not come, and a second head that does not end, on connections that were good before.
    let mut body = server.connect().await;
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{{",
        server.host()
    );
    body.write_all(head.as_bytes()).await.unwrap();
    let mut second = server.connect().await;
    second.write_all(&Request::get("/auth/me").bytes(&server.host())).await.unwrap();
    assert_eq!(read_answer(&mut second).await.unwrap().status, 200);
    second.write_all(b"GET /auth/me HT").await.unwrap();
    let mut kept = server.connect().await;
    kept.write_all(&Request::get("/auth/me").bytes(&server.host())).await.unwrap();
    assert_eq!(read_answer(&mut kept).await.unwrap().status, 200);

    while began.elapsed() < Duration::from_secs(9) {
        assert_serves(&server).await;
        for stream in slow.iter_mut().skip(1).step_by(3) {
            let _ = stream.write_all(b"x").await;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let answer = read_answer(&mut body).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_timeout"));
    for stream in &mut slow {
        assert!(ends(stream, Duration::from_secs(5)).await, "after {:?}", began.elapsed());
    }
    assert!(ends(&mut second, Duration::from_secs(5)).await);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    kept.write_all(&Request::get("/auth/me").bytes(&server.host())).await.unwrap();
    assert_eq!(read_answer(&mut kept).await.unwrap().status, 200, "one that is merely idle is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a195_rapid_reset_is_cut_off() {
    let server = Server::start().await;
    let (client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    let connection = tokio::spawn(connection);
    let mut client = client.ready().await.unwrap();
    let mut sent = 0;
    for _ in 0..20_000 {
        let request = http::Request::get(format!("http://{}/auth/slow", server.host())).body(()).unwrap();
        let Ok(ready) = client.clone().ready().await else { break };
        client = ready;
        let Ok((_, mut stream)) = client.send_request(request, true) else { break };
        stream.send_reset(h2::Reason::CANCEL);
        sent += 1;
        if sent % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let ended = tokio::time::timeout(Duration::from_secs(5), connection).await.expect("cut off").unwrap();
    assert_eq!(ended.unwrap_err().reason(), Some(h2::Reason::ENHANCE_YOUR_CALM));
    assert_serves(&server).await;
}

/// Frames of HTTP/2 (RFC 9113 §4.1), written by hand.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// `:method: POST`, `:scheme: http`, `:path: /auth/login`, `:authority: x`, `content-type: application/json`.
fn post() -> Vec<u8> {
    let mut block = vec![0x83, 0x86, 0x04, 11];
    block.extend(b"/auth/login");
    block.extend([0x01, 1, b'x', 0x0f, 16, 16]);
    block.extend(b"application/json");
    block
}

/// Sends the flood until the server ends the connection, or `most` bytes are through; true: it was ended.
async fn flood(server: &Server, first: &[u8], again: &[u8], most: usize) -> bool {
    let stream = server.connect().await;
    let (mut read, mut write) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut space = vec![0; 64 * 1024];
        while matches!(read.read(&mut space).await, Ok(n) if n > 0) {}
    });
    let mut taken = 0;
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[]), first].concat();
    write.write_all(&preface).await.unwrap();
    let piece = again.repeat((64 * 1024 / again.len()).max(1));
    let mut ended = false;
    while taken < most && !ended {
        match tokio::time::timeout(Duration::from_secs(15), write.write_all(&piece)).await {
            Ok(Ok(())) => taken += piece.len(),
            _ => ended = true,
        }
    }
    drop(write);
    let _ = tokio::time::timeout(Duration::from_secs(15), reading).await;
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn a195_floods_of_frames_are_bounded() {
    let server = Server::start().await;
    let before = resident();

    let open = frame(HEADERS, 0, 1, &post());
    let more = frame(CONTINUATION, 0, 1, &[0x00, 1, b'x', 1, b'y'].repeat(100));
    let began = Instant::now();
    assert!(flood(&server, &open, &more, usize::MAX).await, "CONTINUATION without end is cut off");
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_serves(&server).await;

    // Headers that say little and unpack to much (indexed from the dynamic table).
    let mut large = vec![0x40, 1, b'x', 0x7f, 0x81, 0x1e];
    large.extend([b'y'; 4000]);
    let mut bomb = post();
    bomb.extend(large);
    bomb.extend([0xbe; 12_000]);
    flood(&server, &frame(HEADERS, END_HEADERS, 1, &bomb), &frame(PING, 0, 0, &[0; 8]), 1024).await;
    assert_serves(&server).await;

    let request = frame(HEADERS, END_HEADERS, 1, &post());
    for (name, first, again) in [
        ("empty DATA", &request[..], frame(DATA, 0, 1, &[])),
        ("SETTINGS", &[], frame(SETTINGS, 0, 0, &[])),
        ("PING", &[], frame(PING, 0, 0, &[0; 8])),
    ] {
        let began = Instant::now();
        let flooding = flood(&server, first, &again, 9_000_000);
        let serving = async {
            for _ in 0..10 {
                assert_serves(&server).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::join!(flooding, serving);
        assert!(began.elapsed() < Duration::from_secs(40), "{name}: {:?}", began.elapsed());
        assert_serves(&server).await;
    }
    assert!(resident().saturating_sub(before) < 64 * 1024, "KiB: {before} to {}", resident());
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_without_tls_is_served_by_the_same_rules() {
    let server = Server::start().await;
    let (mut client, connection) = h2::client::handshake(server.connect().await).await.unwrap();
    tokio::spawn(connection);
    let url = format!("http://{}/auth/me", server.host());
    let mut ask = async |cookies: &[&str], host: Option<&str>| {
        let mut request = http::Request::get(&url);
        for cookie in cookies {
            request = request.header("cookie", *cookie);
        }
        if let Some(host) = host {
            request = request.header("host", host);
        }
        let (response, _) = client.send_request(request.body(()).unwrap(), true).unwrap();
        let response = response.await.unwrap();
        let status = response.status().as_u16();
        assert!(response.headers().contains_key("x-request-id"));
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(data) = body.data().await {
            text.extend_from_slice(&data.unwrap());
        }
        (status, String::from_utf8(text).unwrap())
    };
    // Several Cookie fields are one string (RFC 9113 §8.2.3).
    let crumbs = ask(&["jwt=a", "x=y", "jwt_session=b"], None).await;
    assert_eq!(crumbs, (200, "cookie Some(\"a\") Some(\"b\")".into()));
    assert_eq!(ask(&["jwt=a", "jwt=b"], None).await.0, 400);
    assert_eq!(ask(&[], Some("evil.example")).await.0, 400);
    assert_eq!(ask(&[], Some(&server.host())).await.0, 200);
    let large = "x".repeat(40_000);
    assert_eq!(ask(&[&large], None).await.0, 431);
}
