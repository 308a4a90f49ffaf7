//! Who is asking for a page.
//!
//! The session cookie says it, with whatever token refresh would accept, and looking does not move its counter. Where
//! the access cookie is due it is renewed on the way, so an application that sends people here for a new one gets
//! them back at once.

use std::time::Duration;

use axum::response::Response;
use http::HeaderMap;
use http::header::HeaderValue;

use super::{login, page};
use crate::app::{Delivery, Holder, RefreshError, SignedIn, Visitor};
use crate::http::answer;
use crate::http::auth::Claims;
use crate::http::cookies::Sent;
use crate::http::error::{ApiError, PageError};
use crate::server::Server;

/// Somebody who is signed in.
pub(super) struct Here {
    pub(super) signed_in: SignedIn,
    /// The renewed pair, to be set with the answer; empty where none was due.
    pub(super) cookies: Vec<HeaderValue>,
    /// Whether somebody who was sent here for a new access cookie got one and may go back without being asked.
    /// Whoever had a good one, or got one moments ago, would go round in circles: where they came from does not
    /// accept it.
    pub(super) may_go_back: bool,
}

/// How long after a renewal another one for the same person is a circle.
const CIRCLE: Duration = Duration::from_secs(20);

/// Who is asking for a page; none where nobody is signed in.
///
/// # Errors
/// 503 where the database is away.
pub(super) async fn find(
    server: &Server,
    visitor: &Visitor,
    sent: &Sent<'_>,
) -> Result<Option<Here>, ApiError> {
    let Some(token) = sent.session else { return Ok(None) };
    let Some(Holder { signed_in, spent }) = server.app().holder(token).await? else { return Ok(None) };
    if !spent && is_access_good(server, sent, &signed_in) {
        return Ok(Some(Here { signed_in, cookies: Vec::new(), may_go_back: false }));
    }
    let used_at = signed_in.session.last_used_at;
    match server.app().refresh(visitor, token, Delivery::Cookie).await {
        Ok(grant) => {
            let cookies = answer::cookies(server, &grant)?;
            // Where tokens are shorter than that, whoever comes after one has run out is none.
            let circle = CIRCLE.min(server.app().config.policy.access_ttl);
            let may_go_back = server.app().now() >= used_at.plus(circle);
            let signed_in = SignedIn { session: grant.session, user: grant.user };
            Ok(Some(Here { signed_in, cookies, may_go_back }))
        }
        // Over since it was read. The cookies stay: this request may be the loser of a race.
        Err(RefreshError::Invalid | RefreshError::Reused) => Ok(None),
        Err(error @ RefreshError::Fault(_)) => Err(error.into()),
    }
}

/// Who posted a form of the account to `path`, and the cookies that came along. Nothing is renewed here; whoever is
/// not signed in gets the answer that leads to the login page.
///
/// # Errors
/// 400 for two cookies of one name, 503 where the database is away.
pub(super) async fn of_form<'h>(
    server: &Server,
    headers: &'h HeaderMap,
    path: &str,
) -> Result<Result<(SignedIn, Sent<'h>), Response>, PageError> {
    let sent = server.site().cookies.read_or_clear(headers, path)?;
    let signed_in = match sent.session {
        Some(token) => server.app().signed_in(token).await.map_err(ApiError::from)?,
        None => None,
    };
    Ok(match signed_in {
        Some(signed_in) => Ok((signed_in, sent)),
        None => Err(page::see_own(server, login::PATH, Vec::new())),
    })
}

/// Whose the session cookie is, spent or not: good enough to end the session.
///
/// # Errors
/// 503 where the database is away.
pub(super) async fn of_session_cookie(
    server: &Server,
    sent: &Sent<'_>,
) -> Result<Option<SignedIn>, ApiError> {
    match sent.session {
        Some(token) => Ok(server.app().holder(token).await?.map(|holder| holder.signed_in)),
        None => Ok(None),
    }
}

/// The cookies to set for whoever is here.
pub(super) fn cookies(here: Option<Here>) -> Vec<HeaderValue> {
    here.map(|here| here.cookies).unwrap_or_default()
}

/// Whether the access cookie is good, and of the same session.
fn is_access_good(server: &Server, sent: &Sent<'_>, signed_in: &SignedIn) -> bool {
    sent.access
        .and_then(|token| Claims::verify(server, token).ok())
        .and_then(|claims| claims.session_id().ok())
        .is_some_and(|id| id == signed_in.session.id)
}
