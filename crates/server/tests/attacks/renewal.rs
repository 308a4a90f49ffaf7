//! `/auth/verify?renew=1`: an access cookie for whoever sends the session cookie, and what it is not good for.

use std::collections::BTreeMap;
use std::time::Duration;

use jotgate::config::{Config, Ops, SameSite};
use jotgate_domain::access::{Access, HostPattern, PathPattern, Rule};
use jotgate_domain::audit::Action;
use serde_json::json;

use crate::support::{Answer, Ask, Site, https_origin};
use crate::tools::*;

const OWN: &str = "https://login.example.com";
const PAGE: &str = "https://login.example.com/app/page";
const HTML: &str = "text/html,application/xhtml+xml,*/*;q=0.8";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const EXPIRED: Duration = Duration::from_secs(601);

/// Applications on our own host: one part is open, one is the administrator's, for one the sign-in has to be recent.
fn rules() -> BTreeMap<String, Rule> {
    let rule = |path: &str, change: fn(&mut Rule)| {
        let hosts = ["login.example.com", "app.example.com"];
        let mut rule = Rule {
            host: hosts.map(|host| HostPattern::parse(host).unwrap()).to_vec(),
            path: vec![PathPattern::parse(path).unwrap()],
            ..Rule::default()
        };
        change(&mut rule);
        rule
    };
    [
        ("app", rule("/app", |_| {})),
        ("public", rule("/public", |rule| rule.access = Access::Public)),
        ("admin", rule("/admin", |rule| rule.role.push("admin".to_owned()))),
        ("money", rule("/money", |rule| rule.max_age = Some(Duration::from_secs(300)))),
    ]
    .map(|(name, rule)| (name.to_owned(), rule))
    .into()
}

async fn site_with(change: impl FnOnce(&mut Config)) -> Site {
    let site = Site::with(https_origin(), |config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.rules = rules();
        config.verify_renew = true;
        config.ops = Ops::Main;
        change(config);
    })
    .await;
    assert_eq!(site.register("ada").await.status, 201);
    site
}

async fn site() -> Site {
    site_with(|_| {}).await
}

/// What a trusted proxy asks about one request.
fn ask<'s>(site: &'s Site, method: &str, url: &str, cookies: &str) -> Ask<'s> {
    let ask = site.get("/auth/verify?renew=1").sent_from("10.0.0.1");
    let ask = ask.header("x-original-method", method).header("x-original-url", url);
    if cookies.is_empty() { ask } else { ask.header("cookie", cookies) }
}

async fn verify(site: &Site, method: &str, url: &str, cookies: &str) -> Answer {
    ask(site, method, url, cookies).header("accept", HTML).send().await
}

/// The session cookie alone, as browsers send it once the access cookie has run out.
fn session(token: &str) -> String {
    format!("__Host-jwt_session={token}")
}

async fn signed_in(site: &Site) -> String {
    session(&cookie_value(&cookie_login(site, "ada").await, "__Host-jwt_session"))
}

fn renewed(answer: &Answer) -> bool {
    let set = answer.cookies();
    assert!(set.iter().all(|cookie| cookie.starts_with("__Host-jwt=")), "{set:?}");
    assert!(set.len() <= 1, "one cookie, which any proxy can hand on: {set:?}");
    !set.is_empty()
}

async fn refresh(site: &Site, cookies: &str) -> Answer {
    let ask = site.post("/auth/refresh", &json!({})).header("cookie", cookies);
    ask.header("origin", OWN).send().await
}

#[tokio::test]
async fn it_moves_nothing_and_clears_nothing() {
    let site = site().await;
    let login = cookie_login(&site, "ada").await;
    let both = login.cookie_header();
    let own = session(&cookie_value(&login, "__Host-jwt_session"));
    assert!(!renewed(&verify(&site, "POST", PAGE, &both).await), "nothing to renew while it is good");
    site.clock.pass(EXPIRED);
    for cookies in [&both, &own] {
        let asked: Vec<_> = (0..20).map(|_| verify(&site, "POST", PAGE, cookies)).collect();
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!((answer.status, answer.header("x-auth-username")), (200, Some("ada")));
            assert!(renewed(&answer));
            assert_eq!(answer.header("cache-control"), Some("no-store"));
            assert_eq!(site.me(&cookie_value(&answer, "__Host-jwt")).await.status, 200);
        }
    }
    // The session's own token is good for its refresh: nothing was spent by it.
    assert_eq!(refresh(&site, &own).await.status, 200);
    assert_eq!(audited(&site, Action::RefreshReused).await, 0);
    // Signed out is signed out.
    let out = site.post("/auth/logout", &json!({})).header("cookie", &own).header("origin", OWN);
    assert_eq!(out.send().await.status, 204);
    let answer = verify(&site, "POST", PAGE, &own).await;
    assert_eq!((answer.status, answer.cookies().len()), (401, 0), "and no cookie is cleared");
}

/// With `cookie.domain` too: one cookie, for the whole domain.
#[tokio::test]
async fn it_gives_the_cookie_of_the_whole_domain() {
    let site = site_with(|config| config.cookie.domain = Some("example.com".to_owned())).await;
    let own = signed_in(&site).await;
    let answer = verify(&site, "GET", PAGE, &own).await;
    let [set] = &answer.cookies()[..] else { panic!("{:?}", answer.cookies()) };
    assert!(set.starts_with("__Secure-jwt=") && set.contains("; Domain=example.com; Max-Age=600;"), "{set}");
}

#[tokio::test]
async fn it_is_off_unless_it_is_configured() {
    let site = site_with(|config| config.verify_renew = false).await;
    let own = signed_in(&site).await;
    for method in ["GET", "POST"] {
        let plain = site.get("/auth/verify").sent_from("10.0.0.1").header("accept", HTML);
        let plain = plain.header("x-original-method", method).header("x-original-url", PAGE);
        let plain = plain.header("cookie", &own).send().await;
        assert_eq!((plain.status, plain.cookies().len()), (401, 0));
        assert_eq!(shape(&verify(&site, method, PAGE, &own).await), shape(&plain), "{method}");
    }
}

/// Whoever holds the cookie has to come as a browser would: over the proxy, to our own host.
#[tokio::test]
async fn it_is_for_requests_to_our_own_host_that_a_proxy_tells_of() {
    let site = site().await;
    let own = signed_in(&site).await;
    for url in ["https://app.example.com/app/page", "https://login.example.com.evil.test/app/page"] {
        let answer = verify(&site, "POST", url, &own).await;
        assert!(
            matches!(answer.status, 401 | 403) && answer.cookies().is_empty(),
            "{url}: {}",
            answer.status
        );
    }
    let without_rules = site_with(|config| config.rules = BTreeMap::new()).await;
    let other = signed_in(&without_rules).await;
    for (site, cookies) in [(&site, &own), (&without_rules, &other)] {
        for from in ["10.0.0.1", "203.0.113.9"] {
            let direct = site.get("/auth/verify?renew=1").sent_from(from).header("cookie", cookies);
            let answer = direct.send().await;
            assert!(matches!(answer.status, 401 | 403) && answer.cookies().is_empty(), "{from}");
        }
        let stranger = site.get("/auth/verify?renew=1").sent_from("203.0.113.9").header("cookie", cookies);
        let stranger = stranger.header("x-original-method", "POST").header("x-original-url", PAGE);
        let answer = stranger.send().await;
        assert!(matches!(answer.status, 401 | 403) && answer.cookies().is_empty());
    }
    // A header counts alone, and is not renewed.
    let expired = cookie_value(&cookie_login(&site, "ada").await, "__Host-jwt");
    site.clock.pass(EXPIRED);
    assert_eq!(ask(&site, "POST", PAGE, &own).bearer(&expired).send().await.code(), "expired");
    assert_eq!(verify(&site, "POST", PAGE, &own).await.status, 200);
}

/// A copy of the session cookie is found out by rotation only: it is good here for a day, whatever asks, but for what
/// would be lost.
#[tokio::test]
async fn a93_a_session_that_does_not_rotate_renews_for_a_day() {
    let site = site().await;
    let own = signed_in(&site).await;
    let script = async |method: &str| ask(&site, method, PAGE, &own).header("accept", "*/*").send().await;
    site.clock.pass(DAY - Duration::from_secs(1));
    for method in ["GET", "HEAD", "OPTIONS", "POST"] {
        assert_eq!(script(method).await.status, 200, "{method}");
        assert_eq!(verify(&site, method, PAGE, &own).await.status, 200, "{method}");
    }
    site.clock.pass(Duration::from_secs(1));
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        for answer in [script(method).await, verify(&site, method, PAGE, &own).await] {
            assert_eq!((answer.status, answer.cookies().len()), (401, 0), "{method}");
        }
    }
    // What is posted does not go over the login page.
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert!(
            renewed(&script(method).await) && renewed(&verify(&site, method, PAGE, &own).await),
            "{method}"
        );
    }
    let rotated = refresh(&site, &own).await;
    let own = session(&cookie_value(&rotated, "__Host-jwt_session"));
    assert_eq!(verify(&site, "GET", PAGE, &own).await.status, 200, "for another day");
}

/// What was spent is a copy: here as at `/auth/refresh` the session ends, and everybody is told.
#[tokio::test]
async fn a93_a_spent_session_cookie_ends_its_session() {
    for method in ["GET", "POST"] {
        let site = site_with(|config| config.rules = BTreeMap::new()).await;
        let stolen = signed_in(&site).await;
        let (mut own, mut access) = (stolen.clone(), String::new());
        for _ in 0..2 {
            site.clock.pass(Duration::from_secs(60));
            let answer = refresh(&site, &own).await;
            own = session(&cookie_value(&answer, "__Host-jwt_session"));
            access = cookie_value(&answer, "__Host-jwt");
        }
        accepted_everywhere(&site, &access).await;
        let answer = ask(&site, method, PAGE, &stolen).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "refresh_token_reused"), "{method}");
        assert!(answer.cookies().is_empty(), "the cookie may be the winner's");
        refused_everywhere(&site, &access, "revoked").await;
        assert_eq!(refresh(&site, &own).await.code(), "invalid_refresh_token");
        assert_eq!(audited(&site, Action::RefreshReused).await, 1);
        let metrics = site.get("/metrics").send().await.text();
        assert!(metrics.contains("jotgate_refreshes_total{outcome=\"reused\"} 1"), "{metrics}");
        // Once: then there is no such session.
        assert_eq!(ask(&site, method, PAGE, &stolen).send().await.code(), "unauthenticated");
        assert_eq!(audited(&site, Action::RefreshReused).await, 1);
    }
    let site = site().await;
    let login = cookie_login(&site, "ada").await;
    let access = session(&cookie_value(&login, "__Host-jwt"));
    assert_eq!(verify(&site, "POST", PAGE, &access).await.status, 401, "attack 91");
}

/// The session cookie is Lax: what a strict access cookie keeps out must not come in by it.
#[tokio::test]
async fn a_strict_access_cookie_is_not_made_for_another_sites_request() {
    for (same_site, said, expected) in [
        (SameSite::Strict, &["cross-site"][..], false),
        (SameSite::Strict, &[], false),
        (SameSite::Strict, &["same-origin", "same-origin"], false),
        (SameSite::Strict, &["Same-Origin"], false),
        (SameSite::Strict, &["same-origin"], true),
        (SameSite::Strict, &["same-site"], true),
        (SameSite::Strict, &["none"], true),
        // A link on another site brings the access cookie along as well.
        (SameSite::Lax, &["cross-site"], true),
        (SameSite::Lax, &[], true),
    ] {
        let site = site_with(|config| config.cookie.same_site = same_site).await;
        let own = signed_in(&site).await;
        let asked = ask(&site, "GET", PAGE, &own).header("accept", HTML);
        let asked = said.iter().fold(asked, |asked, site| asked.header("sec-fetch-site", site));
        assert_eq!(renewed(&asked.send().await), expected, "{same_site:?} {said:?}");
    }
}

/// Else each request that is refused for another reason would ask the database once more.
#[tokio::test]
async fn what_was_renewed_goes_with_a_refusal_as_well() {
    let site = site().await;
    let own = signed_in(&site).await;
    site.clock.pass(EXPIRED);
    for (path, code) in [("/admin", "forbidden"), ("/money", "insufficient_user_authentication")] {
        let answer = ask(&site, "GET", &format!("{OWN}{path}"), &own).send().await;
        assert_eq!(answer.code(), code, "{path}");
        assert!(renewed(&answer), "{path}");
        assert_eq!(site.me(&cookie_value(&answer, "__Host-jwt")).await.status, 200);
    }
    let page = site.get("/auth/verify?renew=1&redirect=1").sent_from("10.0.0.1").header("accept", HTML);
    let page = page.header("x-original-method", "GET").header("x-original-url", &format!("{OWN}/money"));
    let page = page.header("cookie", &own).send().await;
    assert_eq!(page.status, 302);
    assert!(page.header("location").unwrap().ends_with("&max_age=300") && renewed(&page));
}

/// How often the database was asked what these questions could ask it.
async fn statements(site: &Site) -> BTreeMap<String, String> {
    let text = site.get("/metrics").send().await.text();
    let counts = text.lines().filter_map(|line| line.split_once(' ')).filter(|(name, _)| {
        let told_of_its_own = ["ping", "revocations", "setting", "keys", "sweep", "deliveries"];
        name.starts_with("jotgate_database_duration_seconds_count{")
            && !told_of_its_own.iter().any(|operation| name.contains(&format!("\"{operation}\"")))
    });
    counts.map(|(name, count)| (name.to_owned(), count.to_owned())).collect()
}

#[tokio::test]
async fn the_database_is_asked_only_where_somebody_has_to_be_signed_in() {
    let site = site().await;
    let login = cookie_login(&site, "ada").await;
    let own = session(&cookie_value(&login, "__Host-jwt_session"));
    let before = statements(&site).await;
    assert!(before.len() > 5, "{before:?}");
    for url in [format!("{OWN}/public/x"), format!("{OWN}/nowhere"), "https://app.example.com/app".to_owned()]
    {
        for method in ["GET", "POST"] {
            assert!(!renewed(&verify(&site, method, &url, &own).await), "{method} {url}");
        }
    }
    // Nor while the access cookie is good, nor for a value that is no session's.
    assert_eq!(verify(&site, "POST", PAGE, &login.cookie_header()).await.status, 200);
    assert_eq!(verify(&site, "POST", PAGE, &session("jgr_nonsense")).await.status, 401);
    assert_eq!(statements(&site).await, before);
    assert_eq!(verify(&site, "POST", PAGE, &own).await.status, 200);
    assert_ne!(statements(&site).await, before, "it would be noticed");
    let metrics = site.get("/metrics").send().await.text();
    assert!(metrics.contains("jotgate_renewals_total{by=\"verify\"} 1"), "{metrics}");
}
