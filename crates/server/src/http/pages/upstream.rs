//! `/login/{provider}` and `/login/{provider}/callback`: to another provider and back.
//!
//! What comes back belongs to the browser that set out. Whoever is signed in sets out by a button of ours only: by a link
//! on another site they are asked first, since signing in anew ends the session that they have. The way there is the
//! same for signing in and for linking; what it is for lies in the flow cookie.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use jotgate_domain::upstream::flow::{self, Intent};
use serde::Deserialize;

use super::page::{self, Page};
use super::{account, here};
use crate::app::{Back, Delivery, Handover, UpstreamError, Visitor};
use crate::http::answer;
use crate::http::cookies::Helper;
use crate::http::csrf;
use crate::http::error::{ApiError, Code, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::{LeavingPage, Notice, SwitchPage};

const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Bytes of the way back that fit into the flow cookie, whatever else is in it.
const LONGEST_WAY: usize = 2048;

/// `GET /login/{provider}`
pub(super) async fn start(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    provider: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let Path(provider) = provider.map_err(|_| ApiError::new(Code::NotFound))?;
    let sent = server.site().cookies.read_or_clear(&headers, uri.path())?;
    let page = Page::new(&server, &sent, &page::asked(&uri, "return_to"))?;
    let page = page.within(&page::asked(&uri, "max_age"));
    let here = here::of_session_cookie(&server, &sent).await?;
    if !sets_out_by_itself(&headers, here.is_some()) {
        let label = label(&server, &provider)?;
        let username = here.map(|here| here.user.username.to_string());
        let view = SwitchPage { form: page.form(), name: provider, label, username };
        return page.show(&view, Vec::new());
    }
    let (to, cookie) = begin(&server, &page, &provider, Intent::SignIn).await?;
    Ok(page::see_other(&to, vec![cookie]))
}

/// Whether the link that led here is enough. Only our own pages' is, where somebody is signed in; and never that of an
/// image or a frame elsewhere, which nobody chose to follow.
fn sets_out_by_itself(headers: &HeaderMap, signed_in: bool) -> bool {
    let says = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|said| said == value);
    let is_shown = !headers.contains_key(SEC_FETCH_DEST) || says(&SEC_FETCH_DEST, "document");
    says(&csrf::SEC_FETCH_SITE, "same-origin") || !signed_in && is_shown
}

#[derive(Deserialize)]
pub(super) struct Fields {
    #[serde(default)]
    return_to: String,
    #[serde(default)]
    max_age: String,
}

/// `POST /login/{provider}`: the button of whoever was asked first.
pub(super) async fn go(
    State(server): State<Server>,
    uri: Uri,
    headers: HeaderMap,
    provider: Result<Path<String>, PathRejection>,
    Form(fields): Form<Fields>,
) -> Result<Response, PageError> {
    let Path(provider) = provider.map_err(|_| ApiError::new(Code::NotFound))?;
    let sent = server.site().cookies.read_or_clear(&headers, uri.path())?;
    let page = Page::new(&server, &sent, &fields.return_to)?.within(&fields.max_age);
    leave(&server, &page, &provider, Intent::SignIn).await
}

/// Leads to a provider after a post. No redirect: Chromium holds one that follows a post to `form-action`, and so each
/// host on the way.
///
/// # Errors
/// As [`begin`].
pub(super) async fn leave(
    server: &Server,
    page: &Page,
    provider: &str,
    intent: Intent,
) -> Result<Response, PageError> {
    let (to, cookie) = begin(server, page, provider, intent).await?;
    let linking = intent != Intent::SignIn;
    page.show(&LeavingPage { label: label(server, provider)?, to, linking }, vec![cookie])
}

/// Where the browser is to go, and the flow cookie that it takes along.
///
/// # Errors
/// 404 for a provider that is not configured, 503 for one that is away, 403 for one that cannot say whether a sign-in
/// is recent where it has to be.
async fn begin(
    server: &Server,
    page: &Page,
    provider: &str,
    intent: Intent,
) -> Result<(String, HeaderValue), ApiError> {
    // It goes along in a cookie, and a longer one would not fit: then the account page is where they arrive.
    let return_to = page.destination().filter(|to| to.len() <= LONGEST_WAY).unwrap_or_default();
    let begun = server.app().begin(provider, intent, page.max_age(), return_to).await.map_err(refusal)?;
    let age = flow::LIFE.as_secs();
    let cookie = server.site().cookies.helper(Helper::Flow, &begun.cookie, age);
    Ok((begun.to, cookie.map_err(ApiError::internal)?))
}

/// What a provider is called.
///
/// # Errors
/// 404 where it is not configured.
fn label(server: &Server, provider: &str) -> Result<String, ApiError> {
    let found = server.app().providers().find(|one| one.name == provider);
    found.map(|one| one.label.to_owned()).ok_or_else(|| Code::NotFound.into())
}

/// `GET /login/{provider}/callback`
pub(super) async fn back(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
    provider: Result<Path<String>, PathRejection>,
) -> Result<Response, PageError> {
    let Path(provider) = provider.map_err(|_| ApiError::new(Code::NotFound))?;
    let sent = server.site().cookies.read_or_clear(&headers, uri.path())?;
    let signed_in = here::of_session_cookie(&server, &sent).await?;
    let [state, code, error, iss] = ["state", "code", "error", "iss"].map(|name| page::asked(&uri, name));
    let back = Back {
        provider: &provider,
        cookie: sent.flow,
        state: &state,
        code: &code,
        error: &error,
        iss: &iss,
        signed_in: signed_in.as_ref(),
    };
    let hand = Handover {
        delivery: Delivery::Cookie,
        admin: false,
        replaces: signed_in.as_ref().map(|here| here.session.id),
    };
    // Whatever comes of it, that flow is over; of a state that was another's, the own one goes on.
    let over = |error: UpstreamError| match error {
        UpstreamError::Flow(_) | UpstreamError::UnknownProvider => refusal(error),
        _ => refusal(error).cookies(cleared(&server)),
    };
    let done = server.app().come_back(&visitor, back, hand).await.map_err(over)?;
    let mut cookies: Vec<HeaderValue> = cleared(&server).into_iter().collect();
    let Some(grant) = done.grant else {
        return Ok(page::see_own(&server, &account::done(Notice::IdentityLinked), cookies));
    };
    cookies.extend(answer::cookies(&server, &grant)?);
    let page = Page::new(&server, &sent, &done.return_to)?;
    Ok(page.leave(account::PATH, cookies))
}

/// What a provider has the browser post (OAuth 2.0 Form Post Response Mode).
#[derive(Deserialize)]
pub(super) struct Posted {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    iss: String,
}

/// `POST /login/{provider}/callback`. A post from elsewhere comes without our cookies, which are Lax: it is asked for
/// once more as a page.
pub(super) async fn posted(
    State(server): State<Server>,
    provider: Result<Path<String>, PathRejection>,
    Form(posted): Form<Posted>,
) -> Result<Response, PageError> {
    let Path(provider) = provider.map_err(|_| ApiError::new(Code::NotFound))?;
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let Posted { state, code, error, iss } = &posted;
    for (name, value) in [("state", state), ("code", code), ("error", error), ("iss", iss)] {
        if !value.is_empty() {
            query.append_pair(name, value);
        }
    }
    let name: String = url::form_urlencoded::byte_serialize(provider.as_bytes()).collect();
    Ok(page::see_own(&server, &format!("/login/{name}/callback?{}", query.finish()), Vec::new()))
}

fn cleared(server: &Server) -> Option<HeaderValue> {
    server.site().cookies.helper(Helper::Flow, "", 0).ok()
}

/// The same as for programs, but a provider that is not configured is a page that is not there.
fn refusal(error: UpstreamError) -> ApiError {
    match error {
        UpstreamError::UnknownProvider => Code::NotFound.into(),
        other => other.into(),
    }
}
