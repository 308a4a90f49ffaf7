//! GitHub, Apple and Microsoft: what is different about each, against a server that answers in its shape.

use http::Method;
use jotgate::config::{Origin, Provider, Secret};
use jotgate_domain::name::Email;
use jotgate_domain::store::Lookup;
use jotgate_domain::upstream::Preset;
use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey, verify};
use serde_json::json;

use super::browser::{Browser, location, refused};
use super::idp::{ADA, CLIENT, Idp, Mischief};
use super::support::{START, Site, http_origin, https_origin};

async fn site(provider: Provider) -> Site {
    Site::with(http_origin(), |config| drop(config.providers.insert("idp".into(), provider))).await
}

/// What applications draw their buttons of.
#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_know_with_whom_to_sign_in() {
    let nobody = Site::new().await.get("/auth/providers").send().await;
    assert_eq!((nobody.status, nobody.json()), (200, json!({"providers": []})));
    let site = Site::with(https_origin(), |config| {
        let of = |preset, label: Option<&str>| Provider {
            preset,
            issuer: Some("https://id.example.com".to_owned()),
            client_id: CLIENT.to_owned(),
            client_secret: Some(Secret::new("never told")),
            label: label.map(str::to_owned),
            ..Provider::default()
        };
        config.providers.insert("work".into(), of(None, Some("the staff directory")));
        config.providers.insert("hub".into(), of(Some(Preset::GitHub), None));
        config.cookie.trusted_origins = vec![Origin::parse("https://app.example.com").unwrap()];
    })
    .await;
    let answer = site.get("/auth/providers").header("origin", "https://app.example.com").send().await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.example.com"));
    let url = |name: &str| format!("https://login.example.com/login/{name}");
    assert_eq!(
        answer.json(),
        json!({"providers": [
            {"name": "hub", "label": "GitHub", "preset": "github", "url": url("hub"), "recent": false},
            {"name": "work", "label": "the staff directory", "preset": null, "url": url("work"), "recent": true},
        ]})
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn github_says_who_it_is_by_its_api() {
    let idp = Idp::start().await;
    let site =
        site(Provider { preset: Some(Preset::GitHub), trust_email: Some(true), ..idp.provider() }).await;
    let mut browser = Browser::new(&site);
    let to = browser.set_out("idp").await;
    assert!(to.as_str().starts_with(&format!("{}/login/oauth/authorize?", idp.base())));
    let scope = to.query_pairs().find(|(name, _)| name == "scope").unwrap().1.into_owned();
    assert_eq!(scope, "read:user user:email");
    assert_eq!(location(&browser.get(&idp.authorize(&to, &ADA)).await), "/account");
    let user = site.server.app().store.users(None, 2).await.unwrap().remove(0);
    assert_eq!(user.username.as_str(), "octocat");
    // The primary verified one of the list, not what the profile shows.
    assert_eq!(user.verified_email().map(Email::as_str), Some("ada@example.com"));
    let (identity, _) =
        site.server.app().store.identity(idp.base(), ADA.sub).await.unwrap().expect("by its number");
    assert_eq!(identity.user_id, user.id);

    // An address that is not primary, or not verified, is none.
    for emails in [
        json!([{"email": "bob@example.com", "primary": true, "verified": false}]),
        json!([{"email": "bob@example.com", "primary": false, "verified": true}]),
        json!({"message": "Not Found"}),
    ] {
        idp.does(Mischief { userinfo: Some(emails), ..Mischief::default() });
        let person = super::idp::Person { sub: "77", ..ADA };
        Browser::new(&site).sign_in(&idp, &person).await;
        let by_email = Lookup::Email(Email::parse("bob@example.com").unwrap().canonical());
        assert_eq!(site.server.app().store.user(by_email).await.unwrap(), None);
    }
    // Its refusal comes with status 200, which `bad_verification_code` in the body takes back.
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    let answer = browser.get(&back.replace("code=code", "code=other")).await;
    assert_eq!(refused(&answer), "401 invalid_code");
}

#[tokio::test(flavor = "multi_thread")]
async fn apple_posts_back_and_is_shown_a_secret_made_for_it() {
    let idp = Idp::start().await;
    idp.does(Mischief {
        metadata: Some(Box::new(|document| {
            document["token_endpoint_auth_methods_supported"] = json!(["client_secret_post"]);
        })),
        ..Mischief::default()
    });
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let provider = Provider {
        preset: Some(Preset::Apple),
        client_secret: None,
        team_id: Some("TEAM123456".into()),
        key_id: Some("KEY1234567".into()),
        private_key: Some(Secret::new(include_str!("../../../jose/tests/keys/p256.pkcs8.pem"))),
        ..idp.provider()
    };
    drop(key);
    let site = site(provider).await;
    let mut browser = Browser::new(&site);
    let to = browser.set_out("idp").await;
    assert!(to.as_str().contains("&response_mode=form_post"));
    let back = idp.authorize(&to, &ADA);
    let form = back.split_once('?').unwrap().1.to_owned() + "&user=%7B%7D";
    // From Apple's page: no cookie of ours comes along.
    let posted = site
        .ask(Method::POST, "/login/idp/callback")
        .header("origin", "https://appleid.apple.com")
        .header("sec-fetch-site", "cross-site")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await;
    let again = location(&posted).to_owned();
    assert!(again.starts_with("/login/idp/callback?state=") && !again.contains("user="), "{again}");
    assert_eq!(posted.cookies(), [""; 0]);
    assert_eq!(location(&browser.get(&again).await), "/account");

    let secret = idp.0.form.lock().unwrap()["client_secret"].clone();
    let public = jotgate_jose::VerifyingKey::from_pem(
        Algorithm::Es256,
        include_str!("../../../jose/tests/keys/p256.spki.pem"),
    );
    let keys = KeySet::from(public.unwrap().with_kid("KEY1234567"));
    let policy = Policy::token("JWT", "TEAM123456", idp.base());
    let verified = verify(&keys, &policy, &secret, u64::try_from(START).unwrap()).unwrap();
    assert_eq!(verified.claims().sub(), Some(CLIENT));
    assert_eq!(verified.claims().exp(), u64::try_from(START + 300).ok());
    // An answer to nothing leads nowhere, however it is sent.
    let mut stranger = Browser::new(&site);
    assert_eq!(refused(&stranger.get(&again).await), "400 invalid_flow");
}

const TENANT: &str = "9188040d-6c67-4c5b-b112-36a304b66dad";

/// CVE-2026-31813: an issuer of many tenants vouches for each of them, and for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn a150_microsoft_has_many_tenants_and_one_shape_of_issuer() {
    let idp = Idp::start().await;
    let base = idp.base().to_owned();
    let of = move |tenant: &str| format!("{base}/{tenant}/v2.0");
    let template = of("{tenantid}");
    let ours = of(TENANT);
    let site = site(Provider { preset: Some(Preset::Microsoft), ..idp.provider() }).await;
    for (iss, tid, status) in [
        (ours.clone(), TENANT, 303),
        (ours.clone(), "11111111-6c67-4c5b-b112-36a304b66dad", 401),
        (template.clone(), "{tenantid}", 401),
        (of("evil"), "evil", 401),
        ("https://evil.example/v2.0".to_owned(), TENANT, 401),
    ] {
        let (template, said) = (template.clone(), (iss.clone(), tid));
        idp.does(Mischief {
            metadata: Some(Box::new(move |document| document["issuer"] = json!(template))),
            claims: Some(Box::new(move |claims| {
                claims["iss"] = json!(said.0);
                claims["tid"] = json!(said.1);
            })),
            ..Mischief::default()
        });
        let answer = Browser::new(&site).sign_in(&idp, &ADA).await;
        assert_eq!(answer.status, status, "{iss} {tid}");
    }
    // An address that an administrator there may have typed is not proven here, whatever `email_verified` says.
    let user = site.server.app().store.users(None, 2).await.unwrap().remove(0);
    assert_eq!((user.email.is_some(), user.verified_email()), (true, None));
    assert!(site.server.app().store.identity(&ours, ADA.sub).await.unwrap().is_some());
}
