//! Sign-ins that have to be recent: what a provider is asked for, what it has to say, and how old a session is.

use std::time::Duration;

use jotgate::config::Provider;
use jotgate_domain::upstream::Preset;
use serde_json::{Value, json};
use url::Url;

use super::browser::{Browser, location, refused};
use super::idp::{ADA, APP_URI, Idp, Mischief};
use super::support::{PASSWORD, START, Site, claims, http_origin};

const HOUR: Duration = Duration::from_secs(3600);

async fn site(provider: Provider) -> Site {
    Site::with(http_origin(), |config| drop(config.providers.insert("idp".into(), provider))).await
}

fn pass(site: &Site, idp: &Idp, time: Duration) {
    site.clock.pass(time);
    idp.pass(time);
}

fn parameter(url: &Url, name: &str) -> Option<String> {
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// Where a link of a page leads.
async fn follow(browser: &mut Browser<'_>, path: &str) -> Url {
    Url::parse(location(&browser.get(path).await)).unwrap()
}

/// `auth_time` of whoever is signed in.
fn auth_time(browser: &Browser<'_>) -> i64 {
    claims(&browser.jar["jwt"])["auth_time"].as_i64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_to_sign_in_again_does_so_at_the_provider() {
    let idp = Idp::start().await;
    let site = site(idp.provider()).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&idp, &ADA).await;
    assert_eq!(auth_time(&browser), START);
    pass(&site, &idp, HOUR);
    let page = browser.get("/login?again=1&return_to=%2Faccount").await.text();
    assert!(page.contains("href=\"/login/idp?return_to=%2Faccount&#38;max_age=0\""), "{page}");
    assert!(!page.contains("name=\"password\""), "ada has none: {page}");

    let to = follow(&mut browser, "/login/idp?return_to=%2Faccount&max_age=0").await;
    assert_eq!(parameter(&to, "max_age").as_deref(), Some("0"));
    assert_eq!(parameter(&to, "prompt").as_deref(), Some("login"));
    assert_eq!(location(&browser.come_back(&idp, &to, &ADA).await), "/account");
    assert_eq!(auth_time(&browser), START + 3600);

    // A minute later that is recent enough for five minutes; nobody types anything.
    pass(&site, &idp, Duration::from_secs(60));
    let to = follow(&mut browser, "/login/idp?max_age=300").await;
    assert_eq!((parameter(&to, "max_age"), parameter(&to, "prompt")), (Some("300".into()), None));
    assert_eq!(browser.come_back(&idp, &to, &ADA).await.status, 303);
    assert_eq!(auth_time(&browser), START + 3600, "and the session says so");
    // After six it is not.
    pass(&site, &idp, Duration::from_secs(300));
    let page = browser.get("/login?max_age=300").await.text();
    assert!(page.contains("sign in once more") && page.contains("/login/idp?max_age=300\""), "{page}");
    let to = follow(&mut browser, "/login/idp?max_age=300").await;
    assert_eq!(browser.come_back(&idp, &to, &ADA).await.status, 303);
    assert_eq!(auth_time(&browser), START + 3960);

    // Whoever is not signed in at all is asked for as much.
    let page = Browser::new(&site).get("/login?max_age=300").await.text();
    assert!(page.contains("/login/idp?max_age=300\"") && page.contains("name=\"password\""), "{page}");
}

/// OpenID Connect Core §3.1.3.7, number 13.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_ask_again_vouches_for_no_recent_sign_in() {
    type Bend = fn(&mut Value);
    let idp = Idp::start().await;
    let site = site(idp.provider()).await;
    let mut browser = Browser::new(&site);
    browser.sign_in(&idp, &ADA).await;
    let id = browser.user().await;
    pass(&site, &idp, HOUR);
    let tries: [(&str, &str, Bend, &str); 6] = [
        ("silent", "0", |_| {}, "403 stale_sign_in"),
        ("silent", "300", |_| {}, "403 stale_sign_in"),
        ("more than a minute before", "0", |c| c["auth_time"] = json!(START + 3539), "403 stale_sign_in"),
        ("says nothing", "0", |c| drop(c.as_object_mut().unwrap().remove("auth_time")), "403 stale_sign_in"),
        ("is still to come", "0", |c| c["auth_time"] = json!(START + 3661), "401 invalid_id_token"),
        ("is text", "0", |c| c["auth_time"] = json!("now"), "401 invalid_id_token"),
    ];
    for (what, age, bend, refusal) in tries {
        idp.does(Mischief { silent: true, claims: Some(Box::new(bend)), ..Mischief::default() });
        let to = follow(&mut browser, &format!("/login/idp?max_age={age}")).await;
        let answer = browser.come_back(&idp, &to, &ADA).await;
        assert_eq!(refused(&answer), refusal, "{what}");
        assert!(!browser.jar.contains_key("jwt_flow"), "{what}: it is over");
        assert_eq!(browser.get("/account").await.status, 200, "{what}");
        assert_eq!((browser.user().await, auth_time(&browser)), (id.clone(), START), "{what}: as before");
    }
    // A clock that is off by no more than a minute is one.
    for (said, counts) in [(START + 3540, START + 3540), (START + 3659, START + 3600)] {
        let bend = move |c: &mut Value| c["auth_time"] = json!(said);
        idp.does(Mischief { claims: Some(Box::new(bend)), ..Mischief::default() });
        let to = follow(&mut browser, "/login/idp?max_age=0").await;
        assert_eq!(browser.come_back(&idp, &to, &ADA).await.status, 303);
        assert_eq!(auth_time(&browser), counts, "never later than now");
    }
}

/// Without being asked for more, too: a session is as old as the sign-in behind it.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_sign_in_makes_an_old_session() {
    let idp = Idp::start().await;
    let site = site(idp.provider()).await;
    Browser::new(&site).sign_in(&idp, &ADA).await;
    pass(&site, &idp, HOUR);
    let mut browser = Browser::new(&site);
    let to = browser.set_out("idp").await;
    assert_eq!((parameter(&to, "max_age"), parameter(&to, "prompt")), (Some("31536000".into()), None));
    assert_eq!(location(&browser.come_back(&idp, &to, &ADA).await), "/account");
    assert_eq!(auth_time(&browser), START);
    let again = browser.post("/account/identities", &[("provider", "idp")]).await;
    assert_eq!(location(&again), "/login?again=1&return_to=%2Faccount");
    // A renewal makes it no younger.
    site.clock.pass(Duration::from_secs(590));
    assert_eq!(browser.get("/account").await.status, 200);
    assert_eq!(auth_time(&browser), START);
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_nobody_knows_the_time_of_signed_in_long_ago() {
    let idp = Idp::start().await;
    let site = site(Provider { preset: Some(Preset::GitHub), ..idp.provider() }).await;
    let mut browser = Browser::new(&site);
    let to = browser.set_out("idp").await;
    assert_eq!((parameter(&to, "max_age"), parameter(&to, "claims")), (None, None));
    assert_eq!(browser.come_back(&idp, &to, &ADA).await.status, 303);
    assert_eq!(auth_time(&browser), 0);
    let again = browser.post("/account/identities", &[("provider", "idp")]).await;
    assert_eq!(location(&again), "/login?again=1&return_to=%2Faccount");
    let page = browser.get(location(&again)).await.text();
    assert!(!page.contains("/login/idp") && page.contains("Ask the people who run this server"), "{page}");
    // Who goes there all the same is told before anything else.
    let answer = browser.get("/login/idp?max_age=0").await;
    assert_eq!(refused(&answer), "403 stale_sign_in");
    assert!(!browser.jar.contains_key("jwt_flow"));
    // Whoever has a password shows that.
    let page = Browser::registered(&site, "bob").await.get("/login?again=1").await.text();
    assert!(!page.contains("/login/idp") && page.contains("name=\"password\""), "{page}");
}

/// The form keeps what the page was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_leaves_the_page_as_it_was() {
    let idp = Idp::start().await;
    let site = site(idp.provider()).await;
    let mut bob = Browser::registered(&site, "bob").await;
    let page = bob.get("/login?again=1").await.text();
    assert!(page.contains("name=\"max_age\" value=\"0\""), "{page}");
    let fields = [("username", "bob"), ("password", "another one"), ("max_age", "0")];
    let page = bob.post("/login", &fields).await.text();
    assert!(page.contains("sign in once more") && page.contains("/login/idp?max_age=0\""), "{page}");
    let fields = [("username", "bob"), ("password", PASSWORD), ("max_age", "0")];
    assert_eq!(location(&bob.post("/login", &fields).await), "/account");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_preset_is_asked_in_its_own_way() {
    let idp = Idp::start().await;
    for (preset, asks, anew) in [
        (Preset::Google, [None, Some("auth_time")], [Some("0"), None]),
        (Preset::GitLab, [Some("31536000"), None], [Some("0"), Some("login")]),
    ] {
        let site = site(Provider { preset: Some(preset), ..idp.provider() }).await;
        let mut browser = Browser::new(&site);
        let to = follow(&mut browser, "/login/idp").await;
        assert_eq!(parameter(&to, "max_age").as_deref(), asks[0], "{preset:?}");
        let claims = parameter(&to, "claims");
        assert_eq!(
            claims.is_some_and(|claims| claims.contains("auth_time")),
            asks[1].is_some(),
            "{preset:?}"
        );
        let to = follow(&mut browser, "/login/idp?max_age=0").await;
        let asked = [parameter(&to, "max_age"), parameter(&to, "prompt")];
        assert_eq!(asked.each_ref().map(Option::as_deref), anew, "{preset:?}");
    }
}

/// What an application asked the provider for is its own affair; the session is honest about it.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_makes_a_session_as_old_as_the_sign_in_behind_it() {
    let idp = Idp::start().await;
    let site = site(idp.provider()).await;
    pass(&site, &idp, HOUR);
    for (said, counts) in [(None, 0), (Some(START), START), (Some(START + 3659), START + 3600)] {
        let bend = move |c: &mut Value| c["auth_time"] = json!(said);
        let claims_of = said.map(|_| Box::new(bend) as Box<dyn Fn(&mut Value) + Send>);
        idp.does(Mischief { claims: claims_of, ..Mischief::default() });
        let (code, verifier) = idp.code(&ADA, None);
        let form =
            json!({"provider": "idp", "code": code, "code_verifier": verifier, "redirect_uri": APP_URI});
        let answer = site.post("/auth/login", &form).send().await;
        assert_eq!(claims(&answer.tokens().access)["auth_time"], json!(counts), "{said:?}");
    }
}
