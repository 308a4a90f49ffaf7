//! `GET /auth/revocations` and `GET /auth/status/{list}`: how other programs learn what to refuse, without asking
//! per request. Served from memory, with or without a database; nothing personal is in either.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::StatusCode;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue};
use jotgate_domain::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::error::{ApiError, Code};
use super::well_known::is_known;
use crate::app::App;
use crate::app::feed::{Cursor, Entry, Page, What};
use crate::server::Server;

/// Entries a page, and a burst of the stream.
const PAGE: usize = 10_000;
/// A quiet stream says at least this often that it is alive, and how fresh.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// Proxies must pass the stream on as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
/// RFC-less, but what browsers' `EventSource` sends when it comes back.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

#[derive(Deserialize)]
pub(super) struct Since {
    since: Option<String>,
}

/// A page; with `Accept: text/event-stream` the live stream.
pub(super) async fn feed(
    State(server): State<Server>,
    Query(Since { since }): Query<Since>,
    headers: HeaderMap,
) -> Response {
    let last_seen = headers.get(LAST_EVENT_ID).and_then(|value| value.to_str().ok());
    let since = since.as_deref().or(last_seen).map(parse);
    if accepts_stream(&headers) { stream_from(server, since) } else { page(server.app(), since) }
}

fn accepts_stream(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|kind| kind.split(';').next().unwrap_or_default().trim() == "text/event-stream")
}

#[derive(Serialize)]
#[serde(untagged)]
enum Told {
    Status { uri: String, idx: u64, until: i64 },
    Key { kid: String, until: i64 },
}

impl Told {
    fn of(app: &App, entry: &Entry) -> Self {
        let until = entry.until.secs().saturating_add(1);
        match &entry.what {
            What::Status(position) => {
                Self::Status { uri: app.status_uri(position.list), idx: position.index, until }
            }
            What::Key(kid) => Self::Key { kid: kid.to_string(), until },
        }
    }
}

#[derive(Serialize)]
struct PageView {
    cursor: String,
    as_of: i64,
    /// Forget all first: the whole live set begins here.
    reset: bool,
    /// There is more already.
    more: bool,
    entries: Vec<Told>,
}

fn page(app: &App, since: Option<Cursor>) -> Response {
    // Read before the page: what the page says is at least as new.
    let as_of = app.feed.as_of();
    let Page { cursor, reset, entries } = app.feed.page(since, PAGE);
    let view = PageView {
        cursor: write(cursor),
        as_of: as_of.secs(),
        reset,
        more: cursor.at < app.feed.end(),
        entries: entries.iter().map(|entry| Told::of(app, entry)).collect(),
    };
    let mut response = Json(view).into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

struct Follower {
    server: Server,
    grown: tokio::sync::watch::Receiver<u64>,
    /// None: it has nothing yet.
    cursor: Option<Cursor>,
    begun: bool,
}

/// Each follower reads the log at its own pace: what it has not taken is not kept for it, only its place is.
fn stream_from(server: Server, since: Option<Cursor>) -> Response {
    let grown = server.app().feed.grown();
    let follower = Follower { server, grown, cursor: since, begun: false };
    let events = stream::unfold(follower, |mut follower| async move {
        let text = follower.next().await;
        Some((Ok::<_, Infallible>(Bytes::from(text)), follower))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
    response
}

impl Follower {
    /// The next events, at once where there are some; after the first ones, `alive` on every quiet spell.
    async fn next(&mut self) -> String {
        loop {
            self.grown.mark_unchanged();
            let app = self.server.app();
            let as_of = app.feed.as_of();
            let Page { cursor, reset, entries } = app.feed.page(self.cursor, PAGE);
            let mut text = String::new();
            if reset {
                event(&mut text, "reset", None, &AsOf::at(as_of));
            }
            for (offset, entry) in (0_u64..).zip(&entries) {
                let before = cursor.at - u64::try_from(entries.len()).unwrap_or(0);
                let id = Cursor { at: before + offset + 1, ..cursor };
                event(&mut text, "revoked", Some(id), &Told::of(app, entry));
            }
            self.cursor = Some(cursor);
            let begun = std::mem::replace(&mut self.begun, true);
            // Whoever has come, or was told something, knows at once that this is all there is, and how fresh: a
            // stream that is never quiet must not look stale.
            if (!begun || !text.is_empty()) && cursor.at == app.feed.end() {
                event(&mut text, "alive", Some(cursor), &AsOf::at(as_of));
            }
            if !text.is_empty() {
                return text;
            }
            if timeout(ALIVE_EVERY, self.grown.changed()).await.is_err() {
                event(&mut text, "alive", self.cursor, &AsOf::at(self.server.app().feed.as_of()));
                return text;
            }
        }
    }
}

#[derive(Serialize)]
struct AsOf {
    as_of: i64,
}

impl AsOf {
    fn at(instant: Timestamp) -> Self {
        Self { as_of: instant.secs() }
    }
}

fn event(text: &mut String, name: &str, id: Option<Cursor>, data: &impl Serialize) {
    text.push_str("event: ");
    text.push_str(name);
    if let Some(id) = id {
        text.push_str("\nid: ");
        text.push_str(&write(id));
    }
    text.push_str("\ndata: ");
    text.push_str(&serde_json::to_string(data).unwrap_or_default());
    text.push_str("\n\n");
}

/// Opaque to followers.
fn write(cursor: Cursor) -> String {
    format!("{:016x}{:x}", cursor.epoch, cursor.at)
}

/// What cannot be read is a place in no log: it gets a reset.
fn parse(text: &str) -> Cursor {
    let known = || {
        let (epoch, at) = text.split_at_checked(16)?;
        Some(Cursor { epoch: u64::from_str_radix(epoch, 16).ok()?, at: u64::from_str_radix(at, 16).ok()? })
    };
    known().unwrap_or(Cursor { epoch: 0, at: u64::MAX })
}

/// Status List Aggregation: where all the lists are.
pub(super) async fn lists(State(server): State<Server>) -> Response {
    Json(serde_json::json!({ "status_lists": server.app().status_list_uris() })).into_response()
}

pub(super) async fn status(
    State(server): State<Server>,
    Path(list): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let list: u64 = list.parse().map_err(|_| ApiError::new(Code::NotFound))?;
    let list = match server.app().made_status_list(list) {
        Some(made) => made,
        None => {
            let made = tokio::task::spawn_blocking(move || server.app().status_list(list));
            made.await.map_err(ApiError::internal)??.ok_or(Code::NotFound)?
        }
    };
    let mut response = if is_known(&headers, &list.etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::from(list.token.clone()));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/statuslist+jwt"));
        response
    };
    let value = |text: String| HeaderValue::from_str(&text).map_err(ApiError::internal);
    response.headers_mut().insert(CACHE_CONTROL, value(format!("public, max-age={}", list.max_age))?);
    response.headers_mut().insert(ETAG, value(list.etag.clone())?);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_back_and_others_are_of_no_log() {
        for cursor in [Cursor { epoch: 0, at: 0 }, Cursor { epoch: u64::MAX, at: 1_000_000 }] {
            assert_eq!(parse(&write(cursor)), cursor);
        }
        for text in ["", "x", "0123456789abcdef", "0123456789abcdefzz", "é".repeat(20).as_str()] {
            assert_eq!(parse(text), Cursor { epoch: 0, at: u64::MAX }, "{text}");
        }
    }
}
