//! Who is asking: extractors, for the handlers here and in applications that nest this server.
//!
//! [`Claims`] takes no look-up: it is what any resource server would know. [`CurrentUser`] loads the record behind
//! it (step 7). [`Manager`] is who may manage the account: the session cookie, or a Bearer with scope `account`.

use axum::extract::{FromRef, FromRequestParts};
use http::request::Parts;
use jotgate_domain::access::Caller;
use jotgate_domain::{Session, User};
use jotgate_jose::Claims as BorrowedClaims;
use jotgate_verify::{Refusal, Token};

use super::bearer::{Credential, credential};
use super::error::{ApiError, Code};
use crate::app::{Delivery, SignedIn};
use crate::server::Server;

/// The verified claims of the request's access token, from `Authorization: Bearer` or the access cookie.
/// Refused: 401, with the reason as `code`.
#[derive(Clone, Debug)]
pub struct Claims(Token);

impl Claims {
    /// The claims, borrowed from the token.
    #[must_use]
    pub fn get(&self) -> BorrowedClaims<'_> {
        self.0.claims()
    }

    /// `sub`: the user's id.
    #[must_use]
    pub fn user_id(&self) -> &str {
        self.get().sub().unwrap_or_default()
    }

    /// `sid`: the session's id.
    ///
    /// # Errors
    /// 401 for a token of this issuer without one.
    pub fn session_id(&self) -> Result<jotgate_domain::SessionId, ApiError> {
        self.get().sid().and_then(|sid| sid.parse().ok()).ok_or_else(|| ApiError::new(Code::MissingClaim))
    }

    /// Whether the user has this role.
    #[must_use]
    pub fn has_role(&self, role: &str) -> bool {
        self.get().roles().contains(role)
    }

    /// Verifies a token for this server.
    pub(super) fn verify(server: &Server, token: &str) -> Result<Self, ApiError> {
        let now = u64::try_from(server.app().now().secs()).unwrap_or(0);
        server.app().verifier.check(token, now).map(Self).map_err(|refusal| match refusal {
            Refusal::Token(error) => Code::from_name(error.code()).unwrap_or(Code::Malformed).into(),
            // This server knows its own keys and revocations at any time.
            Refusal::NotReady | Refusal::Stale => ApiError::internal(refusal),
        })
    }

    pub(super) fn of(server: &Server, parts: &Parts) -> Result<Self, ApiError> {
        match credential(&parts.headers, &parts.uri, &server.site().cookies)? {
            Credential::Bearer(token) | Credential::Cookie { access: Some(token), .. } => {
                Self::verify(server, token)
            }
            _ => Err(Code::Unauthenticated.into()),
        }
    }
}

/// What the rules for applications behind a proxy ask of a token.
impl Caller for Claims {
    fn has_role(&self, role: &str) -> bool {
        Self::has_role(self, role)
    }

    fn has_scope(&self, scope: &str) -> bool {
        self.get().has_scope(scope)
    }

    fn authenticated_at(&self) -> Option<u64> {
        self.get().auth_time()
    }
}

impl<S> FromRequestParts<S> for Claims
where
    S: Send + Sync,
    Server: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Self::of(&Server::from_ref(state), parts)
    }
}

/// The records behind the token: user and session as they are now.
#[derive(Clone, Debug)]
pub struct CurrentUser {
    pub user: User,
    pub session: Session,
    pub claims: Claims,
}

impl<S> FromRequestParts<S> for CurrentUser
where
    S: Send + Sync,
    Server: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let claims = Claims::from_request_parts(parts, state).await?;
        let server = Server::from_ref(state);
        // The session ended within the last moments, or its user is disabled.
        let found = server.app().load(claims.session_id()?).await?;
        let SignedIn { session, user } = found.ok_or(Code::Revoked)?;
        Ok(Self { user, session, claims })
    }
}

/// Somebody who may manage the account they are signed in to.
#[derive(Clone, Debug)]
pub struct Manager {
    pub signed_in: SignedIn,
    /// How they showed it, and so how they are answered.
    pub delivery: Delivery,
}

impl Manager {
    async fn of(server: &Server, parts: &Parts) -> Result<Self, ApiError> {
        match credential(&parts.headers, &parts.uri, &server.site().cookies)? {
            Credential::Bearer(token) => {
                let claims = Claims::verify(server, token)?;
                if !claims.get().has_scope("account") {
                    return Err(Code::InsufficientScope.into());
                }
                let found = server.app().load(claims.session_id()?).await?;
                Ok(Self { signed_in: found.ok_or(Code::Revoked)?, delivery: Delivery::Body })
            }
            Credential::Cookie { session: Some(token), .. } => {
                let found = server.app().signed_in(token).await?;
                Ok(Self { signed_in: found.ok_or(Code::Unauthenticated)?, delivery: Delivery::Cookie })
            }
            // A sibling application receives this cookie too: it says who the user is, and no more.
            Credential::Cookie { access: Some(token), session: None } => {
                Claims::verify(server, token)?;
                Err(Code::InsufficientScope.into())
            }
            _ => Err(Code::Unauthenticated.into()),
        }
    }
}

impl<S> FromRequestParts<S> for Manager
where
    S: Send + Sync,
    Server: FromRef<S>,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        Self::of(&Server::from_ref(state), parts).await
    }
}
