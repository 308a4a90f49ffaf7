//! Who comes from a provider, and whose account that is.

use std::time::Duration;

use jotgate_domain::name::Email;
use jotgate_domain::store::Lookup;
use jotgate_domain::{Change, User};
use serde_json::json;

use super::accounts::{audit, mails, prove, user};
use super::browser::{Browser, location, refused};
use super::idp::{ADA, Idp, Person};
use super::support::{PASSWORD, Site, http_origin, https_origin};

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_new_gets_an_account_and_comes_back_to_it() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    for path in ["/login", "/register"] {
        let page = browser.get(&format!("{path}?return_to=%2Faccount%3Fx")).await.text();
        assert!(page.contains("href=\"/login/idp?return_to=%2Faccount%3Fx\""), "{page}");
    }
    let to = browser.get("/login/idp?return_to=%2Faccount%3Fx").await;
    let to = url::Url::parse(location(&to)).unwrap();
    // What the endpoint's address had already stays.
    assert!(to.as_str().starts_with(&format!("{}/authorize?of=idp&response_type=code&", idp.base())));
    assert!(!to.as_str().contains("login_hint"));
    let back = browser.get(&idp.authorize(&to, &ADA)).await;
    assert_eq!(location(&back), "/account?x");
    assert!(!browser.jar.contains_key("jwt_flow"), "that flow is over");
    assert!(browser.jar.contains_key("jwt_device"));
    let id = browser.user().await.unwrap();
    let ada = user(&site, "ada.lovelace").await.unwrap();
    assert_eq!((ada.id.to_string(), ada.password_hash.is_none()), (id.clone(), true));
    assert_eq!(ada.verified_email().map(Email::as_str), ADA.email);
    assert_eq!(audit(&site).await, ["user.registered by idp", "login.succeeded by idp"]);

    // Another device, another name and address there: the same account.
    let later = Person { email: Some("new@example.com"), name: "Ada King", ..ADA };
    let mut other = Browser::new(&site);
    assert_eq!(location(&other.sign_in(&idp, &later).await), "/account");
    assert_eq!(other.user().await.unwrap(), id);
    // Somebody else of the same name is somebody else.
    let twin = Person { sub: "1002", email: None, email_verified: false, ..ADA };
    let mut third = Browser::new(&site);
    third.sign_in(&idp, &twin).await;
    assert_ne!(third.user().await.unwrap(), id);
    let page = third.get("/account").await.text();
    assert!(page.contains("<h1>ada.lovelace-"), "{page}");
}

/// What a provider's own address says of a person is asked for where the ID token does not say it.
#[tokio::test(flavor = "multi_thread")]
async fn the_address_may_come_from_the_userinfo_endpoint() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let silent = Person { email: None, ..ADA };
    let said = json!({"sub": ADA.sub, "email": "ada@example.com", "email_verified": true});
    idp.does(super::idp::Mischief { userinfo: Some(said), ..Default::default() });
    Browser::new(&site).sign_in(&idp, &silent).await;
    let ada = user(&site, "ada.lovelace").await.unwrap();
    assert_eq!(ada.verified_email().map(Email::as_str), Some("ada@example.com"));
    // OpenID Connect Core §5.3.2: unless it speaks of somebody else.
    let other = json!({"sub": "1", "email": "eve@example.com", "email_verified": true});
    idp.does(super::idp::Mischief { userinfo: Some(other), ..Default::default() });
    let answer = Browser::new(&site).sign_in(&idp, &Person { sub: "1003", ..silent }).await;
    assert_eq!(refused(&answer), "401 invalid_id_token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a150_accounts_are_joined_by_an_address_proven_on_both_sides_only() {
    let idp = Idp::start().await;
    for (trusted, verified_there, proven_here, joined) in [
        (true, true, true, true),
        (true, false, true, false),
        (false, true, true, false),
        (true, true, false, false),
    ] {
        let site = Site::with(http_origin(), |config| {
            idp.configure(config);
            config.providers.get_mut("idp").unwrap().trust_email = Some(trusted);
        })
        .await;
        let form = json!({"username": "local", "password": PASSWORD, "email": "Ada@example.com"});
        assert_eq!(site.post("/auth/register", &form).send().await.status, 201);
        let local = if proven_here {
            prove(&site, "local", "Ada@example.com").await
        } else {
            user(&site, "local").await.unwrap()
        };
        let mut browser = Browser::new(&site);
        browser.sign_in(&idp, &Person { email_verified: verified_there, ..ADA }).await;
        let case = format!("trusted {trusted}, verified {verified_there}, proven {proven_here}");
        assert_eq!(browser.user().await.unwrap() == local.id.to_string(), joined, "{case}");
        // The owner of the address hears of it.
        assert_eq!(mails(&site), usize::from(joined), "{case}");
    }
}

/// Attack 153: who waits in an account under a victim's address waits in vain.
#[tokio::test(flavor = "multi_thread")]
async fn a153_an_account_under_somebody_elses_address_is_never_theirs() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let form = json!({"username": "mallory", "password": PASSWORD, "email": "ada@example.com"});
    assert_eq!(site.post("/auth/register", &form).send().await.status, 201);
    let waiting = site.login("mallory").await.tokens();

    let mut victim = Browser::new(&site);
    victim.sign_in(&idp, &ADA).await;
    let mallory = user(&site, "mallory").await.unwrap();
    assert_ne!(victim.user().await.unwrap(), mallory.id.to_string());
    // The address is the victim's, proven, and so is whatever it finds.
    let by_email = Lookup::Email(Email::parse("ada@example.com").unwrap().canonical());
    let owner = site.server.app().store.user(by_email).await.unwrap().unwrap();
    assert_eq!(owner.id.to_string(), victim.user().await.unwrap());
    // What the attacker has shows the attacker's own account and nothing else.
    let me = site.me(&waiting.access).await.json();
    assert_eq!((&me["user"]["username"], &me["user"]["email_verified"]), (&json!("mallory"), &json!(false)));
    let form = json!({"username": "ada@example.com", "password": PASSWORD});
    assert_eq!(site.post("/auth/login", &form).send().await.code(), "invalid_credentials");
    // And it stays so when the victim comes back.
    let mut again = Browser::new(&site);
    again.sign_in(&idp, &ADA).await;
    assert_eq!(again.user().await, victim.user().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_new_comes_in_where_registration_is_closed() {
    let idp = Idp::start().await;
    let closed = |provider: Option<bool>| {
        let idp = idp.clone();
        Site::with(http_origin(), move |config| {
            idp.configure(config);
            config.registration_enabled = Some(provider.is_none_or(|open| !open));
            config.providers.get_mut("idp").unwrap().registration = provider;
        })
    };
    let site = closed(Some(false)).await;
    let mut browser = Browser::new(&site);
    let answer = browser.sign_in(&idp, &ADA).await;
    assert_eq!(refused(&answer), "403 registration_disabled");
    assert_eq!(browser.user().await, None);
    assert_eq!(audit(&site).await, ["login.failed registration_closed by idp"]);
    // The provider's own setting counts, either way.
    let site = closed(Some(true)).await;
    let mut browser = Browser::new(&site);
    assert_eq!(location(&browser.sign_in(&idp, &ADA).await), "/account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_account_stays_closed_whoever_vouches() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&idp, &ADA).await;
    let ada = user(&site, "ada.lovelace").await.unwrap();
    let disabled = User { disabled_at: Some(ada.created_at), version: ada.version + 1, ..ada };
    site.server.app().store.apply(vec![Change::UpdateUser(disabled)], vec![]).await.unwrap();
    let mut again = Browser::new(&site);
    assert_eq!(refused(&again.sign_in(&idp, &ADA).await), "403 account_disabled");
    assert_eq!(again.user().await, None);
    assert_eq!(audit(&site).await.last().unwrap(), "login.failed disabled by idp");
}

/// Attack 92.
#[tokio::test(flavor = "multi_thread")]
async fn a92_whoever_was_signed_in_before_is_signed_out() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::registered(&site, "bob").await;
    let before = browser.copy();
    browser.sign_in(&idp, &ADA).await;
    assert_ne!(browser.jar["jwt_session"], before.jar["jwt_session"], "never the session of before");
    let refresh = site.ask(http::Method::POST, "/auth/refresh").header("sec-fetch-site", "same-origin");
    let cookies = format!("jwt_session={}", before.jar["jwt_session"]);
    assert_eq!(refresh.header("cookie", &cookies).send().await.status, 401);
    let mut before = before;
    assert_eq!(before.user().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn cookies_of_a_flow_are_the_hosts_own() {
    let idp = Idp::start().await;
    let site = Site::with(https_origin(), |config| idp.configure(config)).await;
    let answer = site.get("/login/idp?return_to=https%3A%2F%2Fevil.example%2F").send().await;
    let cookies = answer.cookies();
    let flow = cookies.iter().find(|cookie| cookie.starts_with("__Host-jwt_flow=")).unwrap();
    assert!(flow.ends_with("; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax"), "{flow}");
    let to = url::Url::parse(location(&answer)).unwrap();
    let redirect = to.query_pairs().find(|(name, _)| name == "redirect_uri").unwrap().1.into_owned();
    assert_eq!(
        redirect, "https://login.example.com/login/idp/callback",
        "of public_url, never of the request"
    );
    // A way back that is not ours was dropped before it was sealed.
    let back = idp.authorize(&to, &ADA);
    let back = site.get(&back).header("cookie", flow.split(';').next().unwrap()).send().await;
    assert_eq!(location(&back), "/account");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_has_ten_minutes() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    site.clock.pass(Duration::from_secs(600));
    assert_eq!(refused(&browser.get(&back).await), "400 invalid_flow");
}
