//! The eight steps through the whole application, as a client sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::time::Duration;

use serde_json::json;
use support::{PASSWORD, START, Site, claims, part};

#[tokio::test]
async fn registered_signed_in_and_known() {
    let site = Site::new().await;
    let registered = site.register("Ada").await;
    assert_eq!(registered.status, 201, "{}", registered.text());
    let user = &registered.json()["user"];
    assert_eq!(user["username"], "Ada");
    assert_eq!(user["created_at"], "2026-11-22T12:00:00Z");

    let answer = site.login("ada").await;
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert!(answer.cookies().is_empty(), "body delivery sets no cookie");
    let body = answer.json();
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 600);
    assert_eq!(body["user"]["id"], user["id"]);
    let tokens = answer.tokens();

    let header = part(&tokens.access, 0);
    assert_eq!(header["typ"], "at+jwt");
    assert_eq!(header["alg"], "ES256");
    let claims = claims(&tokens.access);
    assert_eq!(claims["iss"], "http://127.0.0.1:8080");
    assert_eq!(claims["aud"], "http://127.0.0.1:8080");
    assert_eq!(claims["sub"], user["id"]);
    assert_eq!(claims["iat"], START);
    assert_eq!(claims["exp"], START + 600);
    assert_eq!(claims["auth_time"], START);
    assert_eq!(claims["client_id"], "jotgate");
    assert_eq!(claims["scope"], "account");
    assert_eq!(claims["sid"], tokens.session.as_str());
    assert_eq!(claims["preferred_username"], "Ada");
    assert_eq!(claims["roles"], json!([]));
    assert!(claims["status"]["status_list"]["idx"].is_u64());
    assert_eq!(claims["status"]["status_list"]["uri"], "http://127.0.0.1:8080/auth/status/0");
    assert!(claims.get("email").is_none());

    let me = site.me(&tokens.access).await;
    assert_eq!(me.status, 200, "{}", me.text());
    assert_eq!(me.json()["user"]["username"], "Ada");
    assert_eq!(me.json()["claims"], claims);
    assert_eq!(me.json()["session"]["id"], tokens.session.as_str());

    let jwks = site.get("/.well-known/jwks.json").send().await;
    assert_eq!(jwks.header("cache-control"), Some("public, max-age=300"));
    assert!(jwks.json()["keys"].as_array().unwrap().iter().any(|key| key["kid"] == header["kid"]));
    let keys = jotgate_jose::KeySet::from_public_json(&jwks.text()).unwrap();
    let policy = jotgate_jose::Policy::access_token("http://127.0.0.1:8080", "http://127.0.0.1:8080");
    let now = u64::try_from(START).unwrap();
    let verified = jotgate_jose::verify(&keys, &policy, &tokens.access, now).unwrap();
    assert_eq!(verified.claims().sub(), user["id"].as_str());

    let etag = jwks.header("etag").unwrap();
    let again = site.get("/.well-known/jwks.json").header("if-none-match", etag).send().await;
    assert_eq!((again.status, again.body.len()), (304, 0));
}

#[tokio::test]
async fn the_script_for_browsers_is_public_and_kept() {
    let site = Site::new().await;
    for (path, media, holds) in [
        ("/jotgate.js", "text/javascript; charset=utf-8", "export class Jotgate extends EventTarget {"),
        (
            "/jotgate.d.ts",
            "application/typescript; charset=utf-8",
            "export class Jotgate extends EventTarget {",
        ),
    ] {
        let file = site.get(path).header("origin", "https://anybody.example").send().await;
        assert_eq!(file.status, 200, "{path}");
        assert!(file.text().contains(holds), "{path}");
        for (name, value) in [
            ("content-type", media),
            ("cache-control", "public, max-age=3600"),
            ("access-control-allow-origin", "*"),
            ("cross-origin-resource-policy", "cross-origin"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert_eq!(file.header(name), Some(value), "{path} {name}");
        }
        let etag = file.header("etag").unwrap();
        let again = site.get(path).header("if-none-match", etag).send().await;
        assert_eq!((again.status, again.body.len(), again.header("etag")), (304, 0, Some(etag)), "{path}");
        let changed = site.get(path).header("if-none-match", "\"0123456789abcdef\"").send().await;
        assert_eq!(changed.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_access_token_expires_and_is_renewed() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    site.clock.pass(Duration::from_secs(599));
    assert_eq!(site.me(&first.access).await.status, 200);
    site.clock.pass(Duration::from_secs(1));
    let expired = site.me(&first.access).await;
    assert_eq!((expired.status, expired.code().as_str()), (401, "expired"));
    assert!(expired.header("www-authenticate").unwrap().contains("invalid_token"));
    let second = site.refresh(&first.refresh).await.tokens();
    assert_ne!(second.refresh, first.refresh);
    assert_eq!(second.session, first.session);
    assert_eq!(site.me(&second.access).await.status, 200);
    assert_eq!(claims(&second.access)["auth_time"], START, "a refresh is no new sign-in");
}

#[tokio::test]
async fn a93_a_spent_refresh_token_ends_its_session_everywhere() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    site.clock.pass(Duration::from_secs(60));
    let second = site.refresh(&first.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(60));
    let third = site.refresh(&second.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(60));
    let reused = site.refresh(&first.refresh).await;
    assert_eq!((reused.status, reused.code().as_str()), (401, "refresh_token_reused"));
    let dead = site.refresh(&third.refresh).await;
    assert_eq!((dead.status, dead.code().as_str()), (401, "invalid_refresh_token"));
    for access in [&first.access, &second.access, &third.access] {
        let refused = site.me(access).await;
        assert_eq!((refused.status, refused.code().as_str()), (401, "revoked"));
        assert_eq!(site.get("/auth/verify").bearer(access).send().await.status, 401);
    }
}

#[tokio::test]
async fn a94_racing_tabs_get_one_successor() {
    let site = Site::new().await;
    let first = site.signed_in("ada").await;
    site.clock.pass(Duration::from_secs(60));
    let answers = futures_util::future::join_all((0..50).map(|_| site.refresh(&first.refresh))).await;
    let successors: std::collections::HashSet<String> =
        answers.iter().map(|answer| answer.tokens().refresh).collect();
    assert_eq!(successors.len(), 1);
    assert!(!successors.contains(&first.refresh));
}

#[tokio::test]
async fn a_logout_is_refused_at_once_in_every_form_of_request() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let answer = site.ask(http::Method::POST, "/auth/logout").bearer(&tokens.access).send().await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    assert_eq!(site.me(&tokens.access).await.code(), "revoked");
    assert_eq!(site.get("/auth/verify").bearer(&tokens.access).send().await.code(), "revoked");
    let cookie = format!("jwt={}", tokens.access);
    assert_eq!(site.get("/auth/me").header("cookie", &cookie).send().await.code(), "revoked");
    assert_eq!(site.get("/auth/verify").header("cookie", &cookie).send().await.code(), "revoked");
    assert_eq!(site.get("/auth/sessions").bearer(&tokens.access).send().await.code(), "revoked");
    assert_eq!(site.refresh(&tokens.refresh).await.code(), "invalid_refresh_token");
    assert_eq!(site.me(&other.access).await.status, 200, "the other device stays signed in");

    let restarted = site.restart(|_| {}).await;
    assert_eq!(restarted.me(&tokens.access).await.code(), "revoked", "after a restart too");
    assert_eq!(restarted.me(&other.access).await.status, 200);
}

#[tokio::test]
async fn signing_out_everywhere_needs_the_right_to() {
    let site = Site::new().await;
    let one = site.signed_in("ada").await;
    let two = site.login("ada").await.tokens();
    let all = site.post("/auth/logout", &json!({"all": true})).bearer(&one.access).send().await;
    assert_eq!(all.status, 204, "{}", all.text());
    for tokens in [one, two] {
        assert_eq!(site.me(&tokens.access).await.code(), "revoked");
        assert_eq!(site.refresh(&tokens.refresh).await.code(), "invalid_refresh_token");
    }
}

#[tokio::test]
async fn the_device_list_shows_and_ends_sessions() {
    let site = Site::new().await;
    let one = site.signed_in("ada").await;
    let two = site.login("ada").await.tokens();
    let three = site.login("ada").await.tokens();
    let list = site.get("/auth/sessions").bearer(&one.access).send().await.json();
    let sessions = list["sessions"].as_array().unwrap();
    assert_eq!(sessions.len(), 3);
    assert_eq!(sessions.iter().filter(|one| one["current"] == true).count(), 1);

    let path = format!("/auth/sessions/{}", two.session);
    let stranger = site.signed_in("eve").await;
    let delete = |path: &str, access: &str| site.ask(http::Method::DELETE, path).bearer(access);
    assert_eq!(delete(&path, &stranger.access).send().await.status, 404, "a189 another's is as none");
    assert_eq!(delete("/auth/sessions/x", &one.access).send().await.status, 404);
    assert_eq!(delete(&path, &one.access).send().await.status, 204);
    assert_eq!(site.me(&two.access).await.code(), "revoked");
    assert_eq!(delete("/auth/sessions", &one.access).send().await.status, 204);
    assert_eq!(site.me(&three.access).await.code(), "revoked");
    assert_eq!(site.me(&one.access).await.status, 200);
    assert_eq!(site.me(&stranger.access).await.status, 200);
}

#[tokio::test]
async fn a120_a_changed_password_ends_the_other_sessions_and_renews_this_one() {
    let site = Site::new().await;
    let this = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let change = |current: &str, new: &str| {
        site.post("/auth/password/change", &json!({"current_password": current, "new_password": new}))
    };
    let wrong = change("not my password", "another long passphrase").bearer(&this.access).send().await;
    assert_eq!((wrong.status, wrong.code().as_str()), (401, "invalid_credentials"));
    let weak = change(PASSWORD, "12345678").bearer(&this.access).send().await;
    assert_eq!((weak.status, weak.code().as_str()), (422, "weak_password"));
    let changed = change(PASSWORD, "another long passphrase").bearer(&this.access).send().await.tokens();
    assert_eq!(changed.session, this.session);
    for token in [&this.access, &other.access] {
        assert_eq!(site.me(token).await.code(), "revoked");
    }
    for token in [&this.refresh, &other.refresh] {
        assert_eq!(site.refresh(token).await.code(), "invalid_refresh_token");
    }
    assert_eq!(site.me(&changed.access).await.status, 200);
    assert_eq!(site.login("ada").await.code(), "invalid_credentials");
    site.clock.pass(Duration::from_secs(30));
    assert_eq!(site.refresh(&changed.refresh).await.status, 200);
}

#[tokio::test]
async fn a52_whoever_it_is_the_refusal_is_the_same() {
    let site = Site::new().await;
    site.register("ada").await;
    let try_as =
        |name: &str| site.post("/auth/login", &json!({"username": name, "password": "wrong password"}));
    let known = try_as("ada").send().await;
    for name in ["nobody", "ada@example.com", "", "\u{0}", &"x".repeat(500)] {
        let unknown = try_as(name).send().await;
        assert_eq!(unknown.status, known.status);
        assert_eq!(unknown.body, known.body, "{name}");
    }
    assert_eq!((known.status, known.code().as_str()), (401, "invalid_credentials"));
}

#[tokio::test]
async fn a_token_by_cookie_cannot_manage_the_account_by_itself() {
    let site = Site::new().await;
    site.register("ada").await;
    let login = site
        .post("/auth/login", &json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"}))
        .send()
        .await;
    assert_eq!(login.status, 200, "{}", login.text());
    assert!(login.json().get("access_token").is_none() && login.json().get("refresh_token").is_none());
    let cookies = login.cookies();
    assert!(
        cookies.iter().all(|cookie| cookie.contains("HttpOnly") && cookie.contains("Path=/")),
        "{cookies:?}"
    );
    let header = login.cookie_header();
    let pairs: Vec<&str> = header.split("; ").collect();
    let access = pairs.iter().find(|pair| pair.starts_with("jwt=")).unwrap();
    let session = pairs.iter().find(|pair| pair.starts_with("jwt_session=")).unwrap();

    assert_eq!(site.get("/auth/me").header("cookie", access).send().await.status, 200);
    let refused = site.get("/auth/sessions").header("cookie", access).send().await;
    assert_eq!((refused.status, refused.code().as_str()), (403, "insufficient_scope"));
    assert_eq!(site.get("/auth/sessions").header("cookie", session).send().await.status, 200);
    // The same token as a Bearer has no more rights for it.
    let token = access.strip_prefix("jwt=").unwrap();
    assert_eq!(site.get("/auth/sessions").bearer(token).send().await.code(), "insufficient_scope");
    assert_eq!(site.get("/auth/me").header("cookie", session).send().await.status, 401);
}

#[tokio::test]
async fn a104_neither_token_does_the_work_of_the_other() {
    let site = Site::new().await;
    let tokens = site.signed_in("ada").await;
    assert_eq!(site.refresh(&tokens.access).await.code(), "invalid_refresh_token");
    assert_eq!(site.me(&tokens.refresh).await.code(), "malformed");
}

#[tokio::test]
async fn a105_use_never_extends_a_session_beyond_its_absolute_end() {
    let site = Site::with(support::http_origin(), |config| {
        config.policy.idle_ttl = Duration::from_secs(3_600);
        config.policy.max_ttl = Duration::from_secs(10_000);
    })
    .await;
    let idle = site.signed_in("ada").await;
    let mut used = site.login("ada").await.tokens();
    site.clock.pass(Duration::from_secs(3_599));
    used = site.refresh(&used.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(1));
    assert_eq!(site.refresh(&idle.refresh).await.code(), "invalid_refresh_token");
    site.clock.pass(Duration::from_secs(3_500));
    used = site.refresh(&used.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(2_899));
    let last = site.refresh(&used.refresh).await;
    assert_eq!(last.json()["expires_in"], 1, "no token outlives its session");
    site.clock.pass(Duration::from_secs(1));
    assert_eq!(site.refresh(&last.tokens().refresh).await.code(), "invalid_refresh_token");
}

#[tokio::test]
async fn a54_an_address_in_use_is_answered_like_any_and_its_owner_is_told() {
    use jotgate_domain::store::{Change, Lookup};
    let site = Site::new().await;
    site.register("owner").await;
    let store = &site.server.app().store;
    let name = jotgate_domain::name::Username::parse("owner").unwrap().canonical();
    let mut owner = store.user(Lookup::Name(name)).await.unwrap().unwrap();
    owner.email = Some(jotgate_domain::name::Email::parse("owner@example.com").unwrap());
    owner.email_verified_at = Some(site.server.app().now());
    owner.version += 1;
    store.apply(vec![Change::UpdateUser(owner)], vec![]).await.unwrap();

    let register = |name: &str, email: &str| {
        let body = json!({"username": name, "password": PASSWORD, "email": email});
        site.post("/auth/register", &body)
    };
    let free = register("eve", "eve@example.com").send().await;
    let used = register("mal", "Owner@example.com").send().await;
    assert_eq!((free.status, used.status), (201, 201));
    let shape = |answer: &support::Answer| {
        let user = answer.json()["user"].clone();
        user.as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    assert_eq!(shape(&free), shape(&used));
    assert_eq!(used.json()["user"]["email"], "Owner@example.com");
    // Each can sign in, so nothing differs later either; only the owner gets a mail.
    for (name, email) in [("eve", "eve@example.com"), ("mal", "Owner@example.com")] {
        let user = site.login(name).await.json()["user"].clone();
        assert_eq!((&user["email"], &user["email_verified"]), (&json!(email), &json!(false)));
    }
    let outbox: Vec<_> = std::fs::read_dir(site.dir.path().join("outbox")).unwrap().collect();
    assert_eq!(outbox.len(), 1);
    let mail = std::fs::read_to_string(outbox[0].as_ref().unwrap().path()).unwrap();
    assert!(mail.contains("To: owner@example.com\r\n") && mail.contains("user name is owner"), "{mail}");
    assert!(!mail.contains("mal"), "a172 nothing that the stranger typed is in it");
}

#[tokio::test]
async fn a207_health_is_on_the_public_listener_only_while_that_is_loopback_or_asked_for() {
    use jotgate::config::Ops;
    let local = Site::new().await;
    for path in ["/healthz", "/readyz"] {
        assert_eq!(local.get(path).send().await.status, 200);
    }
    let public = Site::with(support::https_origin(), |_| {}).await;
    assert_eq!(public.get("/readyz").send().await.status, 404);
    let asked = Site::with(support::https_origin(), |config| config.ops = Ops::Main).await;
    assert_eq!(asked.get("/readyz").send().await.status, 200);
}

/// A stolen token that its owner has moved on from must not sign them out everywhere.
#[tokio::test]
async fn a_spent_token_ends_its_own_session_and_nothing_else() {
    let site = Site::new().await;
    let spent = site.signed_in("ada").await;
    let other = site.login("ada").await.tokens();
    let mut current = spent.refresh.clone();
    for _ in 0..2 {
        site.clock.pass(Duration::from_secs(60));
        current = site.refresh(&current).await.tokens().refresh;
    }
    let with = |body: serde_json::Value| site.post("/auth/logout", &body);
    let all = with(json!({"refresh_token": spent.refresh, "all": true})).send().await;
    assert_eq!((all.status, all.code().as_str()), (403, "insufficient_scope"));
    let cookie = format!("jwt_session={}", spent.refresh);
    assert_eq!(site.get("/auth/sessions").header("cookie", &cookie).send().await.status, 401);
    assert_eq!(with(json!({"refresh_token": spent.refresh})).send().await.status, 204);
    assert_eq!(site.refresh(&current).await.code(), "invalid_refresh_token");
    assert_eq!(site.me(&other.access).await.status, 200);
}
