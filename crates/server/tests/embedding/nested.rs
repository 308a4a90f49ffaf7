//! Below a path: everything that leads out of an answer leads back below it, and the application's own stays its own.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::application;
use super::support::{Answer, Jar, PASSWORD, Site, claims, http_origin, https_origin};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn credentials(username: &str) -> Value {
    json!({"username": username, "password": PASSWORD})
}

#[tokio::test]
async fn the_eight_steps_below_a_path() {
    let site = application(http_origin(), |builder| builder).await;
    assert_eq!(site.post("/id/auth/register", &credentials("ada")).send().await.status, 201);
    let tokens = site.post("/id/auth/login", &credentials("ada")).send().await.tokens();
    let claims = claims(&tokens.access);
    assert_eq!(claims["iss"], "http://127.0.0.1:8080/id");
    assert_eq!(claims["aud"], "http://127.0.0.1:8080/id");
    assert_eq!(claims["status"]["status_list"]["uri"], "http://127.0.0.1:8080/id/auth/status/0");

    // Any resource server verifies it with what the metadata leads to.
    let jwks = site.get("/id/.well-known/jwks.json").send().await;
    let keys = jotgate_jose::KeySet::from_public_json(&jwks.text()).unwrap();
    let policy = jotgate_jose::Policy::access_token("http://127.0.0.1:8080/id", "http://127.0.0.1:8080/id");
    let now = u64::try_from(super::support::START).unwrap();
    assert!(jotgate_jose::verify(&keys, &policy, &tokens.access, now).is_ok());

    // The server's own routes, and the application's, know who is asking.
    assert_eq!(site.get("/id/auth/me").bearer(&tokens.access).send().await.status, 200);
    assert_eq!(site.get("/hello").bearer(&tokens.access).send().await.text(), "ada");

    site.clock.pass(Duration::from_secs(600));
    assert_eq!(site.get("/hello").bearer(&tokens.access).send().await.code(), "expired");
    let shown = json!({"refresh_token": tokens.refresh});
    let renewed = site.post("/id/auth/refresh", &shown).send().await.tokens();
    let verified = site.get("/id/auth/verify").bearer(&renewed.access).send().await;
    assert_eq!(verified.header("x-auth-username"), Some("ada"));
    let refused = site.get("/id/auth/verify").send().await;
    assert_eq!((refused.status, refused.header("location")), (401, Some("http://127.0.0.1:8080/id/login")));

    let list = site.get("/id/auth/status/0").send().await;
    assert_eq!(
        (list.status, &super::support::part(&list.text(), 1)["sub"]),
        (200, &claims["status"]["status_list"]["uri"])
    );
    assert_eq!(site.ask(Method::POST, "/id/auth/logout").bearer(&renewed.access).send().await.status, 204);
    let feed = site.get("/id/auth/revocations").send().await.json();
    assert_eq!(feed["entries"][0]["uri"], "http://127.0.0.1:8080/id/auth/status/0");
    assert_eq!(site.get("/hello").bearer(&renewed.access).send().await.code(), "revoked");
    assert_eq!(site.get("/id/auth/me").bearer(&renewed.access).send().await.code(), "revoked");
}

#[tokio::test]
async fn metadata_is_where_each_specification_looks_and_names_what_is_there() {
    let site = application(http_origin(), |builder| builder).await;
    let mut documents = Vec::new();
    for path in [
        "/id/.well-known/openid-configuration",
        "/id/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/id",
        "/.well-known/openid-configuration/id",
    ] {
        let answer = site.get(path).header("origin", "https://anybody.example").send().await;
        assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")), "{path}");
        documents.push(answer.json());
    }
    documents.dedup();
    let [document] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!(document["issuer"], "http://127.0.0.1:8080/id");
    let mut addresses = 0;
    for (name, value) in document.as_object().unwrap() {
        let Some(address) = value.as_str().filter(|_| name != "issuer") else { continue };
        let path = address.strip_prefix("http://127.0.0.1:8080").unwrap();
        assert!(path.starts_with("/id/"), "{name}: {address}");
        let there = site.get(path).send().await;
        assert!(there.status < 400 || there.status == 405, "{name}: {address} is {}", there.status);
        addresses += 1;
    }
    assert!(addresses >= 3, "{document}");

    for path in ["/.well-known/change-password", "/id/.well-known/change-password"] {
        let answer = site.get(path).send().await;
        assert_eq!((answer.status, answer.header("location")), (303, Some("/id/account#password")), "{path}");
    }
}

#[tokio::test]
async fn the_applications_own_routes_stay_its_own() {
    let site = application(http_origin(), |builder| builder).await;
    for (path, text) in [
        ("/", "the application's own door"),
        ("/login", "the application's own page"),
        ("/nowhere", "the application's own 404"),
        ("/auth/login", "the application's own 404"),
        ("/idle", "the application's own 404"),
        ("/id/nowhere", "the application's own 404"),
        ("/.well-known/jwks.json", "the application's own 404"),
    ] {
        let answer = site.get(path).send().await;
        assert_eq!(answer.text(), text, "{path}");
        assert_eq!(answer.header("x-request-id"), None, "{path}: none of our layers is around it");
    }
}

/// A browser with a jar, which follows every redirect of ours by hand.
struct Browser<'s> {
    site: &'s Site,
    jar: Jar,
}

impl Browser<'_> {
    async fn send(&mut self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut ask = self.site.ask(method.clone(), path).header("host", "127.0.0.1:8080").cookies(&self.jar);
        if method == Method::POST {
            ask = ask.form(fields);
        }
        let answer = ask.send().await;
        for cookie in answer.cookies() {
            assert!(cookie.contains("; Path=/;"), "{cookie}: the application reads it as well");
        }
        answer.keep(&mut self.jar);
        answer
    }

    async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, &[]).await
    }

    /// Sends the first form of the page at `path` that goes to `action`.
    async fn post(&mut self, path: &str, action: &str, fields: &[(&str, &str)]) -> String {
        let page = self.get(path).await;
        assert!(page.text().contains(&format!("action=\"{action}\"")), "{action}: {}", page.text());
        let token = page.form_token();
        let fields = [fields, &[("form_token", token.as_str())]].concat();
        self.send(Method::POST, action, &fields).await.location().to_owned()
    }
}

#[tokio::test]
async fn pages_below_a_path_lead_to_each_other_and_back_to_the_application() {
    for origin in [http_origin(), https_origin()] {
        let https = origin.https;
        let site = application(origin, |builder| builder).await;
        let mut browser = Browser { site: &site, jar: Jar::new() };
        assert_eq!(browser.get("/id").await.header("location"), Some("/id/login"));
        assert_eq!(browser.get("/id/account").await.header("location"), Some("/id/login"));

        let enter = [("username", "ada"), ("password", PASSWORD)];
        assert_eq!(browser.post("/id/register", "/id/register", &enter).await, "/id/account?done=registered");
        let account = browser.get("/id/account?done=registered").await;
        assert_eq!(account.status, 200);
        // Its style, its logo and all else that it names are there.
        let html = account.text();
        let mut followed = 0;
        for link in html.split([' ', '>']).filter_map(|word| {
            word.strip_prefix("href=\"").or_else(|| word.strip_prefix("src=\""))?.strip_suffix('"')
        }) {
            if link.starts_with('/') {
                assert_eq!(browser.get(link).await.status, 200, "{link}");
                followed += 1;
            }
        }
        assert!(followed >= 4, "{html}");
        // The application's handler knows who is asking by the cookie.
        assert_eq!(browser.get("/hello").await.text(), "ada");

        let changed = [("current_password", PASSWORD), ("new_password", "another long passphrase")];
        let to = browser.post("/id/account", "/id/account/password", &changed).await;
        assert_eq!(to, "/id/account?done=password-changed");
        assert_eq!(
            browser.post("/id/logout", "/id/logout", &[("return_to", "/hello?a=b")]).await,
            "/hello?a=b"
        );
        assert!(browser.jar.keys().all(|name| name.ends_with("_form") || name.ends_with("_device")));

        // Back to the application's page of the same name as one of ours, and never to our own door.
        let back = |to| [("username", "ada"), ("password", "another long passphrase"), ("return_to", to)];
        assert_eq!(browser.post("/id/login", "/id/login", &back("/login")).await, "/login");
        browser.post("/id/logout", "/id/logout", &[]).await;
        assert_eq!(browser.post("/id/login", "/id/login", &back("/id/login")).await, "/id/account");
        let named = if https { "__Host-jwt" } else { "jwt" };
        assert!(browser.jar.contains_key(named));

        // A refusal is a page of ours, and leads back to us.
        let wrong = browser.send(Method::POST, "/id/account/sessions", &[("session", "others")]).await;
        assert_eq!(wrong.status, 403);
        assert!(wrong.text().contains("href=\"/id/account\""), "{}", wrong.text());
        let too_many = browser.get("/id/clear-cookies").await.text();
        assert!(too_many.contains("<form method=\"post\">"), "{too_many}");
    }
}

/// Attack 76, and the one name of a loopback server, where the layer sees a part of the path only.
#[tokio::test]
async fn a76_the_guards_hold_below_a_path() {
    let site = application(http_origin(), |builder| builder).await;
    let login = || site.post("/id/auth/login", &credentials("ada"));
    let foreign = login().header("origin", "https://evil.example").send().await;
    assert_eq!((foreign.status, foreign.code().as_str()), (403, "csrf"));
    let foreign =
        site.ask(Method::POST, "/id/logout").header("sec-fetch-site", "cross-site").header(FORM.0, FORM.1);
    assert_eq!(foreign.send().await.status, 403);

    let renamed = site.get("/id/login?return_to=/hello").header("host", "localhost:8080").send().await;
    let to = Some("http://127.0.0.1:8080/id/login?return_to=/hello");
    assert_eq!((renamed.status, renamed.header("location")), (307, to));

    // Two cookies of one name are cleared wherever either part of the path can have got them from.
    let twice =
        site.get("/id/login").header("host", "127.0.0.1:8080").header("cookie", "jwt=a; jwt=b").send().await;
    assert_eq!(twice.status, 400);
    for path in ["/", "/id", "/id/", "/id/login"] {
        let cleared = format!("jwt=; Path={path}; Max-Age=0;");
        assert!(
            twice.cookies().iter().any(|cookie| cookie.starts_with(&cleared)),
            "{path}: {:?}",
            twice.cookies()
        );
    }
}

#[tokio::test]
async fn what_operators_ask_for_can_be_nested_too_and_the_description_says_where_the_api_is() {
    let site = application(http_origin(), |builder| builder).await;
    let operations = site.server.operations(jotgate::serve::Lifecycle::new());
    let site = Site { router: site.router.clone().nest("/ops", operations), ..site };
    assert_eq!(site.get("/ops/healthz").send().await.status, 200);
    assert!(site.get("/ops/metrics").send().await.text().contains("jotgate_build_info"));
    assert_eq!(site.get("/ops/openapi.json").send().await.json()["servers"], json!([{"url": "/id"}]));
}

#[tokio::test]
async fn a_path_that_could_be_read_in_two_ways_is_refused() {
    let dir = tempfile::TempDir::new().unwrap();
    for bad in ["id", "/id/", "/a/../b", "/{id}"] {
        let builder = jotgate::Server::builder(super::support::config(&dir), http_origin()).under(bad);
        let error = builder.open().await.unwrap_err().to_string();
        assert!(error.contains("cannot be nested under"), "{error}");
    }
}
