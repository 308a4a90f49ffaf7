//! What a proxy is told about requests that try to get past it.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use jotgate::config::Config;
use jotgate::http::Connection;
use jotgate_domain::access::{Access, HostPattern, PathPattern, Rule};

use crate::support::{Answer, Ask, PASSWORD, Site, https_origin};
use crate::tools::*;

const PROXY: &str = "10.0.0.7:40000";
const STRANGER: &str = "203.0.113.9:40000";
const LOGIN: &str = "https://login.example.com/login";
const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";

/// `app.example.com` has a public and an administrator's part, and one for which the sign-in has to be recent.
fn rules() -> BTreeMap<String, Rule> {
    let rule = |host: &str, path: &str, change: fn(&mut Rule)| {
        let mut rule = Rule {
            host: vec![HostPattern::parse(host).unwrap()],
            path: vec![PathPattern::parse(path).unwrap()],
            ..Rule::default()
        };
        change(&mut rule);
        rule
    };
    [
        ("app", rule("app.example.com", "/", |_| {})),
        ("public", rule("app.example.com", "/public", |rule| rule.access = Access::Public)),
        ("admin", rule("app.example.com", "/admin", |rule| rule.role.push("admin".to_owned()))),
        ("money", rule("app.example.com", "/money", |rule| rule.max_age = Some(Duration::from_secs(300)))),
        ("account", rule("app.example.com", "/api", |rule| rule.scope.push("account".to_owned()))),
        ("wiki", rule("*.wiki.example.com", "/", |_| {})),
        ("elsewhere", rule("app.elsewhere.test", "/", |_| {})),
    ]
    .map(|(name, rule)| (name.to_owned(), rule))
    .into()
}

async fn site(change: impl FnOnce(&mut Config)) -> Site {
    Site::with(https_origin(), |config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.cookie.domain = Some("example.com".to_owned());
        config.rules = rules();
        change(config);
    })
    .await
}

fn from<'s>(ask: Ask<'s>, peer: &str) -> Ask<'s> {
    ask.extension(Connection { peer: peer.parse().unwrap(), flaw: None })
}

/// What Caddy, Traefik and HAProxy ask.
fn about<'s>(site: &'s Site, method: &str, host: &str, uri: &str) -> Ask<'s> {
    from(site.get("/auth/verify?redirect=1"), PROXY)
        .header("x-forwarded-method", method)
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", host)
        .header("x-forwarded-uri", uri)
}

fn app<'s>(site: &'s Site, uri: &str) -> Ask<'s> {
    about(site, "GET", "app.example.com", uri)
}

fn back_to(url: &str) -> String {
    format!("{LOGIN}?return_to={}", url::form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>())
}

const IDENTITY: [&str; 6] =
    ["x-auth-user", "x-auth-username", "x-auth-email", "x-auth-roles", "x-auth-scopes", "x-auth-session"];

#[track_caller]
fn anonymous(answer: &Answer) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    for name in IDENTITY {
        assert_eq!(answer.header(name), Some(""), "{name}");
    }
}

async fn sent(ask: Ask<'_>, access: Option<&String>) -> Answer {
    match access {
        Some(access) => ask.bearer(access).send().await,
        None => ask.send().await,
    }
}

#[tokio::test]
async fn a155_only_a_trusted_proxy_is_believed() {
    let site = site(|_| {}).await;
    let access = site.signed_in("ada").await.access;
    let headers = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.example.com"),
        ("x-forwarded-uri", "/public"),
    ];
    let nginx = [("x-original-method", "GET"), ("x-original-url", "https://app.example.com/public")];
    let ask = |peer: &str, fields: &[(&str, &str)]| {
        let ask = from(site.get("/auth/verify"), peer);
        fields.iter().fold(ask, |ask, (name, value)| ask.header(name, value))
    };
    for set in [&headers[..], &nginx[..]] {
        anonymous(&ask(PROXY, set).send().await);
        for access in [None, Some(&access)] {
            let stranger = sent(ask(STRANGER, set), access).await;
            assert_eq!((stranger.status, stranger.code().as_str()), (403, "unknown_request"));
            let nobody =
                sent(set.iter().fold(site.get("/auth/verify"), |ask, (n, v)| ask.header(n, v)), access).await;
            assert_eq!(nobody.status, 403, "a connection that nobody knows of");
            for at in 0..set.len() {
                let mut missing = set.to_vec();
                missing.remove(at);
                assert_eq!(sent(ask(PROXY, &missing), access).await.status, 403, "without {:?}", set[at]);
                let twice = [set, &set[at..=at]].concat();
                assert_eq!(sent(ask(PROXY, &twice), access).await.status, 403, "twice {:?}", set[at]);
                let other = [set, &[(set[at].0, "/public")]].concat();
                assert_eq!(sent(ask(PROXY, &other), access).await.status, 403, "two {:?}", set[at]);
            }
            assert_eq!(sent(ask(PROXY, &[]), access).await.status, 403, "none at all");
        }
    }
    let both = [&headers[..], &nginx[..]].concat();
    assert_eq!(ask(PROXY, &both).bearer(&access).send().await.status, 403);
    // Headers that never tell of a request.
    for (name, value) in [
        ("forwarded", "host=app.example.com;proto=https"),
        ("x-rewrite-url", "/public"),
        ("x-original-uri", "/public"),
        ("x-forwarded-path", "/public"),
    ] {
        assert_eq!(ask(PROXY, &[(name, value)]).bearer(&access).send().await.status, 403, "{name}");
        let admin = app(&site, "/admin").header(name, value).bearer(&access).send().await;
        assert_eq!(admin.status, 403, "{name}");
    }
}

#[tokio::test]
async fn a155_without_rules_everything_stays_as_it_was() {
    let site = site(|config| config.rules.clear()).await;
    let access = site.signed_in("ada").await.access;
    for peer in [PROXY, STRANGER] {
        let plain = from(site.get("/auth/verify"), peer).bearer(&access).send().await;
        assert_eq!(plain.status, 200);
        let anonymous = from(site.get("/auth/verify"), peer).send().await;
        assert_eq!((anonymous.status, anonymous.header("location")), (401, Some(LOGIN)));
        // What any reverse proxy sets.
        let usual = from(site.get("/auth/verify"), peer).header("x-forwarded-host", "app.example.com");
        assert_eq!(usual.header("x-forwarded-proto", "https").bearer(&access).send().await.status, 200);
    }
    // A stranger's word changes nothing, a proxy's muddled one is refused.
    let muddled = |peer| from(site.get("/auth/verify"), peer).header("x-forwarded-uri", "/x").bearer(&access);
    assert_eq!(muddled(STRANGER).send().await.status, 200);
    assert_eq!(muddled(PROXY).send().await.status, 403);
    let told = app(&site, "/x?y=1").header("accept", HTML).send().await;
    assert_eq!(told.header("location"), Some(back_to("https://app.example.com/x?y=1").as_str()));
}

#[tokio::test]
async fn a156_a_client_cannot_choose_the_request_that_is_judged() {
    let site = site(|_| {}).await;
    let access = site.signed_in("ada").await.access;
    // What the proxy wrote of /admin, and what the client added to it.
    for (name, value) in [
        ("x-forwarded-uri", "/public"),
        ("x-forwarded-host", "app.elsewhere.test"),
        ("x-forwarded-method", "OPTIONS"),
        ("x-forwarded-proto", "http"),
        ("x-original-url", "https://app.example.com/public"),
        ("x-original-method", "GET"),
    ] {
        for token in [None, Some(&access)] {
            let ask = app(&site, "/admin").header(name, value);
            let answer = match token {
                Some(token) => ask.bearer(token).send().await,
                None => ask.send().await,
            };
            assert_eq!(answer.status, 403, "{name}");
            assert!(!answer.headers.contains_key("x-auth-user"), "{name}");
        }
    }
}

#[tokio::test]
async fn a157_a158_odd_paths_and_hosts_are_refused_or_get_the_strictest_rule() {
    let site = site(|_| {}).await;
    let access = site.signed_in("ada").await.access;
    for uri in [
        "/admin",
        "/public/../admin",
        "//admin",
        "/admin;x",
        "/public/%2e%2e/admin",
        "/public/..%2fadmin",
        "/%2561dmin",
        "/public/..\\admin",
        "/Admin",
        "/public/%00",
        "/public/%ff",
        "/admin?x=/public",
        "/admin%3f",
        "/public#/../admin",
        "http://app.example.com/public",
    ] {
        let answer = app(&site, uri).bearer(&access).send().await;
        assert_eq!(answer.status, 403, "{uri}");
        let answer = app(&site, uri).send().await;
        assert!(matches!(answer.status, 401 | 403), "{uri}: {}", answer.status);
    }
    for (host, status) in [
        ("app.example.com", 200),
        ("APP.Example.COM.:8443", 200),
        ("a.wiki.example.com", 200),
        ("wiki.example.com", 403),
        ("a.b.wiki.example.com", 403),
        ("evil-app.example.com", 403),
        ("app.example.com.evil.test", 403),
        ("evil.test", 403),
        ("app.example.com,evil.test", 403),
        ("", 403),
    ] {
        assert_eq!(about(&site, "GET", host, "/x").bearer(&access).send().await.status, status, "{host}");
    }
}

#[tokio::test]
async fn a161_identity_is_always_whole() {
    let site = site(|_| {}).await;
    let tokens = site.signed_in("ada").await;
    let access = tokens.access;
    fn spoofed(ask: Ask<'_>) -> Ask<'_> {
        IDENTITY.iter().fold(ask.header("remote-user", "root"), |ask, name| ask.header(name, "root"))
    }
    anonymous(&spoofed(app(&site, "/public")).send().await);
    // A token that is no longer good makes nobody of a visitor, where nobody has to be anybody.
    anonymous(&app(&site, "/public").bearer("a.b.c").send().await);
    anonymous(&app(&site, "/public").header("authorization", "Basic YTpi").send().await);
    let answer = spoofed(app(&site, "/x")).bearer(&access).send().await;
    assert_eq!(answer.status, 200);
    for name in IDENTITY {
        assert_eq!(answer.headers.get_all(name).iter().count(), 1, "{name}");
    }
    assert_eq!(answer.header("x-auth-username"), Some("ada"));
    assert_eq!(answer.header("x-auth-session"), Some(tokens.session.as_str()));
    assert_eq!(answer.header("x-auth-roles"), Some(""));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let varies: Vec<_> = answer.headers.get_all("vary").iter().map(|v| v.to_str().unwrap()).collect();
    for name in ["Cookie", "Authorization", "Accept", "X-Forwarded-Uri", "X-Original-URL"] {
        assert!(varies.join(", ").contains(name), "{name} in {varies:?}");
    }
    // Signed in on a public page: as who they are.
    let known = app(&site, "/public").bearer(&access).send().await;
    assert_eq!(known.header("x-auth-username"), Some("ada"));
}

#[tokio::test]
async fn a163_methods_are_told_by_the_proxy_alone() {
    let site = site(|config| {
        config.rules.get_mut("admin").unwrap().methods = vec!["GET".to_owned(), "POST".to_owned()];
    })
    .await;
    let ada = site.signed_in("ada").await;
    grant_roles(&site, "ada", ["admin"]).await;
    let access = site.refresh(&ada.refresh).await.tokens().access;
    for (method, status) in [
        ("GET", 200),
        ("HEAD", 200),
        ("POST", 200),
        ("get", 403),
        ("OPTIONS", 403),
        ("TRACE", 403),
        ("DELETE", 403),
    ] {
        let answer = about(&site, method, "app.example.com", "/admin").bearer(&access).send().await;
        assert_eq!(answer.status, status, "{method}");
    }
    // Some applications read it in capitals, and others do not: a rule for the other methods does not open it.
    assert_eq!(about(&site, "GET", "app.example.com", "/public").send().await.status, 200);
    assert_eq!(about(&site, "get", "app.example.com", "/public").send().await.status, 403);
    // The method of the question itself says nothing, a preflight's either.
    for method in [Method::OPTIONS, Method::POST, Method::TRACE, Method::HEAD] {
        let ask = from(site.ask(method.clone(), "/auth/verify"), PROXY)
            .header("x-forwarded-method", "DELETE")
            .header("x-forwarded-proto", "https")
            .header("x-forwarded-host", "app.example.com")
            .header("x-forwarded-uri", "/admin")
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "GET");
        assert_eq!(ask.bearer(&access).send().await.status, 403, "{method}");
        let anonymous = from(site.ask(method.clone(), "/auth/verify"), PROXY)
            .header("x-original-method", "OPTIONS")
            .header("x-original-url", "https://app.example.com/x");
        assert_eq!(anonymous.send().await.status, 401, "{method}");
    }
}

#[tokio::test]
async fn a164_pages_are_sent_to_the_login_page_and_back_and_programs_told() {
    let site = site(|_| {}).await;
    let url = "https://app.example.com:8443/a%20b?c=d&e=/f";
    let uri = "/a%20b?c=d&e=/f";
    let ask = || about(&site, "GET", "App.example.com:8443", uri);
    let answer = ask().header("accept", HTML).send().await;
    assert_eq!(answer.status, 302);
    assert_eq!(answer.header("location"), Some(back_to(url).as_str()));
    assert_eq!((answer.text().as_str(), answer.header("www-authenticate")), ("", None));
    for fields in [
        &[("accept", "application/json")][..],
        &[("accept", "*/*")],
        &[],
        &[("accept", HTML), ("sec-fetch-mode", "cors")],
        &[("accept", HTML), ("upgrade", "websocket"), ("connection", "upgrade")],
        &[("accept", HTML), ("x-requested-with", "XMLHttpRequest")],
    ] {
        let answer = fields.iter().fold(ask(), |ask, (name, value)| ask.header(name, value)).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{fields:?}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
        assert!(answer.header("location").unwrap().starts_with(LOGIN));
        assert_eq!(answer.header("x-login-location"), None);
    }
    // Without `redirect=1` a page gets the 401 too, and where the proxy may send it.
    let nginx = || {
        from(site.get("/auth/verify"), PROXY)
            .header("x-original-method", "GET")
            .header("x-original-url", "https://app.example.com/x")
    };
    let answer = nginx().header("accept", HTML).send().await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("x-login-location"), Some(back_to("https://app.example.com/x").as_str()));
    assert_eq!(answer.header("location"), answer.header("x-login-location"));
    assert_eq!(nginx().header("accept", "*/*").send().await.header("x-login-location"), None);
    // Back to nowhere that only the request chose: a host that is ours by no rule of cookies.
    let foreign = about(&site, "GET", "app.elsewhere.test", "/x").header("accept", HTML).send().await;
    assert_eq!((foreign.status, foreign.header("location")), (302, Some(LOGIN)));
    for uri in ["/a b", "/a\tb"] {
        let odd = app(&site, uri).header("accept", HTML).send().await;
        assert!(odd.status == 403 || odd.header("location") == Some(LOGIN), "{uri:?}: {}", odd.status);
    }
    // The login page takes what it was given.
    let location =
        answer.header("x-login-location").unwrap().strip_prefix("https://login.example.com").unwrap();
    let form = site.get(location).send().await;
    assert_eq!(form.status, 200);
    assert!(form.text().contains("value=\"https://app.example.com/x\""), "{}", form.text());
}

#[tokio::test]
async fn a164_roles_and_scopes_of_the_query_and_of_the_rules_must_hold() {
    let site = site(|_| {}).await;
    let ada = site.signed_in("ada").await;
    grant_roles(&site, "ada", ["admin", "staff"]).await;
    let access = site.refresh(&ada.refresh).await.tokens().access;
    let cookies = cookie_login(&site, "ada").await.cookie_header();
    let ask = |query: &str, uri: &str| {
        from(site.get(&format!("/auth/verify{query}")), PROXY)
            .header("x-original-method", "GET")
            .header("x-original-url", &format!("https://app.example.com{uri}"))
    };
    for (query, uri, status) in [
        ("", "/admin", 200),
        ("?role=staff", "/admin", 200),
        ("?role=boss", "/admin", 403),
        ("?role=staff&scope=account", "/x", 200),
        ("?role=boss", "/public", 403),
        ("", "/api", 200),
    ] {
        assert_eq!(ask(query, uri).bearer(&access).send().await.status, status, "{query} {uri}");
    }
    // A cookie has no scope `account`; nobody has no role, on no page.
    assert_eq!(ask("", "/api").header("cookie", &cookies).send().await.status, 403);
    assert_eq!(ask("?role=staff", "/public").send().await.status, 401);
    assert_eq!(ask("?role", "/public").bearer(&access).send().await.status, 403);
}

#[tokio::test]
async fn a167_a_sign_in_of_long_ago_is_asked_for_again_and_leads_back() {
    let site = site(|_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    let first = cookie_login(&site, "ada").await.cookie_header();
    let ask = |cookies: &str| app(&site, "/money?to=bob").header("accept", HTML).header("cookie", cookies);
    assert_eq!(ask(&first).send().await.status, 200);
    site.clock.pass(Duration::from_secs(301));
    // A renewed token is no new sign-in.
    let renewed = site.ask(Method::POST, "/auth/refresh").header("cookie", &first);
    let renewed = renewed.header("sec-fetch-site", "same-origin").send().await;
    assert_eq!(renewed.status, 200, "{}", renewed.text());
    let cookies = renewed.cookie_header();
    assert_eq!(app(&site, "/x").header("cookie", &cookies).send().await.status, 200);
    let challenge = app(&site, "/money").header("cookie", &cookies).send().await;
    assert_eq!((challenge.status, challenge.code().as_str()), (401, "insufficient_user_authentication"));
    assert_eq!(
        challenge.header("www-authenticate"),
        Some("Bearer error=\"insufficient_user_authentication\", max_age=\"300\"")
    );
    let sent = ask(&cookies).send().await;
    let back = "https://app.example.com/money?to=bob";
    assert_eq!(
        (sent.status, sent.header("location")),
        (302, Some(format!("{}&max_age=300", back_to(back)).as_str()))
    );

    // Signed in, and asked for the password all the same; without the demand, not.
    let path = sent.header("location").unwrap().strip_prefix("https://login.example.com").unwrap().to_owned();
    let form = site.get(&path).header("cookie", &cookies).send().await;
    assert_eq!(form.status, 200);
    let html = form.text();
    assert!(
        html.contains("Sign in again")
            && html.contains("value=\"ada\"")
            && html.contains("type=\"password\"")
    );
    assert!(html.contains(&format!("value=\"{back}\"")), "{html}");
    let plain = site.get(path.split("&max_age").next().unwrap()).header("cookie", &cookies).send().await;
    assert!(!plain.text().contains("type=\"password\""));

    let post = |password: &str, to: &str| {
        let field = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let body = format!("username=ada&password={}&return_to={}", field(password), field(to));
        let ask =
            site.ask(Method::POST, "/login").header("content-type", "application/x-www-form-urlencoded");
        ask.header("cookie", &cookies).header("sec-fetch-site", "same-origin").body(body)
    };
    let wrong = post("not the password", back).send().await;
    assert_eq!((wrong.status, wrong.header("location")), (401, None));
    assert_eq!(ask(&cookies).send().await.status, 302, "as long ago as before");
    // Anywhere else is not where it leads.
    let astray = post(PASSWORD, "https://evil.test/").send().await;
    assert_eq!((astray.status, astray.header("location")), (303, Some("/account")));
    let again = astray.cookie_header();
    assert_eq!(ask(&again).send().await.status, 200, "signed in just now");
}

#[tokio::test]
async fn envoy_asks_with_the_request_itself() {
    let site = site(|_| {}).await;
    let access = site.signed_in("ada").await.access;
    let ask = |method: &str, path: &str, host: &str, peer: &str| {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        from(site.ask(method, &format!("/auth/verify/envoy{path}")), peer)
            .header("host", host)
            .header("x-forwarded-proto", "https")
            .header("content-length", "0")
    };
    for (method, path, host, status) in [
        ("GET", "/", "app.example.com", 200),
        ("POST", "/x/y?z", "app.example.com:443", 200),
        ("GET", "/public", "app.example.com", 200),
        ("DELETE", "/admin", "app.example.com", 403),
        ("GET", "/public/../admin", "app.example.com", 403),
        ("GET", "//admin", "app.example.com", 403),
        ("GET", "/public/%2e%2e/admin", "app.example.com", 403),
        ("GET", "/admin?role=x&redirect=1", "app.example.com", 403),
        ("GET", "/x", "other.example.com", 403),
        ("OPTIONS", "/x", "app.example.com", 200),
        ("GET", "/auth/verify", "app.example.com", 200),
    ] {
        let answer = ask(method, path, host, PROXY).bearer(&access).send().await;
        assert_eq!(answer.status, status, "{method} {path} {host}");
        // What a client wrote for other proxies is nothing here.
        let spoofed = ask(method, path, host, PROXY)
            .header("x-forwarded-uri", "/public")
            .header("x-forwarded-host", "app.example.com")
            .header("x-original-url", "https://app.example.com/public");
        assert_eq!(spoofed.bearer(&access).send().await.status, status, "{method} {path} {host}");
        assert_eq!(ask(method, path, host, STRANGER).bearer(&access).send().await.status, 403, "{path}");
    }
    // The client's own query asks nothing of us: no redirect less, no role.
    let page =
        ask("GET", "/x?redirect=0&role=admin", "app.example.com", PROXY).header("accept", HTML).send().await;
    assert_eq!(page.status, 302);
    assert_eq!(
        page.header("location"),
        Some(back_to("https://app.example.com/x?redirect=0&role=admin").as_str())
    );
    assert_eq!(
        ask("GET", "/x?role=admin", "app.example.com", PROXY).bearer(&access).send().await.status,
        200
    );
    assert_eq!(ask("GET", "/x", "app.example.com", PROXY).send().await.status, 401);
    let no_scheme = from(site.get("/auth/verify/envoy/public"), PROXY).header("host", "app.example.com");
    assert_eq!(no_scheme.send().await.status, 403);
    assert_eq!(from(site.get("/auth/verify/envoy"), PROXY).bearer(&access).send().await.status, 404);
}
