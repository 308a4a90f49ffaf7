//! `/auth/verify`: forward-auth, asked by a proxy about each request to an application behind it. No database
//! look-up, but for `?renew=1` (`verify.renew`) where a sign-in is needed and the access cookie has run out.
//!
//! Which request it is about, the proxy says in headers (`original`); who may pass, the configured rules say
//! (`jotgate_domain::access`), and `?role=` and `?scope=` of the proxy's own configuration. Whatever is unclear is
//! refused.

mod original;
mod page;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, HeaderValue, LOCATION, SET_COOKIE, VARY, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{StatusCode, Uri};
use jotgate_domain::access::{Asked, Decision, Requirement};
use url::form_urlencoded;

use self::original::Original;
use super::applications::Application;
use super::auth::Claims;
use super::bearer::{Credential, among, credential};
use super::client::Client;
use super::csrf::SEC_FETCH_SITE;
use super::error::{ApiError, Code};
use super::pages::return_to::{ReturnTo, Rules};
use super::pages::sso;
use crate::app::Visitor;
use crate::server::Server;

/// The identity headers: all always there, empty if unset, so that none of the client's own passes through.
const USER: HeaderName = HeaderName::from_static("x-auth-user");
const USERNAME: HeaderName = HeaderName::from_static("x-auth-username");
const EMAIL: HeaderName = HeaderName::from_static("x-auth-email");
const ROLES: HeaderName = HeaderName::from_static("x-auth-roles");
const SCOPES: HeaderName = HeaderName::from_static("x-auth-scopes");
const SESSION: HeaderName = HeaderName::from_static("x-auth-session");

/// On a 401 for a page: where to send the browser, for a proxy that makes the redirect itself (nginx). Absent for
/// whatever else asks, which gets the 401.
const LOGIN_LOCATION: HeaderName = HeaderName::from_static("x-login-location");

/// What the answer depends on beside who asks.
const VARIES: &str = "Accept, Sec-Fetch-Mode, Sec-Fetch-Dest, Sec-Fetch-Site, X-Forwarded-Method, \
                      X-Forwarded-Proto, X-Forwarded-Host, X-Forwarded-Uri, X-Original-Method, X-Original-URL";

/// About how many headers an answer has.
const ANSWER_HEADERS: usize = 16;

/// What a proxy asks.
struct Question<'r> {
    asking: &'r Parts,
    /// The request it is about; none where the proxy does not say.
    original: Option<Original>,
    needs: Requirement,
    /// Whether a page is answered with the redirect itself.
    redirects: bool,
    /// Whether the proxy hands on a renewed access cookie.
    renews: bool,
}

impl Question<'_> {
    /// Whether a page is to be shown that can be asked for once more: what was posted would be lost on the way to the
    /// login page.
    fn is_page(&self) -> bool {
        page::is_asked_for(&self.asking.headers) && self.original.as_ref().is_none_or(Original::is_read)
    }

    /// The original request, where its session cookie is good for a new access cookie: somebody has to be signed in, it
    /// is one to our own host, and the browser would have sent the access cookie along.
    fn to_renew(&self, server: &Server) -> Option<&Original> {
        let site = server.site();
        let renews = self.renews && site.renews && self.needs.signed_in;
        let original =
            self.original.as_ref().filter(|asked| renews && site.is_own_host(asked.host.as_str()))?;
        // The session cookie is Lax, and comes with links on other sites.
        (!site.cookies.is_strict() || self.is_of_this_site()).then_some(original)
    }

    /// Whether it was begun by our own site, or by the person; not where the browser does not say.
    fn is_of_this_site(&self) -> bool {
        let mut said = self.asking.headers.get_all(SEC_FETCH_SITE).iter().map(HeaderValue::as_bytes);
        matches!((said.next(), said.next()), (Some(b"same-origin" | b"same-site" | b"none"), None))
    }

    /// The application on another root domain that was asked.
    fn application<'s>(&self, server: &'s Server) -> Option<&'s Application> {
        let original = self.original.as_ref()?;
        server.site().applications.of_url(&original.url())
    }
}

/// `/auth/verify`: the original request is in headers.
pub(super) async fn any(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    // Parts, and none of them copied: this is asked more often than all else together.
    let (asking, _) = request.into_parts();
    let through_proxy = Client::of_parts(&asking).through_proxy;
    let original = if through_proxy { Original::of_headers(&asking.headers) } else { Ok(None) };
    let original = original.map_err(unknown_request)?;
    let mut needs = required(&server, original.as_ref())?;
    let (mut redirects, mut renews) = (false, false);
    for (name, value) in form_urlencoded::parse(asking.uri.query().unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "role" => needs.roles.push(value.into_owned()),
            "scope" => needs.scopes.push(value.into_owned()),
            "redirect" => redirects = value == "1",
            "renew" => renews = value == "1",
            _ => {}
        }
    }
    needs.signed_in |= !needs.roles.is_empty() || !needs.scopes.is_empty();
    if renews && !server.site().renews {
        server.site().told_of_renewal.call_once(|| {
            tracing::warn!(
                "a proxy asks /auth/verify?renew=1, and nothing is renewed: verify.renew is not set"
            );
        });
    }
    answer(&server, Question { asking: &asking, original, needs, redirects, renews }).await
}

/// `/auth/verify/envoy/…`: the original request itself, with this in front of its path. Its query is its own: it
/// says nothing to us.
pub(super) async fn envoy(State(server): State<Server>, request: Request) -> Result<Response, ApiError> {
    let (mut asking, _) = request.into_parts();
    let through_proxy = Client::of_parts(&asking).through_proxy;
    let original = through_proxy.then(|| Original::of_envoy(&asking.method, &asking.uri, &asking.headers));
    let original = original.transpose().map_err(unknown_request)?;
    asking.uri = Uri::from_static("/auth/verify");
    let needs = required(&server, original.as_ref())?;
    answer(&server, Question { asking: &asking, original, needs, redirects: true, renews: false }).await
}

fn unknown_request(why: &'static str) -> ApiError {
    ApiError::new(Code::UnknownRequest).log(why)
}

/// What the rules ask for the original request; without rules, that somebody is signed in.
fn required(server: &Server, original: Option<&Original>) -> Result<Requirement, ApiError> {
    let rules = &server.site().access;
    if rules.is_empty() {
        return Ok(Requirement::signed_in());
    }
    let original = original.ok_or_else(|| unknown_request("no forwarding headers from a trusted proxy"))?;
    let asked = Asked { method: &original.method, host: &original.host, path: original.path().as_bytes() };
    rules.requirement(&asked).map_err(|refused| ApiError::new(Code::Forbidden).log(refused))
}

async fn answer(server: &Server, question: Question<'_>) -> Result<Response, ApiError> {
    let shown = match shown(server, &question) {
        // Two credentials: nobody knows which one the application would take.
        Err(error) if error.code().status() != StatusCode::UNAUTHORIZED => return Err(error),
        shown => shown,
    };
    let session = match shown {
        Ok(Credential::Cookie { session, .. }) => session,
        _ => None,
    };
    let mut claims = shown.and_then(|shown| claims_of(server, shown));
    let mut renewed = None;
    if let (Err(_), Some(token), Some(original)) = (&claims, session, question.to_renew(server)) {
        let asking = question.asking;
        let visitor = Client::of_parts(asking).visitor(&asking.headers);
        match renew(server, &visitor, token, original).await {
            Ok(None) => {}
            Ok(Some((new, cookie))) => {
                claims = Ok(new);
                renewed = Some(cookie);
            }
            Err(error) if error.code().status() == StatusCode::UNAUTHORIZED => claims = Err(error),
            Err(error) => return Err(error),
        }
    }
    // With whatever answer: the next question would have to renew again.
    let mut response = judge(server, &question, claims).unwrap_or_else(IntoResponse::into_response);
    response.headers_mut().extend(renewed.map(|cookie| (SET_COOKIE, cookie)));
    Ok(response)
}

fn judge(
    server: &Server,
    question: &Question<'_>,
    claims: Result<Claims, ApiError>,
) -> Result<Response, ApiError> {
    let now = u64::try_from(server.app().now().secs()).unwrap_or(0);
    match (question.needs.decide(claims.as_ref().ok(), now), claims) {
        (Decision::Allow, claims) => identity(claims.ok().as_ref()),
        (Decision::Forbid, _) => Err(ApiError::new(Code::Forbidden).log("a role or a scope is missing")),
        (Decision::SignIn, Err(why)) => Ok(to_login(server, question, why, None)),
        // Nobody is told to sign in whose token is good.
        (Decision::SignIn, Ok(_)) => Err(ApiError::internal("a good token was taken for none")),
        (Decision::SignInAgain(most), _) => {
            Ok(to_login(server, question, Code::SignInAgain.into(), Some(most)))
        }
    }
}

/// What the original request shows.
fn shown<'r>(server: &Server, question: &Question<'r>) -> Result<Credential<'r>, ApiError> {
    let (site, Parts { headers, uri, .. }) = (server.site(), question.asking);
    // On another root domain the access cookie has the name that it has there.
    let cookies = question.application(server).map_or(&site.cookies, |application| &application.cookies);
    match &question.original {
        Some(original) => {
            let sent = cookies.read_or_clear_at(headers, original.host.as_str(), original.path())?;
            among(headers, uri, sent)
        }
        None => credential(headers, uri, cookies),
    }
}

fn claims_of(server: &Server, shown: Credential<'_>) -> Result<Claims, ApiError> {
    match shown {
        Credential::Bearer(token) | Credential::Cookie { access: Some(token), .. } => {
            Claims::verify(server, token)
        }
        _ => Err(Code::Unauthenticated.into()),
    }
}

/// A new access token for whoever sent the session cookie, and its cookie: the one that any proxy can hand on. Nothing
/// is cleared.
///
/// # Errors
/// 401 for a spent token, whose session has ended by that; 503 where the database is away.
async fn renew(
    server: &Server,
    visitor: &Visitor,
    token: &str,
    original: &Original,
) -> Result<Option<(Claims, HeaderValue)>, ApiError> {
    // What is read can be asked for again, after a refresh or over the login page, where the session's token rotates.
    let must = !original.is_read();
    let Some(signed) = server.app().renew(visitor, token, must).await? else { return Ok(None) };
    let claims = Claims::verify(server, &signed.access_token)?;
    let cookie = server.site().cookies.access(&signed.access_token, signed.expires_in)?.into_iter().next();
    Ok(cookie.map(|cookie| (claims, cookie)))
}

/// For whoever has to sign in, once more if `max_age` says so: a redirect for a page where the proxy passes it on,
/// else 401, with the login page in `Location` for proxies that cannot pass a redirect on.
fn to_login(server: &Server, question: &Question<'_>, why: ApiError, max_age: Option<u64>) -> Response {
    let location = login_page(server, question.original.as_ref(), max_age);
    let is_page = question.is_page();
    let mut response = if is_page && question.redirects {
        let (mut redirect, _) = why.head();
        *redirect.status_mut() = StatusCode::FOUND;
        redirect.headers_mut().remove(WWW_AUTHENTICATE);
        redirect
    } else {
        why.into_response()
    };
    let headers = response.headers_mut();
    if let Some(most) = max_age.filter(|_| headers.contains_key(WWW_AUTHENTICATE)) {
        // RFC 9470 §3.
        let challenge = format!("Bearer error=\"insufficient_user_authentication\", max_age=\"{most}\"");
        if let Ok(challenge) = HeaderValue::try_from(challenge) {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
    }
    if let Ok(location) = HeaderValue::try_from(location) {
        if is_page && !question.redirects {
            headers.insert(LOGIN_LOCATION, location.clone());
        }
        headers.insert(LOCATION, location);
    }
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    response
}

/// The login page that leads back to the original URL, if that is a place to go back to.
fn login_page(server: &Server, original: Option<&Original>, max_age: Option<u64>) -> String {
    if let Some(beginning) = original.and_then(|asked| sso::beginning(server, &asked.url(), max_age)) {
        return beginning;
    }
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(back) = original.and_then(|original| ReturnTo::parse(&original.url(), Rules::of(server))) {
        // An address of ours is a path alone.
        query.append_pair("return_to", back.location());
    }
    if let Some(most) = max_age {
        query.append_pair("max_age", &most.to_string());
    }
    let query = query.finish();
    format!("{}/login{}{query}", server.app().issuer(), if query.is_empty() { "" } else { "?" })
}

/// 200 with who it is; all empty for nobody.
fn identity(claims: Option<&Claims>) -> Result<Response, ApiError> {
    let token = claims.map(Claims::get);
    let text = |value: Option<&str>| encoded(value.unwrap_or_default());
    let roles: Vec<_> = token.iter().flat_map(|token| token.roles()).collect();
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    // These and what every answer carries: one table, made once.
    headers.reserve(ANSWER_HEADERS);
    headers.insert(USER, text(token.and_then(|token| token.sub()))?);
    headers.insert(USERNAME, text(token.and_then(|token| token.preferred_username()))?);
    headers.insert(EMAIL, text(token.and_then(|token| token.email()))?);
    headers.insert(ROLES, encoded_but(&roles.join(","), b',')?);
    headers.insert(SCOPES, encoded_but(token.and_then(|token| token.scope()).unwrap_or_default(), b' ')?);
    headers.insert(SESSION, text(token.and_then(|token| token.sid()))?);
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    Ok(response)
}

/// Percent-encoded UTF-8: unreserved characters (RFC 3986 §2.3), `@`, `:` and `+` stay.
fn encoded(text: &str) -> Result<HeaderValue, ApiError> {
    encoded_but(text, b'@')
}

fn encoded_but(text: &str, separator: u8) -> Result<HeaderValue, ApiError> {
    let stays = |b: u8| {
        let letter = (b | 0x20).wrapping_sub(b'a') < 26;
        let digit_or_colon = b.wrapping_sub(b'0') <= b':' - b'0';
        letter | digit_or_colon | matches!(b, b'-' | b'.' | b'_' | b'~' | b'@' | b'+') | (b == separator)
    };
    // No way out in the loop: a compiler takes many bytes at once.
    if text.bytes().fold(true, |all, b| all & stays(b)) {
        return HeaderValue::from_str(text).map_err(ApiError::internal);
    }
    let mut out = String::with_capacity(text.len() * 3);
    for byte in text.bytes() {
        if stays(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    HeaderValue::from_str(&out).map_err(ApiError::internal)
}
