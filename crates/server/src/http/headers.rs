//! What every answer carries: defences of the browser, caching, the request's id.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use super::{Site, Surface};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// A response extension: besides ours, the origin that the form of this page may lead to.
///
/// Chromium holds not only the form's target to `form-action` but also the redirect that answers the post, so
/// a page that will send the visitor back to an application must name it. Only a validated origin goes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormAction(pub String);

/// Writes what the handler has not decided itself.
pub(crate) fn write(site: &Site, surface: Surface, response: &mut Response) {
    let form_action = response.extensions_mut().remove::<FormAction>();
    let headers = response.headers_mut();
    headers.reserve(8);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if is_html(headers) {
        if !headers.contains_key(CONTENT_SECURITY_POLICY) {
            headers.insert(CONTENT_SECURITY_POLICY, page_policy(form_action.as_ref()));
        }
        headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        headers.insert(COOP, HeaderValue::from_static("same-origin"));
    } else if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"),
        );
    }
    let corp = if surface == Surface::Public { "cross-origin" } else { "same-origin" };
    headers.insert(CORP, HeaderValue::from_static(corp));
    // Of somebody else's host only they can say that all of it has TLS.
    if site.public_url.https && !site.is_loopback() && surface != Surface::Application {
        headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    // What depends on who asks is nobody else's; a cookie in a cache would be everybody's.
    if headers.contains_key(SET_COOKIE) || !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    match surface {
        Surface::Auth | Surface::Verify => {
            headers.append(VARY, HeaderValue::from_static("Origin, Cookie, Authorization"));
        }
        Surface::Public => {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        Surface::Page | Surface::Application if is_html(headers) => {
            headers.append(VARY, HeaderValue::from_static("Cookie"));
        }
        _ => {}
    }
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|v| v.as_bytes().starts_with(b"text/html"))
}

/// No script at all, no style or image but our own files, nothing inline, no frame around it. A page that needs
/// more says so in a policy of its own.
fn page_policy(form_action: Option<&FormAction>) -> HeaderValue {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; \
                          base-uri 'none'; form-action 'self'";
    // An origin has neither a space nor a semicolon, which would end the directive.
    let plain = |b: u8| b.is_ascii_alphanumeric() || b":/.-_[]".contains(&b);
    form_action
        .filter(|FormAction(origin)| origin.bytes().all(plain))
        .and_then(|FormAction(origin)| HeaderValue::try_from(format!("{POLICY} {origin}")).ok())
        .unwrap_or(HeaderValue::from_static(POLICY))
}

/// Makes request ids: unique, unguessable enough to tell nobody how many requests there are, and cheap.
#[derive(Debug)]
pub(crate) struct RequestIds {
    high: u64,
    low: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(crate) fn new(seed: [u8; 16]) -> Self {
        let seed = u128::from_be_bytes(seed);
        #[expect(clippy::cast_possible_truncation, reason = "the two halves are wanted")]
        let (high, low) = ((seed >> 64) as u64, seed as u64);
        Self { high, low, count: AtomicU64::new(0) }
    }

    /// 32 hexadecimal digits.
    pub(crate) fn next(&self) -> HeaderValue {
        let n = self.count.fetch_add(1, Ordering::Relaxed);
        let mut text = [0_u8; 32];
        let words = [mix(self.high.wrapping_add(n)), mix(self.low ^ n)];
        let bytes = words.iter().flat_map(|w| w.to_be_bytes());
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            if let [high, low] = pair {
                *high = hex(byte >> 4);
                *low = hex(byte & 15);
            }
        }
        HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static("0"))
    }
}

const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// A bijection that spreads every bit (the finaliser of SplitMix64).
const fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// An id that a trusted proxy gave the request, where it is one short word.
pub(crate) fn incoming_id(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut fields = headers.get_all(X_REQUEST_ID).iter();
    let (Some(id), None) = (fields.next(), fields.next()) else { return None };
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:".contains(b);
    ((1..=64).contains(&id.len()) && id.as_bytes().iter().all(plain)).then(|| id.clone())
}

#[cfg(test)]
mod tests {
    use axum::response::{Html, IntoResponse};

    use super::*;
    use crate::http::site::tests::site;

    fn written(url: &str, surface: Surface, response: impl IntoResponse) -> HeaderMap {
        let mut response = response.into_response();
        write(&site(url), surface, &mut response);
        response.headers().clone()
    }

    #[test]
    fn a89_pages_are_not_framed_and_run_nothing_inline() {
        let mut page = Html("x").into_response();
        page.extensions_mut().insert(FormAction("https://app.example.com:8443".into()));
        let headers = written("https://id.example.com", Surface::Page, page);
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for directive in [
            "default-src 'none'",
            "style-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "form-action 'self' https://app.example.com:8443",
        ] {
            assert!(policy.split("; ").any(|d| d == directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains("script-src"));
        assert_eq!(headers[COOP], "same-origin");
        assert_eq!(headers[X_FRAME_OPTIONS], "DENY");
        assert_eq!(headers[STRICT_TRANSPORT_SECURITY], "max-age=63072000");
        assert_eq!(headers[CACHE_CONTROL], "no-store");
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");

        let mut evil = Html("x").into_response();
        evil.extensions_mut().insert(FormAction("https://x; script-src *".into()));
        let headers = written("https://id.example.com", Surface::Page, evil);
        assert!(headers[CONTENT_SECURITY_POLICY].to_str().unwrap().ends_with("form-action 'self'"));
    }

    #[test]
    fn a90_nothing_about_a_person_is_cached() {
        let api = written("http://localhost:8080", Surface::Verify, "x");
        assert_eq!(api[CACHE_CONTROL], "no-store");
        assert_eq!(api[VARY], "Origin, Cookie, Authorization");
        assert!(!api.contains_key(STRICT_TRANSPORT_SECURITY));
        assert_eq!(api[X_CONTENT_TYPE_OPTIONS], "nosniff");

        let keys =
            written("https://id.example.com", Surface::Public, [(CACHE_CONTROL, "public, max-age=300")]);
        assert_eq!(keys[CACHE_CONTROL], "public, max-age=300");
        assert_eq!(keys[CORP], "cross-origin");
        let slip = [(CACHE_CONTROL, "public, max-age=300"), (SET_COOKIE, "a=b")];
        assert_eq!(written("https://id.example.com", Surface::Public, slip)[CACHE_CONTROL], "no-store");
        assert!(!written("https://localhost", Surface::Auth, "x").contains_key(STRICT_TRANSPORT_SECURITY));
        let visiting = written("https://id.example.com", Surface::Application, Html("x"));
        assert!(!visiting.contains_key(STRICT_TRANSPORT_SECURITY), "it is not our host");
        assert_eq!(visiting[VARY], "Cookie");
    }

    #[test]
    fn request_ids_are_unique_and_look_random() {
        let ids = RequestIds::new([7; 16]);
        let many: std::collections::HashSet<_> =
            (0..10_000).map(|_| ids.next().to_str().unwrap().to_owned()).collect();
        assert_eq!(many.len(), 10_000);
        assert!(many.iter().all(|id| id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())));
    }

    #[test]
    fn a204_only_a_clean_id_is_taken_over() {
        for (id, good) in [
            ("0198c3f2-a7d4:x_1.2", true),
            ("", false),
            ("a b", false),
            ("a\"b", false),
            ("${jndi:x}", false),
            ("\u{e9}", false),
            (&"a".repeat(64), true),
            (&"a".repeat(65), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, HeaderValue::from_bytes(id.as_bytes()).unwrap());
            assert_eq!(incoming_id(&headers).is_some(), good, "{id}");
        }
        let mut twice = HeaderMap::new();
        twice.append(X_REQUEST_ID, "a".parse().unwrap());
        twice.append(X_REQUEST_ID, "b".parse().unwrap());
        assert!(incoming_id(&twice).is_none());
    }
}
