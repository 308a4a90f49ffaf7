//! Issuers that answer what they should not, and tokens that ask for what they should not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_jose::{Algorithm, Error, KeySet, SigningKey};
use jotgate_verify::follow::{Failure, Follower, Issuer};
use jotgate_verify::{Metrics, Refusal, Staleness};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::LocalSet;

/// Machines are busy; what is awaited is awaited this long.
const PATIENCE: Duration = Duration::from_secs(60);
const AUDIENCE: &str = "https://api.example";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// What an issuer answers a request with.
#[derive(Clone)]
enum Answer {
    /// This, and the connection is closed.
    Whole(Vec<u8>),
    /// This, and nothing more ever.
    Open(Vec<u8>),
    /// The same after each tenth of a second.
    Drip(Vec<u8>, Vec<u8>),
}

/// Answers each request as it is told to. Its port, and how often it was asked.
async fn serve(answer: impl Fn(&str, u16) -> Answer + Send + 'static) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            count.fetch_add(1, Ordering::SeqCst);
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            let answer = answer(&String::from_utf8_lossy(&request[..length]), port);
            tokio::spawn(async move {
                let (Answer::Whole(bytes) | Answer::Open(bytes) | Answer::Drip(bytes, _)) = &answer;
                let mut sent = stream.write_all(bytes).await;
                while let (Ok(()), Answer::Drip(_, more)) = (&sent, &answer) {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    sent = stream.write_all(more).await;
                }
                if let Answer::Open(_) = answer {
                    std::future::pending::<()>().await;
                }
            });
        }
    });
    (port, asked)
}

fn ok(body: &str) -> Answer {
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nCache-Control: max-age=0\r\n\r\n", body.len());
    Answer::Whole((head + body).into())
}

fn stream(events: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{events}").into()
}

fn page(as_of: u64, entries: &str) -> Answer {
    ok(&format!(r#"{{"cursor":"c","as_of":{as_of},"entries":[{entries}]}}"#))
}

fn redirect(port: u16) -> Answer {
    let to = format!("Location: http://127.0.0.1:{port}/\r\nContent-Length: 0\r\n\r\n");
    Answer::Whole(format!("HTTP/1.1 302 Found\r\n{to}").into())
}

/// A good issuer but for what `other` answers.
async fn issuer(key: &SigningKey, other: impl Fn(&str) -> Option<Answer> + Send + 'static) -> String {
    let jwks = KeySet::from(key.verifying_key()).to_json();
    let (port, _) = serve(move |request, port| {
        let path = request.split(' ').nth(1).unwrap_or_default();
        let at = |path: &str| format!("http://127.0.0.1:{port}{path}");
        if let Some(answer) = other(request) {
            return answer;
        }
        match path.split('?').next().unwrap_or_default() {
            "/.well-known/oauth-authorization-server" => {
                ok(&json!({"issuer": at(""), "jwks_uri": at("/keys"),
                "revocation_feed_endpoint": at("/feed")})
                .to_string())
            }
            "/keys" => ok(&jwks),
            "/feed" if request.contains("text/event-stream") => {
                Answer::Open(stream(&format!("event: alive\ndata: {{\"as_of\":{}}}\n\n", now())))
            }
            "/feed" => page(now(), ""),
            _ => Answer::Whole(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n".into()),
        }
    })
    .await;
    format!("http://127.0.0.1:{port}")
}

fn token(key: &SigningKey, issuer: &str) -> String {
    let now = now();
    let payload = json!({"iss": issuer, "sub": "ada", "aud": AUDIENCE, "exp": now + 600, "iat": now, "jti": "1",
        "client_id": "web", "status": {"status_list": {"idx": 1, "uri": format!("{issuer}/auth/status/0")}}});
    key.sign("at+jwt", payload.to_string().as_bytes()).unwrap()
}

fn metrics(follower: &Follower) -> Metrics {
    follower.issuers().iter().next().unwrap().metrics()
}

async fn wait_for(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !done().await {
        assert!(start.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn new_key() -> SigningKey {
    SigningKey::generate(Algorithm::EdDsa).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a42_bad_answers_change_no_key_and_redirects_lead_nowhere() {
    let (elsewhere, asked) = serve(|_, _| ok("{}")).await;
    let bad = [
        (Answer::Whole(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".into()), Failure::Status(500)),
        (ok("<html>hello</html>"), Failure::Unusable("no JWK Set")),
        (ok(&"a".repeat(10_000_000)), Failure::TooLong),
        (redirect(elsewhere), Failure::Status(302)),
        (ok(r#"{"keys":[]}"#), Failure::Unusable("no usable key in the JWK Set")),
    ];
    for (answer, expected) in bad {
        let (key, first) = (new_key(), AtomicBool::new(true));
        let address = issuer(&key, move |request| {
            let good = !request.starts_with("GET /keys") || first.swap(false, Ordering::SeqCst);
            (!good).then(|| answer.clone())
        })
        .await;
        let follower = Issuer::new(&address, AUDIENCE).cool_down(Duration::from_millis(50)).follow().unwrap();
        wait_for(&expected.to_string(), async || {
            let _ = follower.check(&new_key().sign("at+jwt", b"{}").unwrap()).await;
            metrics(&follower).key_fetch_failures > 0
        })
        .await;
        assert!(follower.check(&token(&key, &address)).await.is_ok(), "{expected}: the good key stays");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody followed the redirect");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_metadata_and_bad_pages_are_no_news() {
    let (elsewhere, asked) = serve(|_, _| ok("{}")).await;
    let foreign = format!(r#""jwks_uri":"http://127.0.0.1:{elsewhere}/keys""#);
    let drip = Answer::Drip(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n".into(), b" ".into());
    let half = r#"{"uri":"u","until":9}"#;
    let unusable = |what| Failure::Unusable(what);
    let many: String = (0..1_100).map(|n| format!(r#"{{"uri":"{n}","idx":1,"until":9}},"#)).collect();
    let rows = [
        ("/.well-known", ok("<html>"), unusable("no metadata")),
        (
            "/.well-known",
            ok(&format!(r#"{{"issuer":"http://evil.example",{foreign}}}"#)),
            unusable("metadata of another issuer"),
        ),
        (
            "/.well-known",
            ok(&format!(r#"{{"issuer":"ISSUER",{foreign}}}"#)),
            unusable("an address outside the issuer"),
        ),
        ("/.well-known", redirect(elsewhere), Failure::Status(302)),
        ("/.well-known", Answer::Open(Vec::new()), Failure::TimedOut),
        ("/feed", redirect(elsewhere), Failure::Status(302)),
        ("/feed", ok("[]"), unusable("no page of a feed")),
        ("/feed", page(now(), half), unusable("half an entry of a feed")),
        ("/feed", page(now(), many.trim_end_matches(',')), unusable("too many status lists")),
        ("/feed", ok(&" ".repeat(9_000_000)), Failure::TooLong),
        (
            "/feed",
            ok(&format!(r#"{{"cursor":"c","more":true,"as_of":{},"entries":[]}}"#, now())),
            Failure::TooLong,
        ),
        ("/feed", drip, Failure::TimedOut),
    ];
    // All at once: some of them take their time.
    let local = LocalSet::new();
    let _local = local.enter();
    let all = rows.map(|(path, answer, expected)| {
        tokio::task::spawn_local(async move {
            let key = new_key();
            let own = Mutex::new(String::new());
            let address = issuer(&key, move |request| {
                let mut own = own.lock().unwrap();
                if own.is_empty() {
                    let host = request.split("\r\n").find_map(|line| line.strip_prefix("host: ")).unwrap();
                    *own = format!("http://{host}");
                }
                request.starts_with(&format!("GET {path}")).then(|| match &answer {
                    Answer::Whole(bytes) => {
                        let text = String::from_utf8_lossy(bytes).into_owned();
                        let body = text.split_once("\r\n\r\n").unwrap().1;
                        if body.contains("ISSUER") {
                            ok(&body.replace("ISSUER", &own))
                        } else {
                            answer.clone()
                        }
                    }
                    other => other.clone(),
                })
            })
            .await;
            let follower = Issuer::new(&address, AUDIENCE).follow().unwrap();
            let good = token(&key, &address);
            wait_for(&format!("{path} {expected}"), async || {
                assert!(follower.check(&good).await.is_err(), "{path} {expected}");
                follower.trouble(&address) == Some(expected.clone())
            })
            .await;
            let verifier = follower.issuers().iter().next().unwrap();
            assert_eq!(verifier.freshness().revocations_as_of, None, "{path} {expected}");
        })
    });
    local.await;
    for one in all {
        one.await.unwrap();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody went elsewhere");
}

/// The stream is a convenience; without one the pages are asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_streams_are_left_and_the_pages_go_on() {
    let alive = || format!("event: alive\ndata: {{\"as_of\":{}}}\n\n", now());
    let rows = [
        ("one endless line", Answer::Open(stream(&(alive() + &"a".repeat(100_000))))),
        ("one endless event", Answer::Open(stream(&(alive() + &"data:x\n".repeat(100_000))))),
        ("bytes that become no event", Answer::Drip(stream(&alive()), b":".into())),
        ("an event of another form", Answer::Open(stream("event: revoked\ndata: [\n\n"))),
        ("half an entry", Answer::Open(stream("event: revoked\ndata: {\"kid\":\"k\"}\n\n"))),
        ("another type", ok("hello")),
        ("nothing", Answer::Open(stream(""))),
    ];
    let local = LocalSet::new();
    let _local = local.enter();
    let all = rows.map(|(what, answer)| {
        tokio::task::spawn_local(async move {
            let key = new_key();
            let bad = answer.clone();
            let address =
                issuer(&key, move |request| request.contains("text/event-stream").then(|| bad.clone())).await;
            let follower = Issuer::new(&address, AUDIENCE).follow().unwrap();
            assert!(follower.ready(PATIENCE).await, "{what}");
            wait_for(what, async || metrics(&follower).feed_failures > 0).await;
            let pages = metrics(&follower).pages;
            wait_for(what, async || metrics(&follower).pages > pages).await;
            assert!(follower.check(&token(&key, &address)).await.is_ok(), "{what}");
        })
    });
    local.await;
    for one in all {
        one.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_lags_is_no_news_and_one_that_runs_ahead_buys_nothing() {
    for (as_of, expected) in [(now() - 120, Some(Refusal::Stale)), (now() + 1_000_000, None)] {
        let key = new_key();
        let address =
            issuer(&key, move |request| request.starts_with("GET /feed").then(|| page(as_of, ""))).await;
        let follower = Issuer::new(&address, AUDIENCE).follow().unwrap();
        assert!(follower.ready(PATIENCE).await);
        assert_eq!(follower.check(&token(&key, &address)).await.err(), expected);
        let heard = follower.issuers().iter().next().unwrap().freshness().revocations_as_of.unwrap();
        assert!(heard <= now(), "{heard}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_is_refused_although_the_issuers_set_still_has_it() {
    let key = new_key();
    let kid = key.verifying_key().kid().to_owned();
    let (keys, told) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let (count, tell) = (Arc::clone(&keys), Arc::clone(&told));
    let entry = format!(r#"{{"kid":"{kid}","until":{}}}"#, now() + 3_600);
    let address = issuer(&key, move |request| {
        if request.starts_with("GET /keys") {
            count.fetch_add(1, Ordering::SeqCst);
        }
        // No stream: each page tells it again.
        let news = if tell.load(Ordering::SeqCst) { &*entry } else { r#"{"later":1}"# };
        request.starts_with("GET /feed").then(|| page(now(), news))
    })
    .await;
    let follower = Issuer::new(&address, AUDIENCE).cool_down(PATIENCE * 60).follow().unwrap();
    assert!(follower.ready(PATIENCE).await);
    let good = token(&key, &address);
    assert!(follower.check(&good).await.is_ok());
    assert!(metrics(&follower).unknown_entries > 0, "an entry of a kind to come is passed over");
    told.store(true, Ordering::SeqCst);
    let revoked = Some(Refusal::Token(Error::Revoked));
    wait_for("refused", async || follower.check(&good).await.err() == revoked).await;
    // `max-age=0` means five seconds here: it may be that fetch, or the one that the news asked for.
    let before = keys.load(Ordering::SeqCst);
    wait_for("asked again", async || keys.load(Ordering::SeqCst) > before).await;
    assert_eq!(follower.check(&good).await.err(), revoked);
    let pages = metrics(&follower).pages;
    wait_for("told again", async || metrics(&follower).pages > pages + 2).await;
    assert_eq!(follower.check(&good).await.err(), revoked);
}

/// A header that nobody signed, with what it asks for.
fn unsigned(header: &serde_json::Value) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    format!("{}.{}.{}", part(header.to_string().as_bytes()), part(b"{}"), part(&[7; 64]))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_ten_thousand_unknown_keys_at_once_ask_once() {
    let key = new_key();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let address = issuer(&key, move |request| {
        let keys = request.starts_with("GET /keys") && count.fetch_add(1, Ordering::SeqCst) > 0;
        // Slow, so that all of them wait for the same answer.
        keys.then(|| Answer::Open(Vec::new()))
    })
    .await;
    let cool_down = Duration::from_secs(2);
    let issuer = Issuer::new(&address, AUDIENCE).cool_down(cool_down).staleness(Staleness::Accept);
    let follower = issuer.follow().unwrap();
    assert!(follower.ready(PATIENCE).await);
    let start = Instant::now();
    let good = token(&key, &address);
    tokio::time::sleep(cool_down).await;
    let (elsewhere, lured) = serve(|_, _| ok("{}")).await;
    let all: Vec<_> = (0..10_000_u32)
        .map(|n| {
            let (follower, lure) = (follower.clone(), format!("http://127.0.0.1:{elsewhere}/{n}"));
            let header =
                json!({"alg": "EdDSA", "typ": "at+jwt", "kid": format!("k{n}"), "jku": lure, "x5u": lure});
            tokio::spawn(async move { follower.check(&unsigned(&header)).await.err() })
        })
        .collect();
    // Who has a good token does not wait for them.
    let before = Instant::now();
    assert!(follower.check(&good).await.is_ok());
    assert!(before.elapsed() < Duration::from_secs(4), "less than they wait");
    for one in all {
        assert_eq!(one.await.unwrap(), Some(Refusal::Token(Error::UnknownKey)));
    }
    // The first at the start, and one each cool-down, of which an unanswered one takes ten seconds.
    let most = 2 + start.elapsed().as_secs() / cool_down.as_secs();
    let asked = asked.load(Ordering::SeqCst) as u64;
    assert!((2..=most).contains(&asked), "{asked} in {:?}", start.elapsed());
    assert_eq!(lured.load(Ordering::SeqCst), 0, "no token leads anywhere");
}
