//! What must not sign anybody in: answers that belong to another browser, provider or sign-in, and providers that lie
//! or are broken.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

use super::browser::{Browser, location, refused};
use super::idp::{ADA, Idp, Mischief};
use super::support::{START, Site, http_origin};

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

/// Attack 150: what comes back belongs to the browser that set out, and to the provider that it set out for.
#[tokio::test(flavor = "multi_thread")]
async fn a150_an_answer_of_another_browser_or_provider_signs_nobody_in() {
    let (idp, other) = (Idp::start().await, Idp::start().await);
    let site = Site::with(http_origin(), |config| {
        idp.configure(config);
        config.providers.insert("other".into(), other.provider());
    })
    .await;
    let mut attacker = Browser::new(&site);
    let theirs = idp.authorize(&attacker.set_out("idp").await, &ADA);

    // A victim who is led to the attacker's answer: without a sign-in under way, and with one.
    let mut victim = Browser::new(&site);
    assert_eq!(refused(&victim.get(&theirs).await), "400 invalid_flow");
    let own = idp.authorize(&victim.set_out("idp").await, &ADA);
    assert_eq!(refused(&victim.get(&theirs).await), "400 invalid_flow");
    // At another provider's address (a mix-up), with its own state.
    let mixed = own.replace("/login/idp/", "/login/other/");
    assert_eq!(refused(&victim.get(&mixed).await), "400 invalid_flow");
    for changed in [
        own.replace("state=", "state=A"),
        own.replace("state=", "status="),
        format!("{own}&state=x"),
        own.replace("/login/idp/", "/login/idp/../idp/"),
    ] {
        assert_ne!(victim.get(&changed).await.status, 303, "{changed}");
    }
    assert_eq!((idp.asked("/token"), other.asked("/token")), (0, 0), "no code went anywhere");
    assert_eq!(victim.user().await, None);
    // The victim's own sign-in was not spoilt by any of it.
    assert_eq!(location(&victim.get(&own).await), "/account");
}

/// RFC 9207 §2.4: an `iss` that is there has to be the provider's; one that was promised has to be there.
#[tokio::test(flavor = "multi_thread")]
async fn a150_the_answer_names_the_provider_that_was_asked() {
    let idp = Idp::start().await;
    let named: String = url::form_urlencoded::byte_serialize(idp.base().as_bytes()).collect();
    for (promised, iss, good) in [
        (false, None, true),
        (false, Some(named.as_str()), true),
        (false, Some("https%3A%2F%2Fevil.example"), false),
        (true, None, false),
        (true, Some(&named), true),
    ] {
        idp.does(Mischief {
            metadata: Some(Box::new(move |document| {
                document["authorization_response_iss_parameter_supported"] = json!(promised);
            })),
            ..Mischief::default()
        });
        let site = site(&idp).await;
        let mut browser = Browser::new(&site);
        let mut back = idp.authorize(&browser.set_out("idp").await, &ADA);
        if let Some(iss) = iss {
            back.push_str(&format!("&iss={iss}"));
        }
        let before = idp.asked("/token");
        let answer = browser.get(&back).await;
        assert_eq!(answer.status == 303, good, "{promised} {iss:?}");
        assert_eq!(idp.asked("/token") - before, usize::from(good), "the code went nowhere else");
    }
}

/// Attack 152: once, also where both arrive at the same moment.
#[tokio::test(flavor = "multi_thread")]
async fn a152_an_answer_is_used_once() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    let mut thief = browser.copy();
    assert_eq!(browser.get(&back).await.status, 303);
    assert_eq!(refused(&thief.get(&back).await), "400 invalid_flow");
    assert_eq!(refused(&browser.get(&back).await), "400 invalid_flow");
    assert_eq!(idp.asked("/token"), 1, "the provider was not even asked");

    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    let mut copies: Vec<Browser<'_>> = (0..8).map(|_| browser.copy()).collect();
    let answers = futures_util::future::join_all(copies.iter_mut().map(|copy| copy.get(&back))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 303).count(), 1);
    assert_eq!(idp.asked("/token"), 2);

    // One that was refused is spent as well: the person begins anew.
    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    let mut copy = browser.copy();
    let denied = back.replace("code=", "error=access_denied&was=");
    assert_eq!(refused(&browser.get(&denied).await), "403 provider_denied");
    assert_eq!(refused(&copy.get(&back).await), "400 invalid_flow");
}

fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", part(header), part(claims))
}

/// Pages of others can make a browser ask for this, hundreds of times: their visitors' tries are not theirs to use up.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_set_out_for_costs_no_try() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut stranger = Browser::new(&site);
    for _ in 0..600 {
        assert_eq!(refused(&stranger.get("/login/idp/callback?state=x&code=y").await), "400 invalid_flow");
    }
    let mut browser = Browser::new(&site);
    assert_eq!(browser.sign_in(&idp, &ADA).await.status, 303);
}

/// It has to fit into a cookie.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_way_back_is_no_error() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    for length in [10, 2000, 3000, 8000] {
        let answer = browser.get(&format!("/login/idp?return_to=/{}", "x".repeat(length))).await;
        assert_eq!(answer.status, 303, "{length}");
    }
}

/// Makes the claims of a token wrong.
type Bend = Box<dyn Fn(&mut Value) + Send>;
/// Makes a token of claims.
type Forge = Box<dyn Fn(&Value) -> String + Send>;

/// Attack 150, CVE-2026-31813: nonce, audience, issuer, times, algorithm, key: each alone is enough to refuse.
#[tokio::test(flavor = "multi_thread")]
async fn a150_a_token_that_is_not_for_this_sign_in_signs_nobody_in() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let tries: Vec<(&str, Bend)> = vec![
        ("another nonce", Box::new(|c| c["nonce"] = json!("of another sign-in"))),
        ("no nonce", Box::new(|c| drop(c.as_object_mut().unwrap().remove("nonce")))),
        ("nonce as a list", Box::new(|c| c["nonce"] = json!([c["nonce"]]))),
        ("another client", Box::new(|c| c["aud"] = json!("another"))),
        ("another client as well", Box::new(|c| c["aud"] = json!(["jotgate-client", "another"]))),
        ("given to another client", Box::new(|c| c["azp"] = json!("another"))),
        ("no audience", Box::new(|c| c["aud"] = json!([]))),
        ("another issuer", Box::new(|c| c["iss"] = json!("https://evil.example"))),
        ("almost the issuer", Box::new(|c| c["iss"] = json!(format!("{}/", c["iss"].as_str().unwrap())))),
        ("no issuer", Box::new(|c| drop(c.as_object_mut().unwrap().remove("iss")))),
        ("expired", Box::new(|c| c["exp"] = json!(START - 61))),
        ("never expires", Box::new(|c| drop(c.as_object_mut().unwrap().remove("exp")))),
        ("from the future", Box::new(|c| c["iat"] = json!(START + 600))),
        ("nobody", Box::new(|c| drop(c.as_object_mut().unwrap().remove("sub")))),
        ("nobody in particular", Box::new(|c| c["sub"] = json!(""))),
        ("a number", Box::new(|c| c["sub"] = json!(1001))),
        ("somebody very long", Box::new(|c| c["sub"] = json!("x".repeat(256)))),
    ];
    for (what, change) in tries {
        idp.does(Mischief { claims: Some(change), ..Mischief::default() });
        let mut browser = Browser::new(&site);
        let answer = browser.sign_in(&idp, &ADA).await;
        assert_eq!(refused(&answer), "401 invalid_id_token", "{what}");
        assert_eq!(browser.user().await, None, "{what}");
        assert!(!browser.jar.contains_key("jwt_flow"), "{what}: it is over");
    }
    idp.does(Mischief::default());
    assert_eq!(Browser::new(&site).sign_in(&idp, &ADA).await.status, 303, "and an honest one does");
}

#[tokio::test(flavor = "multi_thread")]
async fn a150_the_key_decides_the_algorithm_and_no_token_brings_its_own() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let public = idp.0.key.lock().unwrap().verifying_key().to_public_jwk().unwrap();
    let kid = idp.0.key.lock().unwrap().kid().to_owned();
    let stranger = || SigningKey::generate(Algorithm::Es256).unwrap();
    let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
    let (hs_kid, jwk_kid) = (kid.clone(), kid.clone());
    let rsa = SigningKey::generate(Algorithm::Rs256).unwrap();
    let tries: Vec<(&str, Forge)> = vec![
        ("none", Box::new(|c| unsigned(&json!({"alg": "none"}), c) + ".")),
        (
            "HS256 with the published key as secret",
            Box::new(move |c| {
                let text = unsigned(&json!({"alg": "HS256", "kid": hs_kid}), c);
                let tag = aws_lc_rs::hmac::sign(&hmac, text.as_bytes());
                format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
            }),
        ),
        (
            "HS256 with the client's secret",
            Box::new(|c| {
                let secret = format!("{:0>32}", super::idp::SECRET);
                let key = SigningKey::from_secret(Algorithm::Hs256, secret.as_bytes()).unwrap();
                key.sign("JWT", c.to_string().as_bytes()).unwrap()
            }),
        ),
        (
            "a stranger's key under the known name",
            Box::new(move |c| stranger().with_kid(&kid).sign("JWT", c.to_string().as_bytes()).unwrap()),
        ),
        (
            "a key inside the token",
            Box::new(move |c| {
                let key = SigningKey::generate(Algorithm::Es256).unwrap();
                let jwk: Value = serde_json::from_str(&key.verifying_key().to_public_jwk().unwrap()).unwrap();
                let text = unsigned(&json!({"alg": "ES256", "kid": jwk_kid, "jwk": jwk}), c);
                format!("{text}.{}", URL_SAFE_NO_PAD.encode([7; 64]))
            }),
        ),
        (
            "an algorithm that the provider does not use",
            Box::new(move |c| rsa.sign("JWT", c.to_string().as_bytes()).unwrap()),
        ),
        (
            "an access token",
            Box::new(|c| {
                SigningKey::generate(Algorithm::Es256)
                    .unwrap()
                    .sign("at+jwt", c.to_string().as_bytes())
                    .unwrap()
            }),
        ),
        ("no token", Box::new(|_| String::new())),
        ("no token at all", Box::new(|_| "x".to_owned())),
    ];
    for (what, forge) in tries {
        idp.does(Mischief { forge: Some(forge), ..Mischief::default() });
        let mut browser = Browser::new(&site);
        assert_eq!(refused(&browser.sign_in(&idp, &ADA).await), "401 invalid_id_token", "{what}");
        assert_eq!(browser.user().await, None, "{what}");
    }
}

/// A new key is found when a token names it; tokens that name keys which never were ask the provider next to nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_is_asked_for_and_invented_ones_are_not() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    assert_eq!(Browser::new(&site).sign_in(&idp, &ADA).await.status, 303);
    assert_eq!(idp.asked("/jwks"), 1);
    *idp.0.key.lock().unwrap() = SigningKey::generate(Algorithm::Es256).unwrap();
    site.clock.pass(Duration::from_secs(31));
    assert_eq!(Browser::new(&site).sign_in(&idp, &ADA).await.status, 303, "under the new key");
    assert_eq!(idp.asked("/jwks"), 2);
    for _ in 0..20 {
        idp.does(Mischief {
            forge: Some(Box::new(|c| {
                SigningKey::generate(Algorithm::Es256).unwrap().sign("JWT", c.to_string().as_bytes()).unwrap()
            })),
            ..Mischief::default()
        });
        assert_eq!(refused(&Browser::new(&site).sign_in(&idp, &ADA).await), "401 invalid_id_token");
    }
    assert_eq!(idp.asked("/jwks"), 2);
    assert_eq!(idp.asked("/metadata"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_broken_signs_nobody_in_and_breaks_nothing() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    Browser::new(&site).sign_in(&idp, &ADA).await;
    let tries: Vec<(&str, Mischief)> = vec![
        ("500", Mischief { status: Some(500), ..Mischief::default() }),
        ("a redirect is not followed", Mischief { status: Some(302), ..Mischief::default() }),
        ("3 MiB", Mischief { huge: true, ..Mischief::default() }),
    ];
    for (what, mischief) in tries {
        let mut browser = Browser::new(&site);
        let back = idp.authorize(&browser.set_out("idp").await, &ADA);
        idp.does(mischief);
        let answer = browser.get(&back).await;
        assert_eq!(refused(&answer), "503 provider_unavailable", "{what}");
        assert_eq!(answer.header("retry-after"), Some("30"), "{what}");
        assert_eq!(browser.user().await, None);
        idp.does(Mischief::default());
    }
    assert_eq!(idp.asked("/me"), 0);
    assert_eq!(Browser::new(&site).sign_in(&idp, &ADA).await.status, 303);
}

/// Silence is waited for six seconds and no longer, and what has nothing to do with the provider goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_provider_holds_nobody_up() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    idp.does(Mischief { hangs: true, ..Mischief::default() });
    let begin = std::time::Instant::now();
    let waiting = browser.get(&back);
    let other = async {
        let tokens = site.signed_in("bob").await;
        assert_eq!(site.me(&tokens.access).await.status, 200);
        begin.elapsed()
    };
    let (answer, meanwhile) = futures_util::future::join(waiting, other).await;
    assert_eq!(refused(&answer), "503 provider_unavailable");
    assert!(meanwhile < begin.elapsed(), "{meanwhile:?}");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

/// What was read last serves for a day; what was never read cannot.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_keys_outlive_their_provider_for_a_day() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    Browser::new(&site).sign_in(&idp, &ADA).await;
    idp.does(Mischief { away: true, ..Mischief::default() });
    site.clock.pass(Duration::from_secs(2 * 3600));
    assert_eq!(site.get("/login/idp").send().await.status, 303);
    let asked = idp.asked("/metadata");
    assert_eq!(site.get("/login/idp").send().await.status, 303);
    assert_eq!(idp.asked("/metadata"), asked, "not asked again at once");
    site.clock.pass(Duration::from_secs(23 * 3600));
    assert_eq!(refused(&site.get("/login/idp").send().await), "503 provider_unavailable");
    idp.does(Mischief::default());
    site.clock.pass(Duration::from_secs(31));
    assert_eq!(site.get("/login/idp").send().await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_another_issuer_are_not_used() {
    let idp = Idp::start().await;
    for change in [
        |document: &mut Value| document["issuer"] = json!("https://accounts.google.com"),
        |document: &mut Value| document["token_endpoint"] = json!("http://169.254.169.254/latest"),
        |document: &mut Value| document["id_token_signing_alg_values_supported"] = json!(["HS256"]),
    ] {
        idp.does(Mischief { metadata: Some(Box::new(change)), ..Mischief::default() });
        let site = site(&idp).await;
        assert_eq!(refused(&site.get("/login/idp").send().await), "503 provider_unavailable");
    }
}

/// OpenID Connect Core §3.1.3.6: a token that says which access token it came with is of no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_of_another_sign_in_is_not_used() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let without_address = super::idp::Person { email: None, ..ADA };
    for (at_hash, good) in [
        (None, true),
        (Some(json!("AAAAAAAAAAAAAAAAAAAAAA")), false),
        (Some(json!("")), false),
        (Some(json!(7)), false),
    ] {
        let case = format!("{at_hash:?}");
        let before = idp.asked("/me");
        idp.does(Mischief { at_hash: at_hash.clone(), ..Mischief::default() });
        let answer = Browser::new(&site).sign_in(&idp, &without_address).await;
        assert_eq!(answer.status == 303, good, "{case}");
        assert!(good || refused(&answer) == "401 invalid_id_token", "{case}");
        assert_eq!(idp.asked("/me") - before, usize::from(good), "{case}: nobody was shown it");
        // Where it is not used, it is of no matter.
        assert_eq!(Browser::new(&site).sign_in(&idp, &ADA).await.status, 303, "{case}");
    }
}

/// What went wrong here ends the sign-in as well: its cookie does not stay for the next one.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_our_own_ends_the_sign_in() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    site.register("bob").await;
    let mut browser = Browser::new(&site);
    let back = idp.authorize(&browser.set_out("idp").await, &ADA);
    while site.register("bob").await.status != 429 {}
    let answer = browser.get(&back).await;
    assert_eq!(refused(&answer), "429 too_many_attempts");
    assert!(answer.header("retry-after").is_some() && !browser.jar.contains_key("jwt_flow"));
    assert_eq!(idp.asked("/token"), 0);
}

/// Attack 154: what comes back with an error is never shown as it is.
#[tokio::test(flavor = "multi_thread")]
async fn a154_an_error_of_the_provider_is_a_page_of_our_own() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    for error in
        ["access_denied", "%3Cscript%3Ealert(1)%3C%2Fscript%3E", "%0d%0aset-cookie:a=b", "login_required"]
    {
        let mut browser = Browser::new(&site);
        let back = idp.authorize(&browser.set_out("idp").await, &ADA);
        let query = back.split_once("code=").unwrap().1.split_once("&state=").unwrap().1;
        let back = format!(
            "/login/idp/callback?error={error}&error_description=%3Cimg%20src%3Dx%20onerror%3Dalert(2)%3E&state={query}"
        );
        let answer = browser.get(&back).await;
        assert_eq!(refused(&answer), "403 provider_denied", "{error}");
        assert!(!answer.text().contains("<script") && !answer.text().contains("<img src=x"));
        assert!(answer.header("set-cookie").is_some_and(|cookie| cookie.starts_with("jwt_flow=; ")));
    }
    assert_eq!(idp.asked("/token"), 0);
}
