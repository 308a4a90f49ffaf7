//! An issuer of the tests' own: it signs whatever is wanted, and its feed misbehaves as it is told to.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_jose::{Algorithm, KeySet, SigningKey};
use serde_json::{Value, json};

/// What the feed does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Feed {
    /// As it should be.
    Honest,
    /// Tells of entries and events of kinds that nobody knows yet, and is honest otherwise.
    FromTheFuture,
    /// The stream begins every word anew with a reset.
    Resets,
    /// The stream drips bytes that never become an event; no page is newer than the last.
    DripsStream,
    /// It repeats its last word, over and over.
    Repeats,
    /// The same, with an instant that is still to come.
    RepeatsTomorrow,
    /// One line without an end, as fast as it is taken.
    EndlessLine,
    /// A page without an end.
    EndlessPage,
    /// Half of an entry, which was a revocation.
    HalfAnEntry,
    /// No JSON.
    Garbage,
    /// 500.
    Fails,
    /// A redirect to where the feed is right, at another host.
    RedirectsElsewhere,
    /// Metadata that name a feed at another host.
    NamesElsewhere,
    /// Pages a byte at a time.
    DripsPage,
}

pub(super) struct Forger {
    state: Arc<State>,
    pub(super) key: SigningKey,
    /// In the JWK Set, but revoked by the feed.
    pub(super) leaked: SigningKey,
    /// Signs headers that no honest signer makes.
    raw: Arc<dyn rustls::sign::SigningKey>,
}

struct State {
    port: u16,
    jwks: String,
    feed: Mutex<(Feed, u64)>,
    leaked: String,
    /// What came: for keys, and for pages of the feed.
    keys: AtomicUsize,
    pages: AtomicUsize,
    ended: AtomicBool,
    /// Another host: whoever comes there was led astray.
    elsewhere: u16,
    astray: AtomicUsize,
}

/// The status entry that is revoked.
pub(super) const REVOKED: u64 = 7;

impl Forger {
    pub(super) fn start() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let der = pair.serialize_der();
        let key = SigningKey::from_der(Algorithm::Es256, &der).unwrap();
        let leaked = SigningKey::generate(Algorithm::Es256).unwrap();
        let private = rustls::pki_types::PrivatePkcs8KeyDer::from(der).into();
        let raw = rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&private).unwrap();
        let mut keys = KeySet::from(key.verifying_key());
        keys.insert(leaked.verifying_key()).unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = Arc::new(State {
            port: listener.local_addr().unwrap().port(),
            jwks: keys.to_json(),
            feed: Mutex::new((Feed::Honest, now())),
            leaked: leaked.kid().to_owned(),
            keys: AtomicUsize::new(0),
            pages: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            elsewhere: elsewhere.local_addr().unwrap().port(),
            astray: AtomicUsize::new(0),
        });
        serve(listener, Arc::clone(&state), |state, stream| drop(answer(state, stream)));
        serve(elsewhere, Arc::clone(&state), |state, _| {
            state.astray.fetch_add(1, Ordering::Relaxed);
        });
        Self { state, key, leaked, raw }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.state.port)
    }

    /// From now on; streams that are open end.
    pub(super) fn becomes(&self, feed: Feed) {
        *self.state.feed.lock().unwrap() = (feed, now());
    }

    pub(super) fn asked_for_keys(&self) -> usize {
        self.state.keys.load(Ordering::Relaxed)
    }

    pub(super) fn asked_for_pages(&self) -> usize {
        self.state.pages.load(Ordering::Relaxed)
    }

    pub(super) fn led_astray(&self) -> usize {
        self.state.astray.load(Ordering::Relaxed)
    }

    /// Claims of a good token whose status entry is `idx`.
    pub(super) fn claims(&self, idx: u64) -> Value {
        let url = self.url();
        json!({
            "iss": url, "sub": "ada", "aud": url, "client_id": "web", "jti": idx.to_string(), "sid": "s",
            "iat": now(), "exp": now() + 3600, "auth_time": now(), "scope": "account", "roles": ["editor"],
            "preferred_username": "ada",
            "status": {"status_list": {"idx": idx, "uri": format!("{url}/auth/status/0")}},
        })
    }

    pub(super) fn token(&self, idx: u64) -> String {
        self.key.sign("at+jwt", self.claims(idx).to_string().as_bytes()).unwrap()
    }

    /// A good token but for what `change` does to its claims.
    pub(super) fn token_with(&self, change: impl FnOnce(&mut Value)) -> String {
        let mut claims = self.claims(1);
        change(&mut claims);
        self.key.sign("at+jwt", claims.to_string().as_bytes()).unwrap()
    }

    /// Good claims under any header, with a signature that holds.
    pub(super) fn token_under(&self, header: &Value) -> String {
        let text = format!("{}.{}", encoded(&header.to_string()), encoded(&self.claims(1).to_string()));
        let scheme = rustls::SignatureScheme::ECDSA_NISTP256_SHA256;
        let der = self.raw.choose_scheme(&[scheme]).unwrap().sign(text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(fixed(&der)))
    }
}

impl Drop for Forger {
    fn drop(&mut self) {
        self.state.ended.store(true, Ordering::Relaxed);
    }
}

pub(super) fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub(super) fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// The two numbers of an ECDSA signature side by side (RFC 7518 §3.4), out of DER.
fn fixed(der: &[u8]) -> Vec<u8> {
    let length = usize::from(der[3]);
    let (r, s) = (&der[4..4 + length], &der[6 + length..]);
    [r, s]
        .iter()
        .flat_map(|number| {
            let digits = &number[number.len().saturating_sub(32)..];
            [vec![0; 32 - digits.len()], digits.to_vec()].concat()
        })
        .collect()
}

fn serve(listener: TcpListener, state: Arc<State>, each: fn(&State, TcpStream)) {
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        while !state.ended.load(Ordering::Relaxed) {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::sleep(Duration::from_millis(5));
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            let state = Arc::clone(&state);
            std::thread::spawn(move || each(&state, stream));
        }
    });
}

/// One request a connection.
fn answer(state: &State, stream: TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(Duration::from_secs(5)))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let Some(Ok(first)) = lines.next() else { return Ok(()) };
    let mut streams = false;
    for line in lines.by_ref() {
        let line = line?.to_ascii_lowercase();
        streams |= line == "accept: text/event-stream";
        if line.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let (feed, since) = *state.feed.lock().unwrap();
    let url = format!("http://127.0.0.1:{}", state.port);
    match path.split('?').next().unwrap_or_default() {
        "/.well-known/oauth-authorization-server" => {
            let home = if feed == Feed::NamesElsewhere {
                format!("http://127.0.0.1:{}", state.elsewhere)
            } else {
                url.clone()
            };
            let metadata = json!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"),
                "revocation_feed_endpoint": format!("{home}/feed"),
            });
            whole(stream, "200 OK", "application/json", &metadata.to_string())
        }
        "/jwks" => {
            state.keys.fetch_add(1, Ordering::Relaxed);
            whole(stream, "200 OK", "application/json", &state.jwks)
        }
        "/feed" if streams => live(state, stream, feed, since),
        "/feed" => {
            state.pages.fetch_add(1, Ordering::Relaxed);
            page(state, stream, feed, since)
        }
        _ => whole(stream, "404 Not Found", "text/plain", ""),
    }
}

fn whole(mut stream: TcpStream, status: &str, kind: &str, body: &str) -> std::io::Result<()> {
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// What is revoked: an entry and a key.
fn entries(state: &State) -> Vec<Value> {
    let uri = format!("http://127.0.0.1:{}/auth/status/0", state.port);
    vec![
        json!({"uri": uri, "idx": REVOKED, "until": now() + 3600}),
        json!({"kid": state.leaked, "until": now() + 3600}),
    ]
}

fn as_of(feed: Feed, since: u64) -> u64 {
    match feed {
        Feed::Honest | Feed::FromTheFuture | Feed::Resets => now(),
        Feed::RepeatsTomorrow => since + 86_400,
        _ => since,
    }
}

fn page(state: &State, mut stream: TcpStream, feed: Feed, since: u64) -> std::io::Result<()> {
    let mut entries = entries(state);
    match feed {
        Feed::HalfAnEntry => entries.push(json!({"idx": 9, "until": now() + 3600})),
        Feed::FromTheFuture => entries.push(json!({"client": "web", "until": now() + 3600})),
        _ => {}
    }
    let body = json!({"cursor": "c", "as_of": as_of(feed, since), "reset": false, "more": false, "entries": entries})
        .to_string();
    match feed {
        Feed::Garbage => whole(stream, "200 OK", "application/json", "<html>{\"cursor\":"),
        Feed::Fails | Feed::NamesElsewhere => {
            whole(stream, "500 Internal Server Error", "application/json", &body)
        }
        Feed::RedirectsElsewhere => write!(
            stream,
            "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:{}/feed\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n",
            state.elsewhere
        ),
        Feed::EndlessPage => {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n["
            )?;
            flood(state, &mut stream, feed)
        }
        Feed::DripsPage => {
            let length = body.len();
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
            write!(stream, "{head} {length}\r\nConnection: close\r\n\r\n")?;
            drip(state, &mut stream, feed, body.as_bytes())
        }
        _ => whole(stream, "200 OK", "application/json", &body),
    }
}

fn live(state: &State, mut stream: TcpStream, feed: Feed, since: u64) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    )?;
    match feed {
        Feed::Resets => chunk(&mut stream, &format!("event: reset\ndata: {{\"as_of\":{}}}\n\n", now())),
        Feed::DripsStream => drip(state, &mut stream, feed, b"2\r\n: \r\n".repeat(1_000).as_slice()),
        Feed::EndlessLine => {
            // One chunk of four gigabytes.
            write!(stream, "ffffffff\r\ndata: ")?;
            flood(state, &mut stream, feed)
        }
        _ => {
            while is_still(state, feed) {
                if feed == Feed::FromTheFuture {
                    chunk(
                        &mut stream,
                        "event: purged\nid: c\ndata: {\"client\":\"web\"}\n\n: and a comment\n\n",
                    )?;
                }
                let alive = format!("event: alive\nid: c\ndata: {{\"as_of\":{}}}\n\n", as_of(feed, since));
                chunk(&mut stream, &alive)?;
                std::thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        }
    }
}

fn is_still(state: &State, feed: Feed) -> bool {
    state.feed.lock().unwrap().0 == feed && !state.ended.load(Ordering::Relaxed)
}

fn chunk(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    write!(stream, "{:x}\r\n{text}\r\n", text.len())
}

/// A byte every 0.2 s.
fn drip(state: &State, stream: &mut TcpStream, feed: Feed, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        if !is_still(state, feed) {
            break;
        }
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// At most 64 MiB.
fn flood(state: &State, stream: &mut TcpStream, feed: Feed) -> std::io::Result<()> {
    for _ in 0..1024 {
        if !is_still(state, feed) {
            break;
        }
        stream.write_all(&[b'1'; 64 * 1024])?;
    }
    Ok(())
}
