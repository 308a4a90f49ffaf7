//! What another site can make a browser do, and what an answer allows it.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Ask, PASSWORD, Site, https_origin};
use crate::tools::*;

const OWN: &str = "https://login.example.com";
const TRUSTED: &str = "https://app.example.com";

async fn site() -> Site {
    Site::with(https_origin(), |config| {
        config.cookie.trusted_origins = vec![jotgate::config::Origin::parse(TRUSTED).unwrap()];
    })
    .await
}

/// Every request that changes something.
fn unsafe_requests() -> [(Method, &'static str, Value); 8] {
    [
        (Method::POST, "/auth/register", credentials("eve", PASSWORD)),
        (Method::POST, "/auth/login", credentials("ada", PASSWORD)),
        (Method::POST, "/auth/refresh", json!({})),
        (Method::POST, "/auth/logout", json!({})),
        (Method::POST, "/auth/logout", json!({"all": true})),
        (
            Method::POST,
            "/auth/password/change",
            json!({"current_password": PASSWORD, "new_password": "another phrase"}),
        ),
        (Method::DELETE, "/auth/sessions", json!({})),
        (Method::DELETE, "/auth/sessions/0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a", json!({})),
    ]
}

fn with<'s>(ask: Ask<'s>, headers: &[(&str, &str)]) -> Ask<'s> {
    headers.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
}

fn is_refused(answer: &Answer) -> bool {
    let refused = answer.status == 403 && answer.code() == "csrf";
    assert!(!refused || answer.cookies().is_empty(), "{:?}", answer.cookies());
    refused
}

/// What browsers say of requests from elsewhere, or what could be mistaken for a page of ours.
const FOREIGN: [&[(&str, &str)]; 24] = [
    &[("sec-fetch-site", "cross-site")],
    &[("sec-fetch-site", "same-site")],
    &[("sec-fetch-site", "none")],
    &[("sec-fetch-site", "cross-site"), ("origin", OWN)],
    &[("sec-fetch-site", "same-site"), ("origin", OWN)],
    &[("sec-fetch-site", "same-origin"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "same-origin"), ("origin", TRUSTED)],
    &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
    &[("sec-fetch-site", "Same-Origin")],
    &[("origin", "null")],
    &[("origin", "")],
    &[("origin", "https://login.example.com.evil")],
    &[("origin", "https://login.example.com:8443")],
    &[("origin", "https://login.example.com:443")],
    &[("origin", "http://login.example.com")],
    &[("origin", "https://sub.login.example.com")],
    &[("origin", "https://example.com")],
    &[("origin", "https://evil-login.example.com")],
    &[("origin", "https://login.example.com/")],
    &[("origin", "https://login.example.com@evil.example")],
    &[("origin", "HTTPS://LOGIN.EXAMPLE.COM")],
    &[("origin", OWN), ("origin", "https://evil.example")],
    &[("origin", OWN), ("origin", OWN)],
    &[("origin", "https://sibling.example.com"), ("sec-fetch-site", "same-site")],
];

#[tokio::test]
async fn a76_a77_a79_nothing_is_changed_from_elsewhere() {
    let site = site().await;
    assert_eq!(site.register("ada").await.status, 201);
    let cookies = cookie_login(&site, "ada").await.cookie_header();
    for headers in FOREIGN {
        for (method, path, body) in unsafe_requests() {
            let ask = with(site.ask(method.clone(), path).json(&body), headers);
            let answer = ask.header("cookie", &cookies).send().await;
            assert!(is_refused(&answer), "{method} {path} {headers:?}: {}", answer.text());
            // Signing in changes whose the browser is, whatever cookies it had.
            if matches!(path, "/auth/login" | "/auth/register") {
                let ask = with(site.ask(method.clone(), path).json(&body), headers);
                let answer = ask.send().await;
                assert!(
                    is_refused(&answer),
                    "{method} {path} {headers:?} without cookies: {}",
                    answer.text()
                );
            }
        }
    }
    let session = cookies.split("; ").find(|pair| pair.starts_with("__Host-jwt_session=")).unwrap();
    let list = site.get("/auth/sessions").header("cookie", session).send().await;
    assert_eq!(list.json()["sessions"].as_array().unwrap().len(), 1, "the one session is as it was");
    assert_eq!(site.login("ada").await.status, 200, "and so is the password");
}

#[tokio::test]
async fn a78_with_a_cookie_and_no_word_of_where_it_is_from_nothing_is_changed() {
    let site = site().await;
    assert_eq!(site.register("ada").await.status, 201);
    let all = cookie_login(&site, "ada").await.cookie_header();
    // Any one of our cookies is enough, rights or not, even one that is no good or there twice.
    let mut sets: Vec<String> = all.split("; ").map(str::to_owned).collect();
    sets.push(all.clone());
    sets.extend(
        ["jwt", "jwt_session", "jwt_device", "jwt_form", "jwt_flow"].map(|n| format!("__Host-{n}=x")),
    );
    sets.push("__Host-jwt=a; __Host-jwt=b".to_owned());
    sets.push("a=b;__Host-jwt_device=x ;c".to_owned());
    sets.push("__Host-jwt=".to_owned());
    for cookies in sets {
        for (method, path, body) in unsafe_requests() {
            let answer = site.ask(method, path).json(&body).header("cookie", &cookies).send().await;
            assert!(is_refused(&answer), "{path} {cookies}: {} {}", answer.status, answer.text());
        }
    }
}

#[tokio::test]
async fn what_comes_from_our_pages_trusted_origins_and_programs_passes() {
    let site = site().await;
    assert_eq!(site.register("ada").await.status, 201);
    for headers in [
        &[("sec-fetch-site", "same-origin")][..],
        &[("sec-fetch-site", "same-origin"), ("origin", OWN)],
        &[("sec-fetch-site", "same-origin"), ("origin", "null")],
        &[("origin", OWN)],
        &[("origin", TRUSTED)],
        &[("origin", TRUSTED), ("sec-fetch-site", "same-site")],
        &[("origin", TRUSTED), ("sec-fetch-site", "cross-site")],
    ] {
        let cookies = cookie_login(&site, "ada").await.cookie_header();
        let ask = with(site.post("/auth/refresh", &json!({})), headers).header("cookie", &cookies);
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{headers:?}: {}", answer.text());
    }
    // Others' cookies are no cookies of ours.
    for cookie in
        ["other=1", "jwt=x", "__Secure-jwt=x", "__host-jwt=x", "__Host-jwt", "=__Host-jwt_session=x"]
    {
        let ask = site.post("/auth/login", &credentials("ada", PASSWORD)).header("cookie", cookie);
        assert_eq!(ask.send().await.status, 200, "{cookie}");
    }
}

fn vary(answer: &Answer) -> String {
    let fields = answer.headers.get_all("vary").iter();
    fields.map(|value| value.to_str().unwrap().to_lowercase()).collect::<Vec<_>>().join(", ")
}

#[tokio::test]
async fn a80_nobody_reads_answers_but_trusted_origins() {
    let site = site().await;
    let tokens = site.signed_in("ada").await;
    let cors = |answer: &Answer| answer.header("access-control-allow-origin").map(str::to_owned);
    for path in ["/auth/me", "/auth/login", "/auth/sessions", "/auth/verify", "/auth/nothing"] {
        for origin in [
            "null",
            "https://evil.example",
            "https://evil-app.example.com",
            "https://app.example.com.evil",
            "https://app.example.com:8443",
            "http://app.example.com",
            "https://APP.example.com",
            "https://app.example.com/",
            "https://login.example.com",
            "*",
            "",
        ] {
            let preflight = site
                .ask(Method::OPTIONS, path)
                .header("origin", origin)
                .header("access-control-request-method", "POST")
                .send()
                .await;
            let get = site.get(path).header("origin", origin).bearer(&tokens.access).send().await;
            for answer in [preflight, get] {
                assert_eq!(cors(&answer), None, "{path} {origin}");
                assert!(answer.header("access-control-allow-credentials").is_none());
                assert!(answer.header("access-control-allow-methods").is_none());
            }
        }
        let answer = site.get(path).header("origin", TRUSTED).bearer(&tokens.access).send().await;
        assert_eq!(cors(&answer).as_deref(), Some(TRUSTED), "{path}");
        assert_eq!(answer.header("access-control-allow-credentials"), Some("true"));
        assert!(vary(&answer).contains("origin"));
        let both = site.get(path).header("origin", TRUSTED).header("origin", "https://evil.example");
        assert_eq!(cors(&both.bearer(&tokens.access).send().await), None);
    }
    for path in
        ["/.well-known/jwks.json", "/.well-known/openid-configuration", "/jotgate.js", "/jotgate.d.ts"]
    {
        let answer = site.get(path).header("origin", "https://evil.example").send().await;
        assert_eq!(cors(&answer).as_deref(), Some("*"));
        assert!(answer.header("access-control-allow-credentials").is_none(), "* and credentials never meet");
    }
    for path in ["/login", "/clear-cookies", "/", "/healthz"] {
        let answer = site.get(path).header("origin", TRUSTED).send().await;
        assert_eq!(cors(&answer), None, "{path}: pages are nobody's to read");
    }
}

#[tokio::test]
async fn a82_a_method_in_a_header_or_a_field_is_no_method() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    for name in [
        "x-http-method-override",
        "x-method-override",
        "x-http-method",
        "x-original-method",
        "x-forwarded-method",
    ] {
        let answer = site.get("/auth/sessions?_method=DELETE").header(name, "DELETE").bearer(&tokens.access);
        let answer = answer.send().await;
        assert_eq!(answer.json()["sessions"].as_array().unwrap().len(), 1, "{name}");
        let answer = site.get("/auth/logout?_method=POST").header(name, "POST").bearer(&tokens.access);
        assert_eq!(answer.send().await.status, 405, "{name}");
        let body = json!({"_method": "DELETE"});
        let posted = site.post("/auth/sessions", &body).header(name, "DELETE").bearer(&tokens.access);
        assert_eq!(posted.send().await.status, 405, "{name}");
    }
    for (name, value) in [
        ("x-original-url", "/auth/logout"),
        ("x-rewrite-url", "/auth/logout"),
        ("x-forwarded-uri", "/auth/logout"),
    ] {
        let posted = site.post("/auth/nothing", &json!({})).header(name, value).bearer(&tokens.access);
        assert_eq!(posted.send().await.status, 404, "{name}");
    }
    accepted_everywhere(&site, &tokens.access).await;
}

#[tokio::test]
async fn a85_too_many_cookies_are_refused_with_a_way_out() {
    let site = site().await;
    assert_eq!(site.register("ada").await.status, 201);
    let many: Vec<String> = (0..180).map(|n| format!("c{n}={}", "x".repeat(220))).collect();
    let many = many.join("; ");
    for path in ["/auth/me", "/auth/login", "/login", "/.well-known/jwks.json", "/auth/verify"] {
        let answer = site.get(path).header("cookie", &many).send().await;
        assert_eq!(answer.status, 431, "{path}");
    }
    let way_out = site.get("/clear-cookies").header("cookie", &many).send().await;
    assert_eq!(way_out.status, 200);
    assert!(way_out.text().contains("method=\"post\""));
    assert!(way_out.cookies().is_empty(), "a picture of this address clears nothing");
    for headers in FOREIGN {
        let ask = with(site.ask(Method::POST, "/clear-cookies"), headers).header("cookie", &many);
        let answer = ask.header("content-type", "application/x-www-form-urlencoded").send().await;
        assert_eq!(answer.status, 403, "{headers:?}");
        assert!(answer.cookies().is_empty());
    }
    let cleared = site
        .ask(Method::POST, "/clear-cookies")
        .header("cookie", &many)
        .header("origin", OWN)
        .header("content-type", "application/x-www-form-urlencoded")
        .send()
        .await;
    assert_eq!(cleared.status, 303);
    // All by one header, some by name for browsers that do not know it: no more than a proxy passes on.
    assert_eq!(cleared.header("clear-site-data"), Some("\"cookies\""));
    for n in 0..10 {
        assert!(
            cleared.cookies().iter().any(|c| c.starts_with(&format!("c{n}=;")) && c.contains("Max-Age=0"))
        );
    }
    assert!(cleared.cookies().iter().map(String::len).sum::<usize>() < 3_000);
}

#[tokio::test]
async fn a88_reading_changes_nothing() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let login = cookie_login(&site, "ada").await;
    let cookies = login.cookie_header();
    for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
        for path in [
            "/auth/logout",
            "/auth/refresh",
            "/auth/login",
            "/auth/register",
            "/auth/password/change",
            "/auth/sessions/x",
        ] {
            let answer = site.ask(method.clone(), path).header("cookie", &cookies).send().await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert!(
                answer.header("allow").is_some_and(|allow| !allow.contains(method.as_str())),
                "{method} {path}"
            );
            assert!(answer.cookies().is_empty(), "{method} {path}");
        }
    }
    // A top-level visit from elsewhere carries Lax cookies; it only reads.
    for path in ["/auth/me", "/auth/sessions", "/auth/verify"] {
        let ask = site.get(path).header("cookie", &cookies).header("sec-fetch-site", "cross-site");
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.cookies().is_empty());
    }
    accepted_everywhere(&site, &cookie_value(&login, "jwt")).await;
    let refreshed = site.refresh(&cookie_value(&login, "jwt_session")).await;
    assert_eq!(refreshed.status, 200);
}

#[tokio::test]
async fn a89_a90_every_answer_defends_itself() {
    let site = site().await;
    let tokens = site.signed_in("ada").await;
    let cookies = cookie_login(&site, "ada").await.cookie_header();
    let asks = [
        site.get("/auth/me").bearer(&tokens.access),
        site.get("/auth/me"),
        site.get("/auth/verify").bearer(&tokens.access),
        site.get("/auth/verify"),
        site.get("/auth/sessions").bearer(&tokens.access),
        site.get("/auth/nothing"),
        site.get("/nothing"),
        site.get("/clear-cookies"),
        site.ask(Method::DELETE, "/auth/me"),
        site.post("/auth/login", &credentials("ada", PASSWORD)),
        site.post("/auth/login", &credentials("ada", "a wrong password")),
        site.post("/auth/register", &credentials("ada", PASSWORD)),
        site.post("/auth/refresh", &json!({"refresh_token": tokens.refresh})),
        site.post("/auth/refresh", &json!({})).header("cookie", &cookies).header("origin", OWN),
        site.post("/auth/refresh", &json!({})).header("cookie", &cookies),
        site.post("/auth/logout", &json!({})).header("cookie", &cookies).header("origin", OWN),
        site.get("/auth/me").header("cookie", "__Host-jwt=a; __Host-jwt=b"),
        site.get("/auth/me").header("x-large", &"x".repeat(33_000)),
    ];
    for ask in asks {
        let answer = ask.send().await;
        let shown = format!("{} {}", answer.status, answer.text());
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{shown}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{shown}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{shown}");
        assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"), "{shown}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            "{shown}"
        );
        assert!(!policy.contains("unsafe"), "{shown}");
        if answer.header("content-type").is_some_and(|t| t.starts_with("text/html")) {
            assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"), "{shown}");
            assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{shown}");
        }
        assert!(!answer.headers.contains_key("server"), "{shown}");
    }
    for path in ["/auth/verify", "/auth/me"] {
        for ask in [site.get(path), site.get(path).bearer(&tokens.access)] {
            let answer = ask.send().await;
            let vary = vary(&answer);
            assert!(
                ["cookie", "authorization", "origin"].iter().all(|name| vary.contains(name)),
                "{path}: {vary}"
            );
        }
    }
}

fn spoof(ask: Ask<'_>) -> Ask<'_> {
    let headers = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-port", "81"),
        ("x-forwarded-prefix", "/evil.example"),
        ("forwarded", "host=evil.example;proto=http"),
        ("x-original-host", "evil.example"),
    ];
    with(ask, &headers)
}

#[tokio::test]
async fn a149_what_a_client_says_of_our_name_is_not_repeated() {
    let site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    for path in [
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
    ] {
        let plain = site.get(path).send().await;
        let spoofed = spoof(site.get(path)).send().await;
        assert_eq!(plain.body, spoofed.body, "{path}");
    }
    let document = site.get("/.well-known/openid-configuration").send().await.json();
    assert_eq!(document["issuer"], OWN);
    assert_eq!(document["jwks_uri"], format!("{OWN}/.well-known/jwks.json"));
    let login = spoof(site.post("/auth/login", &credentials("ada", PASSWORD))).send().await;
    assert_eq!(crate::support::claims(&login.tokens().access)["iss"], OWN);
    for path in ["/auth/verify", "/auth/me", "/login", "/nothing", "/clear-cookies"] {
        let answer = spoof(site.get(path)).send().await;
        assert!(!answer.text().contains("evil"), "{path}");
        assert!(!format!("{:?}", answer.headers).contains("evil"), "{path}");
    }
    assert_eq!(
        spoof(site.get("/auth/verify")).send().await.header("location"),
        Some("https://login.example.com/login")
    );
}
