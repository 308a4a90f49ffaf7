//! What ends a session ends it everywhere, at once and for good.

use std::time::Duration;

use futures_util::future::{join, join_all};
use http::Method;
use jotgate_domain::account;
use jotgate_domain::audit::Action;
use jotgate_domain::name::RoleName;
use jotgate_domain::refresh::GRACE_MAX;
use serde_json::json;

use crate::support::{PASSWORD, Site, Tokens, claims, http_origin};
use crate::tools::*;

async fn is_over(site: &Site, tokens: &Tokens, why: &str) {
    soon_refused_everywhere(site, &tokens.access, "revoked").await;
    assert_eq!(site.refresh(&tokens.refresh).await.code(), "invalid_refresh_token", "{why}");
    for path in ["/auth/sessions", "/auth/me"] {
        assert_eq!(site.get(path).bearer(&tokens.access).send().await.status, 401, "{why} {path}");
    }
    let change = json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
    let change = site.post("/auth/password/change", &change).bearer(&tokens.access).send().await;
    assert_eq!(change.status, 401, "{why}");
}

#[tokio::test]
async fn a98_a117_a120_every_end_is_an_end() {
    type End = (&'static str, bool);
    let ends: [End; 9] = [
        ("logout by bearer", false),
        ("logout by refresh token", false),
        ("logout by cookie", false),
        ("signed out from the device list", false),
        ("all but another", false),
        ("all", true),
        ("password changed elsewhere", false),
        ("disabled", true),
        ("deleted", true),
    ];
    for (why, others_too) in ends {
        let site = Site::new().await;
        let tokens = site.signed_in("ada").await;
        let other = site.login("ada").await.tokens();
        let stranger = site.signed_in("eve").await;
        let status = match why {
            "logout by bearer" => {
                site.ask(Method::POST, "/auth/logout").bearer(&tokens.access).send().await.status
            }
            "logout by refresh token" => {
                let body = json!({"refresh_token": tokens.refresh});
                site.post("/auth/logout", &body).send().await.status
            }
            "logout by cookie" => {
                let cookie = format!("jwt_session={}", tokens.refresh);
                let ask = site.post("/auth/logout", &json!({})).header("cookie", &cookie);
                ask.header("sec-fetch-site", "same-origin").send().await.status
            }
            "signed out from the device list" => {
                let path = format!("/auth/sessions/{}", tokens.session);
                site.ask(Method::DELETE, &path).bearer(&other.access).send().await.status
            }
            "all but another" => {
                site.ask(Method::DELETE, "/auth/sessions").bearer(&other.access).send().await.status
            }
            "all" => {
                site.post("/auth/logout", &json!({"all": true})).bearer(&other.access).send().await.status
            }
            "password changed elsewhere" => {
                let body = json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
                let answer = site.post("/auth/password/change", &body).bearer(&other.access).send().await;
                // This one goes on, with new tokens only.
                accepted_everywhere(&site, &answer.tokens().access).await;
                refused_everywhere(&site, &other.access, "revoked").await;
                answer.status
            }
            "disabled" => {
                disable(&site, "ada").await;
                204
            }
            _ => {
                delete(&site, "ada").await;
                204
            }
        };
        assert!(matches!(status, 200 | 204), "{why}: {status}");
        is_over(&site, &tokens, why).await;
        if others_too {
            is_over(&site, &other, why).await;
        }
        accepted_everywhere(&site, &stranger.access).await;
        let site = site.restart(|_| {}).await;
        refused_everywhere(&site, &tokens.access, "revoked").await;
        assert_eq!(site.refresh(&tokens.refresh).await.code(), "invalid_refresh_token", "{why}");
        assert_eq!(site.refresh(&stranger.refresh).await.status, 200);
    }
}

#[tokio::test]
async fn a117_what_another_process_ends_is_refused_here_within_a_second() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let beside = beside(&site).await;
    let edited = account::disable(&record(&site, "ada").await, &by_operator(&site));
    beside.store.apply(edited.changes, edited.expect).await.unwrap();
    // What asks the database knows at once.
    assert_eq!(site.me(&tokens.access).await.status, 401);
    assert_eq!(site.refresh(&tokens.refresh).await.status, 401);
    assert_eq!(site.login("ada").await.status, 401);
    soon_refused_everywhere(&site, &tokens.access, "revoked").await;
    let edited = account::enable(&record(&site, "ada").await, &by_operator(&site));
    beside.store.apply(edited.changes, edited.expect).await.unwrap();
    refused_everywhere(&site, &tokens.access, "revoked").await;
    assert_eq!(site.refresh(&tokens.refresh).await.code(), "invalid_refresh_token", "what ended stays ended");
    assert_eq!(site.login("ada").await.status, 200);
}

#[tokio::test]
async fn a107_a_role_that_is_taken_is_in_no_token_that_is_accepted() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    grant_roles(&site, "ada", ["admin", "staff"]).await;
    let tokens = site.login("ada").await.tokens();
    let by_cookie = cookie_login(&site, "ada").await;
    let edited = account::revoke_role(
        &record(&site, "ada").await,
        &RoleName::parse("admin").unwrap(),
        &by_operator(&site),
    );
    write(&site, edited).await;
    soon_refused_everywhere(&site, &tokens.access, "revoked").await;
    soon_refused_everywhere(&site, &cookie_value(&by_cookie, "jwt"), "revoked").await;
    // The sessions go on, without it, also for a repeat inside the grace.
    for _ in 0..2 {
        let renewed = site.refresh(&tokens.refresh).await.tokens();
        assert_eq!(claims(&renewed.access)["roles"], json!(["staff"]));
        accepted_everywhere(&site, &renewed.access).await;
        let verify = site.get("/auth/verify?role=admin").bearer(&renewed.access).send().await;
        assert_eq!(verify.status, 403);
    }
}

/// Each of these races a refresh; whoever comes first, nothing is left that works.
#[tokio::test]
async fn a98_nothing_survives_a_race_with_a_refresh() {
    for why in ["logout", "all", "password", "list", "disable", "delete"] {
        for round in 0..8 {
            let site = Site::new().await;
            let tokens = site.signed_in("ada").await;
            let other = site.login("ada").await.tokens();
            site.clock.pass(Duration::from_secs(60));
            let end = async {
                match why {
                    "logout" => {
                        site.ask(Method::POST, "/auth/logout").bearer(&tokens.access).send().await;
                    }
                    "all" => {
                        site.post("/auth/logout", &json!({"all": true})).bearer(&other.access).send().await;
                    }
                    "password" => {
                        let body =
                            json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
                        site.post("/auth/password/change", &body).bearer(&other.access).send().await.tokens();
                    }
                    "list" => {
                        let path = format!("/auth/sessions/{}", tokens.session);
                        site.ask(Method::DELETE, &path).bearer(&other.access).send().await;
                    }
                    "disable" => disable(&site, "ada").await,
                    _ => delete(&site, "ada").await,
                }
            };
            let refreshes = join_all((0..8).map(|_| site.refresh(&tokens.refresh)));
            let ((), answers) = if round % 2 == 0 {
                join(end, refreshes).await
            } else {
                let (answers, ()) = join(refreshes, end).await;
                ((), answers)
            };
            is_over(&site, &tokens, why).await;
            for answer in answers {
                if answer.status == 200 {
                    is_over(&site, &answer.tokens(), why).await;
                } else {
                    assert_eq!(answer.code(), "invalid_refresh_token", "{why}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a98_nothing_survives_a_race_with_a_login() {
    for why in ["disable", "delete", "password"] {
        for _ in 0..6 {
            let site = Site::new().await;
            let tokens = site.signed_in("ada").await;
            let end = async {
                match why {
                    "disable" => disable(&site, "ada").await,
                    "delete" => delete(&site, "ada").await,
                    _ => {
                        let body =
                            json!({"current_password": PASSWORD, "new_password": "quite another passphrase"});
                        site.post("/auth/password/change", &body).bearer(&tokens.access).send().await;
                    }
                }
            };
            let (answers, ()) = join(join_all((0..6).map(|_| site.login("ada"))), end).await;
            for answer in answers {
                match answer.status {
                    200 => is_over(&site, &answer.tokens(), why).await,
                    401 => assert_eq!(answer.code(), "invalid_credentials"),
                    other => assert_eq!(other, 503, "{why}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a189_another_users_ids_are_as_unknown_ones() {
    let site = Site::new().await;
    let ada = site.signed_in("ada").await;
    let eve = site.signed_in("eve").await;
    let unknown = "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a";
    let delete = async |id: &str, access: &str| {
        let path = format!("/auth/sessions/{id}");
        site.ask(Method::DELETE, &path).bearer(access).send().await
    };
    let nobodys = shape(&delete(unknown, &eve.access).await);
    assert_eq!(nobodys.0, 404);
    let user_id = record(&site, "ada").await.id.to_string();
    for id in [
        ada.session.as_str(),
        &user_id,
        &ada.session.to_uppercase(),
        &ada.session.replace('-', ""),
        &format!("%7B{}%7D", ada.session),
        "x",
        "%00",
        "%2e%2e",
        "*",
        "1%20OR%201=1",
        "%ff",
    ] {
        assert_eq!(shape(&delete(id, &eve.access).await), nobodys, "{id}");
    }
    let traversal = site.ask(Method::DELETE, "/auth/sessions/x/../").bearer(&eve.access).send().await;
    assert_eq!(traversal.status, 404);
    accepted_everywhere(&site, &ada.access).await;
    let list = site.get("/auth/sessions?user=ada&user_id=1").bearer(&eve.access).send().await.json();
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!((sessions.len(), &sessions[0]["id"]), (1, &json!(eve.session)));
    // Not even without being told to be signed in.
    for id in [ada.session.as_str(), unknown, "x", "%ff"] {
        let answer = site.ask(Method::DELETE, &format!("/auth/sessions/{id}")).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthenticated"), "{id}");
    }
}

#[tokio::test]
async fn one_session_too_many_ends_the_oldest_and_only_that_users() {
    let site = Site::with(http_origin(), |config| config.policy.max_per_user = 3).await;
    let stranger = site.signed_in("eve").await;
    assert_eq!(site.register("ada").await.status, 201);
    let mut sessions = Vec::new();
    for _ in 0..5 {
        sessions.push(site.login("ada").await.tokens());
        site.clock.pass(Duration::from_secs(1));
    }
    for old in &sessions[..2] {
        is_over(&site, old, "displaced").await;
    }
    for new in &sessions[2..] {
        accepted_everywhere(&site, &new.access).await;
    }
    assert_eq!(audited(&site, Action::SessionDisplaced).await, 2);
    accepted_everywhere(&site, &stranger.access).await;
    // At once, and with the clock going back: never more than that, and the newest login always holds.
    let crowd = join_all((0..12).map(|_| site.login("ada"))).await;
    let mut alive = 0;
    for tokens in crowd.iter().map(crate::support::Answer::tokens).chain(sessions) {
        alive += usize::from(site.me(&tokens.access).await.status == 200);
    }
    assert_eq!(alive, 3);
    site.clock.go_back(Duration::from_secs(50));
    let newest = site.login("ada").await.tokens();
    accepted_everywhere(&site, &newest.access).await;
    let list = site.get("/auth/sessions").bearer(&newest.access).send().await.json();
    assert_eq!(list["sessions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_spent_refresh_token_manages_nothing_and_may_only_end_its_own_session() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let mut held = first.clone();
    for _ in 0..2 {
        site.clock.pass(Duration::from_secs(60));
        held = site.refresh(&held.refresh).await.tokens();
    }
    let own = "http://127.0.0.1:8080";
    let spent = format!("jwt_session={}", first.refresh);
    let list = site.get("/auth/sessions").header("cookie", &spent).send().await;
    assert_eq!(list.status, 401, "{}", list.text());
    for (method, path, body) in [
        (Method::DELETE, "/auth/sessions".to_owned(), json!({})),
        (Method::DELETE, format!("/auth/sessions/{}", other.session), json!({})),
        (
            Method::POST,
            "/auth/password/change".to_owned(),
            json!({"current_password": PASSWORD, "new_password": "quite another passphrase"}),
        ),
        (Method::POST, "/auth/logout".to_owned(), json!({"all": true})),
    ] {
        let answer =
            site.ask(method, &path).json(&body).header("cookie", &spent).header("origin", own).send().await;
        assert!(matches!(answer.status, 401 | 403), "{path}: {} {}", answer.status, answer.text());
    }
    let all = json!({"all": true, "refresh_token": first.refresh});
    let answer = site.post("/auth/logout", &all).send().await;
    assert!(matches!(answer.status, 401 | 403), "{} {}", answer.status, answer.text());
    accepted_everywhere(&site, &other.access).await;
    // Its own session it ends, like any token of it.
    let answer = site.post("/auth/logout", &json!({"refresh_token": first.refresh})).send().await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    is_over(&site, &held, "logged out").await;
    accepted_everywhere(&site, &other.access).await;
}

/// A repeat inside a long grace, or after `token.access_ttl` was raised, mints a token that lives longer than any
/// before it; its revocation must be remembered for as long.
#[tokio::test]
async fn a_revocation_is_remembered_as_long_as_any_token_under_it_lives() {
    let site = Site::with(http_origin(), |config| config.policy.grace = GRACE_MAX).await;
    let first = site.signed_in("ada").await;
    site.refresh(&first.refresh).await.tokens();
    site.clock.pass(GRACE_MAX - Duration::from_secs(1));
    let site = site.restart(|config| config.policy.access_ttl = Duration::from_secs(3_600)).await;
    let late = site.refresh(&first.refresh).await.tokens();
    let lives = claims(&late.access)["exp"].as_i64().unwrap() - site.server.app().now().secs();
    assert!(lives > 1_000, "else this shows nothing");
    assert_eq!(site.ask(Method::POST, "/auth/logout").bearer(&late.access).send().await.status, 204);
    for _ in 0..lives {
        site.clock.pass(Duration::from_secs(1));
        let app = site.server.app();
        app.verifier.revocations().forget_expired(app.now().secs());
        let status = site.get("/auth/verify").bearer(&late.access).send().await.status;
        assert_eq!(status, 401, "accepted again after it was revoked");
    }
}

#[tokio::test]
async fn a_revocation_is_remembered_by_the_database_as_long_too() {
    let site = Site::with(http_origin(), |config| config.policy.grace = GRACE_MAX).await;
    let first = site.signed_in("ada").await;
    site.refresh(&first.refresh).await.tokens();
    site.clock.pass(GRACE_MAX - Duration::from_secs(1));
    let site = site.restart(|config| config.policy.access_ttl = Duration::from_secs(3_600)).await;
    let late = site.refresh(&first.refresh).await.tokens();
    assert_eq!(site.ask(Method::POST, "/auth/logout").bearer(&late.access).send().await.status, 204);
    let lives = claims(&late.access)["exp"].as_i64().unwrap() - site.server.app().now().secs();
    site.clock.pass(Duration::from_secs(u64::try_from(lives).unwrap() - 1));
    let app = site.server.app();
    app.store.sweep(app.now(), 1_000, 1_000).await.unwrap();
    let site = site.restart(|_| {}).await;
    refused_everywhere(&site, &late.access, "revoked").await;
}

#[tokio::test]
async fn a_session_that_was_idle_too_long_is_ended_with_its_tokens_all_the_same() {
    let site = Site::with(http_origin(), |config| {
        config.policy.idle_ttl = Duration::from_secs(60);
        config.policy.access_ttl = Duration::from_secs(600);
    })
    .await;
    let tokens = site.signed_in("ada").await;
    site.clock.pass(Duration::from_secs(61));
    let app = site.server.app();
    app.store.sweep(app.now(), 1_000, 1_000).await.unwrap();
    site.ask(Method::POST, "/auth/logout").bearer(&tokens.access).send().await;
    disable(&site, "ada").await;
    for (where_, status, _) in everywhere(&site, &tokens.access).await {
        assert_eq!(status, 401, "{where_}: a disabled user");
    }
}

#[tokio::test]
async fn a120_signing_out_everywhere_ends_every_kind_of_session_and_no_other_users() {
    let site = Site::new().await;
    let eve = site.signed_in("eve").await;
    assert_eq!(site.register("ada").await.status, 201);
    let cookies = cookie_login(&site, "ada").await;
    let body = site.login("ada").await.tokens();
    let ask = site.post("/auth/logout", &json!({"all": true})).header("cookie", &cookies.cookie_header());
    assert_eq!(ask.header("sec-fetch-site", "same-origin").send().await.status, 204);
    is_over(&site, &body, "all").await;
    refused_everywhere(&site, &cookie_value(&cookies, "jwt"), "revoked").await;
    assert_eq!(site.refresh(&cookie_value(&cookies, "jwt_session")).await.status, 401);
    accepted_everywhere(&site, &eve.access).await;
    let again = site.login("ada").await.tokens();
    accepted_everywhere(&site, &again.access).await;
}
