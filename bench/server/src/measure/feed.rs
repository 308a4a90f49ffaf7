//! How soon everybody who follows the feed knows of a logout, and what telling them takes.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::{CLIENTS, LIGHT_HASH, ROTATING};
use crate::Settings;
use crate::clients::{Logout, Refresh};
use crate::fill::{self, Amount};
use crate::load::{Client as _, closed, once};
use crate::program::Outcome;
use crate::report::{Bar, Figures, Part, Row};

/// How long a follower waits for what it has not heard.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    let (followers, logouts) = if settings.quick { (50, 5) } else { (1000, 20) };
    // A connection each, here and in the server, which inherits this.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let sessions = u32::try_from(logouts * settings.rounds)?;
    let amount = Amount { users: sessions, sessions, revocations: 0 };
    let (jotgate, filled) = fill::sqlite(&settings.binary, &[ROTATING, LIGHT_HASH], amount).await?;
    let sessions: Vec<_> = (0..sessions).map(|place| filled.session(place)).collect();
    // Each is refreshed at least once, for its access token.
    let (_, clients) =
        closed(jotgate.address, Refresh::shared(&sessions, CLIENTS), settings.round * 3).await?;
    let mut ending = Logout::together(&clients);

    let [mut p50, mut p99] = ["ms, p50", "ms, p99"]
        .map(|unit| Figures::new("from the answer to a logout until a follower has it", unit));
    let mut cpu = Figures::new("processor time of the server to tell one follower of one logout", "µs");
    for _ in 0..settings.rounds {
        let mut following = Vec::with_capacity(followers);
        for _ in 0..followers {
            following.push(follow(jotgate.address, logouts).await?);
        }
        let (before, mut ended_at) = (jotgate.cpu_seconds()?, Vec::new());
        for _ in 0..logouts {
            let mut request = Vec::new();
            if !ending.ask(&mut request) {
                return Err("no session is left to be ended".into());
            }
            let (status, _) = once(jotgate.address, &request).await?;
            if status != 204 {
                return Err(format!("logout: {status}").into());
            }
            ended_at.push(Instant::now());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut micros = Vec::new();
        for follower in following {
            let heard_at = tokio::time::timeout(PATIENCE, follower).await???;
            micros.extend(heard_at.iter().zip(&ended_at).map(|(heard, ended)| {
                u32::try_from(heard.saturating_duration_since(*ended).as_micros()).unwrap_or(u32::MAX)
            }));
        }
        micros.sort_unstable();
        let at = |hundredth: usize| {
            micros.get((micros.len() - 1) * hundredth / 100).map_or(f64::NAN, |m| f64::from(*m) / 1e3)
        };
        p50.add(at(50));
        p99.add(at(99));
        let told = f64::from(u32::try_from(followers * logouts)?);
        cpu.add((jotgate.cpu_seconds()? - before) * 1e6 / told);
    }
    let memory = jotgate.resident_mib()?;
    let note = format!("{followers} followers on the cores of the server");
    let rows = vec![
        Row::figure(
            "logout until a follower has it, p99",
            p99.median(),
            "ms",
            Some(Bar::AtMost(100.0)),
            &note,
        ),
        Row::figure("memory with them", memory, "MiB", None, "resident"),
    ];
    let about = format!(
        "{followers} programs hold `GET /auth/revocations` open as an event stream; ten logouts a second, {logouts} a \
         round."
    );
    Ok(Part { name: "feed", title: "Revocation feed", about, rows, figures: vec![p50, p99, cpu] })
}

/// Follows from now on, until it heard of so many; the instants at which it did.
async fn follow(address: SocketAddr, count: usize) -> Outcome<JoinHandle<Outcome<Vec<Instant>>>> {
    let page = once(address, b"GET /auth/revocations HTTP/1.1\r\nhost: localhost\r\n\r\n").await?.1;
    let page: serde_json::Value = serde_json::from_slice(&page)?;
    let cursor = page.get("cursor").and_then(serde_json::Value::as_str).ok_or("no cursor")?;
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "GET /auth/revocations?since={cursor} HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut read = vec![0; 16 * 1024];
    // Until the first word.
    loop {
        let length = stream.read(&mut read).await?;
        let said = read.get(..length).filter(|said| !said.is_empty()).ok_or("the stream ended")?;
        if memchr::memmem::find(said, b"event: alive").is_some() {
            break;
        }
    }
    Ok(tokio::spawn(async move {
        let mut heard = Vec::with_capacity(count);
        while heard.len() < count {
            let length = stream.read(&mut read).await?;
            let said = read.get(..length).filter(|said| !said.is_empty()).ok_or("the stream ended")?;
            let now = Instant::now();
            heard.extend(memchr::memmem::find_iter(said, b"event: revoked").map(|_| now));
        }
        Ok(heard)
    }))
}
