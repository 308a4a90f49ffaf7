//! The way out for a browser with so many cookies that nothing else here answers it: a page that asks, and a
//! post that clears every cookie it sent. The one path that is exempt from the cap on headers.

use std::sync::Arc;

use axum::Router;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue, SET_COOKIE};

use super::Site;

/// Where it is.
pub const PATH: &str = "/clear-cookies";

/// As many as browsers keep for one host.
const MOST: usize = 200;

/// For browsers that know no `Clear-Site-Data`: a few at a time, until there are few enough.
const FEW: usize = 10;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Asks. Without style or script, since those are further requests with the same cookies.
const QUESTION: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Clear cookies</title></head>
<body><main><h1>Clear cookies</h1>
<p>This browser keeps so many cookies for this site that its requests are refused. Clear them to go on.
You will have to sign in again, here and in other applications of this site.</p>
<form method="post"><button>Clear cookies</button></form></main></body></html>
"#;

/// The page and what it posts to. The form needs no token: its post is held to `Sec-Fetch-Site` and `Origin`.
pub fn router(site: Arc<Site>) -> Router {
    let clear = move |headers: HeaderMap| async move { clear(&site, &headers) };
    Router::new().route(PATH, get(async || Html(QUESTION)).post(clear))
}

fn clear(site: &Site, headers: &HeaderMap) -> Response {
    let mut response = Redirect::to(&site.mount.of("/login")).into_response();
    // In one short header (W3C Clear Site Data §3.1), for the domains above as well: as many headers as cookies are
    // more than proxies pass on. Browsers obey it over TLS.
    if site.public_url.https {
        response.headers_mut().insert(CLEAR_SITE_DATA, HeaderValue::from_static("\"cookies\""));
    }
    let fields = headers.get_all(COOKIE);
    let names = fields.iter().flat_map(|field| field.as_bytes().split(|b| *b == b';')).filter_map(|pair| {
        let name = pair.split(|b| *b == b'=').next().unwrap_or_default().trim_ascii();
        let token = |b: &u8| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(b);
        std::str::from_utf8(name).ok().filter(|n| !n.is_empty() && n.as_bytes().iter().all(token))
    });
    let mut seen = std::collections::HashSet::new();
    for name in names.filter(|name| seen.insert(*name)).take(if site.public_url.https { FEW } else { MOST }) {
        for cookie in site.cookies.clear_everywhere(name, "/") {
            response.headers_mut().append(SET_COOKIE, cookie);
        }
    }
    response
}
