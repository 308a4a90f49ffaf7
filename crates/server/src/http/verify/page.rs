//! Whether the original request is a person's browser about to show a page, so that a redirect to the login page
//! helps. Scripts, API clients and WebSockets get a 401 instead, which they understand.

use http::header::{ACCEPT, HeaderMap, HeaderName, SEC_WEBSOCKET_KEY, UPGRADE};

const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const REQUESTED_WITH: HeaderName = HeaderName::from_static("x-requested-with");

/// A navigation of the whole window: HTML is accepted, and what Fetch Metadata say, if anything, agrees. A proxy may
/// have dropped `Upgrade`, so the key of a WebSocket's handshake counts as well (RFC 6455 §4.1).
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    let says_else = |name: &HeaderName, word: &str| {
        headers.get_all(name).iter().any(|value| value.as_bytes() != word.as_bytes())
    };
    let is_upgrade = headers.contains_key(UPGRADE) || headers.contains_key(SEC_WEBSOCKET_KEY);
    let is_script = headers
        .get_all(REQUESTED_WITH)
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"XMLHttpRequest"));
    accepts_html(headers)
        && !is_upgrade
        && !is_script
        && !says_else(&MODE, "navigate")
        && !says_else(&DEST, "document")
}

/// `text/html` by name and not refused by its weight (RFC 9110 §12.5.1); `*/*` is what programs send.
fn accepts_html(headers: &HeaderMap) -> bool {
    let ranges =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(','));
    ranges.into_iter().any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("text/html"));
        let refused = parts.any(|parameter| {
            let weight = parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q="));
            weight.is_some_and(|weight| weight.parse::<f32>().is_ok_and(|weight| weight <= 0.0))
        });
        is_html && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a164_pages_are_told_from_all_else() {
        const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        type Row<'a> = (&'a [(&'static str, &'a str)], bool);
        let table: &[Row<'_>] = &[
            (&[("accept", BROWSER)], true),
            (&[("accept", "TEXT/HTML")], true),
            (&[("accept", "application/json"), ("accept", "text/html")], true),
            (&[("accept", BROWSER), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")], true),
            (&[], false),
            (&[("accept", "*/*")], false),
            (&[("accept", "application/json")], false),
            (&[("accept", "text/html;q=0")], false),
            (&[("accept", "text/html; q=0.0, */*")], false),
            (&[("accept", "text/htmlx")], false),
            (&[("accept", "text/event-stream")], false),
            (&[("accept", BROWSER), ("sec-fetch-mode", "cors")], false),
            (&[("accept", BROWSER), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")], false),
            (&[("accept", BROWSER), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image")], false),
            (&[("accept", BROWSER), ("sec-fetch-mode", "websocket")], false),
            (&[("accept", BROWSER), ("upgrade", "websocket")], false),
            (&[("accept", BROWSER), ("sec-websocket-key", "x")], false),
            (&[("accept", BROWSER), ("x-requested-with", "xmlhttprequest")], false),
        ];
        for (fields, expected) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in *fields {
                headers.append(*name, value.parse().unwrap());
            }
            assert_eq!(is_asked_for(&headers), *expected, "{fields:?}");
        }
    }
}
