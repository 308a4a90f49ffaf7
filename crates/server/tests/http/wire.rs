//! What arrives on the wire: requests that two readers would cut differently, sizes, connections kept.

use tokio::io::AsyncWriteExt;

use super::support::{Request, Server, read_answer, resident};

#[tokio::test]
async fn a196_ambiguous_framing_is_400_and_ends_the_connection() {
    let server = Server::start().await;
    let host = server.host();
    let smuggled = format!("GET /auth/me HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for head in [
        format!(
            "POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n"
        ),
        format!(
            "POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n"
        ),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: xchunked\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding: chunked, identity\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ntransfer-encoding : chunked\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ncontent-length: 5\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ncontent-length: 5\r\ncontent-length: 6\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\ncontent-length: +5\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\nx-folded: a\r\n b\r\ncontent-length: 5\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\nx\0y: z\r\n"),
        format!("POST http://evil.example/auth/logout HTTP/1.1\r\nhost: {host}\r\n"),
        format!("POST /auth/logout HTTP/1.1\r\nhost: {host}\r\nhost: evil.example\r\n"),
        "POST /auth/logout HTTP/1.1\r\n".to_owned(),
    ] {
        let text = server.send_raw(format!("{head}\r\n0\r\n\r\n{smuggled}").as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 400 "), "{head:?}: {text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 1, "nothing more is answered: {head:?}: {text}");
    }
    // The same in absolute form with the right host, in chunks, and in lengths, is fine.
    for good in [
        format!("POST http://{host}/auth/logout HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        format!(
            "POST /auth/logout HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n"
        ),
    ] {
        let text = server.send_raw(good.as_bytes()).await;
        assert!(text.starts_with("HTTP/1.1 204 "), "{text}");
    }
}

#[tokio::test]
async fn a196_a_flaw_behind_good_requests_ends_with_it() {
    let server = Server::start().await;
    let host = server.host();
    let good = format!("GET /auth/me HTTP/1.1\r\nhost: {host}\r\n\r\n");
    let bad = format!(
        "POST /auth/me HTTP/1.1\r\nhost: {host}\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let text = server.send_raw(format!("{good}{good}{bad}0\r\n\r\n{good}").as_bytes()).await;
    let statuses: Vec<_> = text.match_indices("HTTP/1.1 ").map(|(at, _)| &text[at + 9..at + 12]).collect();
    assert_eq!(statuses, ["200", "200", "400"]);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let server = Server::start().await;
    let mut stream = server.connect().await;
    for n in 0..50 {
        let request = Request::post("/auth/login").json(&format!("{{\"username\":\"u{n}\"}}"));
        stream.write_all(&request.bytes(&server.host())).await.unwrap();
        assert_eq!(read_answer(&mut stream).await.unwrap().body, format!("hello u{n}"));
    }
}

#[tokio::test]
async fn a56_a197_a_body_too_large_is_answered_though_the_client_goes_on_sending() {
    let server = Server::start().await;
    let before = resident();
    let mut stream = server.connect().await;
    let length = 100 * 1024 * 1024;
    let head = format!(
        "POST /auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n\
         {{\"username\":\"",
        server.host()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sending = tokio::spawn(async move {
        let piece = vec![b'x'; 64 * 1024];
        for _ in 0..length / piece.len() {
            if write.write_all(&piece).await.is_err() {
                break;
            }
        }
    });
    let mut text = Vec::new();
    use tokio::io::AsyncReadExt;
    let _ = read.read_to_end(&mut text).await;
    let text = String::from_utf8_lossy(&text);
    assert!(text.starts_with("HTTP/1.1 413 ") && text.contains("\"code\":\"body_too_large\""), "{text}");
    sending.abort();
    assert!(resident().saturating_sub(before) < 64 * 1024, "KiB: {before} to {}", resident());

    // A client that asks first is not told to go on.
    let ask = format!(
        "POST /auth/login HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\
         expect: 100-continue\r\n\r\n",
        server.host()
    );
    let text = server.send_raw(ask.as_bytes()).await;
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");

    let mut packed = Request::post("/auth/login").json("{}");
    packed.headers.push(("content-encoding", "gzip".into()));
    assert_eq!(server.send(packed).await.status, 415);
}

#[tokio::test]
async fn a210_bytes_that_are_not_http_end_with_the_connection_only() {
    let server = Server::start().await;
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"\0\0\0\0\0\0\0\0",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"\xff\xfe\xfd\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, really not",
    ] {
        let mut stream = server.connect().await;
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        let text = {
            use tokio::io::AsyncReadExt;
            let mut text = Vec::new();
            let _ = stream.read_to_end(&mut text).await;
            String::from_utf8_lossy(&text).into_owned()
        };
        assert!(!text.starts_with("HTTP/1.1 2") && !text.starts_with("HTTP/1.1 5"), "{bytes:?}: {text}");
    }
    assert_eq!(server.send(Request::get("/auth/me")).await.status, 200);
}

#[tokio::test]
async fn http1_without_a_host_field_is_for_1_0_only() {
    let server = Server::start().await;
    let text = server.send_raw(b"GET /auth/me HTTP/1.0\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200"), "{text}");
}
