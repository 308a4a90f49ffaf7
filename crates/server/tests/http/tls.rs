//! HTTPS in the server itself.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jotgate::config;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::support::{Request, Server, read_answer};

struct Certificate {
    pem: String,
    key: String,
    der: rustls::pki_types::CertificateDer<'static>,
}

fn certificate() -> Certificate {
    let made =
        rcgen::generate_simple_self_signed(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    Certificate { pem: made.cert.pem(), key: made.signing_key.serialize_pem(), der: made.cert.der().clone() }
}

fn write(dir: &Path, certificate: &Certificate) {
    std::fs::write(dir.join("cert.pem"), &certificate.pem).unwrap();
    std::fs::write(dir.join("key.pem"), &certificate.key).unwrap();
}

async fn start(certificate: &Certificate) -> (Server, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), certificate);
    let tls = config::Tls { cert: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    (Server::with(|config| config.tls = Some(tls)).await, dir)
}

/// A handshake that trusts this certificate and no other.
async fn handshake(
    server: &Server,
    trusted: &Certificate,
    protocols: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, server.connect().await).await
}

#[tokio::test]
async fn https_speaks_both_versions_and_marks_its_cookies() {
    let certificate = certificate();
    let (server, _dir) = start(&certificate).await;
    for protocols in [&["http/1.1"][..], &[]] {
        let mut stream = handshake(&server, &certificate, protocols).await.unwrap();
        let request = Request::post("/auth/login").json(r#"{"username":"ada"}"#);
        stream.write_all(&request.bytes(&server.host())).await.unwrap();
        let answer = read_answer(&mut stream).await.unwrap();
        assert_eq!(answer.body, "hello ada");
        let cookie = answer.header("set-cookie").unwrap();
        assert!(cookie.starts_with("__Host-jwt=a.b.c; Path=/; Max-Age=600; Secure; HttpOnly"), "{cookie}");
    }
    let stream = handshake(&server, &certificate, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::get(format!("https://{}/auth/me", server.host())).body(()).unwrap();
    let response = client.send_request(request, true).unwrap().0.await.unwrap();
    assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls_is_told_where_to_go() {
    let (server, _dir) = start(&certificate()).await;
    let page = server.send(Request::get("/login?x=y")).await;
    let expected = format!("https://{}/login?x=y", server.host());
    assert_eq!((page.status, page.header("location")), (308, Some(expected.as_str())));
    let secret = server.send(Request::post("/auth/login").json(r#"{"username":"ada"}"#)).await;
    assert_eq!((secret.status, secret.header("location")), (400, None), "not sent again by itself");
    assert!(secret.code() == "invalid_request" && secret.body.contains("HTTPS only"));
    let spoofed = server.send(Request::get("/").header("host", "evil.example")).await;
    assert_eq!(spoofed.header("location"), Some(format!("https://{}/", server.host()).as_str()));
    for junk in [&b"\0\0\0"[..], b"lower", b"\x16\x03\x01\x00\x02xx"] {
        assert!(!server.send_raw(junk).await.starts_with("HTTP/1.1 2"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let (first, second) = (certificate(), certificate());
    let (server, dir) = start(&first).await;
    let mut open = handshake(&server, &first, &["http/1.1"]).await.unwrap();

    write(dir.path(), &second);
    let mut tries = 0;
    while handshake(&server, &second, &[]).await.is_err() {
        tries += 1;
        assert!(tries < 60, "not taken within 6 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(handshake(&server, &first, &[]).await.is_err(), "the old one is gone");
    open.write_all(&Request::get("/auth/me").bytes(&server.host())).await.unwrap();
    assert_eq!(read_answer(&mut open).await.unwrap().status, 200, "who was connected stays so");

    // A certificate without its key, cut files, no file: the one in use stays.
    for (cert, key) in [
        (Some(first.pem.as_str()), Some(second.key.as_str())),
        (Some(&first.pem[..100]), Some(first.key.as_str())),
        (Some(""), Some("")),
        (None, None),
    ] {
        for (name, text) in [("cert.pem", cert), ("key.pem", key)] {
            match text {
                Some(text) => std::fs::write(dir.path().join(name), text).unwrap(),
                None => std::fs::remove_file(dir.path().join(name)).unwrap(),
            }
        }
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert!(handshake(&server, &second, &[]).await.is_ok());
    }
    write(dir.path(), &first);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(handshake(&server, &first, &[]).await.is_ok(), "and the next good one is taken again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a194_a_handshake_that_does_not_go_on_ends() {
    let certificate = certificate();
    let (server, _dir) = start(&certificate).await;
    let mut silent = server.connect().await;
    let mut halfway = server.connect().await;
    halfway.write_all(b"\x16\x03\x01\x02\x00\x01").await.unwrap();
    let mut shaken = handshake(&server, &certificate, &["http/1.1"]).await.unwrap();
    for _ in 0..9 {
        assert!(handshake(&server, &certificate, &[]).await.is_ok());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    use tokio::io::AsyncReadExt;
    let wait = Duration::from_secs(4);
    let mut byte = [0; 64];
    for stream in [&mut silent, &mut halfway] {
        let read = tokio::time::timeout(wait, stream.read(&mut byte)).await.expect("ended");
        assert!(!matches!(read, Ok(n) if n > 0));
    }
    let read = tokio::time::timeout(wait, shaken.read(&mut byte)).await.expect("ended");
    assert!(!matches!(read, Ok(n) if n > 0));
}
