//! What a token says of a user, and how large it may get.

use jotgate_domain::account::{self, AccountError};
use jotgate_domain::name::RoleName;
use jotgate_domain::token::Shape;
use jotgate_jose::Algorithm;
use serde_json::{Value, json};

use crate::support::{PASSWORD, Site, claims, https_origin};
use crate::tools::*;

fn shape_of(site: &Site) -> Shape {
    let issuer = site.server.app().issuer().to_owned();
    Shape {
        audience: vec![issuer.clone()],
        status_uri: format!("{issuer}/auth/status/{}", u32::MAX),
        issuer,
        algorithm: "ES256".to_owned(),
        signature_len: 64,
        kid_len: 43,
        cookie_name_len: site.server.site().cookies.access_name().len(),
    }
}

#[tokio::test]
async fn a_token_with_twenty_roles_is_at_most_a_kilobyte_and_a_half() {
    let site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    let roles: Vec<String> = (0..20).map(|n| format!("role-name-{n:02}")).collect();
    grant_roles(&site, "ada", roles.iter().map(String::as_str)).await;
    let tokens = site.login("ada").await.tokens();
    assert_eq!(claims(&tokens.access)["roles"].as_array().unwrap().len(), 20);
    assert!(tokens.access.len() <= 1_536, "{} bytes", tokens.access.len());
}

#[tokio::test]
async fn what_is_granted_always_fits_the_cookie() {
    let site = Site::with(https_origin(), |_| {}).await;
    assert_eq!(site.register("ada").await.status, 201);
    let shape = shape_of(&site);
    let policy = &site.config.policy;
    let mut granted = 0;
    loop {
        let role = RoleName::parse(&format!("a-role-with-a-long-name:{granted:04}")).unwrap();
        match account::grant_role(&record(&site, "ada").await, &role, policy, &shape, &by_operator(&site)) {
            Ok(edited) => write(&site, edited).await,
            Err(error) => {
                assert_eq!(error.code(), "too_many_roles");
                break;
            }
        }
        granted += 1;
        assert!(granted < 1_000);
    }
    let login = cookie_login(&site, "ada").await;
    let pair = login.cookie_header();
    let longest = pair.split("; ").map(str::len).max().unwrap();
    assert!((3_800..=4_000).contains(&longest), "{longest} bytes after {granted} roles");
    let huge = json!("x".repeat(1_000));
    let edited = account::set_claim(
        &record(&site, "ada").await,
        "x",
        Some(&huge),
        policy,
        &shape,
        &by_operator(&site),
    );
    assert!(matches!(edited, Err(AccountError::TooLarge(_))));
}

/// The configuration grew after the roles were granted: told, at every request, and nothing half done.
#[tokio::test]
async fn a_token_that_outgrew_the_cookie_is_told_and_costs_nobody_a_session() {
    let site = Site::with(https_origin(), |config| config.policy.max_per_user = 3).await;
    assert_eq!(site.register("ada").await.status, 201);
    grant_roles(&site, "ada", ["staff"]).await;
    let before = cookie_login(&site, "ada").await;
    let phone = site.login("ada").await.tokens();
    let site = site
        .restart(|config| {
            let permissions = (0..200).map(|n| format!("a:long:permission:{n:04}")).collect();
            config.policy.permissions.insert("staff".to_owned(), permissions);
        })
        .await;
    let body = json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"});
    for _ in 0..5 {
        let refused = site.post("/auth/login", &body).send().await;
        assert_eq!((refused.status, refused.code().as_str()), (422, "too_many_roles"));
        assert!(refused.cookies().is_empty());
    }
    let refresh = site.post("/auth/refresh", &json!({})).header("cookie", &before.cookie_header());
    let refused = refresh.header("origin", "https://login.example.com").send().await;
    assert_eq!((refused.status, refused.code().as_str()), (422, "too_many_roles"));
    assert!(refused.cookies().is_empty());
    // Logins that gave nobody a cookie began no sessions that push out the others.
    accepted_everywhere(&site, &phone.access).await;
    assert_eq!(site.refresh(&phone.refresh).await.status, 200, "in a body it fits");
    let now = site.server.app().now();
    let id = record(&site, "ada").await.id;
    assert_eq!(site.server.app().store.sessions(Some(id), now, 10).await.unwrap().len(), 2);
}

#[tokio::test]
async fn custom_claims_are_in_the_token_and_none_is_one_of_ours() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    let shape = shape_of(&site);
    let set = async |name: &str, value: &Value| {
        let user = record(&site, "ada").await;
        account::set_claim(&user, name, Some(value), &site.config.policy, &shape, &by_operator(&site))
    };
    for name in [
        "sub",
        "SUB",
        "Roles",
        "scope",
        "iss",
        "aud",
        "exp",
        "permissions",
        "status",
        "email",
        "sid",
        "cnf",
        "act",
        "client_id",
        "__proto__",
        "",
        "a b",
        "a\"b",
        "\u{0}",
        "ёж",
        &"x".repeat(65),
    ] {
        assert!(set(name, &json!(1)).await.is_err(), "{name:?}");
    }
    assert!(set("x", &json!(null)).await.is_err());
    let value = json!({"sub": "x", "deep": ["\"", "\\", "</script>", "\u{2028}", "é", 1.5, null]});
    write(&site, set("https://example.com/tenant", &value).await.unwrap()).await;
    let tokens = site.login("ada").await.tokens();
    assert_eq!(claims(&tokens.access)["https://example.com/tenant"], value);
    let me = site.me(&tokens.access).await.json();
    assert_eq!(me["claims"]["https://example.com/tenant"], value);
    assert_eq!(me["claims"]["sub"], me["user"]["id"]);
    let verify = site.get("/auth/verify").bearer(&tokens.access).send().await;
    assert_eq!(verify.header("x-auth-user"), me["user"]["id"].as_str());
}

#[tokio::test]
async fn a107_permissions_are_those_of_the_roles_as_configured_now() {
    let roles = |staff: &[&str], boss: &[&str]| {
        let list = |all: &[&str]| all.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        [("staff".to_owned(), list(staff)), ("boss".to_owned(), list(boss))].into()
    };
    let site =
        Site::with(https_origin(), |config| config.policy.permissions = roles(&["read"], &["read", "write"]))
            .await;
    let mut tokens = site.signed_in("ada").await;
    assert_eq!(claims(&tokens.access)["permissions"], json!([]));
    grant_roles(&site, "ada", ["staff", "boss", "other"]).await;
    tokens = site.refresh(&tokens.refresh).await.tokens();
    assert_eq!(claims(&tokens.access)["permissions"], json!(["read", "write"]));
    let site = site.restart(|config| config.policy.permissions = roles(&["read"], &[])).await;
    site.clock.pass(std::time::Duration::from_secs(60));
    tokens = site.refresh(&tokens.refresh).await.tokens();
    assert_eq!(claims(&tokens.access)["permissions"], json!(["read"]));
}

#[tokio::test]
async fn identity_headers_carry_one_value_each_whatever_a_name_is_made_of() {
    let site = Site::new().await;
    assert_eq!(site.register("ёлка").await.status, 201);
    grant_roles(&site, "ёлка", ["a.b:c-d_E", "z"]).await;
    prove_email(&site, "ёлка", "o'brien+x%y@example.com").await;
    let tokens = site.login("ёлка").await.tokens();
    let verify = site
        .get("/auth/verify")
        .bearer(&tokens.access)
        // What a client sends under these names is not what comes back.
        .header("x-auth-user", "root")
        .header("x-auth-roles", "admin")
        .send()
        .await;
    assert_eq!(verify.header("x-auth-username"), Some("%D1%91%D0%BB%D0%BA%D0%B0"));
    assert_eq!(verify.header("x-auth-roles"), Some("a.b:c-d_E,z"));
    assert_eq!(verify.header("x-auth-email"), Some("o%27brien+x%25y@example.com"));
    assert_eq!(verify.header("x-auth-scopes"), Some("account"));
    for name in
        ["x-auth-user", "x-auth-username", "x-auth-email", "x-auth-roles", "x-auth-scopes", "x-auth-session"]
    {
        assert_eq!(verify.headers.get_all(name).iter().count(), 1, "{name}");
    }
}

#[tokio::test]
async fn what_a_proxy_asks_for_must_hold_altogether() {
    let site = Site::new().await;
    assert_eq!(site.register("ada").await.status, 201);
    grant_roles(&site, "ada", ["staff", "boss"]).await;
    let tokens = site.login("ada").await.tokens();
    for (query, status) in [
        ("", 200),
        ("?role=staff", 200),
        ("?role=staff&role=boss", 200),
        ("?role=staff&scope=account", 200),
        ("?role=staff&role=admin", 403),
        ("?role=admin", 403),
        ("?role=Staff", 403),
        ("?role=staff,boss", 403),
        ("?role=staff%20", 403),
        ("?role=", 403),
        ("?role", 403),
        ("?scope=", 403),
        ("?scope=admin", 403),
        ("?scope=account%20admin", 403),
        ("?r%6Fle=admin", 403),
        ("?%72ole=staff", 200),
        ("?x=1&role=admin&role=staff", 403),
    ] {
        for method in [http::Method::GET, http::Method::POST, http::Method::OPTIONS, http::Method::DELETE] {
            let answer =
                site.ask(method.clone(), &format!("/auth/verify{query}")).bearer(&tokens.access).send().await;
            assert_eq!(answer.status, status, "{method} {query}");
            assert_eq!(answer.headers.contains_key("x-auth-user"), status == 200, "{method} {query}");
        }
    }
    // The question is about somebody else's request: its cookies, origin and body are not held against it.
    let cookies = cookie_login(&site, "ada").await.cookie_header();
    let ask = site.ask(http::Method::POST, "/auth/verify").header("cookie", &cookies);
    let answer =
        ask.header("origin", "https://elsewhere.example").header("sec-fetch-site", "cross-site").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn under_a_long_signature_the_budget_is_the_same() {
    let site = Site::with(https_origin(), |config| config.token.algorithm = Algorithm::Rs256).await;
    assert_eq!(site.register("ada").await.status, 201);
    let roles: Vec<String> = (0..20).map(|n| format!("role-name-{n:02}")).collect();
    grant_roles(&site, "ada", roles.iter().map(String::as_str)).await;
    let login = cookie_login(&site, "ada").await;
    assert!(login.cookie_header().split("; ").all(|pair| pair.len() <= 4_000));
}
