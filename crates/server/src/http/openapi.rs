//! The description of the HTTP surface: one document, at `/openapi.json` and from `jotgate openapi`.
//!
//! Written by hand in `openapi.json` beside this file; tests hold it against the routes, and real answers against
//! its schemas.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::Router;
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::config::Mount;

/// Where the paths begin, unless the server is nested.
const ORIGIN: &str = r#"{"url": "/"}"#;

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| include_str!("openapi.json").replacen("@VERSION@", env!("CARGO_PKG_VERSION"), 1));

/// The document, as JSON text (OpenAPI 3.1).
#[must_use]
pub fn document() -> &'static str {
    &DOCUMENT
}

/// `GET /openapi.json`
pub(super) fn router(mount: &Mount) -> Router {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-cache")];
    let document: Cow<'static, str> = match mount.as_str() {
        "" => document().into(),
        path => document().replacen(ORIGIN, &format!(r#"{{"url": "{path}"}}"#), 1).into(),
    };
    Router::new().route("/openapi.json", get(move || async move { (headers, document) }))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::http::error::Code;

    #[test]
    fn every_reference_leads_somewhere_and_every_code_is_one() {
        let document: Value = serde_json::from_str(document()).unwrap();
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        let mut references = Vec::new();
        collect(&document, &mut references);
        assert!(references.len() > 100);
        for reference in references {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
        let codes = document.pointer("/components/schemas/Problem/properties/code/enum").unwrap();
        for code in codes.as_array().unwrap() {
            assert!(Code::from_name(code.as_str().unwrap()).is_some(), "{code}");
        }
    }

    fn collect(value: &Value, references: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| collect(value, references));
            }
            Value::Array(items) => items.iter().for_each(|value| collect(value, references)),
            _ => {}
        }
    }
}
