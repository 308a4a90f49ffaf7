//! `POST /auth/login` with a code that an application had sent to itself.

use serde_json::{Value, json};

use super::idp::{ADA, APP_URI, Idp, Mischief, Person};
use super::support::{Answer, PASSWORD, Site, claims, http_origin};

async fn site(idp: &Idp) -> Site {
    Site::with(http_origin(), |config| idp.configure(config)).await
}

fn form(code: &(String, String)) -> Value {
    json!({"provider": "idp", "code": code.0, "code_verifier": code.1, "redirect_uri": APP_URI})
}

async fn login(site: &Site, form: &Value) -> Answer {
    site.post("/auth/login", form).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_a_credential_like_a_password() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let first = login(&site, &form(&idp.code(&ADA, None))).await;
    let tokens = first.tokens();
    let said = claims(&tokens.access);
    assert_eq!((&said["scope"], &said["email"]), (&json!("account"), &json!("ada@example.com")));
    assert_eq!(site.me(&tokens.access).await.status, 200);
    assert_eq!(site.refresh(&tokens.refresh).await.status, 200);
    let again = login(&site, &form(&idp.code(&ADA, None))).await;
    assert_eq!(again.json()["user"]["id"], first.json()["user"]["id"]);
    assert_ne!(again.json()["session_id"], first.json()["session_id"]);
    // The provider was shown this server's secret, and the application's own verifier and address.
    assert_eq!(idp.0.form.lock().unwrap()["redirect_uri"], APP_URI);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_code_is_told_by_a_stable_name() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let code = idp.code(&ADA, None);
    let with = |name: &str, value: Value| {
        let mut form = form(&code);
        form[name] = value;
        form
    };
    let without = |name: &str| {
        let mut form = form(&code);
        form.as_object_mut().unwrap().remove(name);
        form
    };
    for (form, status, refusal) in [
        (with("provider", json!("nobody")), 400, "unknown_provider"),
        (with("provider", json!(null)), 400, "invalid_request"),
        (with("redirect_uri", json!("com.example.app:/callback/")), 400, "invalid_redirect_uri"),
        (
            with("redirect_uri", json!("http://127.0.0.1:8080/login/idp/callback")),
            400,
            "invalid_redirect_uri",
        ),
        (with("code_verifier", json!("short")), 400, "invalid_request"),
        (with("code_verifier", json!("ä".repeat(50))), 400, "invalid_request"),
        (with("code", json!("")), 400, "invalid_request"),
        (with("code", json!(["x"])), 400, "invalid_request"),
        (without("code"), 400, "invalid_request"),
        (without("code_verifier"), 400, "invalid_request"),
        (without("redirect_uri"), 400, "invalid_request"),
        (with("username", json!("bob")), 400, "invalid_request"),
        (with("password", json!(PASSWORD)), 400, "invalid_request"),
    ] {
        let answer = login(&site, &form).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, refusal), "{form}");
    }
    assert_eq!(idp.asked("/token"), 0, "nothing of it was worth a question");
    for form in [with("code", json!("invented")), with("code_verifier", json!("a".repeat(43)))] {
        let answer = login(&site, &form).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "invalid_code"), "{form}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    // The try with the wrong verifier has used it up.
    assert_eq!(login(&site, &form(&code)).await.code(), "invalid_code");
}

/// A token with a nonce is of a sign-in that sent one: who shows the code has to know it.
#[tokio::test(flavor = "multi_thread")]
async fn a150_a_nonce_has_to_be_shown_where_the_token_has_one() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    for (sent, shown, good) in [
        (None, None, true),
        (Some("n"), Some("n"), true),
        (Some("n"), None, false),
        (Some("n"), Some("m"), false),
        (None, Some("n"), false),
    ] {
        let mut form = form(&idp.code(&ADA, sent));
        if let Some(nonce) = shown {
            form["nonce"] = json!(nonce);
        }
        let answer = login(&site, &form).await;
        assert_eq!(answer.status == 200, good, "{sent:?} {shown:?}");
        assert!(good || answer.code() == "invalid_id_token");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_away_is_no_fault_of_the_code() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    idp.does(Mischief { away: true, ..Mischief::default() });
    let answer = login(&site, &form(&idp.code(&ADA, None))).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "provider_unavailable"));
    assert_eq!(answer.header("retry-after"), Some("30"));
}

/// Attack 92, by cookie; and what the log never has.
#[tokio::test(flavor = "multi_thread")]
async fn a92_a_login_by_cookie_ends_the_session_before() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let mut by_cookie = form(&idp.code(&ADA, None));
    by_cookie["delivery"] = json!("cookie");
    let first = login(&site, &by_cookie).await;
    assert!(first.json().get("access_token").is_none());
    let mut next = form(&idp.code(&Person { sub: "7", email: None, ..ADA }, None));
    next["delivery"] = json!("cookie");
    let second = site
        .post("/auth/login", &next)
        .header("cookie", &first.cookie_header())
        .header("sec-fetch-site", "same-origin")
        .send()
        .await;
    assert_eq!(second.status, 200);
    let me = |cookies: &str| site.get("/auth/me").header("cookie", cookies).send();
    assert_eq!(me(&first.cookie_header()).await.status, 401);
    assert_eq!(me(&second.cookie_header()).await.status, 200);
    // From another site nobody is signed in.
    let foreign = site.post("/auth/login", &form(&idp.code(&ADA, None)));
    assert_eq!(foreign.header("sec-fetch-site", "cross-site").send().await.code(), "csrf");
}

/// Ten devices at once, none of them known: one account.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_parallel_first_sign_ins_one_makes_the_account() {
    let idp = Idp::start().await;
    let site = site(&idp).await;
    let forms: Vec<Value> = (0..10).map(|_| form(&idp.code(&ADA, None))).collect();
    let answers = futures_util::future::join_all(forms.iter().map(|form| login(&site, form))).await;
    let mut users: Vec<String> = answers
        .iter()
        .map(|answer| {
            answer.json()["user"]["id"].as_str().unwrap_or_else(|| panic!("{}", answer.text())).to_owned()
        })
        .collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 1);
    assert_eq!(site.server.app().store.users(None, 10).await.unwrap().len(), 1);
}
