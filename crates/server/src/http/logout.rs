//! `POST /auth/logout`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{HeaderMap, SET_COOKIE};
use http::{StatusCode, Uri};
use jotgate_domain::audit::Action;
use jotgate_domain::{SessionId, UserId};
use serde::Deserialize;

use super::auth::Claims;
use super::bearer::{Credential, credential};
use super::error::{ApiError, Code};
use super::json::Json;
use crate::app::{Holder, SignedIn, Visitor};
use crate::server::Server;

#[derive(Default, Deserialize)]
pub(super) struct Form {
    refresh_token: Option<String>,
    #[serde(default)]
    all: bool,
}

/// Whose session ends.
struct Leaving {
    user: UserId,
    session: SessionId,
    /// Whether they may end the others as well.
    manages: bool,
}

/// Ending one's own session needs no more than any token of it, whatever its generation; by cookie that always
/// succeeds, since what is over already is what was asked for. Ending all needs a session that is not over.
pub(super) async fn post(
    State(server): State<Server>,
    visitor: Visitor,
    uri: Uri,
    headers: HeaderMap,
    form: Option<Json<Form>>,
) -> Result<Response, ApiError> {
    let form = form.map(|Json(form)| form).unwrap_or_default();
    let mut response = StatusCode::NO_CONTENT.into_response();
    let leaving = match (form.refresh_token.as_deref(), credential(&headers, &uri, &server.site().cookies)?) {
        (Some(token), _) => Some(by_refresh_token(&server, token).await?.ok_or(Code::InvalidRefreshToken)?),
        (None, Credential::Bearer(token)) => Some(by_access_token(&server, token)?),
        (None, Credential::Cookie { session, access }) => {
            for cookie in server.site().cookies.clear() {
                response.headers_mut().append(SET_COOKIE, cookie);
            }
            let found = match session {
                Some(token) => by_refresh_token(&server, token).await?,
                None => None,
            };
            found.or_else(|| access.and_then(|token| by_access_token(&server, token).ok()))
        }
        (None, Credential::None) => return Err(Code::Unauthenticated.into()),
    };
    match leaving {
        Some(leaving) => end(&server, &visitor, &leaving, form.all).await?,
        // Whose the others are, a session that is over does not say: they go on.
        None if form.all => {
            return Err(ApiError::new(Code::Unauthenticated).cookies(server.site().cookies.clear()));
        }
        None => {}
    }
    Ok(response)
}

async fn end(server: &Server, visitor: &Visitor, leaving: &Leaving, all: bool) -> Result<(), ApiError> {
    if all {
        if !leaving.manages {
            return Err(Code::InsufficientScope.into());
        }
        let user = server.app().user(leaving.user).await?.ok_or(Code::Unauthenticated)?;
        server.app().end_sessions(visitor, &user, None).await?;
    } else {
        server.app().end_session(visitor, leaving.user, leaving.session, Action::LoggedOut).await?;
    }
    Ok(())
}

async fn by_refresh_token(server: &Server, token: &str) -> Result<Option<Leaving>, ApiError> {
    let found = server.app().holder(token).await?;
    Ok(found.map(|Holder { signed_in: SignedIn { session, user }, spent }| {
        // A spent token ends its own session, and is good for nothing else.
        Leaving { user: user.id, session: session.id, manages: !spent }
    }))
}

fn by_access_token(server: &Server, token: &str) -> Result<Leaving, ApiError> {
    let claims = Claims::verify(server, token)?;
    let user = claims.user_id().parse().map_err(|_| ApiError::new(Code::MissingClaim))?;
    Ok(Leaving { user, session: claims.session_id()?, manages: claims.get().has_scope("account") })
}
