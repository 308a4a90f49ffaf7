//! Who may sign in, and what the others learn.

use std::time::{Duration, Instant};

use http::Method;
use jotgate_domain::audit::Action;
use serde_json::json;

use crate::support::{PASSWORD, Site, https_origin};
use crate::tools::*;

#[tokio::test]
async fn a52_whoever_it_is_status_headers_cookies_and_body_are_the_same() {
    let site = Site::new().await;
    for name in ["ada", "disabled", "unproven", "passwordless", "expensive"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    disable(&site, "disabled").await;
    rewrite(&site, "unproven", |user| {
        user.email = Some(jotgate_domain::name::Email::parse("unproven@example.com").unwrap());
    })
    .await;
    rewrite(&site, "passwordless", |user| user.password_hash = None).await;
    let known = shape(&try_login(&site, "ada", "a wrong password").await);
    assert_eq!(known.0, 401);
    assert!(!known.1.iter().any(|(name, _)| name == "set-cookie"));
    for (name, password) in [
        ("nobody", PASSWORD),
        ("nobody@example.com", PASSWORD),
        ("unproven@example.com", PASSWORD),
        ("disabled", PASSWORD),
        ("disabled", "a wrong password"),
        ("passwordless", PASSWORD),
        ("passwordless", ""),
        ("ada", ""),
        ("", ""),
        ("ada\u{0}", PASSWORD),
        ("ada@", PASSWORD),
    ] {
        assert_eq!(shape(&try_login(&site, name, password).await), known, "{name:?}");
        // Cookies of a browser that asks for cookies are no hint either.
        let body = json!({"username": name, "password": password, "delivery": "cookie"});
        assert_eq!(shape(&site.post("/auth/login", &body).send().await), known, "{name:?}");
    }
    assert_eq!(try_login(&site, "unproven", PASSWORD).await.status, 200, "by name it may");
}

#[tokio::test]
async fn a69_a_stored_hash_that_asks_for_the_machine_or_is_none_costs_one_ordinary_hash() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let known = shape(&try_login(&site, "nobody", PASSWORD).await);
    let tail = "$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for phc in [
        format!("$argon2id$v=19$m=4194304,t=1000,p=1{tail}"),
        format!("$argon2id$v=19$m=64,t=4294967295,p=1{tail}"),
        format!("$argon2id$v=19$m=4294967295,t=1,p=1{tail}"),
        format!("$argon2id$v=19$m=64,t=1,p=16777215{tail}"),
        format!("$argon2id$v=99$m=64,t=1,p=1{tail}"),
        format!("$argon2x$v=19$m=64,t=1,p=1{tail}"),
        "$argon2id$v=19$m=64,t=1,p=1$$".to_owned(),
        "$2b$12$abcdefghijklmnopqrstuv".to_owned(),
        PASSWORD.to_owned(),
        String::new(),
        "$".repeat(100_000),
    ] {
        rewrite(&site, "ada", |user| user.password_hash = Some(phc.clone())).await;
        let began = Instant::now();
        let answer = try_login(&site, "ada", PASSWORD).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{phc:.60}");
        assert_eq!(shape(&answer), known, "{phc:.60}");
    }
}

#[tokio::test]
async fn a70_credentials_in_a_query_are_not_read() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let query = "/auth/login?username=ada&password=a+long+enough+passphrase&delivery=cookie";
    for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::PATCH] {
        let answer = site.ask(method.clone(), query).send().await;
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
        assert!(answer.cookies().is_empty());
    }
    assert_eq!(site.ask(Method::POST, query).send().await.status, 415);
    let empty = site.ask(Method::POST, query).header("content-type", "application/json").body("{}");
    assert_eq!(empty.send().await.status, 400);
}

#[tokio::test]
async fn a71_no_value_from_before_a_login_is_worth_anything_after_it() {
    let site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    let first = cookie_login(&site, "ada").await;
    let values = |answer: &crate::support::Answer| {
        ["__Host-jwt", "__Host-jwt_session", "__Host-jwt_device"].map(|name| cookie_value(answer, name))
    };
    let planted = first.cookie_header();
    let again = site
        .post("/auth/login", &json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"}))
        .header("cookie", &planted)
        .header("sec-fetch-site", "same-origin")
        .send()
        .await;
    assert_eq!(again.status, 200, "{}", again.text());
    for (old, new) in values(&first).iter().zip(values(&again)) {
        assert_ne!(*old, new);
    }
    // The earlier session of this browser is over, not merely forgotten by it.
    let [access, session, _] = values(&first);
    refused_everywhere(&site, &access, "revoked").await;
    assert_eq!(site.refresh(&session).await.code(), "invalid_refresh_token");
    // What was no session of ours neither helps nor hurts, and is not taken over.
    for junk in ["x", "", "jgr_AAAA", access.as_str()] {
        let ask = site
            .post("/auth/login", &json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"}))
            .header("cookie", &format!("__Host-jwt_session={junk}; __Host-jwt={junk}"))
            .header("sec-fetch-site", "same-origin");
        let answer = ask.send().await;
        assert_eq!(answer.status, 200, "{junk}");
        assert!(!answer.cookie_header().contains(&format!("={junk};")) || junk.is_empty());
    }
}

#[tokio::test]
async fn a92_signing_in_as_somebody_else_ends_the_session_that_the_browser_had() {
    let site = Site::new().await;
    for name in ["ada", "bob"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    let ada = cookie_login(&site, "ada").await;
    let elsewhere = site.login("ada").await.tokens();
    let login = |delivery: &str, password: &str| {
        site.post("/auth/login", &json!({"username": "bob", "password": password, "delivery": delivery}))
            .header("cookie", &ada.cookie_header())
            .header("origin", "http://127.0.0.1:8080")
    };
    // A refused login, and one that takes no cookie's place, end nothing.
    assert_eq!(login("cookie", "a wrong password").send().await.status, 401);
    assert_eq!(login("body", PASSWORD).send().await.status, 200);
    accepted_everywhere(&site, &cookie_value(&ada, "jwt")).await;
    let bob = login("cookie", PASSWORD).send().await;
    assert_eq!(bob.status, 200, "{}", bob.text());
    refused_everywhere(&site, &cookie_value(&ada, "jwt"), "revoked").await;
    assert_eq!(site.refresh(&cookie_value(&ada, "jwt_session")).await.code(), "invalid_refresh_token");
    accepted_everywhere(&site, &cookie_value(&bob, "jwt")).await;
    accepted_everywhere(&site, &elsewhere.access).await;
}

#[tokio::test]
async fn the_admin_scope_is_for_admins_who_ask_and_goes_with_the_role() {
    let site = Site::new().await;
    for name in ["ada", "root"] {
        assert_eq!(site.register(name).await.status, 201);
    }
    grant_roles(&site, "root", ["admin"]).await;
    let login = async |name: &str, scope: &str| {
        let body = json!({"username": name, "password": PASSWORD, "scope": scope});
        site.post("/auth/login", &body).send().await
    };
    for scope in ["admin", "admin account", "account admin openid"] {
        assert_eq!(login("ada", scope).await.json()["scope"], "account", "{scope}");
        assert_eq!(login("root", scope).await.json()["scope"], "account admin", "{scope}");
    }
    for scope in ["", "Admin", "admin2", "admin,account", "admin\u{a0}", "administrator", "account"] {
        assert_eq!(login("root", scope).await.json()["scope"], "account", "{scope}");
    }
    let tokens = login("root", "admin").await.tokens();
    assert_eq!(crate::support::claims(&tokens.access)["scope"], "account admin");
    rewrite(&site, "root", |user| user.roles.clear()).await;
    let answer = site.refresh(&tokens.refresh).await;
    assert_eq!(crate::support::claims(&answer.tokens().access)["scope"], "account");
    assert_eq!(answer.json()["scope"], "account", "what is said is what is in the token (RFC 6749 §5.1)");
}

#[tokio::test]
async fn failed_logins_are_audited_without_what_was_typed() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    try_login(&site, "canary-name", "canary-password").await;
    try_login(&site, "ada", "canary-password").await;
    let query = jotgate_domain::store::AuditQuery { limit: 100, ..Default::default() };
    let entries = site.server.app().store.audit(query).await.unwrap();
    assert!(!format!("{entries:?}").contains("canary"), "people type passwords where names go");
    assert_eq!(audited(&site, Action::LoginFailed).await, 2);
}

#[tokio::test]
async fn logins_at_once_are_sessions_each() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let answers = futures_util::future::join_all((0..15).map(|_| site.login("ada"))).await;
    let mut sessions: Vec<String> = answers.iter().map(|answer| answer.tokens().session).collect();
    sessions.sort();
    sessions.dedup();
    assert_eq!(sessions.len(), 15);
    for answer in &answers {
        accepted_everywhere(&site, &answer.tokens().access).await;
    }
}
