//! How other programs learn what to refuse: the feed and the status lists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Method, Request};
use http_body_util::BodyExt as _;
use jotgate::config::Config;
use jotgate_jose::{Algorithm, KeySet, Policy};
use serde_json::Value;
use support::{START, Site, claims, part};
use tower::ServiceExt as _;

/// What a token names.
fn entry_of(access: &str) -> (String, u64) {
    let status = claims(access)["status"]["status_list"].clone();
    (status["uri"].as_str().unwrap().to_owned(), status["idx"].as_u64().unwrap())
}

async fn logout(site: &Site, access: &str) {
    assert_eq!(site.ask(Method::POST, "/auth/logout").bearer(access).send().await.status, 204);
}

/// The set bits of a list, verified and decoded as a poller would.
async fn revoked_in(site: &Site, path: &str) -> HashSet<u64> {
    let answer = site.get(path).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/statuslist+jwt"));
    let keys = KeySet::from_public_json(&site.get("/.well-known/jwks.json").send().await.text()).unwrap();
    let signed = jotgate_jose::verify_signature_only(&keys, &answer.text()).unwrap();
    let header = part(&answer.text(), 0);
    assert_eq!(header["typ"], "statuslist+jwt");
    let payload: Value = serde_json::from_slice(signed.payload()).unwrap();
    assert_eq!(payload["sub"], format!("http://127.0.0.1:8080{path}"));
    assert_eq!(payload["status_list"]["bits"], 1);
    assert!(payload["exp"].as_i64().unwrap() > payload["iat"].as_i64().unwrap());
    let compressed = URL_SAFE_NO_PAD.decode(payload["status_list"]["lst"].as_str().unwrap()).unwrap();
    let mut bits = Vec::new();
    flate2::read::ZlibDecoder::new(&compressed[..]).read_to_end(&mut bits).unwrap();
    assert_eq!(bits.len(), 1 << 17, "full size from the start");
    (0..1 << 20).filter(|idx: &u64| bits[usize::try_from(idx / 8).unwrap()] >> (idx % 8) & 1 == 1).collect()
}

#[tokio::test]
async fn a_status_list_has_exactly_the_bits_of_what_was_revoked() {
    let site = Site::new().await;
    site.register("ada").await;
    let mut expected = HashSet::new();
    for n in 0..40 {
        let tokens = site.login("ada").await.tokens();
        let (uri, idx) = entry_of(&tokens.access);
        assert_eq!(uri, "http://127.0.0.1:8080/auth/status/0");
        if n % 3 == 0 {
            logout(&site, &tokens.access).await;
            expected.insert(idx);
        }
    }
    assert_eq!(revoked_in(&site, "/auth/status/0").await, expected);
    let last = site.login("ada").await.tokens();
    logout(&site, &last.access).await;
    // Signed at most once a second.
    site.clock.pass(Duration::from_secs(1));
    expected.insert(entry_of(&last.access).1);
    assert_eq!(revoked_in(&site, "/auth/status/0").await, expected);

    let restarted = site.restart(|_| {}).await;
    assert_eq!(revoked_in(&restarted, "/auth/status/0").await, expected, "a restart forgets none");
}

#[tokio::test]
async fn status_lists_are_cached_and_only_those_that_exist_are_served() {
    let site = Site::new().await;
    let first = site.get("/auth/status/0").send().await;
    assert_eq!(first.header("cache-control"), Some("public, max-age=14"));
    let etag = first.header("etag").unwrap();
    let again = site.get("/auth/status/0").header("if-none-match", etag).send().await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    // The next list may have begun on another node; those beyond cannot have.
    assert_eq!(site.get("/auth/status/1").send().await.status, 200);
    for path in ["/auth/status/2", "/auth/status/x", "/auth/status/-1", "/auth/status/18446744073709551616"] {
        assert_eq!(site.get(path).send().await.code(), "not_found", "{path}");
    }
    let all = site.get("/auth/status").send().await.json();
    assert_eq!(all["status_lists"], serde_json::json!(["http://127.0.0.1:8080/auth/status/0"]));
    let metadata = site.get("/.well-known/oauth-authorization-server").send().await.json();
    assert_eq!(metadata["revocation_feed_endpoint"], "http://127.0.0.1:8080/auth/revocations");
    assert_eq!(metadata["status_list_aggregation_endpoint"], "http://127.0.0.1:8080/auth/status");
}

#[tokio::test]
async fn with_a_symmetric_algorithm_lists_are_signed_for_everybody() {
    let site = Site::with(support::http_origin(), |config: &mut Config| {
        config.token.algorithm = Algorithm::Hs256;
    })
    .await;
    let tokens = site.signed_in("ada").await;
    assert_eq!(part(&tokens.access, 0)["alg"], "HS256");
    logout(&site, &tokens.access).await;
    let (_, idx) = entry_of(&tokens.access);
    assert_eq!(revoked_in(&site, "/auth/status/0").await, HashSet::from([idx]));
    let jwks = site.get("/.well-known/jwks.json").send().await.text();
    assert!(!jwks.contains("oct"), "a43 no secret is published");
    let keys = KeySet::from_public_json(&jwks).unwrap();
    let policy = Policy::access_token("http://127.0.0.1:8080", "http://127.0.0.1:8080");
    let now = u64::try_from(START).unwrap();
    assert!(jotgate_jose::verify(&keys, &policy, &tokens.access, now).is_err());
}

#[tokio::test]
async fn the_feed_pages_from_a_cursor_on() {
    let site = Site::new().await;
    let empty = site.get("/auth/revocations").send().await.json();
    assert_eq!((&empty["entries"], &empty["reset"]), (&serde_json::json!([]), &serde_json::json!(false)));
    assert_eq!(empty["as_of"], START);

    let tokens = site.signed_in("ada").await;
    logout(&site, &tokens.access).await;
    let path = format!("/auth/revocations?since={}", empty["cursor"].as_str().unwrap());
    let page = site.get(&path).send().await.json();
    let (uri, idx) = entry_of(&tokens.access);
    assert_eq!(page["entries"].as_array().unwrap().len(), 1);
    assert_eq!(
        (page["entries"][0]["uri"].as_str(), page["entries"][0]["idx"].as_u64()),
        (Some(&*uri), Some(idx))
    );
    assert!(page["entries"][0]["until"].as_i64().unwrap() >= claims(&tokens.access)["exp"].as_i64().unwrap());
    assert!(!page.to_string().contains("ada"), "nothing personal is in it");

    let path = format!("/auth/revocations?since={}", page["cursor"].as_str().unwrap());
    assert_eq!(site.get(&path).send().await.json()["entries"], serde_json::json!([]));
    for unknown in ["x", "", "00000000000000000"] {
        let page = site.get(&format!("/auth/revocations?since={unknown}")).send().await.json();
        assert_eq!(page["reset"], true, "{unknown}");
        assert_eq!(page["entries"].as_array().unwrap().len(), 1, "the whole live set");
    }
}

#[tokio::test]
async fn the_stream_tells_what_is_revoked_as_it_is() {
    let site = Site::new().await;
    let before = site.signed_in("ada").await;
    logout(&site, &before.access).await;
    let request = Request::get("/auth/revocations").header("accept", "text/event-stream");
    let response = site.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(response.headers()["access-control-allow-origin"], "*");
    let mut body = response.into_body();
    let mut next = async || {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await.unwrap();
        String::from_utf8(frame.unwrap().unwrap().into_data().unwrap().to_vec()).unwrap()
    };
    let first = next().await;
    let idx = |access: &str| format!("\"idx\":{},", entry_of(access).1);
    assert!(first.starts_with("event: revoked\nid: ") && first.contains(&idx(&before.access)), "{first}");
    assert!(first.contains("event: alive\n") && first.contains(&format!("\"as_of\":{START}")), "{first}");

    let now = site.login("ada").await.tokens();
    logout(&site, &now.access).await;
    let second = next().await;
    assert!(second.contains(&idx(&now.access)) && !second.contains(&idx(&before.access)), "{second}");
    assert!(second.contains("event: alive\n"), "a stream that is never quiet must not look stale: {second}");

    // Whoever comes back says where they were.
    let id = first.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    let request = Request::get("/auth/revocations").header("accept", "text/event-stream");
    let request = request.header("last-event-id", id).body(Body::empty()).unwrap();
    let mut body = site.router.clone().oneshot(request).await.unwrap().into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let missed = String::from_utf8(frame.to_vec()).unwrap();
    assert!(missed.contains(&idx(&now.access)) && !missed.contains(&idx(&before.access)), "{missed}");
}
