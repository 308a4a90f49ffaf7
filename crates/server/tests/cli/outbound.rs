//! What the program asks of others, where the environment names a proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use super::program::Place;

const PROXIES: [&str; 6] =
    ["ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"];

/// Answers everybody with this, and keeps what they said first.
fn listener(answer: &'static str) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let heard: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            kept.lock().unwrap().push(whole(&mut stream));
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, heard)
}

/// A request with its body: it may come in parts, and one that is not read to its end costs the answer.
fn whole(stream: &mut TcpStream) -> String {
    let (mut said, mut part) = (String::new(), [0; 8192]);
    loop {
        if let Some((head, body)) = said.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return said;
            }
        }
        match stream.read(&mut part) {
            Ok(read) if read > 0 => said.push_str(&String::from_utf8_lossy(&part[..read])),
            _ => return said,
        }
    }
}

/// `jotgate webhook test` with a webhook at this address, and every variable that names a proxy.
fn send(url: &str, proxy: SocketAddr, more: &[(&str, &str)]) -> i32 {
    let place = Place::new();
    let secret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    place.write("jotgate.toml", &format!("[webhooks.app]\nurl = \"{url}\"\nsecret = \"{secret}\"\n"));
    place.run(&["migrate"]);
    place.run_with_input(&["user", "add", "ann", "--password-stdin"], "a long enough passphrase\n").exits(0);
    let proxy = format!("http://{proxy}");
    let named: Vec<_> = PROXIES.iter().map(|name| (*name, proxy.as_str())).collect();
    let run = place.run_with(&[&named, more].concat(), &["webhook", "test", "app"]);
    assert!(!run.err.contains("canary"), "{}", run.err);
    run.code
}

#[test]
fn what_is_for_this_machine_never_goes_to_a_proxy() {
    let (proxy, heard) = listener("HTTP/1.1 502 Proxy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let (receiver, taken) = listener("HTTP/1.1 204 Taken\r\nconnection: close\r\n\r\n");
    for host in ["127.0.0.1", "localhost"] {
        let code = send(&format!("http://{host}:{}/canary", receiver.port()), proxy, &[]);
        assert_eq!(*heard.lock().unwrap(), [""; 0], "{host}");
        assert_eq!(code, 0, "{host}");
    }
    assert_eq!(taken.lock().unwrap().len(), 2);
}

#[test]
fn https_goes_by_the_proxy_which_learns_the_host_only() {
    let (proxy, heard) = listener("HTTP/1.1 502 Proxy\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let url = "https://hooks.example.invalid/canary";
    assert_ne!(send(url, proxy, &[]), 0);
    let said = heard.lock().unwrap().clone();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("CONNECT hooks.example.invalid:443 HTTP/1.1\r\n"), "{said:?}");
    assert!(!said[0].contains("canary"), "{said:?}");

    // Unless it is told not to.
    assert_ne!(send(url, proxy, &[("NO_PROXY", ".example.invalid")]), 0);
    assert_eq!(heard.lock().unwrap().len(), 1);
}
