//! Following the real server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jotgate::Server;
use jotgate::app::Operator;
use jotgate::config::{Config, Origin, PasswordHash};
use jotgate::edge::Edge;
use jotgate::serve::{self, Lifecycle};
use jotgate_jose::{Algorithm, Error, SigningKey};
#[cfg(feature = "blocking")]
use jotgate_verify::follow::{BlockingFollower, SetupError};
use jotgate_verify::follow::{Follower, Issuer, Source};
use jotgate_verify::{Refusal, Staleness, Verifier};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

/// Machines are busy; what is awaited is awaited this long, and what has a bound is measured.
const PATIENCE: Duration = Duration::from_secs(30);
const PASSWORD: &str = "a long enough passphrase";

/// The server in a runtime of its own, which can be killed with all its connections.
struct Site {
    runtime: Option<Runtime>,
    config: Config,
    _dir: TempDir,
    address: SocketAddr,
}

impl Site {
    /// `public`: the issuer's port, where it is not the server's own.
    async fn new(public: Option<u16>) -> Self {
        let dir = TempDir::new().unwrap();
        let origin = |port| Origin { https: false, host: "127.0.0.1".into(), port: Some(port) };
        let config = Config {
            data_dir: dir.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            public_url: public.map(origin),
            password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
            ..Config::default()
        };
        let address = config.listen;
        let mut site = Self { runtime: None, config, _dir: dir, address };
        site.start().await;
        site
    }

    async fn start(&mut self) {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let mut config = self.config.clone();
        config.listen = self.address;
        let started = runtime.spawn(async move {
            let listeners = serve::bind(&config).await.unwrap();
            let address = listeners.local_url.port.unwrap();
            let server = Server::open(config.clone(), listeners.public_url.clone()).await.unwrap();
            let lifecycle = Lifecycle::new();
            let (main, ops) = server.standalone(lifecycle.clone());
            tokio::spawn(async move { serve::run(&config, listeners, main, ops, lifecycle).await });
            address
        });
        self.address.set_port(started.await.unwrap());
        self.runtime = Some(runtime);
    }

    fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    fn issuer(&self) -> String {
        let port = self.config.public_url.as_ref().map_or(self.address.port(), |url| url.port.unwrap());
        format!("http://127.0.0.1:{port}")
    }

    fn origin(&self) -> Origin {
        let port = self.address.port();
        let own = Origin { https: false, host: "127.0.0.1".into(), port: Some(port) };
        self.config.public_url.clone().unwrap_or(own)
    }

    fn follow(&self) -> Issuer {
        Issuer::new(&self.issuer(), &self.issuer())
    }

    async fn token(&self, user: &str) -> String {
        let form = json!({"username": user, "password": PASSWORD});
        self.post("/auth/register", None, &form).await;
        let (status, body) = self.post("/auth/login", None, &form).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    async fn logout(&self, token: &str) {
        assert_eq!(self.post("/auth/logout", Some(token), &json!({})).await.0, 204);
    }

    async fn post(&self, path: &str, bearer: Option<&str>, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let bearer = bearer.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{bearer}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n",
            self.issuer().trim_start_matches("http://"),
            body.len()
        );
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all((head + &body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn the_verifier(follower: &Follower) -> &Arc<Verifier> {
    follower.issuers().iter().next().unwrap()
}

async fn refusal(follower: &Follower, token: &str) -> Option<Refusal> {
    follower.check(token).await.err()
}

/// How long until the token is refused with this.
async fn until(follower: &Follower, token: &str, wanted: Option<Refusal>) -> Duration {
    let start = Instant::now();
    while refusal(follower, token).await != wanted {
        assert!(start.elapsed() < PATIENCE, "{:?} instead of {wanted:?}", refusal(follower, token).await);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    start.elapsed()
}

const REVOKED: Option<Refusal> = Some(Refusal::Token(Error::Revoked));

async fn streaming(follower: &Follower) {
    let start = Instant::now();
    while the_verifier(follower).metrics().streams == 0 {
        assert!(start.elapsed() < PATIENCE, "no stream");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_refused_within_a_second() {
    let site = Site::new(None).await;
    let follower = site.follow().follow().unwrap();
    assert!(follower.ready(PATIENCE).await, "{:?}", follower.trouble(&site.issuer()));
    streaming(&follower).await;
    let mut worst = Duration::ZERO;
    for n in 0..10 {
        let token = site.token(&format!("user{n}")).await;
        assert_eq!(refusal(&follower, &token).await, None);
        site.logout(&token).await;
        worst = worst.max(until(&follower, &token, REVOKED).await);
    }
    println!("worst of 10: {worst:?}");
    assert!(worst < Duration::from_secs(1), "{worst:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a119_a_stopped_server_stays_trusted_for_the_stated_time_and_its_restart_begins_anew() {
    let mut site = Site::new(None).await;
    let accepting = site.follow().staleness(Staleness::Accept).follow().unwrap();
    let refusing =
        site.follow().staleness(Staleness::Refuse { after: Duration::from_secs(8) }).follow().unwrap();
    let (good, revoked) = (site.token("ada").await, site.token("bob").await);
    for follower in [&accepting, &refusing] {
        assert!(follower.ready(PATIENCE).await);
        streaming(follower).await;
        assert_eq!(refusal(follower, &good).await, None);
    }
    site.logout(&revoked).await;
    for follower in [&accepting, &refusing] {
        until(follower, &revoked, REVOKED).await;
    }
    site.kill();
    until(&refusing, &good, Some(Refusal::Stale)).await;
    assert_eq!(refusal(&accepting, &good).await, None, "as it was told to");
    assert_eq!(refusal(&accepting, &revoked).await, REVOKED, "what was revoked stays revoked");
    let resets = the_verifier(&accepting).metrics().resets;
    site.start().await;
    until(&refusing, &good, None).await;
    let start = Instant::now();
    while the_verifier(&accepting).metrics().resets == resets {
        assert_eq!(refusal(&accepting, &revoked).await, REVOKED, "at no instant");
        assert!(start.elapsed() < PATIENCE, "no reset");
    }
    for follower in [&accepting, &refusing] {
        assert_eq!(refusal(follower, &revoked).await, REVOKED, "the restarted server told it again");
    }
}

/// Passes bytes on, until it is cut.
struct Cable {
    port: u16,
    to: Arc<std::sync::Mutex<Option<SocketAddr>>>,
    cut: tokio::sync::watch::Sender<()>,
}

impl Cable {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (to, cut) = (Arc::new(std::sync::Mutex::new(None)), tokio::sync::watch::Sender::new(()));
        let cable = Self { port, to: Arc::clone(&to), cut: cut.clone() };
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let Some(to) = *to.lock().unwrap() else { continue };
                let mut cut = cut.subscribe();
                tokio::spawn(async move {
                    let mut far = TcpStream::connect(to).await.unwrap();
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        cable
    }

    fn plug(&self, to: Option<SocketAddr>) {
        *self.to.lock().unwrap() = to;
        self.cut.send_replace(());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_cut_nothing_passes_before_what_was_missed_is_known() {
    let cable = Cable::new().await;
    let site = Site::new(Some(cable.port)).await;
    cable.plug(Some(site.address));
    let follower =
        site.follow().staleness(Staleness::Refuse { after: Duration::from_secs(6) }).follow().unwrap();
    assert!(follower.ready(PATIENCE).await, "{:?}", follower.trouble(&site.issuer()));
    streaming(&follower).await;
    let (good, victim) = (site.token("ada").await, site.token("bob").await);
    assert_eq!(refusal(&follower, &victim).await, None);
    cable.plug(None);
    site.logout(&victim).await;
    until(&follower, &victim, Some(Refusal::Stale)).await;
    cable.plug(Some(site.address));
    let start = Instant::now();
    while refusal(&follower, &good).await.is_some() {
        assert!(refusal(&follower, &victim).await.is_some(), "at no instant");
        assert!(start.elapsed() < PATIENCE);
    }
    assert_eq!(refusal(&follower, &victim).await, REVOKED);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_lists_alone_are_enough() {
    let site = Site::new(None).await;
    let source = Source::StatusLists(Duration::from_secs(1));
    let follower = site.follow().source(source).follow().unwrap();
    let (good, victim) = (site.token("ada").await, site.token("bob").await);
    assert!(follower.ready(PATIENCE).await, "{:?}", follower.trouble(&site.issuer()));
    assert_eq!(refusal(&follower, &victim).await, None);
    site.logout(&victim).await;
    // `status_list.ttl`, by default.
    assert!(until(&follower, &victim, REVOKED).await < Duration::from_secs(30));
    assert_eq!(refusal(&follower, &good).await, None);
    let metrics = the_verifier(&follower).metrics();
    assert_eq!((metrics.pages, metrics.streams), (0, 0));
    assert!(metrics.status_lists > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a9_a_thousand_unknown_keys_ask_once_a_cool_down() {
    let site = Site::new(None).await;
    let follower = site.follow().cool_down(Duration::from_secs(3)).follow().unwrap();
    assert!(follower.ready(PATIENCE).await);
    let good = site.token("ada").await;
    let start = Instant::now();
    for n in 0..1_000_u64 {
        let forged = SigningKey::generate(Algorithm::EdDsa).unwrap().sign("at+jwt", b"{}").unwrap();
        assert_eq!(refusal(&follower, &forged).await, Some(Refusal::Token(Error::UnknownKey)));
        assert_eq!(refusal(&follower, &good).await, None, "{n}");
        tokio::time::sleep_until((start + Duration::from_millis(5 * n)).into()).await;
    }
    let most = 2 + start.elapsed().as_secs() / 3;
    let fetches = the_verifier(&follower).metrics().key_fetches;
    println!("{fetches} fetches in {:?}", start.elapsed());
    assert!((2..=most).contains(&fetches), "{fetches} in {:?}", start.elapsed());
}

/// An operator's own process on the same database, as far as the server can tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_revoked_in_an_emergency_is_refused_within_a_second_and_its_successor_accepted() {
    let site = Site::new(None).await;
    let follower = site.follow().follow().unwrap();
    assert!(follower.ready(PATIENCE).await);
    streaming(&follower).await;
    let old = site.token("ada").await;
    assert_eq!(refusal(&follower, &old).await, None);
    let fetches = the_verifier(&follower).metrics().key_fetches;
    let config = Config { public_url: Some(site.origin()), ..site.config.clone() };
    let operator = Operator::open(config, Edge::system(), false).await.unwrap();
    let start = Instant::now();
    let bad = operator.rotate_keys_in_an_emergency(None).await.unwrap();
    let took = start.elapsed() + until(&follower, &old, REVOKED).await;
    println!("refused after {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    let new = site.token("bob").await;
    until(&follower, &new, None).await;
    // The keys are asked for without being told by a token, and then the old one is gone.
    while the_verifier(&follower).keys().iter().any(|key| key.kid() == bad) {
        assert_eq!(refusal(&follower, &old).await, REVOKED, "at no instant");
        assert!(start.elapsed() < PATIENCE, "still the old keys");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(the_verifier(&follower).metrics().key_fetches, fetches + 1);
    assert_eq!(refusal(&follower, &old).await, REVOKED, "by the same name as before");
    assert_eq!(refusal(&follower, &new).await, None);
    // Who comes later hears it as well.
    let late = site.follow().follow().unwrap();
    assert!(late.ready(PATIENCE).await);
    assert_eq!(refusal(&late, &old).await, REVOKED);
    assert_eq!(refusal(&late, &new).await, None);
}

#[test]
#[cfg(feature = "blocking")]
fn a_program_without_async_follows_as_well() {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let site = runtime.block_on(Site::new(None));
    let follower = BlockingFollower::start([site.follow()]).unwrap();
    assert!(follower.ready(PATIENCE), "{:?}", follower.trouble(&site.issuer()));
    let token = runtime.block_on(site.token("ada"));
    assert_eq!(follower.check(&token).unwrap().claims().preferred_username(), Some("ada"));
    let forged = SigningKey::generate(Algorithm::EdDsa).unwrap().sign("at+jwt", b"{}").unwrap();
    // From inside a runtime it blocks, and no more.
    let inside = runtime.block_on(async { follower.check(&forged) });
    assert_eq!(inside.unwrap_err(), Refusal::Token(Error::UnknownKey));
    runtime.block_on(site.logout(&token));
    let start = Instant::now();
    while follower.check(&token).err() != REVOKED {
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let weak = Arc::downgrade(follower.issuers().iter().next().unwrap());
    drop(follower);
    while weak.upgrade().is_some() {
        assert!(start.elapsed() < PATIENCE, "its tasks live on");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(BlockingFollower::start([Issuer::new("nonsense", "a")]).unwrap_err(), SetupError::BadAddress);
}
