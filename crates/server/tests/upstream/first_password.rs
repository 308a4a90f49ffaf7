//! The first password of somebody who came with a provider.

use std::time::Duration;

use serde_json::{Value, json};

use super::accounts::{audit, mails, user};
use super::browser::{Browser, location, refused};
use super::idp::{ADA, APP_URI, Idp, Mischief};
use super::support::{PASSWORD, START, Site, Tokens, claims, http_origin};

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

/// Signed in with a code, by a provider that says when that was.
async fn by_code(site: &Site, idp: &Idp) -> Tokens {
    idp.does(Mischief { claims: Some(Box::new(|c| c["auth_time"] = json!(START))), ..Mischief::default() });
    let (code, verifier) = idp.code(&ADA, None);
    let form = json!({"provider": "idp", "code": code, "code_verifier": verifier, "redirect_uri": APP_URI});
    site.post("/auth/login", &form).send().await.tokens()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_came_with_a_provider_sets_a_password_on_the_account_page() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let (mut ada, mut other) = (Browser::new(&site), Browser::new(&site));
    ada.sign_in(&idp, &ADA).await;
    other.sign_in(&idp, &ADA).await;
    let page = ada.get("/account").await.text();
    assert!(page.contains("Set a password") && !page.contains("current_password"), "{page}");

    let weak = ada.post("/account/password", &[("new_password", "short")]).await;
    assert_eq!(weak.status, 422);
    assert!(weak.text().contains("Set a password") && weak.text().contains("new_password-error"));
    let before = ada.jar["jwt_session"].clone();
    let set = ada.post("/account/password", &[("new_password", PASSWORD)]).await;
    assert_eq!(location(&set), "/account?done=password-set");
    assert_ne!(ada.jar["jwt_session"], before, "a new pair");
    assert_eq!(other.user().await, None, "other devices are signed out");
    assert!(ada.user().await.is_some());
    assert_eq!(audit(&site).await.last().unwrap(), "password.changed");
    assert_eq!(mails(&site), 1, "the owner of the address hears of it");
    assert_eq!(site.login("ada.lovelace").await.status, 200);

    // The next one is a change.
    let page = ada.get("/account").await.text();
    assert!(page.contains("Change your password") && page.contains("current_password"), "{page}");
    let again = ada.post("/account/password", &[("new_password", "quite another passphrase")]).await;
    assert_eq!(again.status, 401, "{}", again.text());
    assert_eq!(site.login("ada.lovelace").await.status, 200);
    // The provider is no longer the only way in.
    assert!(page.contains("name=\"identity\""), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_password_needs_a_recent_sign_in_at_the_provider() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut ada = Browser::new(&site);
    ada.sign_in(&idp, &ADA).await;
    site.clock.pass(Duration::from_secs(600));
    idp.pass(Duration::from_secs(600));
    let fields = [("new_password", PASSWORD)];
    assert_eq!(
        location(&ada.post("/account/password", &fields).await),
        "/login?again=1&return_to=%2Faccount"
    );
    // A silent one is not enough.
    assert_eq!(location(&ada.sign_in(&idp, &ADA).await), "/account");
    assert_eq!(
        location(&ada.post("/account/password", &fields).await),
        "/login?again=1&return_to=%2Faccount"
    );
    let to = ada.get("/login/idp?max_age=0").await;
    let to = url::Url::parse(location(&to)).unwrap();
    assert_eq!(ada.come_back(&idp, &to, &ADA).await.status, 303);
    assert_eq!(location(&ada.post("/account/password", &fields).await), "/account?done=password-set");
    // Nobody else's form does it.
    let forged = ada.post_from("/account/password", &fields, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(refused(&forged), "403 csrf");
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_set_a_first_password() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let tokens = by_code(&site, &idp).await;
    let other = by_code(&site, &idp).await;
    let change = |body: Value, token: &str| site.post("/auth/password/change", &body).bearer(token).send();
    let first = json!({"new_password": PASSWORD});
    // To show one that there is none of proves nothing.
    let shown = json!({"current_password": "", "new_password": PASSWORD});
    assert_eq!(change(shown, &tokens.access).await.code(), "invalid_credentials");
    assert_eq!(change(json!({"new_password": "short"}), &tokens.access).await.code(), "weak_password");
    assert_eq!(user(&site, "ada.lovelace").await.unwrap().password_hash, None);

    site.clock.pass(Duration::from_secs(300));
    let renewed = change(first.clone(), &tokens.access).await.tokens();
    assert_eq!(claims(&renewed.access)["auth_time"], START, "that proved nothing new");
    assert_eq!(site.me(&tokens.access).await.code(), "revoked", "earlier tokens are dead");
    assert_eq!(site.refresh(&other.refresh).await.code(), "invalid_refresh_token");
    assert_eq!(site.login("ada.lovelace").await.status, 200);
    // Now that there is one it has to be shown.
    assert_eq!(change(first.clone(), &renewed.access).await.code(), "invalid_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sets_a_first_password_from_an_old_or_ended_session() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let (old, ended) = (by_code(&site, &idp).await, by_code(&site, &idp).await);
    // A request that was let in before its session ended.
    let app = site.server.app();
    let asker = app.load(ended.session.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(site.post("/auth/logout", &json!({})).bearer(&ended.access).send().await.status, 204);
    let visitor = jotgate::app::Visitor::default();
    let late = app.change_password(&visitor, asker, None, PASSWORD, jotgate::app::Delivery::Body).await;
    assert!(matches!(late, Err(jotgate::app::ChangePasswordError::SessionEnded)), "{late:?}");
    site.clock.pass(Duration::from_secs(600));
    let renewed = site.refresh(&old.refresh).await.tokens();
    let change = site.post("/auth/password/change", &json!({"new_password": PASSWORD}));
    assert_eq!(change.bearer(&renewed.access).send().await.code(), "recent_sign_in_required");
    assert_eq!(user(&site, "ada.lovelace").await.unwrap().password_hash, None);
}
