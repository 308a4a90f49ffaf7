//! A follower that does not read is dropped, takes nothing from anybody meanwhile, and misses nothing when it is back.

use std::collections::{BTreeMap, HashSet};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use jotgate::edge::Edge;
use jotgate::store::Sqlite;
use jotgate_domain::name::Username;
use jotgate_domain::session::{FIRST_PARTY, RefreshState};
use jotgate_domain::{Change, Session, SessionId, Store as _, User, UserId};
use uuid::Uuid;

use super::operate::Server;
use super::program::Place;

/// More than sockets hold: some 25 MB of events.
const ENDED: u32 = 200_000;
const AT_ONCE: u32 = 2_000;

/// A database in which so many sessions ended just now.
async fn fill(place: &Place) {
    let now = Edge::system().now();
    let data = place.path().join("jotgate-data");
    let store = Sqlite::open(&data.join("jotgate.db"), now).unwrap();
    let user = UserId(Uuid::from_u128(7));
    let ada = User {
        id: user,
        username: Username::parse("ada").unwrap(),
        email: None,
        email_verified_at: None,
        password_hash: None,
        password_changed_at: None,
        roles: Vec::new(),
        claims: BTreeMap::new(),
        created_at: now,
        disabled_at: None,
        version: 1,
    };
    store.apply(vec![Change::CreateUser(ada)], Vec::new()).await.unwrap();
    let later = now.plus(Duration::from_secs(600));
    for first in (0..ENDED).step_by(AT_ONCE as usize) {
        let changes = (first..first + AT_ONCE).flat_map(|number| {
            let mut handle = [0; 32];
            handle[..4].copy_from_slice(&number.to_be_bytes());
            let session = Session {
                id: SessionId(Uuid::from_u128(u128::from(number) << 32 | 9)),
                user_id: user,
                client_id: FIRST_PARTY.to_owned(),
                scope: String::new(),
                refresh: RefreshState::new(handle),
                status: None,
                access_until: later,
                created_at: now,
                authenticated_at: now,
                last_used_at: now,
                idle_until: later,
                expires_at: later,
                address: String::new(),
                user_agent: String::new(),
            };
            let id = session.id;
            [Change::StartSession { session, max_per_user: 100 }, Change::EndSession(id)]
        });
        store.apply(changes.collect(), Vec::new()).await.unwrap();
    }
}

/// Asks for the stream, in a form of HTTP whose body needs no taking apart.
fn follow(server: &Server, since: Option<&str>) -> TcpStream {
    let host = server.url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let since = since.map_or_else(String::new, |id| format!("Last-Event-ID: {id}\r\n"));
    let head =
        format!("GET /auth/revocations HTTP/1.0\r\nHost: {host}\r\nAccept: text/event-stream\r\n{since}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    stream
}

/// Reads until the stream ends or says that this is all; the whole events of it.
fn read(stream: &mut TcpStream, mut text: Vec<u8>) -> String {
    let mut part = [0; 1 << 16];
    while !text.ends_with(b"\n\n") || !String::from_utf8_lossy(tail(&text)).contains("event: alive") {
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(read) => text.extend(&part[..read]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
            Err(error) => panic!("{error}"),
        }
    }
    let end = text.windows(2).rposition(|two| two == b"\n\n").map_or(0, |at| at + 2);
    String::from_utf8(text[..end].to_vec()).unwrap()
}

fn tail(text: &[u8]) -> &[u8] {
    &text[text.len().saturating_sub(200)..]
}

/// The entries, and the last place.
fn entries(text: &str) -> (HashSet<u64>, Option<&str>) {
    let number = |line: &str| {
        let data: serde_json::Value = serde_json::from_str(line.strip_prefix("data: ")?).ok()?;
        data["idx"].as_u64()
    };
    (text.lines().filter_map(number).collect(), text.lines().rev().find_map(|line| line.strip_prefix("id: ")))
}

#[test]
fn a_follower_that_does_not_read_is_dropped_and_catches_up_without_a_gap() {
    let place = Place::new();
    tokio::runtime::Runtime::new().unwrap().block_on(fill(&place));
    let server = Server::at(place, &[]);
    let mut slow = follow(&server, None);
    let mut text = vec![0; 4096];
    slow.read_exact(&mut text).unwrap();

    // Others are served meanwhile.
    let begun = Instant::now();
    let all = read(&mut follow(&server, None), Vec::new());
    let (all, _) = entries(&all);
    assert_eq!(all.len(), ENDED as usize);
    // Half a minute without taking anything.
    while begun.elapsed() < Duration::from_secs(33) {
        assert_eq!(server.ask("GET", "/healthz", None, None).0, 200);
        std::thread::sleep(Duration::from_secs(1));
    }
    let text = read(&mut slow, text);
    let (first, last) = entries(&text);
    assert!(first.len() < all.len(), "it was dropped with {} of {} entries", first.len(), all.len());

    let rest = read(&mut follow(&server, last), Vec::new());
    assert!(!rest.contains("event: reset"), "its place was kept");
    let (rest, _) = entries(&rest);
    assert!(rest.is_disjoint(&first), "nothing twice");
    assert_eq!(first.len() + rest.len(), all.len(), "and nothing missed");
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 256 * 1024, "{peak} kB: what a follower has not read is not kept for it");
}
