//! A server on a free port, and a client that sends exactly the bytes it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Extension, Router};
use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap, SET_COOKIE};
use http::{StatusCode, Uri};
use jotgate::config::{Config, Mount, Origin};
use jotgate::edge::Edge;
use jotgate::http::bearer::{Credential, credential};
use jotgate::http::error::{self, ApiError};
use jotgate::http::form::Form;
use jotgate::http::json::Json;
use jotgate::http::{Arrival, FrontLayer, Site, clear_cookies, csrf};
use jotgate::serve::{self, Lifecycle};
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) serving: JoinHandle<std::io::Result<()>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// With a configuration of its own; the port is always a free one.
    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { listen: "127.0.0.1:0".parse().unwrap(), ..Config::default() };
        config.cookie.trusted_origins =
            ["https://app.example.com"].map(|origin| Origin::parse(origin).unwrap()).to_vec();
        configure(&mut config);
        let listeners = serve::bind(&config).await.unwrap();
        let address = listeners.local_url.to_string();
        let address = address.split("://").nth(1).unwrap().parse().unwrap();
        let page: jotgate::http::RenderError =
            |page, id, _| format!("<h1>{} {}</h1><p>{id}</p>", page.status.as_u16(), page.code);
        let site = Arc::new(Site::new(
            &config,
            listeners.public_url.clone(),
            Mount::default(),
            &[],
            &[7; 32],
            page,
            Edge::system(),
        ));
        let lifecycle = Lifecycle::new();
        let router = router(site, lifecycle.clone());
        let serving = tokio::spawn({
            let lifecycle = lifecycle.clone();
            async move { serve::run(&config, listeners, router, None, lifecycle).await }
        });
        Self { address, lifecycle, serving }
    }

    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request over a connection of its own.
    pub(crate) async fn send(&self, request: Request<'_>) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(&request.bytes(&self.host())).await.unwrap();
        read_answer(&mut stream).await.expect("an answer")
    }

    /// Sends these bytes, and reads until the server closes.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        // The server may close before it has read all.
        let _ = stream.write_all(bytes).await;
        let mut text = Vec::new();
        let _ = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text))
            .await
            .expect("closed");
        String::from_utf8_lossy(&text).into_owned()
    }
}

pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) target: &'a str,
    pub(crate) headers: Vec<(&'a str, String)>,
    pub(crate) body: Vec<u8>,
}

impl<'a> Request<'a> {
    pub(crate) fn new(method: &'a str, target: &'a str) -> Self {
        Self { method, target, headers: Vec::new(), body: Vec::new() }
    }

    pub(crate) fn get(target: &'a str) -> Self {
        Self::new("GET", target)
    }

    pub(crate) fn post(target: &'a str) -> Self {
        Self::new("POST", target)
    }

    pub(crate) fn header(mut self, name: &'a str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(crate) fn json(self, body: &str) -> Self {
        let mut this = self.header("content-type", "application/json");
        this.body = body.into();
        this
    }

    pub(crate) fn form(self, body: &str) -> Self {
        let mut this = self.header("content-type", "application/x-www-form-urlencoded");
        this.body = body.into();
        this
    }

    pub(crate) fn bytes(&self, host: &str) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.headers.iter().any(|(name, _)| *name == "host") {
            text += &format!("host: {host}\r\n");
        }
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() {
            text += &format!("content-length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str()).collect()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    /// `code` of a problem.
    pub(crate) fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap().to_owned()
    }
}

/// Reads one answer with a Content-Length; none where the connection ends before it.
pub(crate) async fn read_answer<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S) -> Option<Answer> {
    let mut bytes = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(20), stream.read(&mut piece)).await.expect("in time");
        let read = read.ok()?;
        if read == 0 {
            return None;
        }
        bytes.extend_from_slice(&piece[..read]);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let length =
            headers.iter().find(|(n, _)| n == "content-length").map_or(0, |(_, v)| v.parse().unwrap());
        if bytes.len() >= end + 4 + length {
            let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
            return Some(Answer { status, headers, body });
        }
    }
}

#[derive(Deserialize)]
struct Login {
    username: String,
}

#[derive(Deserialize)]
struct Nothing {}

fn router(site: Arc<Site>, lifecycle: Lifecycle) -> Router {
    let ready = move || async move { if lifecycle.is_ready() { 200 } else { 503 } };
    Router::new()
        .route("/auth/login", post(login))
        .route("/auth/logout", post(changed))
        .route("/auth/sessions/{id}", any(changed))
        .route("/auth/me", any(me))
        .route("/auth/verify", any(me))
        .route("/auth/visitor", get(visitor))
        .route("/auth/panic", get(panics))
        .route("/auth/slow", get(slow))
        .route("/auth/stream", get(stream))
        .route("/auth/status/{list}", get(list))
        .route("/login", get(login_page).post(login_form))
        .route("/account", post(account_form))
        .route("/readyz", get(move || async move { StatusCode::from_u16(ready().await).unwrap() }))
        .with_state(Arc::clone(&site))
        .merge(clear_cookies::router(Arc::clone(&site)))
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(FrontLayer::new(site))
}

async fn login(State(site): State<Arc<Site>>, Json(login): Json<Login>) -> Result<Response, ApiError> {
    let cookies = site.cookies.access("a.b.c", 600)?;
    let mut response = format!("hello {}", login.username).into_response();
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    Ok(response)
}

async fn changed(_: Option<Json<Nothing>>) -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn me(State(site): State<Arc<Site>>, uri: Uri, headers: HeaderMap) -> Result<String, ApiError> {
    Ok(match credential(&headers, &uri, &site.cookies)? {
        Credential::None => "nobody".to_owned(),
        Credential::Bearer(token) => format!("bearer {token}"),
        Credential::Cookie { access, session } => format!("cookie {access:?} {session:?}"),
    })
}

async fn visitor(Extension(arrival): Extension<Arrival>, headers: HeaderMap) -> String {
    let visitor = arrival.client.visitor(&headers);
    format!("{}|{}|{}", visitor.address, visitor.network, visitor.user_agent)
}

async fn panics(headers: HeaderMap) -> String {
    let secret = headers["authorization"].to_str().unwrap().to_owned();
    panic!("{secret} at an unlucky place");
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(2)).await;
    "at last"
}

/// One event, and then nothing for ever.
async fn stream() -> Response {
    let events = futures_util::stream::unfold(true, |first| async move {
        if !first {
            std::future::pending::<()>().await;
        }
        Some((Ok::<_, Infallible>(Bytes::from_static(b"event: alive\n\n")), false))
    });
    ([("content-type", "text/event-stream")], Body::from_stream(events)).into_response()
}

async fn list() -> Response {
    ([(CACHE_CONTROL, "public, max-age=15")], "list").into_response()
}

async fn login_page(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let sent = site.cookies.read(&headers).unwrap();
    let form = csrf::form_token(&site, &sent).unwrap();
    let mut response = Html(form.token).into_response();
    if let Some(cookie) = form.cookie {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

async fn login_form(Form(login): Form<Login>) -> String {
    format!("form {}", login.username)
}

async fn account_form(Form(_): Form<Nothing>) -> &'static str {
    "changed"
}

/// KiB of memory of this process.
pub(crate) fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
