//! Adding a way to sign in to an account, and taking one away.

use std::sync::Arc;
use std::time::Duration;

use jotgate::app::{UpstreamError, Visitor};
use serde_json::json;
use url::Url;

use super::accounts::{mails, prove};
use super::browser::{Browser, location, refused};
use super::idp::{ADA, APP_URI, Idp, Mischief, Person};
use super::support::{PASSWORD, Site, http_origin};

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

/// Where the page that links leads: by itself, and by its button.
async fn set_out_to_link(browser: &mut Browser<'_>) -> Url {
    let page = browser.post("/account/identities", &[("provider", "idp")]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let html = page.text().replace("&#38;", "&");
    let by_button = html.split("<a class=\"button\" href=\"").nth(1).unwrap().split('"').next().unwrap();
    let by_itself = html.split("content=\"0; url=").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(by_button, by_itself);
    Url::parse(by_button).unwrap()
}

async fn link(browser: &mut Browser<'_>, idp: &Idp, person: &Person) -> super::support::Answer {
    let to = set_out_to_link(browser).await;
    browser.get(&idp.authorize(&to, person)).await
}

/// The ids of the identities on the account page.
async fn identities(browser: &mut Browser<'_>) -> Vec<String> {
    let page = browser.get("/account").await.text();
    let ids = page.split("name=\"identity\" value=\"").skip(1);
    ids.map(|rest| rest.split('"').next().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_is_linked_and_unlinked_on_the_account_page() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::registered(&site, "bob").await;
    let id = browser.user().await;
    let session = browser.jar["jwt_session"].clone();
    assert_eq!(location(&link(&mut browser, &idp, &ADA).await), "/account?done=identity-linked");
    assert_eq!(browser.jar["jwt_session"], session, "the session is what it was");
    // Somebody with that identity is bob from now on.
    let mut other = Browser::new(&site);
    other.sign_in(&idp, &ADA).await;
    assert_eq!(other.user().await, id);

    let linked = identities(&mut browser).await;
    assert_eq!(linked.len(), 1);
    let answer = browser.post("/account/identities", &[("identity", &linked[0])]).await;
    assert_eq!(location(&answer), "/account?done=identity-unlinked");
    assert_eq!(other.user().await, None, "who signed in with it is signed out");
    assert_eq!(browser.user().await, id);
    assert_eq!(identities(&mut browser).await.len(), 0);
    // And somebody new if they come again.
    let mut again = Browser::new(&site);
    again.sign_in(&idp, &ADA).await;
    assert_ne!(again.user().await, id);
    let form = json!({"username": "bob", "password": PASSWORD});
    assert_eq!(site.post("/auth/login", &form).send().await.status, 200);
}

/// The attack: somebody who is led to link an attacker's identity to their account.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_links_what_they_did_not_ask_for() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut attacker = Browser::registered(&site, "mallory").await;
    let to = set_out_to_link(&mut attacker).await;
    let theirs = idp.authorize(&to, &ADA);
    let mut victim = Browser::registered(&site, "bob").await;
    // The attacker's way back, alone and with the attacker's flow cookie put into the victim's browser.
    assert_eq!(refused(&victim.get(&theirs).await), "400 invalid_flow");
    victim.jar.insert("jwt_flow".into(), attacker.jar["jwt_flow"].clone());
    assert_eq!(refused(&victim.get(&theirs).await), "403 recent_sign_in_required");
    assert_eq!(idp.asked("/token"), 0);
    assert_eq!(identities(&mut victim).await.len(), 0);
    // A form of another site asks for nothing.
    let cookies =
        victim.jar.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
    let forged = site.ask(http::Method::POST, "/account/identities").header("cookie", &cookies);
    let forged = forged.header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
    let forged = forged.header("content-type", "application/x-www-form-urlencoded").body("provider=idp");
    assert_eq!(forged.send().await.status, 403);
    // Who is not signed in any more when they come back links nothing.
    let to = set_out_to_link(&mut victim).await;
    let back = idp.authorize(&to, &ADA);
    victim.jar.remove("jwt_session");
    assert_eq!(refused(&victim.get(&back).await), "403 recent_sign_in_required");
}

/// What somebody began ends with their session, also while the provider is being asked.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_meanwhile_links_nothing() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut bob = Browser::registered(&site, "bob").await;
    let elsewhere = site.login("bob").await.tokens();
    let end_others = || site.ask(http::Method::DELETE, "/auth/sessions").bearer(&elsewhere.access).send();

    let to = set_out_to_link(&mut bob).await;
    let back = idp.authorize(&to, &ADA);
    let held = Arc::new(tokio::sync::Notify::new());
    idp.does(Mischief { held: Some(Arc::clone(&held)), ..Mischief::default() });
    let ending = async {
        while idp.asked("/token") == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(end_others().await.status, 204);
        held.notify_one();
    };
    let (answer, ()) = futures_util::future::join(bob.get(&back), ending).await;
    assert_eq!(refused(&answer), "403 recent_sign_in_required");
    idp.does(Mischief::default());
    assert_eq!(
        site.get("/auth/identities").bearer(&elsewhere.access).send().await.json()["identities"],
        json!([])
    );

    // And before it is asked.
    let mut bob = Browser::new(&site);
    bob.get("/login").await;
    let fields = [("username", "bob"), ("password", PASSWORD)];
    assert_eq!(location(&bob.post("/login", &fields).await), "/account");
    let to = set_out_to_link(&mut bob).await;
    let back = idp.authorize(&to, &ADA);
    assert_eq!(end_others().await.status, 204);
    let asked = idp.asked("/token");
    assert_eq!(refused(&bob.get(&back).await), "403 recent_sign_in_required");
    assert_eq!(idp.asked("/token"), asked);
}

/// A request of theirs that was read before the session ended, and writes after.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_just_ended_takes_nothing_away() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let tokens = site.signed_in("bob").await;
    let (code, verifier) = idp.code(&ADA, None);
    let form = json!({"provider": "idp", "code": code, "code_verifier": verifier, "redirect_uri": APP_URI});
    let linked = site.post("/auth/identities", &form).bearer(&tokens.access).send().await.json();
    let id = linked["identity"]["id"].as_str().unwrap().parse().unwrap();
    let app = site.server.app();
    let asker = app.load(tokens.session.parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(site.post("/auth/logout", &json!({})).bearer(&tokens.access).send().await.status, 204);
    let refused = app.unlink(&Visitor::default(), &asker, id).await;
    assert!(matches!(refused, Err(UpstreamError::SignInAgain)), "{refused:?}");
    assert_eq!(app.identities(asker.user.id).await.unwrap().len(), 1);
}

/// The owner of the address hears of it, and is not flooded.
#[tokio::test(flavor = "multi_thread")]
async fn mails_about_linking_are_bounded() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let tokens = site.signed_in("bob").await;
    prove(&site, "bob", "bob@example.com").await;
    for sub in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let (code, verifier) = idp.code(&Person { sub, email: None, ..ADA }, None);
        let form =
            json!({"provider": "idp", "code": code, "code_verifier": verifier, "redirect_uri": APP_URI});
        let answer = site.post("/auth/identities", &form).bearer(&tokens.access).send().await;
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert_eq!(mails(&site), 4);
    // An hour later there may be one more.
    site.clock.pass(Duration::from_secs(3600));
    idp.pass(Duration::from_secs(3600));
    let mut bob = Browser::new(&site);
    bob.get("/login").await;
    bob.post("/login", &[("username", "bob"), ("password", PASSWORD)]).await;
    for sub in ["9", "10", "11"] {
        link(&mut bob, &idp, &Person { sub, email: None, ..ADA }).await;
    }
    assert_eq!(identities(&mut bob).await.len(), 11);
    assert_eq!(mails(&site), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_has_one_account() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    Browser::new(&site).sign_in(&idp, &ADA).await;
    let mut bob = Browser::registered(&site, "bob").await;
    assert_eq!(refused(&link(&mut bob, &idp, &ADA).await), "409 identity_taken");
    assert_eq!(identities(&mut bob).await.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_way_in_stays_until_there_is_another() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut ada = Browser::new(&site);
    ada.sign_in(&idp, &ADA).await;
    let page = ada.get("/account").await.text();
    assert!(page.contains("Your only way in") && !page.contains("name=\"identity\""), "{page}");
    let cookies = format!("jwt={}; jwt_session={}", ada.jar["jwt"], ada.jar["jwt_session"]);
    let list = site.get("/auth/identities").header("cookie", &cookies).send().await.json();
    let id = list["identities"][0]["id"].as_str().unwrap().to_owned();
    let answer = ada.post("/account/identities", &[("identity", &id)]).await;
    assert_eq!(refused(&answer), "409 last_way_in");
    link(&mut ada, &idp, &Person { sub: "2002", ..ADA }).await;
    let answer = ada.post("/account/identities", &[("identity", &id)]).await;
    assert_eq!(location(&answer), "/account?done=identity-unlinked");
    assert_eq!(identities(&mut ada).await.len(), 0, "the other one is the last now");
}

/// What somebody can sign in with is changed with a sign-in that is not older than ten minutes.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_sign_in_is_asked_to_sign_in_again() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut bob = Browser::registered(&site, "bob").await;
    link(&mut bob, &idp, &ADA).await;
    let linked = identities(&mut bob).await;
    site.clock.pass(Duration::from_secs(600));
    for fields in [("provider", "idp"), ("identity", linked[0].as_str())] {
        let answer = bob.post("/account/identities", &[fields]).await;
        assert_eq!(location(&answer), "/login?again=1&return_to=%2Faccount");
    }
    let page = bob.get("/login?again=1&return_to=%2Faccount").await;
    assert!(page.text().contains("sign in once more") && page.text().contains("value=\"bob\""));
    let fields = [("username", "bob"), ("password", PASSWORD), ("return_to", "/account")];
    assert_eq!(location(&bob.post("/login", &fields).await), "/account");
    let answer = bob.post("/account/identities", &[("identity", &linked[0])]).await;
    assert_eq!(location(&answer), "/account?done=identity-unlinked");
}

#[tokio::test(flavor = "multi_thread")]
async fn applications_list_link_and_unlink() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let bob = site.signed_in("bob").await;
    let (code, verifier) = idp.code(&ADA, None);
    let form = json!({"provider": "idp", "code": code, "code_verifier": verifier, "redirect_uri": APP_URI});
    let answer = site.post("/auth/identities", &form).bearer(&bob.access).send().await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let identity = answer.json()["identity"].clone();
    assert_eq!((&identity["provider"], &identity["subject"]), (&json!("idp"), &json!(ADA.sub)));
    assert_eq!(identity["issuer"], json!(idp.base()));
    let list = site.get("/auth/identities").bearer(&bob.access).send().await.json();
    assert_eq!(list["identities"], json!([identity]));

    let path = format!("/auth/identities/{}", identity["id"].as_str().unwrap());
    let delete = |path: &str, token: &str| site.ask(http::Method::DELETE, path).bearer(token).send();
    // Another user's is not there, and no id is.
    let eve = site.signed_in("eve").await;
    assert_eq!(delete(&path, &eve.access).await.code(), "not_found");
    assert_eq!(delete("/auth/identities/x", &bob.access).await.code(), "not_found");
    assert_eq!(delete(&path, &bob.access).await.status, 204);
    assert_eq!(delete(&path, &bob.access).await.code(), "not_found");
    site.clock.pass(Duration::from_secs(599));
    assert_eq!(delete(&path, &bob.access).await.code(), "not_found");
    let fresh = site.refresh(&bob.refresh).await.tokens();
    site.clock.pass(Duration::from_secs(1));
    assert_eq!(delete(&path, &fresh.access).await.code(), "recent_sign_in_required");
    assert_eq!(site.get("/auth/identities").send().await.code(), "unauthenticated");
}
