//! The one layer around every route: what is asked before a handler runs, and what every answer carries.
//!
//! Before: the size of the head, CORS preflights, the one name of a loopback server, cross-site requests, a
//! second credential in a form. After: the page of a refusal, defensive headers, the request id, one line in the
//! log. Around: a panic becomes a 500, and what takes too long a 503.
//!
//! One layer with a future of its own rather than a stack of ten, each with its box: the cheapest answer this
//! server gives is worth some ten microseconds altogether.

use std::any::Any;
use std::convert::Infallible;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, MatchedPath, OriginalUri, Request};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use http::{Method, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::{Layer, Service};

use super::applications::host_of;
use super::body::{MediaType, media_type};
use super::client::{Client, clean};
use super::csrf::{self, Facts, Refused};
use super::error::{ApiError, Code, ErrorPage, OAuthError, PageError};
use super::headers::{self, X_REQUEST_ID};
use super::site::LOOPBACK;
use super::{Site, Surface, bearer, clear_cookies, cors, form, log};
use crate::otel;

/// The most that the names and values of a request's headers may take together: 431 beyond. The server reads
/// more than that, so that a browser with too many cookies gets an answer, and a page that clears them.
const HEADERS_CAP: usize = 32 * 1024;

/// The longest that an answer may take to begin.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Logins and registrations: they would set cookies, so they are held to the cross-site rule without any.
const ENTRANCES: [&str; 4] = ["/auth/login", "/auth/register", "/login", "/register"];

/// Pages whose post clears cookies: held to the cross-site rule without any as well. A form of another site comes
/// without our cookies, since they are Lax, and could clear them all the same.
const EXITS: [&str; 2] = ["/logout", clear_cookies::PATH];

/// The same of `/login/NAME`: it leads to a provider, and what comes back from there replaces the session cookie.
fn leads_to_provider(path: &str) -> bool {
    path.strip_prefix("/login/").is_some_and(|name| !name.contains('/'))
}

/// What the layer worked out of a request: a request extension for handlers.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// As in `X-Request-Id` of the answer.
    pub request_id: HeaderValue,
    pub client: Client,
}

/// What a connection knows of a request: a request extension set by `crate::serve`.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    pub peer: SocketAddr,
    /// Why the request must not be answered as it asks, found where it was read (RFC 9112 §6.1, §7.2).
    pub flaw: Option<&'static str>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct FrontLayer {
    site: Arc<Site>,
}

impl FrontLayer {
    #[must_use]
    pub fn new(site: Arc<Site>) -> Self {
        Self { site }
    }
}

impl<S> Layer<S> for FrontLayer {
    type Service = Front<S>;

    fn layer(&self, inner: S) -> Front<S> {
        Front { inner, site: Arc::clone(&self.site) }
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Front<S> {
    inner: S,
    site: Arc<Site>,
}

impl<S> Service<Request> for Front<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answer<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let began = Instant::now();
        let site = &*self.site;
        let (peer, flaw) = origin_of(&request);
        let client = Client::of(peer, request.headers(), &site.trusted_proxies);
        let given = if client.through_proxy { headers::incoming_id(request.headers()) } else { None };
        let request_id = given.unwrap_or_else(|| site.request_ids.next());
        let surface = Surface::of(request.uri().path());
        let grant = cors::Grant::to(site, surface, &request);
        let admitted = admit(site, surface, &grant, flaw, &request);
        let route = request.extensions().get::<MatchedPath>().cloned();
        let trace = otel::Request::begin(&request, route.as_ref(), client.through_proxy);
        let head = Head {
            began,
            trace,
            method: request.method().clone(),
            route,
            client,
            request_id: request_id.clone(),
            surface,
            grant,
        };
        let stage = match admitted {
            Admitted::Yes => {
                request.extensions_mut().insert(Arrival { request_id, client });
                Stage::Handler { future: self.inner.call(request) }
            }
            Admitted::ByForm { unproven } => {
                request.extensions_mut().insert(Arrival { request_id, client });
                let site = Arc::clone(&self.site);
                let mut inner = self.inner.clone();
                Stage::Form {
                    future: Box::pin(async move {
                        match admit_form(&site, unproven, request).await {
                            Ok(request) => match inner.call(request).await {
                                Ok(response) => response,
                                Err(never) => match never {},
                            },
                            Err(refused) => refusal(surface, refused),
                        }
                    }),
                }
            }
            Admitted::Instead(response) => Stage::Answered { response: Some(response) },
        };
        Answer { stage, deadline: None, head: Some(head), site: Arc::clone(&self.site) }
    }
}

/// Address of the other end, and what is wrong with the request itself.
fn origin_of(request: &Request) -> (Option<IpAddr>, Option<&'static str>) {
    let extensions = request.extensions();
    match extensions.get::<Connection>() {
        Some(connection) => (Some(connection.peer.ip()), connection.flaw),
        // Inside an application with a server of its own.
        None => (extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip()), None),
    }
}

enum Admitted {
    Yes,
    /// What is in the form decides: whether its token is right, where nothing else says where the request is
    /// from, and whether it shows a second credential.
    ByForm {
        unproven: bool,
    },
    Instead(Response),
}

fn admit(
    site: &Site,
    surface: Surface,
    grant: &cors::Grant,
    flaw: Option<&'static str>,
    request: &Request,
) -> Admitted {
    let refuse = |error: ApiError| Admitted::Instead(refusal(surface, error));
    let (method, headers, path) = (request.method(), request.headers(), request.uri().path());
    if let Some(flaw) = flaw {
        return refuse(ApiError::new(Code::InvalidRequest).detail(flaw));
    }
    let clears = path == clear_cookies::PATH;
    if !clears && headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum::<usize>() > HEADERS_CAP {
        return refuse(ApiError::new(Code::HeadersTooLarge));
    }
    if cors::is_preflight(surface, grant, request) {
        let mut response = StatusCode::NO_CONTENT.into_response();
        grant.write_preflight(response.headers_mut());
        return Admitted::Instead(response);
    }
    if surface.is_page() && matches!(*method, Method::GET | Method::HEAD) {
        return match one_name(site, request) {
            Some(location) => {
                Admitted::Instead((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response())
            }
            None => Admitted::Yes,
        };
    }
    if method.is_safe() {
        return Admitted::Yes;
    }
    // A proxy's question carries the method and the headers of a request to somebody else, and nothing of its body.
    if surface == Surface::Verify {
        return Admitted::Yes;
    }
    let mut facts = Facts::of(site, method, headers, ENTRANCES.contains(&path));
    facts.has_cookie |= EXITS.contains(&path) || leads_to_provider(path);
    let unproven = match csrf::decide(&facts) {
        Ok(()) => false,
        Err(Refused::Unproven) if surface.is_page() => true,
        Err(_) => return refuse(ApiError::new(Code::Csrf).log(why(site, &facts))),
    };
    let may_show_two = headers.contains_key(AUTHORIZATION);
    if (unproven || may_show_two) && media_type(headers) == MediaType::Form {
        Admitted::ByForm { unproven }
    } else if unproven {
        refuse(ApiError::new(Code::Csrf).log("neither Sec-Fetch-Site nor Origin, and no form"))
    } else {
        Admitted::Yes
    }
}

/// Reads the form that decides, and puts it back.
async fn admit_form(site: &Site, unproven: bool, request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let bytes = form::read(&parts.headers, body).await?;
    let mut token = None;
    for (name, value) in url::form_urlencoded::parse(&bytes) {
        if name == csrf::FORM_FIELD {
            token = Some(value);
        } else if name == "access_token" && bearer::bearer(&parts.headers)?.is_some() {
            return Err(bearer::ambiguous("A token in the Authorization header and another in the form."));
        }
    }
    if unproven {
        let sent = site.cookies.read_or_clear(&parts.headers, parts.uri.path())?;
        if !token.is_some_and(|token| csrf::is_form_token(site, &sent, &token)) {
            return Err(ApiError::new(Code::Csrf).log("the form token is missing or wrong"));
        }
    }
    Ok(Request::from_parts(parts, Body::from(bytes)))
}

fn refusal(surface: Surface, error: ApiError) -> Response {
    match surface {
        Surface::Page => PageError::from(error).into_response(),
        Surface::OAuth => OAuthError::from(error).into_response(),
        _ => error.into_response(),
    }
}

/// For the operator: most often `public_url` is not what the browser's address bar says.
fn why(site: &Site, facts: &Facts<'_>) -> String {
    let shown = |stated| match stated {
        csrf::Stated::Not => "absent".to_owned(),
        csrf::Stated::As(text) => format!("\"{}\"", clean(text, 100)),
        csrf::Stated::Wrongly => "repeated or unreadable".to_owned(),
    };
    format!(
        "Origin is {}, Sec-Fetch-Site is {}; public_url is {}",
        shown(facts.origin),
        shown(facts.site),
        site.public_url
    )
}

/// Where a page is to be asked for instead, while `public_url` is loopback and the browser calls it by another
/// of its names: cookies belong to one name only.
fn one_name(site: &Site, request: &Request) -> Option<HeaderValue> {
    if !site.is_loopback() {
        return None;
    }
    let asked = host_of(request.uri(), request.headers())?;
    let (host, port) = match asked.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
        _ => (asked, None),
    };
    if host.eq_ignore_ascii_case(&site.public_url.host)
        || port != site.public_url.port
        || !LOOPBACK.iter().any(|name| name.eq_ignore_ascii_case(host))
    {
        return None;
    }
    let uri = request.extensions().get::<OriginalUri>().map_or(request.uri(), |original| &original.0);
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    HeaderValue::try_from(format!("{}{path}", site.public_url)).ok()
}

/// What is kept of a request until its answer.
struct Head {
    began: Instant,
    trace: otel::Request,
    method: Method,
    route: Option<MatchedPath>,
    client: Client,
    request_id: HeaderValue,
    surface: Surface,
    grant: cors::Grant,
}

pin_project! {
    #[project = StageProj]
    enum Stage<F> {
        Handler { #[pin] future: F },
        Form { future: Pin<Box<dyn Future<Output = Response> + Send>> },
        Answered { response: Option<Response> },
    }
}

pin_project! {
    /// Future of [`Front`].
    pub struct Answer<F> {
        #[pin]
        stage: Stage<F>,
        // Made only for what does not answer at once.
        deadline: Option<Pin<Box<Sleep>>>,
        head: Option<Head>,
        site: Arc<Site>,
    }
}

impl<F> std::fmt::Debug for Answer<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Answer<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let _entered = this.head.as_ref().map(|head| head.trace.enter());
            match this.stage.project() {
                StageProj::Handler { future } => future.poll(cx).map(|Ok(response)| response),
                StageProj::Form { future } => future.as_mut().poll(cx),
                StageProj::Answered { response } => Poll::Ready(response.take().unwrap_or_default()),
            }
        }));
        let Some(surface) = this.head.as_ref().map(|head| head.surface) else { return Poll::Pending };
        let response = match polled {
            Ok(Poll::Ready(response)) => response,
            Ok(Poll::Pending) => {
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(tokio::time::sleep(TIMEOUT)));
                if deadline.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                refusal(surface, ApiError::new(Code::Timeout).log("the handler took too long"))
            }
            Err(payload) => refusal(surface, ApiError::internal(panic_text(&*payload))),
        };
        Poll::Ready(Ok(match this.head.take() {
            Some(head) => head.finish(this.site, response),
            None => response,
        }))
    }
}

/// Where it panicked. What a panic says can have been made of what was sent, so it is not repeated, unless it
/// is a literal.
fn panic_text(payload: &(dyn Any + Send)) -> String {
    let place = crate::log::last_panic().unwrap_or_default();
    let literal = payload.downcast_ref::<&'static str>().copied().unwrap_or("(its message is withheld)");
    format!("panic at {place}: {literal}")
}

/// The code of a refusal that a part of the framework made, such as an extractor: a status and plain text.
fn bare_refusal(surface: Surface, response: &Response) -> Option<Code> {
    let of_ours = matches!(
        surface,
        Surface::Auth
            | Surface::Verify
            | Surface::Public
            | Surface::AdminApi
            | Surface::Page
            | Surface::Application
    );
    let plain = response.headers().get(CONTENT_TYPE).is_none_or(|t| t.as_bytes().starts_with(b"text/plain"));
    if !of_ours || !plain || response.extensions().get::<log::Note>().is_some() {
        return None;
    }
    match response.status() {
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Some(Code::InvalidRequest),
        StatusCode::NOT_FOUND => Some(Code::NotFound),
        StatusCode::METHOD_NOT_ALLOWED => Some(Code::MethodNotAllowed),
        StatusCode::PAYLOAD_TOO_LARGE => Some(Code::BodyTooLarge),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Some(Code::UnsupportedMediaType),
        StatusCode::INTERNAL_SERVER_ERROR => Some(Code::Internal),
        _ => None,
    }
}

impl Head {
    fn finish(self, site: &Site, mut response: Response) -> Response {
        if (response.status().is_client_error() || response.status().is_server_error())
            && let Some(code) = bare_refusal(self.surface, &response)
        {
            let mut whole = refusal(self.surface, code.into());
            // `Allow` and the like.
            whole.headers_mut().extend(std::mem::take(response.headers_mut()).into_iter().filter_map(
                |(name, value)| {
                    name.filter(|n| !matches!(*n, CONTENT_TYPE | CONTENT_LENGTH)).map(|n| (n, value))
                },
            ));
            response = whole;
        }
        if let Some(page) = response.extensions_mut().remove::<ErrorPage>() {
            let id = self.request_id.to_str().unwrap_or_default();
            *response.body_mut() = Body::from((site.error_page)(&page, id, &site.mount));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        }
        headers::write(site, self.surface, &mut response);
        let headers: &mut HeaderMap = response.headers_mut();
        self.grant.write(headers);
        headers.insert(X_REQUEST_ID, self.request_id.clone());
        let note: Option<&log::Note> = response.extensions().get();
        let route = self.route.as_ref().map_or("", |route| route.as_str());
        let took = self.began.elapsed();
        site.metrics.count(route, response.status(), took, note.and_then(|note| note.reason));
        let line = log::Line {
            method: &self.method,
            route,
            status: response.status(),
            took,
            address: self.client.address,
            request_id: self.request_id.to_str().unwrap_or_default(),
            note,
        };
        self.trace.end(&line);
        log::line(&line);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::{get, post};
    use bytes::Bytes;

    use super::*;
    use crate::http::json::Json;
    use crate::http::site::tests::site;

    async fn ask(router: Router, request: Request) -> Response {
        let mut service = router.layer(FrontLayer::new(Arc::new(site("https://id.example.com"))));
        match service.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a200_what_takes_too_long_is_503_and_dropped() {
        let dropped = Arc::new(());
        let held = Arc::downgrade(&dropped);
        let stuck = move || {
            let held = Arc::clone(&dropped);
            async move {
                std::future::pending::<()>().await;
                drop(held);
            }
        };
        let began = tokio::time::Instant::now();
        let response = ask(
            Router::new().route("/auth/me", get(stuck)),
            Request::get("/auth/me").body(Body::empty()).unwrap(),
        )
        .await;
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(began.elapsed().as_secs(), TIMEOUT.as_secs());
        assert!(held.upgrade().is_none(), "what it held is free again");
    }

    #[tokio::test(start_paused = true)]
    async fn a194_a_body_that_does_not_come_is_408() {
        let first = Ok::<_, Infallible>(Bytes::from_static(b"{"));
        let stream = futures_util::stream::once(async { first });
        let stream = futures_util::StreamExt::chain(stream, futures_util::stream::pending());
        let request = Request::post("/auth/x").header(CONTENT_TYPE, "application/json");
        let began = tokio::time::Instant::now();
        let take = async |_: Json<serde_json::Value>| ();
        let response =
            ask(Router::new().route("/auth/x", post(take)), request.body(Body::from_stream(stream)).unwrap())
                .await;
        assert_eq!(response.status(), StatusCode::REQUEST_TIMEOUT);
        assert_eq!(began.elapsed().as_secs(), 10);
    }

    #[tokio::test]
    async fn what_the_framework_refuses_is_a_problem_or_a_page_too() {
        use axum::extract::{Path, Query};
        type Pairs = std::collections::HashMap<String, u8>;
        let path = async |_: Path<u32>| ();
        let query = async |_: Query<Pairs>| ();
        let router = || {
            Router::new()
                .route("/auth/sessions/{n}", get(path))
                .route("/auth/revocations", get(query))
                .route("/account", post(query))
        };
        for (method, target, status, kind) in [
            ("GET", "/auth/sessions/canary", 400, "application/problem+json"),
            ("GET", "/auth/revocations?since=canary", 400, "application/problem+json"),
            ("DELETE", "/auth/revocations", 405, "application/problem+json"),
            ("GET", "/auth/nothing", 404, "application/problem+json"),
            ("GET", "/account", 405, "text/html; charset=utf-8"),
            ("POST", "/account?x=canary", 400, "text/html; charset=utf-8"),
            ("GET", "/nothing", 404, "text/html; charset=utf-8"),
        ] {
            let request = Request::builder().method(method).uri(target).body(Body::empty()).unwrap();
            let response = ask(router(), request).await;
            assert_eq!(response.status(), status, "{target}");
            assert_eq!(response.headers()[CONTENT_TYPE], kind, "{target}");
            assert_eq!(response.headers().contains_key("allow"), status == 405, "{target}");
            let body = axum::body::to_bytes(response.into_body(), 9999).await.unwrap();
            assert!(!String::from_utf8_lossy(&body).contains("canary"), "{target}: {body:?}");
        }
    }

    #[tokio::test]
    async fn inside_another_server_the_layer_needs_nothing_of_ours() {
        let me = async |arrival: axum::Extension<Arrival>| format!("{:?}", arrival.client.address);
        let mut request = Request::get("/auth/me").body(Body::empty()).unwrap();
        request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([10, 0, 0, 1], 5))));
        request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
        let response = ask(Router::new().route("/auth/me", get(me)), request).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["strict-transport-security"], "max-age=63072000");
        let text = axum::body::to_bytes(response.into_body(), 99).await.unwrap();
        assert_eq!(text, "Some(192.0.2.1)");
        let unknown = Request::get("/auth/me").body(Body::empty()).unwrap();
        assert_eq!(ask(Router::new().route("/auth/me", get(me)), unknown).await.status(), StatusCode::OK);
    }
}
