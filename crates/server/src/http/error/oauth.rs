//! Refusals by the OAuth endpoints (RFC 6749 §5.2).

use std::borrow::Cow;
use std::fmt;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;

use super::{ApiError, Refusal};
use crate::http::log::Note;

/// A refusal by an OAuth endpoint that is called by programs (RFC 6749 §5.2, RFC 7009 §2.2.1).
#[derive(Debug)]
pub struct OAuthError {
    code: OAuthCode,
    description: Cow<'static, str>,
    log: Option<String>,
    retry_after: Option<u64>,
}

/// `error` of RFC 6749 §5.2 and of the RFCs that extend its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OAuthCode {
    InvalidRequest,
    InvalidClient,
    InvalidGrant,
    UnauthorizedClient,
    UnsupportedGrantType,
    InvalidScope,
    UnsupportedTokenType,
    ServerError,
    TemporarilyUnavailable,
}

impl OAuthCode {
    /// Every code, in the order of the table.
    pub const ALL: &[Self] = &[
        Self::InvalidRequest,
        Self::InvalidClient,
        Self::InvalidGrant,
        Self::UnauthorizedClient,
        Self::UnsupportedGrantType,
        Self::InvalidScope,
        Self::UnsupportedTokenType,
        Self::ServerError,
        Self::TemporarilyUnavailable,
    ];

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::InvalidRequest => {
                ("invalid_request", StatusCode::BAD_REQUEST, "The request is malformed or lacks a parameter.")
            }
            Self::InvalidClient => {
                ("invalid_client", StatusCode::UNAUTHORIZED, "Client authentication failed.")
            }
            Self::InvalidGrant => ("invalid_grant", StatusCode::BAD_REQUEST, "The grant is not valid."),
            Self::UnauthorizedClient => {
                ("unauthorized_client", StatusCode::BAD_REQUEST, "The client may not use this grant type.")
            }
            Self::UnsupportedGrantType => {
                ("unsupported_grant_type", StatusCode::BAD_REQUEST, "The grant type is not supported.")
            }
            Self::InvalidScope => ("invalid_scope", StatusCode::BAD_REQUEST, "The scope is not acceptable."),
            Self::UnsupportedTokenType => {
                ("unsupported_token_type", StatusCode::BAD_REQUEST, "Tokens of this type cannot be revoked.")
            }
            Self::ServerError => {
                ("server_error", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong here.")
            }
            Self::TemporarilyUnavailable => (
                "temporarily_unavailable",
                StatusCode::SERVICE_UNAVAILABLE,
                "This cannot be done right now; try again shortly.",
            ),
        }
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }
}

impl OAuthError {
    #[must_use]
    pub fn new(code: OAuthCode) -> Self {
        Self { code, description: Cow::Borrowed(code.row().2), log: None, retry_after: None }
    }

    /// `error_description`; without effect on a 5xx. Characters outside RFC 6749 §5.2 become `?`.
    #[must_use]
    pub fn description(mut self, text: impl Into<Cow<'static, str>>) -> Self {
        if !self.code.status().is_server_error() {
            let text = text.into();
            let fits = |c: char| matches!(c, ' ' | '!' | '#'..='[' | ']'..='~');
            self.description = if text.chars().all(fits) {
                text
            } else {
                Cow::Owned(text.chars().map(|c| if fits(c) { c } else { '?' }).collect())
            };
        }
        self
    }

    #[must_use]
    pub fn code(&self) -> OAuthCode {
        self.code
    }

    /// The log half; never a secret.
    #[must_use]
    pub fn log(mut self, log: impl fmt::Display) -> Self {
        self.log = Some(log.to_string());
        self
    }
}

impl From<OAuthCode> for OAuthError {
    fn from(code: OAuthCode) -> Self {
        Self::new(code)
    }
}

impl From<ApiError> for OAuthError {
    fn from(error: ApiError) -> Self {
        let Refusal { code, detail, log, headers } = *error.0;
        let mapped = match code.status() {
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                OAuthCode::TemporarilyUnavailable
            }
            status if status.is_server_error() => OAuthCode::ServerError,
            _ => OAuthCode::InvalidRequest,
        };
        let retry_after = headers.get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
        Self { log, retry_after, ..Self::new(mapped).description(detail) }
    }
}

#[derive(Serialize)]
struct OAuthBody<'a> {
    error: &'a str,
    error_description: &'a str,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let Self { code, description, log, retry_after } = self;
        let body = OAuthBody { error: code.as_str(), error_description: &description };
        let mut response = Response::new(Body::from(serde_json::to_vec(&body).unwrap_or_default()));
        *response.status_mut() = code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
        if code == OAuthCode::InvalidClient {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"jotgate\""));
        }
        if code == OAuthCode::TemporarilyUnavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from(retry_after.unwrap_or(1)));
        }
        let note = Note::of(&mut response);
        note.reason = Some(code.as_str());
        note.detail = log;
        response
    }
}
