//! Registration: one account a name, however it is written, and nothing about addresses.

use futures_util::future::join_all;
use jotgate_domain::store::Lookup;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Site};
use crate::tools::*;

/// Spellings of `alice` that a person would take for it, or a machine might.
const LOOK_ALIKES: [&str; 24] = [
    "alice",
    "ALICE",
    "aLiCe",
    "ａｌｉｃｅ",
    "ＡＬＩＣＥ",
    "\u{430}lice",
    "alic\u{435}",
    "\u{430}li\u{441}\u{435}",
    "\u{3b1}lice",
    "al\u{131}ce",
    "al\u{130}ce",
    "ali\u{307}ce",
    "al\u{200d}ice",
    "al\u{200b}ice",
    "al\u{ad}ice",
    "alice\u{200d}",
    "\u{feff}alice",
    "alice ",
    " alice",
    "alice.",
    "alice\u{3000}",
    "alice\u{0}",
    "𝐚𝐥𝐢𝐜𝐞",
    "ⓐⓛⓘⓒⓔ",
];

#[tokio::test]
async fn a59_no_second_account_looks_like_the_first() {
    let site = Site::new().await;
    assert_eq!(site.register("alice").await.status, 201);
    for name in LOOK_ALIKES {
        let answer = site.register(name).await;
        assert!(matches!(answer.status, 409 | 422), "{name:?}: {} {}", answer.status, answer.text());
        assert!(!answer.text().contains(name) || name.is_ascii(), "nothing that was sent comes back");
    }
    let users = site.server.app().store.users(None, 100).await.unwrap();
    assert_eq!(users.len(), 1);
}

#[tokio::test]
async fn a59_look_alikes_at_once_are_one_account() {
    let site = Site::new().await;
    for round in 0..5 {
        let forms: Vec<String> =
            LOOK_ALIKES.iter().map(|name| format!("{}{round}", name.trim_end_matches(['.', ' ']))).collect();
        let answers = join_all(forms.iter().map(|name| site.register(name))).await;
        let created = answers.iter().filter(|answer| answer.status == 201).count();
        assert_eq!(created, 1, "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
        assert!(answers.iter().all(|answer| matches!(answer.status, 201 | 409 | 422)));
    }
    assert_eq!(site.server.app().store.users(None, 100).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a172_an_address_is_one_plain_address() {
    let site = Site::new().await;
    for (n, email) in [
        json!("victim@x.com,evil@y.com"),
        json!("victim@x.com evil@y.com"),
        json!("victim@x.com\nBcc: evil@y.com"),
        json!("victim@x.com\r\nBcc: evil@y.com"),
        json!("\"victim\"@x.com"),
        json!("Victim <victim@x.com>"),
        json!("victim@x.com\u{0}"),
        json!("vict\u{131}m@x.com"),
        json!("victim@x.com."),
        json!("victim@@x.com"),
        json!("victim@[127.0.0.1]"),
        json!("v".repeat(65) + "@x.com"),
    ]
    .iter()
    .enumerate()
    {
        let body = json!({"username": format!("eve{n}"), "password": PASSWORD, "email": email});
        let answer = site.post("/auth/register", &body).send().await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_email"), "{email}");
    }
    for email in [json!(["victim@x.com"]), json!({"a": 1}), json!(1), json!(true)] {
        let body = json!({"username": "eve", "password": PASSWORD, "email": email});
        assert_eq!(site.post("/auth/register", &body).send().await.status, 400, "{email}");
    }
    assert!(site.server.app().store.users(None, 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a54_a_mail_that_cannot_be_written_tells_nobody_that_there_is_an_owner() {
    let site = Site::new().await;
    assert_eq!(site.register("owner").await.status, 201);
    prove_email(&site, "owner", "owner@example.com").await;
    // A full disk, a folder that is none: whatever keeps the mail from being written.
    std::fs::write(site.dir.path().join("outbox"), b"in the way").unwrap();
    let register = async |name: &str, email: &str| {
        let body = json!({"username": name, "password": PASSWORD, "email": email});
        site.post("/auth/register", &body).send().await
    };
    let free = register("eve", "eve@example.com").await;
    let used = register("mal", "owner@example.com").await;
    assert_eq!((free.status, used.status), (201, 201), "{}", used.text());
}

#[tokio::test]
async fn a173_strangers_do_not_fill_the_mailbox_of_an_owner() {
    let site = Site::new().await;
    assert_eq!(site.register("owner").await.status, 201);
    prove_email(&site, "owner", "owner@example.com").await;
    let mut answers = Vec::new();
    for n in 0..30 {
        let email = if n % 2 == 0 { "owner@example.com" } else { "OWNER@Example.com" };
        let body = json!({"username": format!("eve{n}"), "password": PASSWORD, "email": email});
        answers.push(site.post("/auth/register", &body).send().await.status);
    }
    assert!(answers.iter().all(|status| *status == 201), "the same answer: {answers:?}");
    let mails = std::fs::read_dir(site.dir.path().join("outbox")).unwrap().count();
    assert!((1..=10).contains(&mails), "{mails} mails");
}

#[tokio::test]
async fn an_unproven_address_is_neither_a_name_nor_a_claim_nor_taken() {
    let site = Site::new().await;
    let register = async |name: &str| {
        let body = json!({"username": name, "password": PASSWORD, "email": "victim@example.com"});
        site.post("/auth/register", &body).send().await
    };
    assert_eq!(register("mal").await.status, 201);
    assert_eq!(try_login(&site, "victim@example.com", PASSWORD).await.status, 401);
    let tokens = site.login("mal").await.tokens();
    assert!(crate::support::claims(&tokens.access).get("email").is_none());
    let verify = site.get("/auth/verify").bearer(&tokens.access).send().await;
    assert_eq!(verify.header("x-auth-email"), Some(""), "there, and empty");
    // Its owner is not kept out by whoever typed it first.
    assert_eq!(register("victim").await.status, 201);
    prove_email(&site, "victim", "victim@example.com").await;
    let login = try_login(&site, "Victim@Example.COM", PASSWORD).await;
    assert_eq!(login.json()["user"]["username"], "victim");
}

#[tokio::test]
async fn a174_nobody_gives_themselves_more_than_a_name() {
    let site = Site::new().await;
    let body = json!({
        "username": "eve", "password": PASSWORD, "email": "eve@example.com", "email_verified": true,
        "email_verified_at": 1, "roles": ["admin"], "role": "admin", "groups": ["admin"], "claims": {"x": 1},
        "permissions": ["*"], "scope": "admin", "id": "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a", "version": 9,
        "password_hash": "$argon2id$x", "disabled_at": null, "is_admin": true, "tenant_id": 1,
    });
    let answer = site.post("/auth/register", &body).send().await;
    assert_eq!(answer.status, 201, "unknown members are ignored: {}", answer.text());
    let eve = record(&site, "eve").await;
    assert!(eve.roles.is_empty() && eve.claims.is_empty() && eve.email_verified_at.is_none());
    assert_ne!(eve.id.to_string(), "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a");
    assert_eq!(eve.version, 1);
    let user: &Value = &answer.json()["user"];
    let shown: Vec<&String> = user.as_object().unwrap().keys().collect();
    for name in shown {
        assert!(
            ["id", "username", "email", "email_verified", "roles", "created_at"].contains(&name.as_str())
        );
    }
}

#[tokio::test]
async fn where_registration_is_off_nothing_is_told_of_names() {
    let site = Site::with(crate::support::https_origin(), |config| config.registration_enabled = None).await;
    let mut answers = Vec::new();
    for name in ["ada", "", "ada", "a@b"] {
        answers.push(shape(&site.register(name).await));
    }
    assert_eq!(answers[0].0, 403);
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let found = site.server.app().store.users(None, 1).await.unwrap();
    assert!(found.is_empty());
}

#[tokio::test]
async fn a_name_that_was_deleted_and_taken_again_is_another_user() {
    let site = Site::new().await;
    let old = site.signed_in("ada").await;
    let device = cookie_value(&cookie_login(&site, "ada").await, "jwt_device");
    let old_id = record(&site, "ada").await.id;
    delete(&site, "ada").await;
    assert_eq!(site.register("ada").await.status, 201);
    let new = record(&site, "ada").await;
    assert_ne!(new.id, old_id);
    soon_refused_everywhere(&site, &old.access, "revoked").await;
    assert_eq!(site.refresh(&old.refresh).await.code(), "invalid_refresh_token");
    assert!(site.server.app().store.user(Lookup::Id(old_id)).await.unwrap().is_none());
    // A device of the earlier owner is no known one of the new.
    for _ in 0..25 {
        try_login(&site, "ada", "a wrong password").await;
    }
    let body = json!({"username": "ada", "password": PASSWORD});
    let answer = site.post("/auth/login", &body).header("cookie", &format!("jwt_device={device}"));
    let answer = answer.header("origin", "http://127.0.0.1:8080").send().await;
    assert_eq!(answer.status, 429, "{}", answer.text());
}
