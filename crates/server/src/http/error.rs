//! What a refused request is answered with: the one place where a reason becomes a status.
//!
//! Three kinds: [`ApiError`] (RFC 9457 problem details), [`PageError`] (a page, rendered by the user
//! interface) and [`OAuthError`] (RFC 6749 §5.2). Each has a public half (status, stable code, a sentence) and
//! a log half that no visitor sees. What is said of a 5xx is fixed.

mod oauth;

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, StatusCode, Uri};
use jotgate_domain::StoreError;
use jotgate_domain::store::Unique;
use serde::Serialize;

pub use self::oauth::{OAuthCode, OAuthError};
use super::Surface;
use super::log::Note;
use crate::app::Fault;

macro_rules! codes {
    ($($name:ident $status:literal $code:literal $title:literal $detail:literal $challenge:ident;)*) => {
        /// A reason for refusing a request, by its stable name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = concat!($status, " `", $code, "`: ", $detail)] $name,)*
        }

        impl Code {
            /// Every code, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The `code` member, stable, `snake_case`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            const fn row(self) -> (u16, &'static str, &'static str, Challenge) {
                match self { $(Self::$name => ($status, $title, $detail, Challenge::$challenge),)* }
            }
        }
    };
}

// Name, status, code, title, default detail, challenge (RFC 6750 §3).
codes! {
    InvalidRequest 400 "invalid_request" "Invalid request" "The request could not be understood." None;
    AmbiguousCredentials 400 "ambiguous_credentials" "Ambiguous credentials" "The request carries more than one credential; send exactly one." InvalidRequest;
    InvalidResetToken 400 "invalid_token" "Invalid token" "The link or token is not valid or no longer valid." None;
    InvalidTicket 400 "invalid_ticket" "Sign-in not completed" "The ticket is not valid or no longer valid." None;
    UnknownApplication 400 "unknown_application" "Unknown application" "No application of this origin is configured (sso.origins)." None;
    UnknownProvider 400 "unknown_provider" "Unknown provider" "No provider of this name is configured." None;
    InvalidRedirectUri 400 "invalid_redirect_uri" "Invalid redirect URI" "The redirect_uri is not among those configured for this provider." None;
    InvalidFlow 400 "invalid_flow" "Sign-in not accepted" "This sign-in was not begun in this browser, was begun too long ago, or has been used already." None;

    Unauthenticated 401 "unauthenticated" "Not signed in" "This needs an access token." Bearer;
    InvalidCredentials 401 "invalid_credentials" "Invalid credentials" "The user name or the password is wrong." Bearer;
    InvalidCode 401 "invalid_code" "Invalid code" "The provider does not accept the code; begin the sign-in again." Bearer;
    InvalidIdToken 401 "invalid_id_token" "Invalid ID token" "What the provider answered does not prove who this is." Bearer;
    InvalidRefreshToken 401 "invalid_refresh_token" "Invalid refresh token" "The refresh token is not valid or no longer valid; sign in again." InvalidToken;
    RefreshTokenReused 401 "refresh_token_reused" "Refresh token reused" "The refresh token had already been used; its session has been ended." InvalidToken;
    Malformed 401 "malformed" "Invalid access token" "The access token is malformed." InvalidToken;
    UnsupportedAlgorithm 401 "unsupported_algorithm" "Invalid access token" "The access token's algorithm is not accepted." InvalidToken;
    UnknownKey 401 "unknown_key" "Invalid access token" "The access token names a key that is not known." InvalidToken;
    InvalidSignature 401 "invalid_signature" "Invalid access token" "The access token's signature is wrong." InvalidToken;
    WrongType 401 "wrong_type" "Invalid access token" "The token is not an access token." InvalidToken;
    Expired 401 "expired" "Invalid access token" "The access token has expired." InvalidToken;
    NotYetValid 401 "not_yet_valid" "Invalid access token" "The access token is not valid yet." InvalidToken;
    TooOld 401 "too_old" "Invalid access token" "The access token was issued too long ago." InvalidToken;
    WrongIssuer 401 "wrong_issuer" "Invalid access token" "The access token is from another issuer." InvalidToken;
    WrongAudience 401 "wrong_audience" "Invalid access token" "The access token is for another audience." InvalidToken;
    MissingClaim 401 "missing_claim" "Invalid access token" "The access token lacks a claim." InvalidToken;
    Revoked 401 "revoked" "Invalid access token" "The access token has been revoked." InvalidToken;

    SignInAgain 401 "insufficient_user_authentication" "Sign in again" "This needs a more recent sign-in." InsufficientAuthentication;

    UnknownRequest 403 "unknown_request" "Request unknown" "The proxy does not say, or not clearly, which request it asks about; or it is not among trusted_proxies." None;
    Csrf 403 "csrf" "Cross-site request refused" "The request does not come from a page of this server or a trusted origin." None;
    InsufficientScope 403 "insufficient_scope" "Insufficient scope" "The access token does not allow this." InsufficientScope;
    Forbidden 403 "forbidden" "Forbidden" "You may not do this." None;
    CookiesBlocked 403 "cookies_blocked" "Cookies blocked" "The browser sends no cookies back, and nobody can be signed in without." None;
    SignInLoop 403 "sign_in_loop" "Sign-in goes round in circles" "What is set for the browser is not kept or not accepted." None;
    RegistrationDisabled 403 "registration_disabled" "Registration disabled" "Accounts are not created here by their users." None;
    RegistrationRefused 403 "registration_refused" "Registration refused" "You cannot get an account here." None;
    ProviderDenied 403 "provider_denied" "Not signed in" "The provider did not sign you in." None;
    StaleSignIn 403 "stale_sign_in" "Sign-in not recent" "This needs a recent sign-in, and the provider does not say that yours is one." None;
    AccountDisabled 403 "account_disabled" "Account disabled" "This account may not be used." None;
    RecentSignInRequired 403 "recent_sign_in_required" "Recent sign-in required" "This needs a sign-in within the last ten minutes; sign in again." None;
    NotFound 404 "not_found" "Not found" "There is nothing here." None;
    MethodNotAllowed 405 "method_not_allowed" "Method not allowed" "The method is not allowed here." None;
    RequestTimeout 408 "request_timeout" "Request timeout" "The request took too long to arrive." None;
    UsernameTaken 409 "username_taken" "User name taken" "The user name is taken." None;
    EmailTaken 409 "email_taken" "E-mail address taken" "The e-mail address is taken." None;
    IdentityTaken 409 "identity_taken" "Already linked" "This identity is linked to an account already." None;
    LastWayIn 409 "last_way_in" "Last way to sign in" "The account has no password and no other identity; link another one first." None;
    BodyTooLarge 413 "body_too_large" "Body too large" "The body is larger than is accepted here." None;
    UnsupportedMediaType 415 "unsupported_media_type" "Unsupported media type" "Send application/json in UTF-8, not compressed." None;
    InvalidUsername 422 "invalid_username" "Invalid user name" "The user name is not acceptable." None;
    InvalidEmail 422 "invalid_email" "Invalid e-mail address" "The e-mail address is not acceptable." None;
    WeakPassword 422 "weak_password" "Weak password" "The password is not acceptable." None;
    TooManyRoles 422 "too_many_roles" "Too many roles" "The roles and claims would not fit into the access token's cookie." None;
    TooManyAttempts 429 "too_many_attempts" "Too many attempts" "Too many attempts; try again later." None;
    HeadersTooLarge 431 "headers_too_large" "Headers too large" "The request's headers, most likely its cookies, are too large." None;

    Internal 500 "internal" "Internal error" "Something went wrong here. The request id leads to the cause in the log." None;
    Unavailable 503 "unavailable" "Unavailable" "This cannot be done right now; try again shortly." None;
    ProviderUnavailable 503 "provider_unavailable" "Provider unavailable" "The provider cannot be reached, or does not answer as it should; try again later." None;
    Busy 503 "busy" "Busy" "The server is busy; try again shortly." None;
    Timeout 503 "timeout" "Timeout" "The request could not be completed in time; try again shortly." None;
}

/// What `WWW-Authenticate` says (RFC 6750 §3: an error only where a token was shown).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Challenge {
    None,
    Bearer,
    InvalidToken,
    InvalidRequest,
    InsufficientScope,
    /// RFC 9470 §3.
    InsufficientAuthentication,
}

impl Challenge {
    const fn header(self) -> Option<HeaderValue> {
        match self {
            Self::None => None,
            Self::Bearer => Some(HeaderValue::from_static("Bearer")),
            Self::InvalidToken => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
            Self::InvalidRequest => Some(HeaderValue::from_static("Bearer error=\"invalid_request\"")),
            Self::InsufficientScope => Some(HeaderValue::from_static("Bearer error=\"insufficient_scope\"")),
            Self::InsufficientAuthentication => {
                Some(HeaderValue::from_static("Bearer error=\"insufficient_user_authentication\""))
            }
        }
    }
}

impl Code {
    #[must_use]
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().1
    }

    /// What is said where nothing more is known.
    #[must_use]
    pub const fn detail(self) -> &'static str {
        self.row().2
    }

    /// The code of this name; for reasons that another crate names, such as why a token was refused.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == name)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A refusal by the JSON API, as `application/problem+json` (RFC 9457).
///
/// Made from a [`Code`]; 429 and 503 always carry `Retry-After` (1 second unless said otherwise), 401 always
/// `WWW-Authenticate` (RFC 9110 §15.5.2).
pub struct ApiError(Box<Refusal>);

/// Boxed, since a `Result` is as large as its error.
struct Refusal {
    code: Code,
    detail: Cow<'static, str>,
    log: Option<String>,
    headers: HeaderMap,
}

impl From<Code> for ApiError {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl ApiError {
    #[must_use]
    pub fn new(code: Code) -> Self {
        let mut headers = HeaderMap::new();
        if let Some(challenge) = code.row().3.header() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if matches!(code.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Self(Box::new(Refusal { code, detail: Cow::Borrowed(code.detail()), log: None, headers }))
    }

    /// 500: `log` says what went wrong, the visitor is told nothing of it.
    #[must_use]
    pub fn internal(log: impl fmt::Display) -> Self {
        Self::new(Code::Internal).log(log)
    }

    /// Says more than the code's own sentence; without effect on a 5xx. Must not repeat what was sent.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        if !self.0.code.status().is_server_error() {
            self.0.detail = detail.into();
        }
        self
    }

    /// The log half; never a secret.
    #[must_use]
    pub fn log(mut self, log: impl fmt::Display) -> Self {
        self.0.log = Some(log.to_string());
        self
    }

    /// When to come back (RFC 9110 §10.2.3), rounded up to whole seconds, at least one.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)).max(1);
        self.0.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        self
    }

    /// Methods for `Allow` of a 405 (RFC 9110 §15.5.6).
    #[must_use]
    pub fn allow(mut self, methods: &'static str) -> Self {
        self.0.headers.insert(ALLOW, HeaderValue::from_static(methods));
        self
    }

    /// Cookies that go with the refusal (cleared ones).
    #[must_use]
    pub fn cookies(mut self, cookies: impl IntoIterator<Item = HeaderValue>) -> Self {
        for cookie in cookies {
            self.0.headers.append(SET_COOKIE, cookie);
        }
        self
    }

    #[must_use]
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Status, headers and note for the log, without a body.
    pub(super) fn head(self) -> (Response, Cow<'static, str>) {
        let Refusal { code, detail, log, headers } = *self.0;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = code.status();
        *response.headers_mut() = headers;
        let note = Note::of(&mut response);
        note.reason = Some(code.as_str());
        note.detail = log;
        (response, detail)
    }
}

impl fmt::Debug for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiError")
            .field("code", &self.0.code)
            .field("log", &self.0.log)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.code)?;
        self.0.log.as_ref().map_or(Ok(()), |log| write!(f, ": {log}"))
    }
}

impl std::error::Error for ApiError {}

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'a str,
    title: &'a str,
    status: u16,
    code: &'a str,
    detail: &'a str,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let code = self.0.code;
        let (mut response, detail) = self.head();
        let problem = Problem {
            r#type: &format!("urn:jotgate:error:{code}"),
            title: code.title(),
            status: code.status().as_u16(),
            code: code.as_str(),
            detail: &detail,
        };
        // Strings and a number always serialise.
        *response.body_mut() = Body::from(serde_json::to_vec(&problem).unwrap_or_default());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(Unique::Username) => Self::new(Code::UsernameTaken),
            StoreError::Taken(Unique::Email) => Self::new(Code::EmailTaken),
            // Only an operator's command makes clients.
            StoreError::Taken(Unique::ClientId) => Self::internal(error),
            // Decided anew several times without success: others write the same rows all the time.
            StoreError::Conflict => Self::new(Code::Busy).log(error),
            StoreError::Unavailable(_) => Self::new(Code::Unavailable).log(error).retry_after(RETRY_STORE),
            StoreError::Corrupt(_) => Self::internal(error),
            other => Self::internal(other),
        }
    }
}

/// A database that is away seldom is back within a second.
const RETRY_STORE: Duration = Duration::from_secs(2);

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Throttled { retry_after } => Self::new(Code::TooManyAttempts).retry_after(retry_after),
            Fault::Busy { retry_after } => {
                Self::new(Code::Busy).log("no capacity to hash").retry_after(retry_after)
            }
            Fault::Unavailable(why) => Self::new(Code::Unavailable).log(why).retry_after(RETRY_STORE),
            Fault::Internal(why) => Self::internal(why),
        }
    }
}

impl From<crate::edge::NoRandomness> for ApiError {
    fn from(error: crate::edge::NoRandomness) -> Self {
        Self::new(Code::Unavailable).log(error)
    }
}

/// A refusal shown as a page. Its text is rendered by the function that `Site::error_page` names,
/// when the response leaves.
#[derive(Debug)]
pub struct PageError(ApiError);

/// What the page of a refusal is made from: a response extension.
#[derive(Clone, Debug)]
pub struct ErrorPage {
    pub status: StatusCode,
    pub code: Code,
    /// A sentence for the visitor; to be escaped like any text.
    pub detail: Cow<'static, str>,
}

impl<E: Into<ApiError>> From<E> for PageError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        let code = self.0.0.code;
        let (mut response, detail) = self.0.head();
        // Read where nothing renders: a library user's router without our layer.
        *response.body_mut() = Body::from(format!("{}\n{detail}\n", code.title()));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response.extensions_mut().insert(ErrorPage { status: code.status(), code, detail });
        response
    }
}

/// Fallback of routers: 404, as a page where there could be one.
pub async fn not_found(uri: Uri) -> Response {
    fallback(&uri, Code::NotFound)
}

/// Fallback of routers: 405 likewise; axum adds `Allow`.
pub async fn method_not_allowed(uri: Uri) -> Response {
    fallback(&uri, Code::MethodNotAllowed)
}

fn fallback(uri: &Uri, code: Code) -> Response {
    if Surface::of(uri.path()).is_page() {
        PageError::from(code).into_response()
    } else {
        ApiError::new(code).into_response()
    }
}

#[cfg(test)]
mod tests {
    use http::header::PRAGMA;
    use http_body_util::BodyExt;

    use super::*;

    async fn sent(error: impl IntoResponse) -> (u16, HeaderMap, String, Note) {
        let mut response = error.into_response();
        let note = Note::of(&mut response).clone();
        let (parts, body) = response.into_parts();
        let text = String::from_utf8(body.collect().await.unwrap().to_bytes().into()).unwrap();
        (parts.status.as_u16(), parts.headers, text, note)
    }

    #[tokio::test]
    async fn a_refusal_is_a_problem_with_all_members() {
        let (status, headers, body, note) = sent(ApiError::from(Code::InvalidCredentials).log("why")).await;
        assert_eq!(status, 401);
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers[WWW_AUTHENTICATE], "Bearer");
        assert_eq!(
            body,
            r#"{"type":"urn:jotgate:error:invalid_credentials","title":"Invalid credentials","status":401,"#
                .to_owned()
                + r#""code":"invalid_credentials","detail":"The user name or the password is wrong."}"#
        );
        assert_eq!((note.reason, note.detail.as_deref()), (Some("invalid_credentials"), Some("why")));
    }

    #[tokio::test]
    async fn every_code_keeps_the_promises_of_its_status() {
        let mut seen = std::collections::HashSet::new();
        for code in Code::ALL.iter().copied() {
            assert!(seen.insert(code.as_str()), "{code} twice");
            assert_eq!(Code::from_name(code.as_str()), Some(code));
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            let (status, headers, body, _) = sent(ApiError::new(code)).await;
            assert_eq!(status, code.row().0, "{code}: a status that exists");
            assert_eq!(
                status == 401,
                code != Code::AmbiguousCredentials
                    && code != Code::InsufficientScope
                    && headers.contains_key(WWW_AUTHENTICATE),
                "{code}"
            );
            assert_eq!(matches!(status, 429 | 503), headers.contains_key(RETRY_AFTER), "{code}");
            assert!(body.contains(&format!(r#""code":"{code}","detail":""#)), "{body}");
        }
        for token in ["expired", "revoked", "malformed", "refresh_token_reused", "invalid_refresh_token"] {
            let (status, headers, _, _) = sent(ApiError::new(Code::from_name(token).unwrap())).await;
            assert_eq!(
                (status, &headers[WWW_AUTHENTICATE]),
                (401, &HeaderValue::from_static("Bearer error=\"invalid_token\""))
            );
        }
    }

    #[tokio::test]
    async fn what_is_said_of_a_5xx_is_fixed() {
        for code in [Code::Internal, Code::Unavailable, Code::Busy, Code::Timeout] {
            let error = ApiError::new(code).detail("canary").log("canary");
            let (_, headers, body, note) = sent(error).await;
            assert!(!body.contains("canary") && !format!("{headers:?}").contains("canary"), "{body}");
            assert_eq!(note.detail.as_deref(), Some("canary"));
        }
        let (status, headers, body, _) =
            sent(OAuthError::new(OAuthCode::ServerError).description("canary").log("canary")).await;
        assert_eq!(status, 500);
        assert!(!body.contains("canary") && !format!("{headers:?}").contains("canary"), "{body}");
    }

    #[tokio::test]
    async fn waits_are_whole_seconds_and_never_none() {
        let table = [(0, "1"), (1, "1"), (999, "1"), (1000, "1"), (1001, "2"), (60_000, "60")];
        for (millis, seconds) in table {
            let wait = Duration::from_millis(millis);
            let (_, headers, _, _) = sent(ApiError::from(Fault::Throttled { retry_after: wait })).await;
            assert_eq!(headers[RETRY_AFTER], seconds);
        }
    }

    #[tokio::test]
    async fn a154_oauth_errors_have_their_own_shape_and_charset() {
        let error = OAuthError::new(OAuthCode::InvalidGrant).description("a \"b\" \\ <c>\u{e9}\r\n");
        let (status, headers, body, _) = sent(error).await;
        assert_eq!(status, 400);
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(
            (&headers[CACHE_CONTROL], &headers[PRAGMA]),
            (&"no-store".parse().unwrap(), &"no-cache".parse().unwrap())
        );
        assert_eq!(body, r#"{"error":"invalid_grant","error_description":"a ?b? ? <c>???"}"#);
        let (status, headers, _, _) = sent(OAuthError::new(OAuthCode::InvalidClient)).await;
        assert_eq!((status, &headers[WWW_AUTHENTICATE]), (401, &"Basic realm=\"jotgate\"".parse().unwrap()));
        let (status, headers, body, _) = sent(OAuthError::from(ApiError::new(Code::Unavailable))).await;
        assert_eq!((status, &headers[RETRY_AFTER]), (503, &"1".parse().unwrap()));
        assert!(body.starts_with(r#"{"error":"temporarily_unavailable""#), "{body}");
    }

    #[tokio::test]
    async fn a_page_error_carries_what_its_page_is_made_from() {
        let response = PageError::from(Code::Csrf).into_response();
        let page = response.extensions().get::<ErrorPage>().unwrap();
        assert_eq!((page.status, page.code), (StatusCode::FORBIDDEN, Code::Csrf));
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
    }
}
