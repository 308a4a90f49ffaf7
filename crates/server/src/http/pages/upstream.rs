//! `/login/{provider}` and `/login/{provider}/callback`: to another provider and back.
//!
//! To set out by a mere link is safe, since nothing that another site brings about here can come back to it: what comes
//! back belongs to the browser that set out. The way there is the same for signing in and for linking; what it is for
//! lies in the flow cookie.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Uri;
use axum::response::Response;
use http::HeaderMap;
use http::header::HeaderValue;
use jotgate_domain::upstream::flow::{self, Intent};
use serde::Deserialize;

use super::page::{self, Page};
use super::{account, here};
use crate::app::{Back, Delivery, Handover, UpstreamError, Visitor};
use crate::http::answer;
use crate::http::cookies::Helper;
use crate::http::error::{ApiError, Code, PageError};
use crate::http::form::Form;
use crate::server::Server;
use crate::ui::Notice;

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
    // It goes along in a cookie, and a longer one would not fit: then the account page is where they arrive.
    let to = page.destination().filter(|to| to.len() <= LONGEST_WAY).unwrap_or_default();
    let (to, cookie) = begin(&server, &provider, Intent::SignIn, to).await?;
    Ok(page::see_other(&to, vec![cookie]))
}

/// Where the browser is to go, and the flow cookie that it takes along.
///
/// # Errors
/// 404 for a provider that is not configured, 503 for one that is away.
pub(super) async fn begin(
    server: &Server,
    provider: &str,
    intent: Intent,
    return_to: &str,
) -> Result<(String, HeaderValue), ApiError> {
    let begun = server.app().begin(provider, intent, return_to).await.map_err(refusal)?;
    let age = flow::LIFE.as_secs();
    let cookie = server.site().cookies.helper(Helper::Flow, &begun.cookie, age);
    Ok((begun.to, cookie.map_err(ApiError::internal)?))
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
