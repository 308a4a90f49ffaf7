//! The cookies: how they are set and cleared, and that none does the work of another.

use http::Method;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Site, http_origin, https_origin};
use crate::tools::*;

const OWN: &str = "https://login.example.com";

fn attributes(answer: &Answer, name: &str) -> Vec<String> {
    let cookies = answer.cookies();
    let set: Vec<&String> =
        cookies.iter().filter(|c| c.starts_with(&format!("{name}=")) && !c.contains("Max-Age=0")).collect();
    assert_eq!(set.len(), 1, "{name} in {cookies:?}");
    set[0].split("; ").skip(1).map(str::to_owned).collect()
}

fn login_body() -> serde_json::Value {
    json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"})
}

#[tokio::test]
async fn a75_each_cookie_has_the_attributes_of_its_scope() {
    for (domain, access, expected) in [
        (None, "__Host-jwt", &["Path=/", "Max-Age=600", "Secure", "HttpOnly", "SameSite=Lax"][..]),
        (
            Some("example.com"),
            "__Secure-jwt",
            &["Path=/", "Domain=example.com", "Max-Age=600", "Secure", "HttpOnly", "SameSite=Lax"],
        ),
    ] {
        let site =
            Site::with(https_origin(), |config| config.cookie.domain = domain.map(str::to_owned)).await;
        assert_eq!(site.register("ada").await.status, 201);
        let login = cookie_login(&site, "ada").await;
        let cookies = login.cookie_header();
        let refresh = site.post("/auth/refresh", &json!({})).header("cookie", &cookies).header("origin", OWN);
        let change = json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
        let refreshed = refresh.send().await;
        let change = site
            .post("/auth/password/change", &change)
            .header("cookie", &refreshed.cookie_header())
            .header("origin", OWN);
        for answer in [login, refreshed, change.send().await] {
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(attributes(&answer, access), expected);
            let session = attributes(&answer, "__Host-jwt_session");
            assert_eq!(session, ["Path=/", "Max-Age=1209600", "Secure", "HttpOnly", "SameSite=Lax"]);
            for secret in ["access_token", "refresh_token"] {
                assert!(answer.json().get(secret).is_none(), "not in the body as well");
            }
            for cookie in answer.cookies() {
                assert!(cookie.split(';').next().unwrap().len() <= 4_000);
            }
        }
    }
}

#[tokio::test]
async fn a75_strict_is_for_the_access_cookie_only() {
    let site = Site::with(https_origin(), |config| {
        config.cookie.same_site = jotgate::config::SameSite::Strict;
        config.cookie.name = "sso".to_owned();
    })
    .await;
    assert_eq!(site.register("ada").await.status, 201);
    let login = cookie_login(&site, "ada").await;
    assert!(attributes(&login, "__Host-sso").contains(&"SameSite=Strict".to_owned()));
    assert!(attributes(&login, "__Host-sso_session").contains(&"SameSite=Lax".to_owned()));
}

#[tokio::test]
async fn a75_a_logout_clears_both_in_the_scope_they_were_set_in() {
    let site =
        Site::with(https_origin(), |config| config.cookie.domain = Some("example.com".to_owned())).await;
    assert_eq!(site.register("ada").await.status, 201);
    let ways: [(Method, String, serde_json::Value); 3] = [
        (Method::POST, "/auth/logout".to_owned(), json!({})),
        (Method::POST, "/auth/logout".to_owned(), json!({"all": true})),
        (Method::DELETE, String::new(), json!({})),
    ];
    for (method, path, body) in ways {
        let login = cookie_login(&site, "ada").await;
        let path = if path.is_empty() {
            format!("/auth/sessions/{}", login.json()["session_id"].as_str().unwrap())
        } else {
            path
        };
        let ask = site.ask(method, &path).json(&body).header("cookie", &login.cookie_header());
        let answer = ask.header("origin", OWN).send().await;
        assert_eq!(answer.status, 204, "{path}: {}", answer.text());
        let cookies = answer.cookies();
        let cleared =
            |expected: &str| assert!(cookies.iter().any(|c| c == expected), "{expected} in {cookies:?}");
        cleared("__Secure-jwt=; Path=/; Domain=example.com; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
        cleared("__Host-jwt_session=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Lax");
        refused_everywhere(&site, &cookie_value(&login, "__Secure-jwt"), "revoked").await;
    }
}

#[tokio::test]
async fn another_domain_clears_the_cookies_of_every_scope_before_it() {
    let mut site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    let mut held = cookie_login(&site, "ada").await;
    let cleared = |answer: &Answer| {
        let mut scopes: Vec<String> = answer
            .cookies()
            .into_iter()
            .filter(|c| c.contains("Max-Age=0"))
            .map(|c| {
                let domain = c.split("; ").find_map(|a| a.strip_prefix("Domain=")).unwrap_or("host");
                format!("{} {domain}", c.split('=').next().unwrap())
            })
            .collect();
        scopes.sort();
        scopes
    };
    assert!(cleared(&held).is_empty());
    let steps: [(Option<&str>, &[&str]); 5] = [
        (Some("example.com"), &["__Host-jwt host"]),
        (Some("login.example.com"), &["__Host-jwt host", "__Secure-jwt example.com"]),
        (None, &["__Secure-jwt example.com", "__Secure-jwt login.example.com"]),
        (Some("example.com"), &["__Host-jwt host", "__Secure-jwt login.example.com"]),
        (None, &["__Secure-jwt example.com", "__Secure-jwt login.example.com"]),
    ];
    for (domain, gone) in steps {
        site = site.restart(|config| config.cookie.domain = domain.map(str::to_owned)).await;
        // The browser still has the cookies of before; only the session cookie goes on.
        let ask = site.post("/auth/refresh", &json!({})).header("cookie", &held.cookie_header());
        let renewed = ask.header("origin", OWN).send().await;
        assert_eq!(renewed.status, 200, "{domain:?}: {}", renewed.text());
        assert_eq!(cleared(&renewed), gone, "{domain:?}");
        let access = if domain.is_some() { "__Secure-jwt" } else { "__Host-jwt" };
        accepted_everywhere(&site, &cookie_value(&renewed, access)).await;
        let again = cookie_login(&site, "ada").await;
        assert_eq!(cleared(&again), gone, "{domain:?}");
        let logout = site.post("/auth/logout", &json!({})).header("cookie", &again.cookie_header());
        let logout = logout.header("origin", OWN).send().await;
        for scope in gone {
            assert!(cleared(&logout).contains(&(*scope).to_owned()), "{domain:?}: {scope}");
        }
        held = renewed;
        site.clock.pass(std::time::Duration::from_secs(60));
    }
}

#[tokio::test]
async fn the_access_cookie_of_another_scheme_or_scope_is_not_read() {
    let https = Site::with(https_origin(), |_| {}).await;
    let tokens = https.signed_in("ada").await;
    for name in ["jwt", "__Secure-jwt", "__host-jwt", "__Host-JWT", "__Host-jwt2", "__Host-jw", "jwt_session"]
    {
        let answer =
            https.get("/auth/me").header("cookie", &format!("{name}={}", tokens.access)).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{name}");
    }
    let http = Site::with(http_origin(), |_| {}).await;
    let tokens = http.signed_in("ada").await;
    for name in ["__Host-jwt", "__Secure-jwt", "JWT"] {
        let answer = http.get("/auth/me").header("cookie", &format!("{name}={}", tokens.access)).send().await;
        assert_eq!(answer.status, 401, "{name}");
    }
}

/// Every value in every cookie: only what belongs there works there.
#[tokio::test]
async fn a91_no_value_does_the_work_of_another() {
    let site = Site::new().await;
    let body = site.signed_in("ada").await;
    let login = cookie_login(&site, "ada").await;
    let [access, session, device] =
        ["jwt", "jwt_session", "jwt_device"].map(|name| cookie_value(&login, name));
    let values = [
        ("access", access.clone()),
        ("session", session.clone()),
        ("device", device.clone()),
        ("access by body", body.access.clone()),
        ("session id", body.session.clone()),
        ("handle", session["jgr_".len()..].to_owned()),
        ("nothing", String::new()),
    ];
    let own = "http://127.0.0.1:8080";
    for (what, value) in &values {
        for cookie in ["jwt", "jwt_session", "jwt_device", "jwt_form", "jwt_flow"] {
            let header = format!("{cookie}={value}");
            let is_access = cookie == "jwt" && what.starts_with("access");
            let is_session = cookie == "jwt_session" && *what == "session";
            for path in ["/auth/me", "/auth/verify"] {
                let status = site.get(path).header("cookie", &header).send().await.status;
                assert_eq!(status, if is_access { 200 } else { 401 }, "{what} in {cookie} at {path}");
            }
            let list = site.get("/auth/sessions").header("cookie", &header).send().await;
            let expected = match (is_access, is_session) {
                (true, _) if *what == "access" => 403,
                // A sibling receives whatever is in this cookie, so its scope is not believed either.
                (true, _) => 403,
                (_, true) => 200,
                _ if cookie == "jwt" => 401,
                _ => 401,
            };
            assert_eq!(list.status, expected, "{what} in {cookie}: {}", list.text());
            if is_session {
                continue;
            }
            let refresh =
                site.post("/auth/refresh", &json!({})).header("cookie", &header).header("origin", own);
            assert_eq!(refresh.send().await.code(), "invalid_refresh_token", "{what} in {cookie}");
            let change = json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
            let change =
                site.post("/auth/password/change", &change).header("cookie", &header).header("origin", own);
            let refused = change.send().await;
            assert!(matches!(refused.status, 401 | 403), "{what} in {cookie}: {}", refused.text());
        }
        if *what != "session" {
            assert_eq!(site.refresh(value).await.code(), "invalid_refresh_token", "{what}");
        }
        if !what.starts_with("access") && !value.is_empty() {
            let refused = site.me(value).await;
            assert_eq!((refused.status, refused.code().as_str()), (401, "malformed"), "{what}");
        }
    }
    accepted_everywhere(&site, &access).await;
    accepted_everywhere(&site, &body.access).await;
    assert_eq!(site.refresh(&session).await.status, 200);
}

#[tokio::test]
async fn two_cookies_of_one_name_are_nobodys_and_are_cleared() {
    let site =
        Site::with(https_origin(), |config| config.cookie.domain = Some("example.com".to_owned())).await;
    let ada = site.signed_in("ada").await;
    let login = cookie_login(&site, "ada").await;
    let cookies = login.cookie_header();
    for (ask, name) in [
        (site.get("/auth/me").header("cookie", &format!("__Secure-jwt=x; {cookies}")), "__Secure-jwt"),
        (site.get("/auth/me").header("cookie", &cookies).header("cookie", "__Secure-jwt=x"), "__Secure-jwt"),
        (
            site.get("/auth/me").bearer(&ada.access).header("cookie", &format!("{cookies}; __Secure-jwt=")),
            "__Secure-jwt",
        ),
        (site.get("/auth/verify").header("cookie", &format!("{cookies}; __Secure-jwt=x")), "__Secure-jwt"),
        (
            site.get("/auth/sessions").header("cookie", &format!("{cookies}; __Host-jwt_session=x")),
            "__Host-jwt_session",
        ),
    ] {
        let answer = ask.send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous_credentials"));
        let cleared = answer.cookies();
        assert!(!cleared.is_empty());
        assert!(
            cleared.iter().all(|c| c.starts_with(&format!("{name}=;")) && c.contains("Max-Age=0")),
            "{cleared:?}"
        );
        if name == "__Secure-jwt" {
            // Wherever a sibling may have put it.
            for scope in [
                "Path=/; Max-Age",
                "Path=/auth; Max-Age",
                "Path=/; Domain=example.com",
                "Path=/auth; Domain=login.example.com",
            ] {
                assert!(cleared.iter().any(|c| c.contains(scope)), "{scope} in {cleared:?}");
            }
        }
    }
    for (path, body) in
        [("/auth/refresh", json!({})), ("/auth/logout", json!({})), ("/auth/login", login_body())]
    {
        let ask = site.post(path, &body).header("cookie", &format!("{cookies}; __Host-jwt_session=x"));
        let answer = ask.header("origin", OWN).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous_credentials"), "{path}");
    }
    accepted_everywhere(&site, &cookie_value(&login, "__Secure-jwt")).await;
}

/// A sibling set one for a deep path of an application behind a proxy: the answer goes back to that request, so it is
/// that one's host and path which count, and not those of the question.
#[tokio::test]
async fn two_cookies_are_cleared_where_the_request_of_the_proxys_question_has_them_from() {
    let site = Site::with(https_origin(), |config| {
        config.cookie.domain = Some("example.com".to_owned());
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
    })
    .await;
    assert_eq!(site.register("ada").await.status, 201);
    let cookies = format!("__Secure-jwt=x; {}", cookie_login(&site, "ada").await.cookie_header());
    let question = || site.get("/auth/verify?redirect=1").sent_from("10.0.0.1").header("cookie", &cookies);
    let nginx = question()
        .header("x-original-method", "GET")
        .header("x-original-url", "https://app.example.com/a/b/c/d/e/page?x=/f/g");
    let caddy = question()
        .header("x-forwarded-method", "GET")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "app.example.com")
        .header("x-forwarded-uri", "/a/b/c/d/e/page?x=/f/g");
    let envoy = site
        .get("/auth/verify/envoy/a/b/c/d/e/page?x=/f/g")
        .sent_from("10.0.0.1")
        .header("host", "app.example.com")
        .header("x-forwarded-proto", "https")
        .header("cookie", &cookies);
    for ask in [nginx, caddy, envoy] {
        let answer = ask.header("accept", "text/html").send().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "ambiguous_credentials"));
        let cleared = answer.cookies();
        for path in ["/", "/a", "/a/", "/a/b/c/d", "/a/b/c/d/e/", "/a/b/c/d/e/page"] {
            for scope in ["Max-Age=0", "Domain=example.com; Max-Age=0", "Domain=app.example.com; Max-Age=0"] {
                let start = format!("__Secure-jwt=; Path={path}; {scope}; Secure");
                assert!(cleared.iter().any(|cookie| cookie.starts_with(&start)), "{start} in {cleared:#?}");
            }
        }
        let elsewhere =
            |cookie: &String| ["=/f", "login.example.com", "=/auth"].iter().any(|w| cookie.contains(w));
        assert!(!cleared.iter().any(elsewhere), "{cleared:#?}");
    }
}

#[tokio::test]
async fn the_loser_of_a_refresh_race_clears_nothing() {
    let site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    for cookie in ["x", "", "jgr_AAAA"] {
        let ask =
            site.post("/auth/refresh", &json!({})).header("cookie", &format!("__Host-jwt_session={cookie}"));
        let refused = ask.header("origin", OWN).send().await;
        assert_eq!(refused.code(), "invalid_refresh_token");
        assert!(refused.cookies().is_empty(), "{cookie}");
    }
    let login = cookie_login(&site, "ada").await;
    let by = async |cookies: &str| {
        let ask = site.post("/auth/refresh", &json!({})).header("cookie", cookies);
        ask.header("origin", OWN).send().await
    };
    let mut cookies = login.cookie_header();
    for _ in 0..2 {
        site.clock.pass(std::time::Duration::from_secs(60));
        cookies = by(&cookies).await.cookie_header();
    }
    let reused = by(&login.cookie_header()).await;
    assert_eq!(reused.code(), "refresh_token_reused");
    assert!(reused.cookies().is_empty());
}

/// A cookie that a sibling receives must not say more than who the user is, whatever the session was begun for.
#[tokio::test]
async fn a_token_delivered_by_cookie_never_manages_anything() {
    let site =
        Site::with(https_origin(), |config| config.cookie.domain = Some("example.com".to_owned())).await;
    assert_eq!(site.register("ada").await.status, 201);
    let body = site.login("ada").await.tokens();
    // A browser that was handed a session of a program, as its cookie.
    let ask = site.post("/auth/refresh", &json!({}));
    let ask = ask.header("cookie", &format!("__Host-jwt_session={}", body.refresh)).header("origin", OWN);
    let answer = ask.send().await;
    if answer.status == 200 {
        let access = cookie_value(&answer, "__Secure-jwt");
        let scope = crate::support::claims(&access)["scope"].as_str().unwrap().to_owned();
        assert_eq!(scope, "", "goes to every sibling");
        assert_eq!(site.get("/auth/sessions").bearer(&access).send().await.code(), "insufficient_scope");
    }
}

#[tokio::test]
async fn signing_out_everywhere_is_not_said_to_be_done_where_nobody_was_signed_out() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let here = cookie_login(&site, "ada").await;
    let other = site.login("ada").await.tokens();
    let logout = async |cookies: &str, all: bool| {
        let ask = site.post("/auth/logout", &json!({"all": all})).header("cookie", cookies);
        ask.header("origin", "http://127.0.0.1:8080").send().await
    };
    let access_only = format!("jwt={}", cookie_value(&here, "jwt"));
    assert_eq!(logout(&access_only, true).await.code(), "insufficient_scope");
    // Ended from the other device; then this browser asks for all to end.
    let path = format!("/auth/sessions/{}", here.json()["session_id"].as_str().unwrap());
    assert_eq!(site.ask(Method::DELETE, &path).bearer(&other.access).send().await.status, 204);
    let cookies = here.cookie_header();
    let all = logout(&cookies, true).await;
    accepted_everywhere(&site, &other.access).await;
    assert_eq!(all.status, 401, "the other device is still signed in");
    assert_eq!(logout("jwt_session=junk", true).await.status, 401);
    assert_eq!(logout(&cookies, false).await.status, 204, "this one is over, as was asked");
}
