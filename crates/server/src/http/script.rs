//! `GET /jotgate.js`, and `GET /jotgate.d.ts` beside it: the client for pages in a browser. Public, for any origin to
//! import.

use std::fmt::Write as _;
use std::sync::LazyLock;

use aws_lc_rs::digest;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};

use super::error::ApiError;
use super::well_known::is_known;

/// For an hour nobody asks again; a mended script is in every browser after that.
const CACHE: HeaderValue = HeaderValue::from_static("public, max-age=3600");

struct File {
    content_type: HeaderValue,
    text: String,
    etag: String,
}

static SCRIPT: LazyLock<File> =
    LazyLock::new(|| File::new("text/javascript; charset=utf-8", bare(include_str!("../../web/jotgate.js"))));
static TYPES: LazyLock<File> = LazyLock::new(|| {
    File::new("application/typescript; charset=utf-8", include_str!("../../web/jotgate.d.ts").to_owned())
});

pub(super) async fn get(headers: HeaderMap) -> Result<Response, ApiError> {
    SCRIPT.answer(&headers)
}

pub(super) async fn types(headers: HeaderMap) -> Result<Response, ApiError> {
    TYPES.answer(&headers)
}

impl File {
    fn new(content_type: &'static str, text: String) -> Self {
        let hash = digest::digest(&digest::SHA256, text.as_bytes());
        let mut etag = "\"".to_owned();
        for byte in hash.as_ref().iter().take(8) {
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Self { content_type: HeaderValue::from_static(content_type), text, etag }
    }

    fn answer(&'static self, asked: &HeaderMap) -> Result<Response, ApiError> {
        let mut response = if is_known(asked, &self.etag) {
            StatusCode::NOT_MODIFIED.into_response()
        } else {
            let mut response = self.text.as_str().into_response();
            response.headers_mut().insert(CONTENT_TYPE, self.content_type.clone());
            response
        };
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, CACHE);
        headers.insert(ETAG, HeaderValue::from_str(&self.etag).map_err(ApiError::internal)?);
        Ok(response)
    }
}

/// The script without its comments, which have lines of their own, and without indentation.
fn bare(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    for line in source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//")) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_under_three_kilobytes() {
        assert!(SCRIPT.text.len() < 3072, "{} bytes", SCRIPT.text.len());
        assert!(SCRIPT.text.is_ascii());
    }

    #[test]
    fn nothing_but_comments_is_left_out() {
        assert_eq!(bare("// a\n\nlet x = '//';\n  // b\n  x += 1;\n"), "let x = '//';\nx += 1;\n");
        // What spans lines could hold something that only looks like a comment or an indentation.
        let source = include_str!("../../web/jotgate.js");
        assert!(!source.contains("/*"), "a comment has lines of its own, beginning with //");
        for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
            assert_eq!(line.matches('`').count() % 2, 0, "a string that spans lines: {line}");
        }
    }
}
