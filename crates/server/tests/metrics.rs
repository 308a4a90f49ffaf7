//! `/metrics`: what is counted, that the number of series has a bound, and that whatever is made of them (the
//! dashboard, the alerts, the documentation's table) names metrics that exist.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::Method;
use jotgate::config::Ops;
use serde_json::{Value, json};
use support::{Site, https_origin};

/// The page as series → value.
async fn scrape(site: &Site) -> BTreeMap<String, f64> {
    let answer = site.get("/metrics").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    let mut families = BTreeSet::new();
    let mut series = BTreeMap::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("# TYPE ") {
            assert!(families.insert(head.split(' ').next().unwrap().to_owned()), "twice: {head}");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(series.insert(name.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
        }
    }
    series
}

/// Names of the families and what they are.
async fn families(site: &Site) -> BTreeMap<String, String> {
    let text = site.get("/metrics").send().await.text();
    let heads = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    heads.map(|head| head.split_once(' ').unwrap()).map(|(name, kind)| (name.into(), kind.into())).collect()
}

#[tokio::test]
async fn what_happens_is_counted() {
    let site = Site::new().await;
    let tokens = site.signed_in("ann").await;
    site.post("/auth/login", &json!({"username": "ann", "password": "not the one"})).send().await;
    site.me(&tokens.access).await;
    site.me("nonsense").await;
    let next = site.refresh(&tokens.refresh).await.tokens();
    site.refresh("jgr_nonsense").await;
    let logout = site.ask(Method::POST, "/auth/logout").bearer(&next.access).send().await;
    assert_eq!(logout.status, 204);
    site.me(&next.access).await;
    let follower = site.get("/auth/revocations").header("accept", "text/event-stream");
    let stream = follower.open().await;

    let series = scrape(&site).await;
    let at = |name: &str| *series.get(name).unwrap_or_else(|| panic!("{name} is missing: {series:#?}"));
    let requests = |route: &str, status: &str| {
        at(&format!("jotgate_http_request_duration_seconds_count{{route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(requests("/auth/login", "2xx"), 1.0);
    assert_eq!(requests("/auth/login", "4xx"), 1.0);
    assert_eq!(requests("/auth/me", "4xx"), 2.0);
    assert_eq!(at("jotgate_refusals_total{code=\"invalid_credentials\"}"), 1.0);
    assert_eq!(at("jotgate_refusals_total{code=\"malformed\"}"), 1.0);
    assert_eq!(at("jotgate_refusals_total{code=\"revoked\"}"), 1.0);
    assert_eq!(at("jotgate_refusals_total{code=\"other\"}"), 0.0);
    assert_eq!(at("jotgate_logins_total{outcome=\"granted\"}"), 1.0);
    assert_eq!(at("jotgate_logins_total{outcome=\"invalid_credentials\"}"), 1.0);
    assert_eq!(at("jotgate_refreshes_total{outcome=\"granted\"}"), 1.0);
    assert_eq!(at("jotgate_refreshes_total{outcome=\"invalid\"}"), 1.0);
    // One at registration, two at login.
    assert_eq!(at("jotgate_hash_duration_seconds_count"), 3.0);
    assert_eq!(at("jotgate_hash_wait_seconds_count"), 3.0);
    assert_eq!(at("jotgate_hash_queue_length"), 0.0);
    assert_eq!(at("jotgate_revocations_live"), 1.0);
    assert_eq!(at("jotgate_feed_followers"), 1.0);
    assert_eq!(at("jotgate_signing_keys{state=\"signing\",algorithm=\"ES256\"}"), 1.0);
    assert_eq!(at("jotgate_signing_keys{state=\"standby\",algorithm=\"ES256\"}"), 1.0);
    assert!(at("jotgate_database_duration_seconds_count{operation=\"apply\"}") >= 3.0);
    assert_eq!(at("jotgate_database_errors_total{operation=\"apply\",kind=\"unavailable\"}"), 0.0);
    assert!(at("process_resident_memory_bytes") > 1e6);
    assert!(at("process_open_fds") > 1.0);
    #[expect(clippy::cast_precision_loss, reason = "small")]
    let started = support::START as f64;
    assert_eq!(at("process_start_time_seconds"), started);
    assert_eq!(at(&format!("jotgate_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);

    drop(stream);
    assert_eq!(scrape(&site).await["jotgate_feed_followers"], 0.0);
    site.clock.pass(Duration::from_secs(60 * 60));
    let later = scrape(&site).await;
    assert!(later["jotgate_signing_key_age_seconds{state=\"signing\",algorithm=\"ES256\"}"] >= 3600.0);
}

#[tokio::test]
async fn the_lag_is_what_the_feed_says_it_is() {
    let site = Site::new().await;
    site.clock.pass(Duration::from_secs(7));
    let lag = || async { scrape(&site).await["jotgate_revocation_lag_seconds"] };
    // The follower hears its database once a second, and then there is none.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    while lag().await > 0.0 {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn nothing_that_a_client_sends_makes_a_series() {
    let site = Site::new().await;
    let tokens = site.signed_in("ann").await;
    let forged = |kid: &str| {
        let head = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
        let rest = tokens.access.split_once('.').unwrap().1;
        format!("{}.{rest}", URL_SAFE_NO_PAD.encode(head))
    };
    let burst = async |range: std::ops::Range<u32>| {
        for n in range {
            site.get(&format!("/nothing/{n}?canary={n}")).send().await;
            site.get(&format!("/auth/sessions/canary-{n}")).bearer(&tokens.access).send().await;
            site.ask(Method::from_bytes(format!("CANARY{n}").as_bytes()).unwrap(), "/auth/me").send().await;
            let host = format!("canary{n}.example");
            site.get("/auth/me").header("host", &host).bearer(&forged(&format!("kid-{n}"))).send().await;
            let username = format!("canary{n}");
            site.post("/auth/login", &json!({"username": username, "password": "x"})).send().await;
            site.get(&format!("/auth/status/{n}")).send().await;
        }
    };
    burst(0..10).await;
    scrape(&site).await;
    let before = scrape(&site).await;
    burst(10..5_000).await;
    let after = scrape(&site).await;
    let new: Vec<_> = after.keys().filter(|name| !before.contains_key(*name)).collect();
    assert!(new.is_empty(), "{new:?}");
    assert!(!after.keys().any(|name| name.contains("canary")));
    assert!(after["jotgate_refusals_total{code=\"unknown_key\"}"] >= 5_000.0);
}

#[tokio::test]
async fn operations_are_on_the_main_listener_only_where_that_is_safe_or_asked_for() {
    for (origin, ops, on_main, on_own) in [
        (support::http_origin(), Ops::Auto, true, None),
        (https_origin(), Ops::Auto, false, None),
        (https_origin(), Ops::Main, true, None),
        (support::http_origin(), Ops::Own("127.0.0.1:1".parse().unwrap()), false, Some(true)),
    ] {
        let site = Site::with(origin, |config| config.ops = ops).await;
        let (main, own) = site.server.standalone(jotgate::serve::Lifecycle::new());
        for path in ["/metrics", "/healthz", "/readyz"] {
            let status = |router: axum::Router| async move {
                use tower::ServiceExt as _;
                let request = http::Request::get(path).body(axum::body::Body::empty()).unwrap();
                router.oneshot(request).await.unwrap().status() == 200
            };
            assert_eq!(status(main.clone()).await, on_main, "{path} {ops:?}");
            let found = match own.clone() {
                Some(own) => Some(status(own).await),
                None => None,
            };
            assert_eq!(found, on_own, "{path} {ops:?}");
        }
    }
}

fn file(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Metric names in an expression of PromQL: the words outside strings and braces that look like one of ours.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut quoted = false;
    for part in expression.split('"') {
        if !quoted {
            let words = part.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'));
            found.extend(
                words
                    .filter(|word| word.starts_with("jotgate_") || word.starts_with("process_"))
                    .map(str::to_owned),
            );
        }
        quoted = !quoted;
    }
    found
}

fn is_made(name: &str, families: &BTreeMap<String, String>) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().any(|suffix| {
        name.strip_suffix(suffix).is_some_and(|family| families.get(family).is_some_and(|k| k == "histogram"))
    });
    of_histogram || families.get(name).is_some_and(|kind| kind != "histogram")
}

/// Every `expr` anywhere in a JSON document.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "expr" || name == "query" => found.push(text.clone()),
                    other => expressions(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_dashboard_asks_for_metrics_that_exist() {
    let families = families(&Site::new().await).await;
    let dashboard: Value = serde_json::from_str(&file("packaging/grafana/jotgate.json")).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    found.retain(|expression| expression != "prometheus");
    assert!(found.len() >= 10, "{found:?}");
    for expression in &found {
        let names = metrics_in(expression);
        assert!(!names.is_empty(), "{expression}");
        for name in names {
            assert!(is_made(&name, &families), "{name} in {expression}");
        }
    }
}

#[tokio::test]
async fn the_alerts_ask_for_metrics_that_exist_and_are_in_the_run_book() {
    let families = families(&Site::new().await).await;
    let rules = file("packaging/prometheus/jotgate.rules.yml");
    let book = file("docs/operations.md");
    let mut alerts = 0;
    for line in rules.lines().map(str::trim) {
        if let Some(expression) = line.strip_prefix("expr: ") {
            let names = metrics_in(expression);
            assert!(!names.is_empty() || expression.contains("up{"), "{expression}");
            for name in names {
                assert!(is_made(&name, &families), "{name} in {expression}");
            }
        } else if let Some(alert) = line.strip_prefix("- alert: ") {
            alerts += 1;
            assert!(book.contains(&format!("`{alert}`")), "{alert} is not in the run book");
        }
    }
    assert!(alerts >= 8);
}

#[tokio::test]
async fn the_documentation_lists_exactly_the_metrics_that_exist() {
    let families = families(&Site::new().await).await;
    let book = file("docs/operations.md");
    let rows = book.lines().filter_map(|line| line.strip_prefix("| `")).filter_map(|line| {
        let (name, rest) = line.split_once('`')?;
        let kind = rest.split('|').nth(1)?.trim();
        (name.starts_with("jotgate_") || name.starts_with("process_"))
            .then(|| (name.to_owned(), kind.to_owned()))
    });
    let documented: BTreeMap<String, String> = rows.collect();
    assert_eq!(documented, families);
}
