//! Single sign-on over several root domains: what a ticket is good for, and nothing else.

use std::time::Duration;

use jotgate::config::Origin;
use jotgate_domain::audit::Action;
use serde_json::json;

use crate::support::{Answer, PASSWORD, Site, claims, https_origin};
use crate::tools::*;

const OWN: &str = "https://login.example.com";
const SHOP: &str = "https://shop.other.test";
const BANK: &str = "https://bank.third.test";

async fn site() -> Site {
    let site = Site::with(https_origin(), |config| {
        config.cookie.domain = Some("example.com".to_owned());
        config.applications = [SHOP, BANK].map(|origin| Origin::parse(origin).unwrap()).to_vec();
        config.ops = jotgate::config::Ops::Main;
    })
    .await;
    assert_eq!(site.register("ada").await.status, 201);
    site
}

/// A browser: it keeps cookies by host.
#[derive(Clone, Default)]
struct Browser(std::collections::BTreeMap<(String, String), String>);

impl Browser {
    fn header(&self, host: &str) -> String {
        let of_host = self.0.iter().filter(|((at, _), _)| at == host);
        of_host.map(|((_, name), value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn cookie(&self, host: &str, name: &str) -> Option<&str> {
        self.0.get(&(host.to_owned(), name.to_owned())).map(String::as_str)
    }

    fn keep(&mut self, host: &str, answer: &Answer) {
        for cookie in answer.cookies() {
            let (name, rest) = cookie.split_once('=').unwrap();
            let value = rest.split(';').next().unwrap();
            let key = (host.to_owned(), name.to_owned());
            if cookie.contains("Max-Age=0") {
                self.0.remove(&key);
            } else {
                self.0.insert(key, value.to_owned());
            }
        }
    }

    /// One request to an absolute address.
    async fn get(&mut self, site: &Site, address: &str) -> Answer {
        let rest = address.strip_prefix("https://").unwrap();
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let mut ask = site.get(path).header("host", host);
        let cookies = self.header(host);
        if !cookies.is_empty() {
            ask = ask.header("cookie", &cookies);
        }
        let answer = ask.send().await;
        self.keep(host, &answer);
        answer
    }

    async fn sign_in(&mut self, site: &Site, name: &str) {
        let login = json!({"username": name, "password": PASSWORD, "delivery": "cookie"});
        let mut ask = site.post("/auth/login", &login).header("origin", OWN);
        let cookies = self.header("login.example.com");
        if !cookies.is_empty() {
            ask = ask.header("cookie", &cookies);
        }
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.keep("login.example.com", &answer);
    }

    /// From an application's beginning to the address with the ticket.
    async fn ticket(&mut self, site: &Site, application: &str) -> String {
        let start = self.get(site, &format!("{application}/_jotgate/start?return_to=/page%3Fa=b")).await;
        let sso = leads_to(&start);
        assert!(sso.starts_with(&format!("{OWN}/sso?")), "{sso}");
        leads_to(&self.get(site, &sso).await)
    }
}

fn leads_to(answer: &Answer) -> String {
    assert_eq!(answer.status, 303, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    answer.header("location").unwrap().to_owned()
}

fn refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    assert!(answer.text().contains(&format!("{status} {code}")), "{code}: {}", answer.text());
    assert_eq!(answer.header("location"), None, "no further redirect");
    assert!(!answer.cookies().iter().any(|c| c.starts_with("__Host-jwt=")), "{:?}", answer.cookies());
}

#[tokio::test]
async fn a_ticket_signs_in_at_another_root_domain() {
    let site = site().await;
    let mut browser = Browser::default();
    // Nobody yet: to the login page first, which names where it leads.
    let to_login = browser.ticket(&site, SHOP).await;
    assert!(to_login.starts_with("/login?return_to=%2Fsso%3Forigin%3D"), "{to_login}");
    let login = browser.get(&site, &format!("{OWN}{to_login}")).await;
    assert!(login.text().contains("shop.other.test"), "{}", login.text());
    // Chromium holds the whole chain of redirects after a post to it.
    assert!(
        login.header("content-security-policy").unwrap().ends_with(&format!("form-action 'self' {SHOP}"))
    );
    browser.sign_in(&site, "ada").await;
    // Signed in, and at the login page again (the back button): straight on.
    let sso = leads_to(&browser.get(&site, &format!("{OWN}{to_login}")).await);
    let finish = leads_to(&browser.get(&site, &format!("{OWN}{sso}")).await);
    assert!(finish.starts_with(&format!("{SHOP}/_jotgate/finish?ticket=jgs_")), "{finish}");
    let back = browser.get(&site, &finish).await;
    assert_eq!(leads_to(&back), "/page?a=b");
    assert!(back.header("strict-transport-security").is_none(), "not our host to speak for");

    // The access cookie of that host alone, and nothing that could renew it.
    let set = back.cookies();
    let access = set.iter().find(|cookie| cookie.starts_with("__Host-jwt=")).unwrap();
    assert!(access.ends_with("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"), "{access}");
    assert!(!set.iter().any(|cookie| cookie.contains("_session")), "{set:?}");
    assert!(set.iter().any(|cookie| cookie.starts_with("__Host-jwt_flow=2.;")), "{set:?}");
    let token = browser.cookie("shop.other.test", "__Host-jwt").unwrap();
    assert_eq!(claims(token)["scope"], "");
    assert_eq!(site.me(token).await.json()["user"]["username"], "ada");
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 1);
    for (method, path) in [("DELETE", "/auth/sessions"), ("GET", "/auth/sessions")] {
        let ask = site.ask(method.parse().unwrap(), path).bearer(token).send().await;
        assert_eq!((ask.status, ask.code().as_str()), (403, "insufficient_scope"), "{method} {path}");
    }

    // The same session: signed out once, refused everywhere.
    let own = browser.cookie("login.example.com", "__Secure-jwt").unwrap();
    assert_eq!(claims(own)["sid"], claims(token)["sid"]);
    let cookies = browser.header("login.example.com");
    let out = site.post("/auth/logout", &json!({})).header("cookie", &cookies).header("origin", OWN);
    assert_eq!(out.send().await.status, 204);
    refused_everywhere(&site, token, "revoked").await;
}

/// Over the hosts of a proxy, which says which one it was asked.
#[tokio::test]
async fn a155_a_stranger_cannot_say_which_application_he_is() {
    let site = site().await;
    for header in ["x-forwarded-host", "x-original-host", "forwarded"] {
        let ask = site.get("/_jotgate/start").header("host", "login.example.com");
        let answer = ask.header(header, "shop.other.test").send().await;
        refused(&answer, 400, "unknown_application");
    }
    for path in ["/_jotgate/start", "/_jotgate/finish?ticket=x"] {
        for host in ["evil.test", "shop.other.test.evil.test", "login.example.com", "shop.other.test:8443"] {
            let answer = site.get(path).header("host", host).send().await;
            refused(&answer, 400, "unknown_application");
            assert!(answer.cookies().is_empty());
        }
    }
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    for origin in
        ["https://evil.test", "https://shop.other.test.evil", "https://shop.other.test/", "", "null"]
    {
        let origin: String = url::form_urlencoded::byte_serialize(origin.as_bytes()).collect();
        let address = format!("{OWN}/sso?origin={origin}&binding={}&return_to=/", "A".repeat(43));
        refused(&browser.get(&site, &address).await, 400, "unknown_application");
    }
    for binding in ["", "A", &"A".repeat(44), &"+".repeat(43)] {
        let origin = "https%3A%2F%2Fshop.other.test";
        let answer = browser.get(&site, &format!("{OWN}/sso?origin={origin}&binding={binding}")).await;
        refused(&answer, 400, "invalid_request");
    }
}

#[tokio::test]
async fn a152_a_ticket_is_good_once() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let mut replay = browser.clone();
    let finish = browser.ticket(&site, SHOP).await;
    // Whoever saw the address of the ticket, with everything but the cookie that was set by it.
    replay.0 = browser.0.clone();
    assert_eq!(leads_to(&browser.get(&site, &finish).await), "/page?a=b");
    refused(&replay.get(&site, &finish).await, 400, "invalid_ticket");
    // The back button of the one who is signed in: nothing is said, nobody is signed in anew.
    let again = browser.get(&site, &finish).await;
    assert_eq!(leads_to(&again), "/page?a=b");
    assert!(!again.cookies().iter().any(|cookie| cookie.starts_with("__Host-jwt=")));
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 1);
    for ticket in ["", "x", "jgs_", &format!("jgs_{}", "A".repeat(43)), &format!("jgr_{}", "A".repeat(43))] {
        let address = format!("{SHOP}/_jotgate/finish?ticket={ticket}");
        refused(&Browser::default().get(&site, &address).await, 400, "invalid_ticket");
    }
}

#[tokio::test]
async fn twenty_redemptions_of_one_ticket_at_once_are_one() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let finish = browser.ticket(&site, SHOP).await;
    let path = finish.strip_prefix(SHOP).unwrap();
    let cookies = browser.header("shop.other.test");
    let tasks: Vec<_> = (0..20)
        .map(|_| site.get(path).header("host", "shop.other.test").header("cookie", &cookies).send())
        .collect();
    let answers = futures_util::future::join_all(tasks).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 400).count(), 19);
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 1);
}

/// Attack 71, and login cross-site request forgery: a ticket is the browser's that asked for it.
#[tokio::test]
async fn a71_a76_a_ticket_is_worth_nothing_in_another_browser() {
    let site = site().await;
    assert_eq!(site.register("mallory").await.status, 201);
    // The victim follows an address with mallory's ticket: they are not signed in as mallory.
    let mut mallory = Browser::default();
    mallory.sign_in(&site, "mallory").await;
    let mut victim = Browser::default();
    let bait = mallory.ticket(&site, SHOP).await;
    refused(&victim.get(&site, &bait).await, 400, "invalid_ticket");
    // Nor with a beginning of their own.
    victim.sign_in(&site, "ada").await;
    let finish = victim.ticket(&site, SHOP).await;
    let bait = mallory.ticket(&site, SHOP).await;
    let begins_anew = victim.get(&site, &bait).await;
    assert_eq!(leads_to(&begins_anew), "/_jotgate/start?return_to=%2Fpage%3Fa%3Db");
    assert!(victim.cookie("shop.other.test", "__Host-jwt").is_none());
    // However often; in the end it is said why.
    let mut page = begins_anew;
    while page.status == 303 {
        let bait = mallory.ticket(&site, SHOP).await;
        page = victim.get(&site, &bait).await;
    }
    refused(&page, 400, "invalid_ticket");
    assert!(page.text().contains("another browser"), "{}", page.text());
    // And mallory, who saw the victim's address before they got there, is not signed in as the victim.
    assert!(leads_to(&mallory.get(&site, &finish).await).starts_with("/_jotgate/start"));
    assert!(mallory.cookie("shop.other.test", "__Host-jwt").is_none());
    // It is used up for everybody then, and the trail says so; the victim begins again without a question.
    refused(&victim.get(&site, &finish).await, 400, "invalid_ticket");
    assert_eq!(audited(&site, Action::SsoRefused).await, 7);
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 0);
    victim.0.retain(|(host, _), _| host == "login.example.com");
    let finish = victim.ticket(&site, SHOP).await;
    assert_eq!(leads_to(&victim.get(&site, &finish).await), "/page?a=b");
    assert_eq!(claims(victim.cookie("shop.other.test", "__Host-jwt").unwrap())["preferred_username"], "ada");
}

#[tokio::test]
async fn a_ticket_is_for_one_application() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let finish = browser.ticket(&site, SHOP).await;
    // Even with the same number in both hosts' cookies.
    let flow = browser.cookie("shop.other.test", "__Host-jwt_flow").unwrap().to_owned();
    browser.0.insert(("bank.third.test".to_owned(), "__Host-jwt_flow".to_owned()), flow);
    let answer = browser.get(&site, &finish.replace(SHOP, BANK)).await;
    refused(&answer, 400, "invalid_ticket");
    assert!(answer.text().contains("another application"), "{}", answer.text());
    refused(&browser.get(&site, &finish).await, 400, "invalid_ticket");
}

#[tokio::test]
async fn a_ticket_ends_after_a_minute_and_with_its_session() {
    let site = site().await;
    for (pass, end, expected) in
        [(59, false, None), (60, false, Some("a minute old")), (0, true, Some("signed out meanwhile"))]
    {
        let mut browser = Browser::default();
        browser.sign_in(&site, "ada").await;
        let finish = browser.ticket(&site, SHOP).await;
        site.clock.pass(Duration::from_secs(pass));
        if end {
            let cookies = browser.header("login.example.com");
            let out = site.post("/auth/logout", &json!({})).header("cookie", &cookies).header("origin", OWN);
            assert_eq!(out.send().await.status, 204);
        }
        let answer = browser.get(&site, &finish).await;
        match expected {
            None => assert_eq!(leads_to(&answer), "/page?a=b"),
            Some(words) => {
                refused(&answer, 400, "invalid_ticket");
                assert!(answer.text().contains(words), "{}", answer.text());
                assert!(answer.text().contains("/_jotgate/start?return_to=%2Fpage%3Fa%3Db"), "what to do");
            }
        }
    }
    // Nor for one who was disabled in between.
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let finish = browser.ticket(&site, SHOP).await;
    disable(&site, "ada").await;
    refused(&browser.get(&site, &finish).await, 400, "invalid_ticket");
}

/// A role that goes while the ticket is on the way is not in the token, and the token is not under a revoked entry.
#[tokio::test]
async fn a107_what_was_revoked_on_the_way_is_not_in_the_token() {
    let site = site().await;
    grant_roles(&site, "ada", ["editor"]).await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let finish = browser.ticket(&site, SHOP).await;
    let ada = record(&site, "ada").await;
    let role = jotgate_domain::name::RoleName::parse("editor").unwrap();
    let edited = jotgate_domain::account::revoke_role(&ada, &role, &by_operator(&site));
    write(&site, edited).await;
    assert_eq!(leads_to(&browser.get(&site, &finish).await), "/page?a=b");
    let token = browser.cookie("shop.other.test", "__Host-jwt").unwrap();
    assert_eq!(claims(token)["roles"], json!([]));
    assert_eq!(site.me(token).await.status, 200);
}

/// A revocation is remembered for as long as the youngest token of the session, wherever it was signed.
#[tokio::test]
async fn the_token_of_a_ticket_stays_revoked_until_it_expires() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    site.clock.pass(Duration::from_secs(590));
    let finish = browser.ticket(&site, SHOP).await;
    leads_to(&browser.get(&site, &finish).await);
    let token = browser.cookie("shop.other.test", "__Host-jwt").unwrap().to_owned();
    let cookies = browser.header("login.example.com");
    let out = site.post("/auth/logout", &json!({})).header("cookie", &cookies).header("origin", OWN);
    assert_eq!(out.send().await.status, 204);
    site.clock.pass(Duration::from_secs(590));
    let app = site.server.app();
    app.store.sweep(app.now(), 1_000, 1_000).await.unwrap();
    let restarted = site.restart(|_| {}).await;
    refused_everywhere(&restarted, &token, "revoked").await;
}

/// Whatever the application does with its cookie, somebody is told in the end, and may try again.
#[tokio::test]
async fn no_circle_is_endless() {
    let site = site().await;
    // What it gets is: kept and not accepted; thrown away; not kept by the browser.
    for (name, keeps_access, keeps_flow, code) in [
        ("never accepts", true, true, "sign_in_loop"),
        ("clears the cookie", false, true, "sign_in_loop"),
        ("keeps no cookie", false, false, "invalid_ticket"),
    ] {
        let mut browser = Browser::default();
        browser.sign_in(&site, "ada").await;
        let start = format!("{SHOP}/_jotgate/start?return_to=/page");
        let mut address = start.clone();
        let mut redirects = 0;
        let end = loop {
            let answer = browser.get(&site, &address).await;
            let shop = |cookie: &str| ("shop.other.test".to_owned(), cookie.to_owned());
            if !keeps_access {
                browser.0.remove(&shop("__Host-jwt"));
            }
            if !keeps_flow {
                browser.0.remove(&shop("__Host-jwt_flow"));
            }
            if answer.status != 303 {
                break answer;
            }
            redirects += 1;
            let to = leads_to(&answer);
            // The application sends whoever comes to its page to the beginning.
            address = if to == "/page" {
                redirects += 1;
                start.clone()
            } else {
                to
            };
            assert!(redirects < 18, "{name}: browsers give up at 20");
        };
        assert!(end.text().contains(code), "{name}: {}", end.text());
        assert!(end.text().contains("href=\"/_jotgate/start?return_to=%2Fpage\""), "{name}: a way on");
        assert!(!end.text().contains("href=\"/account") && !end.text().contains("\"/assets"), "{name}");
    }
    // After a while, or when a person tries again, it is a fresh attempt.
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let flow = ("shop.other.test".to_owned(), "__Host-jwt_flow".to_owned());
    browser.0.insert(flow, "8.".to_owned());
    refused(&browser.get(&site, &format!("{SHOP}/_jotgate/start")).await, 403, "sign_in_loop");
    assert!(leads_to(&browser.get(&site, &format!("{SHOP}/_jotgate/start")).await).starts_with(OWN));
}

#[tokio::test]
async fn several_windows_begin_at_once() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    // Before any of them has the cookie: each draws a number, and one of these stays.
    let mut alone = browser.clone();
    let first = alone.ticket(&site, SHOP).await;
    let second = browser.ticket(&site, SHOP).await;
    let again = leads_to(&browser.get(&site, &first).await);
    assert!(again.starts_with("/_jotgate/start"), "{again}");
    assert_eq!(leads_to(&browser.get(&site, &second).await), "/page?a=b");
    assert_eq!(leads_to(&browser.get(&site, &format!("{SHOP}{again}")).await), "/page?a=b");
    browser.0.retain(|(host, _), _| host == "login.example.com");
    // And after the first of them has it.
    let mut addresses = Vec::new();
    for _ in 0..5 {
        addresses.push(browser.ticket(&site, SHOP).await);
    }
    for address in addresses {
        assert_eq!(leads_to(&browser.get(&site, &address).await), "/page?a=b");
    }
    // One that was just sent off when another came back.
    let start = browser.get(&site, &format!("{SHOP}/_jotgate/start?return_to=/other")).await;
    assert_eq!(leads_to(&start), "/other");
}

/// The silent way: the access cookie is gone, the session lives, nobody is asked.
#[tokio::test]
async fn renewal_is_the_same_way_once_more() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..50 {
        let finish = browser.ticket(&site, SHOP).await;
        assert_eq!(leads_to(&browser.get(&site, &finish).await), "/page?a=b");
        seen.insert(browser.cookie("shop.other.test", "__Host-jwt").unwrap().to_owned());
        // As browsers do at the end of Max-Age.
        site.clock.pass(Duration::from_secs(600));
        browser.0.retain(|(_, name), _| name == "__Host-jwt_session");
    }
    assert_eq!(seen.len(), 50);
    assert_eq!(audited(&site, Action::RefreshReused).await, 0);
    // Written down once: all the others are counted.
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 1);
    let metrics = site.get("/metrics").send().await.text();
    assert!(metrics.contains("jotgate_renewals_total{by=\"sso\"} 49"), "{metrics}");
    // Another application is signed in at anew, and so is another session.
    let finish = browser.ticket(&site, BANK).await;
    assert_eq!(leads_to(&browser.get(&site, &finish).await), "/page?a=b");
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 2);
    let mut other = Browser::default();
    other.sign_in(&site, "ada").await;
    let finish = other.ticket(&site, SHOP).await;
    assert_eq!(leads_to(&other.get(&site, &finish).await), "/page?a=b");
    assert_eq!(audited(&site, Action::SsoSignedIn).await, 3);
}

/// An application that sends its visitors round by script: each round is a row in the database.
#[tokio::test]
async fn one_session_cannot_ask_for_tickets_without_end() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let start = leads_to(&browser.get(&site, &format!("{SHOP}/_jotgate/start")).await);
    for _ in 0..60 {
        leads_to(&browser.get(&site, &start).await);
    }
    let refusals = [browser.get(&site, &start).await, browser.get(&site, &start).await];
    assert!(refusals.iter().any(|answer| answer.status == 429 && answer.header("retry-after").is_some()));
}

/// Attack 148, and 154: what is in the address becomes no other place and no markup.
#[tokio::test]
async fn a148_a154_the_way_back_stays_on_the_application() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    for evil in [
        "//evil.test",
        "/\\evil.test",
        "https://evil.test/",
        "https:evil.test",
        "/%09/evil.test",
        "/..//evil.test",
        "javascript:alert(1)",
        "/_jotgate/start",
        "/x\r\nSet-Cookie: a=b",
        "https://shop.other.test@evil.test/",
    ] {
        let encoded: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let start = browser.get(&site, &format!("{SHOP}/_jotgate/start?return_to={encoded}")).await;
        let finish = leads_to(&browser.get(&site, &leads_to(&start)).await);
        assert!(finish.ends_with("&return_to=%2F"), "{evil}: {finish}");
        // Nor where it is put into the last address.
        let finish = finish.replace("return_to=%2F", &format!("return_to={encoded}"));
        assert_eq!(leads_to(&browser.get(&site, &finish).await), "/", "{evil}");
        browser.0.retain(|(host, _), _| host == "login.example.com");
    }
    let markup = "/%22%3E%3Cscript%3E";
    let page = Browser::default().get(&site, &format!("{SHOP}/_jotgate/finish?return_to={markup}")).await;
    refused(&page, 400, "invalid_ticket");
    assert!(!page.text().contains("<script"), "{}", page.text());
}

/// Nothing but ourselves: no script, no frame, the style from the one place that is ours there.
#[tokio::test]
async fn a89_pages_on_an_applications_host_keep_the_rules_of_our_own() {
    let site = site().await;
    let page = Browser::default().get(&site, &format!("{SHOP}/_jotgate/finish")).await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    let style = page
        .text()
        .split("href=\"")
        .find_map(|rest| rest.split('"').next().filter(|path| path.ends_with(".css")).map(str::to_owned));
    let style = style.unwrap();
    assert!(style.starts_with("/_jotgate/assets/style-"), "{style}");
    let css = site.get(&style).header("host", "shop.other.test").send().await;
    assert_eq!((css.status, css.header("content-type")), (200, Some("text/css; charset=utf-8")));
    // Two cookies of one name: both go.
    let twice = "__Host-jwt_flow=1.; __Host-jwt_flow=2.";
    let answer =
        site.get("/_jotgate/start").header("host", "shop.other.test").header("cookie", twice).send().await;
    assert_eq!(answer.status, 400);
    assert!(answer.cookies().iter().any(|cookie| cookie.starts_with("__Host-jwt_flow=;")));
}

#[tokio::test]
async fn signing_out_leads_back_to_an_application() {
    let site = site().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let page = browser.get(&site, &format!("{OWN}/logout?return_to={SHOP}/bye")).await;
    assert!(page.text().contains(&format!("value=\"{SHOP}/bye\"")), "{}", page.text());
}

/// A proxy that we trust, about one request.
async fn verify(site: &Site, query: &str, method: &str, url: &str, cookies: &str) -> Answer {
    let ask = site.get(&format!("/auth/verify{query}")).sent_from("10.0.0.1");
    let ask = ask.header("x-original-method", method).header("x-original-url", url);
    let ask = ask.header("accept", "text/html").header("host", "login.example.com");
    if cookies.is_empty() { ask.send().await } else { ask.header("cookie", cookies).send().await }
}

async fn behind_a_proxy() -> Site {
    let proxied = |config: &mut jotgate::config::Config| {
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        config.cookie.domain = Some("example.com".to_owned());
        config.applications = vec![Origin::parse(SHOP).unwrap()];
    };
    let site = Site::with(https_origin(), proxied).await;
    assert_eq!(site.register("ada").await.status, 201);
    site
}

#[tokio::test]
async fn a164_a_page_of_another_root_domain_begins_on_its_own_host() {
    let site = behind_a_proxy().await;
    let asked = verify(&site, "?redirect=1", "GET", &format!("{SHOP}/page?a=b"), "").await;
    assert_eq!(asked.status, 302);
    assert_eq!(asked.header("location"), Some(&*format!("{SHOP}/_jotgate/start?return_to=%2Fpage%3Fa%3Db")));
    for odd in ["/_jotgate/start", "//evil.test", "/..//evil.test"] {
        let asked = verify(&site, "?redirect=1", "GET", &format!("{SHOP}{odd}"), "").await;
        assert_eq!(asked.header("location"), Some(&*format!("{SHOP}/_jotgate/start?return_to=%2F")), "{odd}");
    }
    // What is posted would be lost on the way.
    for method in ["POST", "PUT", "DELETE"] {
        let asked = verify(&site, "?redirect=1", method, &format!("{SHOP}/page"), "").await;
        assert_eq!((asked.status, asked.header("x-login-location")), (401, None), "{method}");
    }
    // The cookie of that host is good there, and the one of our own domain is not its.
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    let finish = browser.ticket(&site, SHOP).await;
    leads_to(&browser.get(&site, &finish).await);
    let cookies = browser.header("shop.other.test");
    let let_in = verify(&site, "?redirect=1", "POST", &format!("{SHOP}/page"), &cookies).await;
    assert_eq!((let_in.status, let_in.header("x-auth-username")), (200, Some("ada")));
    let own = format!("__Host-jwt={}", browser.cookie("login.example.com", "__Secure-jwt").unwrap());
    for (url, cookies, status) in [
        (format!("{SHOP}/page"), browser.header("login.example.com"), 302),
        ("https://app.example.com/page".to_owned(), own, 302),
    ] {
        assert_eq!(verify(&site, "?redirect=1", "GET", &url, &cookies).await.status, status, "{url}");
    }
}

#[tokio::test]
async fn a167_an_old_sign_in_is_renewed_by_the_way_over_our_own_host() {
    let site = behind_a_proxy().await;
    let mut browser = Browser::default();
    browser.sign_in(&site, "ada").await;
    site.clock.pass(Duration::from_secs(120));
    let finish = browser.ticket(&site, SHOP).await;
    leads_to(&browser.get(&site, &finish).await);
    // Good, and too old for what is asked: no circle, but the login page once more.
    let start = format!("{SHOP}/_jotgate/start?return_to=/money&max_age=60");
    let sso = leads_to(&browser.get(&site, &start).await);
    assert!(sso.ends_with("&max_age=60"), "{sso}");
    let login = leads_to(&browser.get(&site, &sso).await);
    assert!(login.starts_with("/login?return_to=%2Fsso%3F") && login.ends_with("&max_age=60"), "{login}");
    assert!(!login.contains("max_age%3D"), "the way back does not ask again: {login}");
    browser.sign_in(&site, "ada").await;
    let back = login.split(['=', '&']).nth(1).unwrap();
    let back: String =
        url::form_urlencoded::parse(format!("a={back}").as_bytes()).next().unwrap().1.into_owned();
    let finish = leads_to(&browser.get(&site, &format!("{OWN}{back}")).await);
    assert_eq!(leads_to(&browser.get(&site, &finish).await), "/money");
    assert_eq!(leads_to(&browser.get(&site, &start).await), "/money", "and is let in");
}
