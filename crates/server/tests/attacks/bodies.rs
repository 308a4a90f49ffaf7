//! What is sent as a body, and how: bombs, other types, other encodings, and noise on every route.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::support::{Fixed, PASSWORD, Site};
use crate::tools::*;

/// Every endpoint that reads JSON, with a body that it would take.
fn endpoints() -> [(&'static str, Value); 5] {
    [
        ("/auth/register", credentials("eve", PASSWORD)),
        ("/auth/login", credentials("ada", PASSWORD)),
        ("/auth/refresh", json!({"refresh_token": "jgr_x"})),
        ("/auth/logout", json!({"all": false})),
        (
            "/auth/password/change",
            json!({"current_password": PASSWORD, "new_password": "quite another phrase"}),
        ),
    ]
}

#[tokio::test]
async fn a61_bombs_and_confused_types_are_refused_at_once_at_every_endpoint() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let many = |n: usize| {
        let members: Vec<String> = (0..n).map(|n| format!("\"k{n}\":1")).collect();
        format!("{{{}}}", members.join(","))
    };
    let bodies = [
        "[".repeat(100_000),
        "[".repeat(10_000),
        "{\"a\":".repeat(3_000),
        "{\"a\":[".repeat(1_000) + "1" + &"]}".repeat(1_000),
        many(1_000_000),
        many(300),
        format!("{{\"username\":\"ada\",\"password\":\"{PASSWORD}\",\"password\":\"x\"}}"),
        format!("{{\"username\":\"ada\",\"username\":\"eve\",\"password\":\"{PASSWORD}\"}}"),
        "{\"username\":\"ada\",\"password\":1e999999}".to_owned(),
        "\"ada\"".to_owned(),
        "1".to_owned(),
        "null".to_owned(),
        "true".to_owned(),
        "[]".to_owned(),
        "[{}]".to_owned(),
        "{}{}".to_owned(),
        "{".to_owned(),
        "{\"a\":1,}".to_owned(),
        "{'username':'ada'}".to_owned(),
        "{\"a\":NaN}".to_owned(),
        "/**/{}".to_owned(),
        "\u{feff}{}".to_owned(),
        "{\"username\":\"\\ud800\",\"password\":\"x\",\"refresh_token\":\"\\ud800\",\"current_password\":\"\\ud800\",\"new_password\":\"\"}".to_owned(),
    ];
    for (path, _) in endpoints() {
        for body in &bodies {
            let ask = site
                .ask(Method::POST, path)
                .header("content-type", "application/json")
                .bearer(&tokens.access);
            let began = Instant::now();
            let answer = ask.body(body.clone()).send().await;
            let took = began.elapsed();
            assert_eq!(answer.status, 400, "{path} {body:.60}: {}", answer.text());
            assert_eq!(answer.code(), "invalid_request", "{path} {body:.60}");
            assert!(took < Duration::from_millis(200), "{path} {body:.60}: {took:?}");
        }
        let bytes: [&[u8]; 4] = [b"\xff\xfe{\0}\0", b"{\"a\":\"\xff\"}", b"\0", b"{\"a\":\"\xc0\xaf\"}"];
        for body in bytes {
            let ask = site
                .ask(Method::POST, path)
                .header("content-type", "application/json")
                .bearer(&tokens.access);
            assert_eq!(ask.body(body.to_vec()).send().await.status, 400, "{path}");
        }
    }
    assert_eq!(site.login("ada").await.status, 200, "nothing of it was done");
    accepted_everywhere(&site, &tokens.access).await;
}

#[tokio::test]
async fn a61_every_member_has_one_type() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let wrong =
        [json!({"$ne": null}), json!([PASSWORD]), json!([]), json!({}), json!(true), json!(0), json!(1e300)];
    for (path, body) in endpoints() {
        for member in body.as_object().unwrap().keys() {
            for value in wrong.iter().chain([&json!(null), &json!("true")]) {
                let optional = matches!(member.as_str(), "refresh_token") && value.is_null();
                let fits = value.is_string() && member != "all" || value.is_boolean() && member == "all";
                if optional || fits {
                    continue;
                }
                let mut body = body.clone();
                body[member] = value.clone();
                let answer = site.post(path, &body).bearer(&tokens.access).send().await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (400, "invalid_request"),
                    "{path} {body}"
                );
                let detail = answer.json()["detail"].as_str().unwrap().to_owned();
                assert!(
                    detail.contains(member.as_str()) && !detail.contains(PASSWORD),
                    "{path} {body}: {detail}"
                );
            }
        }
    }
    accepted_everywhere(&site, &tokens.access).await;
}

/// An array in the order of our fields is no object, and an object is no word.
#[tokio::test]
async fn a61_a_list_is_no_object_and_an_object_is_no_word() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let tokens = site.login("ada").await.tokens();
    for (path, body) in [
        ("/auth/register", json!(["eve", PASSWORD, null])),
        ("/auth/login", json!(["ada", PASSWORD])),
        ("/auth/login", json!(["ada", PASSWORD, "body"])),
        ("/auth/login", json!(["ada", PASSWORD, "body", null])),
        ("/auth/login", json!({"username": "ada", "password": PASSWORD, "delivery": {"cookie": null}})),
        ("/auth/login", json!({"username": "ada", "password": PASSWORD, "delivery": ["cookie"]})),
        ("/auth/login", json!({"username": "ada", "password": PASSWORD, "delivery": 1})),
        ("/auth/login", json!({"username": "ada", "password": PASSWORD, "delivery": "COOKIE"})),
        ("/auth/login", json!({"username": "ada", "password": PASSWORD, "delivery": ""})),
        ("/auth/refresh", json!([tokens.refresh])),
        ("/auth/logout", json!([tokens.refresh, false])),
        ("/auth/logout", json!([])),
        ("/auth/password/change", json!([PASSWORD, "quite another passphrase"])),
    ] {
        let answer = site.post(path, &body).bearer(&tokens.access).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{path} {body}");
    }
    accepted_everywhere(&site, &tokens.access).await;
}

#[tokio::test]
async fn a62_a81_only_json_is_json_at_every_endpoint() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    for (path, body) in endpoints() {
        for content_type in [
            None,
            Some(""),
            Some("text/plain"),
            Some("text/plain; charset=utf-8"),
            Some("text/json"),
            Some("application/x-www-form-urlencoded"),
            Some("multipart/form-data; boundary=x"),
            Some("application/json; charset=utf-16"),
            Some("application/json, text/plain"),
            Some("application/jsonp"),
            Some("application/problem+json"),
            Some("*/*"),
        ] {
            let mut ask = site.ask(Method::POST, path);
            if let Some(content_type) = content_type {
                ask = ask.header("content-type", content_type);
            }
            // A form with a header is looked into before the handler, so that one shows no token here.
            if content_type != Some("application/x-www-form-urlencoded") {
                ask = ask.bearer(&tokens.access);
            }
            let answer = ask.body(body.to_string()).send().await;
            let unsigned = path == "/auth/password/change" && answer.status == 401;
            assert!(answer.status == 415 || unsigned, "{path} {content_type:?}: {}", answer.text());
        }
        for coding in ["gzip", "br", "deflate", "identity, gzip"] {
            let ask = site.post(path, &body).header("content-encoding", coding).bearer(&tokens.access);
            assert_eq!(ask.send().await.status, 415, "{path} {coding}");
        }
        let twice = site.post(path, &body).header("content-type", "text/plain").bearer(&tokens.access);
        assert_eq!(twice.send().await.status, 415, "{path}: two types");
    }
    accepted_everywhere(&site, &tokens.access).await;
    assert_eq!(site.login("ada").await.status, 200);
}

#[tokio::test]
async fn a197_large_bodies_are_413_at_every_endpoint() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    for (path, body) in endpoints() {
        let mut padded = body.to_string();
        padded.push_str(&" ".repeat(1_000_000));
        let ask =
            site.ask(Method::POST, path).header("content-type", "application/json").bearer(&tokens.access);
        let answer = ask.body(padded).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{path}");
    }
}

/// Paths, methods, headers and bodies of a seeded noise: whatever comes, no answer is our fault, and those who
/// are signed in stay so.
#[tokio::test]
async fn a210_no_noise_makes_a_fault() {
    use jotgate::edge::Source as _;
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let noise = Fixed::new();
    let draw = |below: usize| {
        let mut bytes = [0; 8];
        noise.fill(&mut bytes).unwrap();
        usize::try_from(u64::from_le_bytes(bytes) % below as u64).unwrap()
    };
    let paths = [
        "/auth/register",
        "/auth/login",
        "/auth/refresh",
        "/auth/logout",
        "/auth/me",
        "/auth/sessions",
        "/auth/sessions/0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a",
        "/auth/sessions/%ff",
        "/auth/sessions/%00",
        "/auth/sessions/..%2f..",
        "/auth/password/change",
        "/auth/verify",
        "/auth/verify?role=%ff&scope=%00",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/clear-cookies",
        "/",
        "//",
        "/auth",
        "/auth//login",
        "/auth/login/",
        "/AUTH/login",
        "/healthz",
        "/readyz",
        "/auth/login;x=1",
        "/%2e%2e/",
        "/auth/me?access_token=x",
        "/login",
        "/account",
        "/admin",
        "/oauth/token",
        "/auth/status/0",
        "*",
    ];
    let methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "get", "LINK", "X"];
    let values: Vec<Vec<u8>> = [
        b"".to_vec(),
        b"Bearer".to_vec(),
        b"Bearer ".to_vec(),
        b"bearer x.y.z".to_vec(),
        b"Basic YTpi".to_vec(),
        b"jwt=a; jwt=b".to_vec(),
        b"jwt_session=jgr_x".to_vec(),
        b"=;=;;jwt".to_vec(),
        b"\xff\xfe".to_vec(),
        b"application/json".to_vec(),
        b"application/x-www-form-urlencoded".to_vec(),
        b"same-origin".to_vec(),
        b"null".to_vec(),
        b"http://127.0.0.1:8080".to_vec(),
        b"https://evil.example".to_vec(),
        b"100-continue".to_vec(),
        b"gzip".to_vec(),
        b"text/html".to_vec(),
        b"W/\"x\", *".to_vec(),
        vec![b'a'; 9_000],
        b"${jndi:ldap://x}".to_vec(),
        format!("Bearer {}", tokens.access.replace('.', "..")).into_bytes(),
        format!("jwt={}x", tokens.access).into_bytes(),
    ]
    .into();
    let names = [
        "authorization",
        "cookie",
        "content-type",
        "content-encoding",
        "origin",
        "sec-fetch-site",
        "accept",
        "host",
        "x-forwarded-for",
        "forwarded",
        "x-request-id",
        "if-none-match",
        "expect",
        "user-agent",
        "referer",
        "access-control-request-method",
        "x-http-method-override",
        "content-length",
    ];
    let bodies: Vec<Vec<u8>> = [
        b"".to_vec(),
        b"{}".to_vec(),
        b"[]".to_vec(),
        b"{\"username\":\"ada\",\"password\":\"x\"}".to_vec(),
        b"{\"refresh_token\":\"jgr_\"}".to_vec(),
        b"access_token=x&form_token=y".to_vec(),
        b"\xff\0\x80".to_vec(),
        b"{\"all\":true}".to_vec(),
        vec![b'['; 20_000],
        b"%%%&=&&".to_vec(),
    ]
    .into();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..6_000 {
        let method = methods[draw(methods.len())];
        let path = paths[draw(paths.len())];
        let mut request = http::Request::builder().method(method).uri(path);
        for _ in 0..draw(5) {
            let value = http::HeaderValue::from_bytes(&values[draw(values.len())]).unwrap();
            request = request.header(names[draw(names.len())], value);
        }
        let request = request.body(axum::body::Body::from(bodies[draw(bodies.len())].clone())).unwrap();
        let shown = format!("{request:?}");
        let response = tower::ServiceExt::oneshot(site.router.clone(), request).await.unwrap();
        let status = response.status().as_u16();
        assert!(status < 500, "{status}: {shown:.600}");
        let headers = response.headers();
        assert!(headers.contains_key("x-request-id"), "{shown:.600}");
        assert_eq!(headers["x-content-type-options"], "nosniff", "{shown:.600}");
        if status == 401 {
            assert!(headers.contains_key("www-authenticate"), "{shown:.600}");
        }
        if status == 405 {
            assert!(headers.contains_key("allow"), "{shown:.600}");
        }
        // What is refused under /auth is refused in one form.
        if path.starts_with("/auth/") && status >= 400 && method != "HEAD" {
            assert_eq!(headers["content-type"], "application/problem+json", "{status} {shown:.600}");
        }
        *seen.entry(status).or_insert(0) += 1;
    }
    assert!(seen.len() >= 8, "noise that reaches nothing: {seen:?}");
    accepted_everywhere(&site, &tokens.access).await;
    assert_eq!(site.refresh(&tokens.refresh).await.status, 200);
}
