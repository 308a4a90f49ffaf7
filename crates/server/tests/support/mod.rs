//! The whole application in process: a fixed clock, a seed, a fresh database, cheap hashes.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use jotgate::Server;
use jotgate::app::App;
use jotgate::config::{Config, Origin, PasswordHash};
use jotgate::edge::{Edge, NoRandomness, Source};
use jotgate_domain::Timestamp;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt as _;

/// 2026-11-22T12:00:00Z.
pub const START: i64 = 1_795_348_800;
pub const PASSWORD: &str = "a long enough passphrase";

/// A clock that stands still until it is moved, and numbers that come out the same each run.
#[derive(Clone)]
pub struct Fixed {
    now: Arc<AtomicI64>,
    seed: Arc<AtomicU64>,
}

impl Fixed {
    pub fn new() -> Self {
        Self::at(Timestamp(START * 1000))
    }

    pub fn at(now: Timestamp) -> Self {
        Self { now: Arc::new(AtomicI64::new(now.0)), seed: Arc::new(AtomicU64::new(1)) }
    }

    pub fn pass(&self, time: Duration) {
        self.now.fetch_add(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn go_back(&self, time: Duration) {
        self.now.fetch_sub(i64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Source for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp(self.now.load(Ordering::SeqCst))
    }

    fn fill(&self, bytes: &mut [u8]) -> Result<(), NoRandomness> {
        for chunk in bytes.chunks_mut(8) {
            // splitmix64
            let mut z = self.seed.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = (z ^ (z >> 31)).to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// An installation of its own.
pub struct Site {
    pub server: Server,
    pub router: Router,
    pub clock: Fixed,
    pub dir: Arc<TempDir>,
    pub config: Config,
    pub origin: Origin,
}

pub fn config(dir: &TempDir) -> Config {
    Config {
        data_dir: dir.path().to_owned(),
        password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
        ..Config::default()
    }
}

pub fn http_origin() -> Origin {
    Origin { https: false, host: "127.0.0.1".into(), port: Some(8080) }
}

pub fn https_origin() -> Origin {
    Origin { https: true, host: "login.example.com".into(), port: None }
}

impl Site {
    pub async fn new() -> Self {
        Self::with(http_origin(), |_| {}).await
    }

    pub async fn with(origin: Origin, change: impl FnOnce(&mut Config)) -> Self {
        Self::with_clock(origin, Fixed::new(), change).await
    }

    pub async fn with_clock(origin: Origin, clock: Fixed, change: impl FnOnce(&mut Config)) -> Self {
        let dir = Arc::new(TempDir::new().unwrap());
        let mut config = config(&dir);
        config.registration_enabled = Some(true);
        change(&mut config);
        Self::open(dir, config, origin, clock).await
    }

    pub async fn open(dir: Arc<TempDir>, config: Config, origin: Origin, clock: Fixed) -> Self {
        let app = App::open(config.clone(), origin.clone(), Edge::new(clock.clone())).await.unwrap();
        Self::over(app, dir, config, origin, clock)
    }

    /// Over an application that was opened otherwise.
    pub fn over(app: App, dir: Arc<TempDir>, config: Config, origin: Origin, clock: Fixed) -> Self {
        let server = Server::new(app);
        Self {
            router: server.standalone(jotgate::serve::Lifecycle::new()).0,
            server,
            clock,
            dir,
            config,
            origin,
        }
    }

    /// The same installation after a restart, with another configuration.
    pub async fn restart(self, change: impl FnOnce(&mut Config)) -> Self {
        let Self { dir, mut config, origin, clock, server, router } = self;
        drop((server, router));
        change(&mut config);
        Self::open(dir, config, origin, clock).await
    }

    pub fn ask(&self, method: Method, path: &str) -> Ask<'_> {
        Ask { site: self, request: Request::builder().method(method).uri(path), body: Body::empty() }
    }

    pub fn get(&self, path: &str) -> Ask<'_> {
        self.ask(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: &Value) -> Ask<'_> {
        self.ask(Method::POST, path).json(body)
    }

    pub async fn register(&self, username: &str) -> Answer {
        self.post("/auth/register", &serde_json::json!({"username": username, "password": PASSWORD}))
            .send()
            .await
    }

    pub async fn login(&self, username: &str) -> Answer {
        self.post("/auth/login", &serde_json::json!({"username": username, "password": PASSWORD}))
            .send()
            .await
    }

    /// Registers and signs in by body.
    pub async fn signed_in(&self, username: &str) -> Tokens {
        assert_eq!(self.register(username).await.status, 201);
        self.login(username).await.tokens()
    }

    pub async fn refresh(&self, token: &str) -> Answer {
        self.post("/auth/refresh", &serde_json::json!({"refresh_token": token})).send().await
    }

    pub async fn me(&self, access: &str) -> Answer {
        self.get("/auth/me").bearer(access).send().await
    }
}

/// Cookies by name, as a browser keeps those of one host.
pub type Jar = BTreeMap<String, String>;

/// A request in the making.
pub struct Ask<'s> {
    site: &'s Site,
    request: http::request::Builder,
    body: Body,
}

impl Ask<'_> {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// What a layer outside would have left in the request.
    pub fn extension(mut self, extension: impl Clone + Send + Sync + 'static) -> Self {
        self.request = self.request.extension(extension);
        self
    }

    pub fn json(self, body: &Value) -> Self {
        let mut ask = self.header("content-type", "application/json");
        ask.body = Body::from(body.to_string());
        ask
    }

    pub fn body(mut self, body: impl Into<Body>) -> Self {
        self.body = body.into();
        self
    }

    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.header("content-type", "application/x-www-form-urlencoded").body(form)
    }

    pub fn cookies(self, jar: &Jar) -> Self {
        if jar.is_empty() {
            return self;
        }
        let pairs: Vec<_> = jar.iter().map(|(name, value)| format!("{name}={value}")).collect();
        self.header("cookie", &pairs.join("; "))
    }

    /// Sends it, and leaves the answer's body to be read: of a stream that does not end.
    pub async fn open(self) -> http::Response<Body> {
        let request = self.request.body(self.body).unwrap();
        self.site.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(self) -> Answer {
        let response = self.open().await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.to_vec() }
    }
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}: {}", self.status, self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The stable code of a refusal.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    pub fn cookies(&self) -> Vec<String> {
        self.headers.get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    /// What a browser keeps of it.
    pub fn keep(&self, jar: &mut Jar) {
        for cookie in self.cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Where a redirect after a post leads.
    pub fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{}", self.text());
        self.header("location").unwrap()
    }

    /// The value of the hidden form token on a page.
    pub fn form_token(&self) -> String {
        let text = self.text();
        let token = text.split("name=\"form_token\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
        token.unwrap_or_else(|| panic!("{}: {text}", self.status)).to_owned()
    }

    /// `name=value` of each cookie that is set, not cleared, as a client would send them back.
    pub fn cookie_header(&self) -> String {
        let set = self.cookies().into_iter().filter(|cookie| !cookie.contains("Max-Age=0"));
        set.map(|cookie| cookie.split(';').next().unwrap().to_owned()).collect::<Vec<_>>().join("; ")
    }

    pub fn tokens(&self) -> Tokens {
        assert_eq!(self.status, StatusCode::OK.as_u16(), "{}", self.text());
        let body = self.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        Tokens { access: text("access_token"), refresh: text("refresh_token"), session: text("session_id") }
    }
}

#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub session: String,
}

/// The claims of a token, unverified.
pub fn claims(token: &str) -> Value {
    part(token, 1)
}

pub fn part(token: &str, index: usize) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(index).unwrap();
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}
