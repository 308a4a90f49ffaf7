//! What an application is asked and told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jotgate::Builder;
use jotgate::hooks::{CustomClaims, Ended, LoggedIn, LoggedOut, Refusal, Theft};
use serde_json::{Value, json};

use super::application;
use super::support::{PASSWORD, Site, claims, http_origin};

async fn with(hooks: impl FnOnce(Builder) -> Builder) -> Site {
    application(http_origin(), hooks).await
}

fn credentials(username: &str) -> Value {
    json!({"username": username, "password": PASSWORD})
}

/// Waits for what runs beside the requests.
async fn until<T>(mut there: impl FnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = there() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came");
}

#[tokio::test]
async fn before_registration_may_refuse_with_a_reason() {
    let site = with(|builder| {
        builder.before_registration(|who| async move {
            match (who.username.as_str(), who.email.as_deref()) {
                ("ada", Some("ada@example.com")) => Ok(()),
                ("down", _) => Err(Refusal::unavailable("the member list is away")),
                ("bug", _) => panic!("a bug"),
                _ => Err(Refusal::new("Only <members>\r\nget an account.")),
            }
        })
    })
    .await;
    let register = async |username: &str, email: &str| {
        let form = json!({"username": username, "password": PASSWORD, "email": email});
        site.post("/id/auth/register", &form).send().await
    };
    assert_eq!(register("ada", "ada@example.com").await.status, 201);
    let refused = register("eve", "eve@example.com").await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "registration_refused"));
    assert_eq!(refused.json()["detail"], "Only <members>  get an account.");
    for username in ["down", "bug"] {
        let failed = register(username, "x@example.com").await;
        assert_eq!((failed.status, failed.code().as_str()), (503, "unavailable"), "{username}");
        assert!(!failed.text().contains("member list"), "{}", failed.text());
    }
    // Nobody who was refused is there.
    for username in ["eve", "down", "bug"] {
        assert_eq!(site.post("/id/auth/login", &credentials(username)).send().await.status, 401);
    }

    // On the page, for a person.
    let page = site.get("/id/register").header("host", "127.0.0.1:8080").send().await;
    let token = page
        .text()
        .split("name=\"form_token\" value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let form = format!("username=eve&password=a+long+enough+passphrase&form_token={token}");
    let posted = site.ask(http::Method::POST, "/id/register").header("cookie", &page.cookie_header());
    let posted = posted.header("content-type", "application/x-www-form-urlencoded").body(form).send().await;
    assert_eq!(posted.status, 403);
    assert!(posted.text().contains("data-code=\"registration_refused\""), "{}", posted.text());
    assert!(posted.text().contains("Only &#60;members&#62;  get an account."), "{}", posted.text());
}

#[tokio::test]
async fn before_token_adds_claims_to_every_token_over_those_of_the_record() {
    let site = with(|builder| {
        builder.before_token(|about| async move {
            let knew = about.claims.get("plan").cloned().unwrap_or_default();
            Ok(CustomClaims::from([
                ("plan".to_owned(), json!(format!("{} pays", about.username))),
                ("https://app.example/knew".to_owned(), json!([knew.to_string(), about.client_id])),
            ]))
        })
    })
    .await;
    site.post("/id/auth/register", &credentials("ada")).send().await;
    let tokens = site.post("/id/auth/login", &credentials("ada")).send().await.tokens();
    let token = claims(&tokens.access);
    assert_eq!(token["plan"], "ada pays");
    assert_eq!(token["https://app.example/knew"], json!(["null", "jotgate"]));
    assert_eq!(site.get("/hello").bearer(&tokens.access).send().await.text(), "ada");

    let shown = json!({"refresh_token": tokens.refresh});
    let renewed = site.post("/id/auth/refresh", &shown).send().await.tokens();
    assert_eq!(claims(&renewed.access)["plan"], "ada pays");
    let change = json!({"current_password": PASSWORD, "new_password": "another long passphrase"});
    let changed =
        site.post("/id/auth/password/change", &change).bearer(&renewed.access).send().await.tokens();
    assert_eq!(claims(&changed.access)["plan"], "ada pays");
    // They are of the token, not of the record.
    let me = site.get("/id/auth/me").bearer(&changed.access).send().await.json();
    assert_eq!((&me["claims"]["plan"], &me["user"]["claims"]), (&json!("ada pays"), &Value::Null));
}

/// Attacks 22 and 24 by one's own code: a token never says by a hook what it may not say, and is never made without.
#[tokio::test]
async fn a_hook_that_fails_or_says_what_it_may_not_is_no_token() {
    let answer: Arc<Mutex<Option<CustomClaims>>> = Arc::default();
    let said = Arc::clone(&answer);
    let site = with(|builder| {
        builder.before_token(move |_| {
            let said = said.lock().unwrap().clone();
            async move { said.ok_or_else(|| "the billing system is away".into()) }
        })
    })
    .await;
    let say = |claims: Value| *answer.lock().unwrap() = serde_json::from_value(claims).ok();
    site.post("/id/auth/register", &credentials("ada")).send().await;
    let login = async || site.post("/id/auth/login", &credentials("ada")).send().await;
    let sessions =
        async || site.server.app().store.sessions(None, site.server.app().now(), 10).await.unwrap().len();

    let failed = login().await;
    assert_eq!((failed.status, failed.code().as_str()), (503, "unavailable"));
    assert!(!failed.text().contains("billing"), "{}", failed.text());
    for bad in [
        json!({"roles": ["admin"]}),
        json!({"Sub": "somebody else"}),
        json!({"scope": "admin"}),
        json!({"plan": null}),
        json!({"": 1}),
        json!({"long": "x".repeat(2000)}),
        json!({"a": "x".repeat(1000), "b": "x".repeat(1000), "c": "x".repeat(1000)}),
    ] {
        say(bad.clone());
        assert_eq!(login().await.status, 503, "{bad}");
    }
    assert_eq!(sessions().await, 0, "no session without a token");

    say(json!({"plan": 1}));
    let tokens = login().await.tokens();
    // A refresh that found the hook failing goes on with the same token once it is back.
    answer.lock().unwrap().take();
    let shown = json!({"refresh_token": tokens.refresh});
    assert_eq!(site.post("/id/auth/refresh", &shown).send().await.status, 503);
    site.clock.pass(Duration::from_secs(300));
    say(json!({"plan": 2}));
    let renewed = site.post("/id/auth/refresh", &shown).send().await.tokens();
    assert_eq!(claims(&renewed.access)["plan"], 2);
    assert_eq!(sessions().await, 1);
}

#[derive(Debug)]
enum Told {
    In(LoggedIn),
    Out(LoggedOut),
    Stolen(Theft),
}

#[tokio::test]
async fn after_login_logout_and_theft_the_application_is_told_and_cannot_spoil_it() {
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let tell = |told: &Arc<Mutex<Vec<Told>>>| Arc::clone(told);
    let (one, two, three) = (tell(&told), tell(&told), tell(&told));
    let site = with(|builder| {
        builder
            .after_login(move |login| {
                one.lock().unwrap().push(Told::In(login));
                async { panic!("a bug after the fact") }
            })
            .after_logout(move |logout| {
                two.lock().unwrap().push(Told::Out(logout));
                async {}
            })
            .after_theft(move |theft| {
                three.lock().unwrap().push(Told::Stolen(theft));
                async {}
            })
    })
    .await;
    let next = async || until(|| told.lock().unwrap().pop()).await;
    let registered = site.post("/id/auth/register", &credentials("ada")).send().await.json();
    let user = registered["user"]["id"].as_str().unwrap().to_owned();
    let login = async || {
        site.post("/id/auth/login", &credentials("ada")).header("user-agent", "tests").send().await.tokens()
    };

    let first = login().await;
    let Told::In(login_told) = next().await else { panic!() };
    assert_eq!(
        (login_told.user.to_string(), login_told.session.to_string()),
        (user.clone(), first.session.clone())
    );
    assert_eq!((login_told.username.as_str(), login_told.user_agent.as_str()), ("ada", "tests"));

    let out = site.ask(http::Method::POST, "/id/auth/logout").bearer(&first.access).send().await;
    assert_eq!(out.status, 204);
    let Told::Out(out) = next().await else { panic!() };
    assert_eq!((out.user.to_string(), out.ended), (user.clone(), Ended::One(first.session.parse().unwrap())));

    // Signing out twice is told once.
    site.ask(http::Method::POST, "/id/auth/logout").bearer(&first.access).send().await;
    let (second, _) = (login().await, next().await);
    let third = login().await;
    assert!(matches!(next().await, Told::In(_)));
    let others = site.ask(http::Method::DELETE, "/id/auth/sessions").bearer(&third.access).send().await;
    assert!(others.status < 300, "{}", others.text());
    let Told::Out(out) = next().await else { panic!() };
    assert_eq!(out.ended, Ended::AllBut(third.session.parse().unwrap()));
    assert_eq!(site.get("/hello").bearer(&second.access).send().await.code(), "revoked");

    // A refused login tells nothing; a theft does.
    let wrong = json!({"username": "ada", "password": "not it at all"});
    assert_eq!(site.post("/id/auth/login", &wrong).send().await.status, 401);
    let shown = json!({"refresh_token": third.refresh});
    let mut newest = site.post("/id/auth/refresh", &shown).send().await.tokens();
    for _ in 0..2 {
        site.clock.pass(Duration::from_secs(60));
        let shown = json!({"refresh_token": newest.refresh});
        newest = site.post("/id/auth/refresh", &shown).send().await.tokens();
    }
    let stolen = site.post("/id/auth/refresh", &shown).header("user-agent", "thief").send().await;
    assert_eq!((stolen.status, stolen.code().as_str()), (401, "refresh_token_reused"));
    let Told::Stolen(theft) = next().await else { panic!() };
    assert_eq!((theft.user.to_string(), theft.session.to_string()), (user, third.session));
    assert_eq!(theft.user_agent, "thief");
    assert!(told.lock().unwrap().is_empty());
}
