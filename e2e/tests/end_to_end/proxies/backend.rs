//! An application that says what it was asked: each request comes back as JSON, with every header as it came. A
//! WebSocket's handshake (RFC 6455 §4.2.2) is taken, and what is sent after it comes back.

use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

pub(super) struct Backend {
    pub(super) address: String,
}

impl Backend {
    /// Serves until the process ends.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                std::thread::spawn(move || serve(stream));
            }
        });
        Self { address }
    }
}

/// One connection to its end; a proxy keeps it for several requests.
fn serve(stream: TcpStream) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let (method, target) = line
            .trim_end()
            .strip_suffix(" HTTP/1.1")
            .or(line.trim_end().strip_suffix(" HTTP/1.0"))?
            .split_once(' ')?;
        let mut headers: Vec<(String, String)> = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let one = |name: &str| {
            headers.iter().find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
        };
        if let Some(key) = one("sec-websocket-key").filter(|_| one("upgrade").is_some()) {
            let accept = accept_of(key);
            write!(writer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Seen-User: {}\r\n\r\n", one("x-auth-username").unwrap_or("")).ok()?;
            std::io::copy(&mut reader, &mut writer).ok()?;
            return None;
        }
        let length = one("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let pairs: Vec<Value> = headers.iter().map(|(name, value)| json!([name, value])).collect();
        let answer =
            json!({"backend": true, "method": method, "target": target, "headers": pairs}).to_string();
        let shown = if method == "HEAD" { "" } else { answer.as_str() };
        write!(
            writer,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{shown}",
            answer.len()
        )
        .ok()?;
    }
}

fn accept_of(key: &str) -> String {
    use base64::Engine as _;
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(digest)
}
