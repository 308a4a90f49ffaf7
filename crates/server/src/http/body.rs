//! Reading a body with a bound on its size and its time, and telling its type.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use http_body_util::BodyExt;

use super::error::{ApiError, Code};

/// The most bytes of a body, unless an endpoint says otherwise.
pub const CAP: usize = 16 * 1024;

/// The longest that a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What [`read`] found.
#[derive(Debug)]
pub(crate) enum Read {
    All(Bytes),
    /// There is more than was asked for; this is how it starts.
    Beyond(Bytes),
}

/// At most `cap` bytes of a body.
///
/// # Errors
/// 413 unread where it says to be larger and the client asks first (RFC 9110 §10.1.1), so that it is spared
/// sending it; 408 where it does not arrive in time, 400 where it breaks off.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, cap: usize) -> Result<Read, ApiError> {
    if headers.contains_key(EXPECT) && body.size_hint().lower() > cap as u64 {
        return Err(ApiError::new(Code::BodyTooLarge));
    }
    let whole = async {
        let mut first = Bytes::new();
        let mut rest = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame
                .map_err(|e| ApiError::new(Code::InvalidRequest).detail("The body broke off.").log(e))?;
            let Ok(data) = frame.into_data() else { continue };
            // Most bodies arrive in one piece, which need not be copied.
            if first.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
            if first.len().max(rest.len()) > cap {
                let mut start = if rest.is_empty() { first } else { rest.freeze() };
                start.truncate(cap);
                return Ok(Read::Beyond(start));
            }
        }
        Ok(Read::All(if rest.is_empty() { first } else { rest.freeze() }))
    };
    tokio::time::timeout(TIMEOUT, whole).await.unwrap_or_else(|_| Err(ApiError::new(Code::RequestTimeout)))
}

/// What a request says its body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MediaType {
    /// `application/json`, in UTF-8 (RFC 8259 §8.1).
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// Anything else, nothing, or in two minds; compressed bodies too.
    Other,
}

pub(crate) fn media_type(headers: &HeaderMap) -> MediaType {
    if headers.get_all(CONTENT_ENCODING).iter().any(|v| !v.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return MediaType::Other;
    }
    let mut fields = headers.get_all(CONTENT_TYPE).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return MediaType::Other };
    let Ok(field) = field.to_str() else { return MediaType::Other };
    let mut parts = field.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let foreign_charset = parts.filter_map(|p| p.split_once('=')).any(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset")
            && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if foreign_charset {
        MediaType::Other
    } else if essence.eq_ignore_ascii_case("application/json") {
        MediaType::Json
    } else if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        MediaType::Form
    } else {
        MediaType::Other
    }
}
