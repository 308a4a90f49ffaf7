//! `GET /assets/…`: style sheet and logo.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::http::error::{Code, PageError};
use crate::ui::assets;

pub(super) async fn get(uri: Uri) -> Result<Response, PageError> {
    let (asset, exact) = assets::find(uri.path()).ok_or(Code::NotFound)?;
    let keep = if exact { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, asset.bytes).into_response())
}
