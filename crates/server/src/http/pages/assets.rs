//! `GET /assets/…`: style sheet and logo; under `/_jotgate/` also on the hosts of applications.

use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};

use crate::http::error::{Code, PageError};
use crate::ui::assets;

pub(super) async fn get(uri: Uri) -> Result<Response, PageError> {
    answer(uri.path())
}

pub(super) async fn visiting(uri: Uri) -> Result<Response, PageError> {
    answer(uri.path().strip_prefix("/_jotgate").unwrap_or_default())
}

fn answer(path: &str) -> Result<Response, PageError> {
    let (asset, exact) = assets::find(path).ok_or(Code::NotFound)?;
    let keep = if exact { "public, max-age=31536000, immutable" } else { "no-store" };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.content_type)),
        (CACHE_CONTROL, HeaderValue::from_static(keep)),
    ];
    Ok((headers, asset.bytes).into_response())
}
