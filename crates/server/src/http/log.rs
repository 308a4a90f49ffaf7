//! One line a request: what was asked of which route, how it ended, how long it took, who it was. Never a
//! query, a body, a header or a secret; a path that no route matched is not repeated either.

use std::net::IpAddr;
use std::time::Duration;

use axum::response::Response;
use http::{Method, StatusCode};
use jotgate_domain::{SessionId, UserId};

/// What a handler knows for the log: a response extension.
#[derive(Clone, Debug, Default)]
pub struct Note {
    /// Stable code of a refusal.
    pub reason: Option<&'static str>,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    /// The log half of an error; never a secret.
    pub detail: Option<String>,
}

impl Note {
    /// The note of this response, empty where it has none yet.
    pub fn of(response: &mut Response) -> &mut Self {
        response.extensions_mut().get_or_insert_default()
    }
}

/// What is known of a request when its answer leaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'a> {
    pub(crate) method: &'a Method,
    /// The pattern that matched, such as `/auth/sessions/{id}`; empty where none did.
    pub(crate) route: &'a str,
    pub(crate) status: StatusCode,
    /// Until the answer's head was there.
    pub(crate) took: Duration,
    pub(crate) address: Option<IpAddr>,
    pub(crate) request_id: &'a str,
    pub(crate) note: Option<&'a Note>,
}

/// Writes it: an error where it is our fault.
pub(crate) fn line(line: &Line<'_>) {
    let note = line.note;
    let method = known(line.method).unwrap_or("(other)");
    macro_rules! write {
        ($level:ident) => {
            tracing::$level!(
                target: crate::log::REQUESTS,
                method,
                route = line.route,
                status = line.status.as_u16(),
                reason = note.and_then(|n| n.reason),
                us = u64::try_from(line.took.as_micros()).unwrap_or(u64::MAX),
                user = note.and_then(|n| n.user).map(display),
                session = note.and_then(|n| n.session).map(display),
                address = line.address.map(display),
                request_id = line.request_id,
                detail = note.and_then(|n| n.detail.as_deref()),
            )
        };
    }
    if line.status.is_server_error() { write!(error) } else { write!(info) }
}

/// The method, if it is one; to the client, any word is.
pub(crate) fn known(method: &Method) -> Option<&str> {
    let is_known = matches!(
        *method,
        Method::GET
            | Method::HEAD
            | Method::POST
            | Method::PUT
            | Method::PATCH
            | Method::DELETE
            | Method::OPTIONS
            | Method::TRACE
            | Method::CONNECT
    );
    is_known.then(|| method.as_str())
}
