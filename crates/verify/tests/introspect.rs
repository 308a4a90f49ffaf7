//! Introspection and revocation at the real server, answers that must not be believed, and the metadata of a resource.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::middleware::{self, Next};
use axum::response::IntoResponse as _;
use axum::routing::{get, post};
use http::{Method, Request, StatusCode};
use jotgate::Server;
use jotgate::app::{NewClient, Operator};
use jotgate::config::{Config, Origin, PasswordHash};
use jotgate::edge::Edge;
use jotgate::serve::{self, Lifecycle};
use jotgate_jose::{KeySet, Policy};
use jotgate_verify::Verifier;
use jotgate_verify::follow::{Failure, Issuer};
use jotgate_verify::introspect::{AskError, Hint, Introspector};
use jotgate_verify::protect::{Protect, ProtectedResource};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

const PASSWORD: &str = "a long enough passphrase";

/// The server, its address, and an operator beside it.
struct Site {
    address: String,
    operator: Operator,
    router: Router,
    _dir: TempDir,
}

impl Site {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            listen: "127.0.0.1:0".parse().unwrap(),
            password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
            ..Config::default()
        };
        let listeners = serve::bind(&config).await.unwrap();
        let address = listeners.local_url.to_string();
        let server = Server::open(config.clone(), listeners.public_url.clone()).await.unwrap();
        let lifecycle = Lifecycle::new();
        let (main, ops) = server.standalone(lifecycle.clone());
        let router = main.clone();
        let operator = Operator::open(config.clone(), Edge::system(), false).await.unwrap();
        tokio::spawn(async move { serve::run(&config, listeners, main, ops, lifecycle).await });
        Self { address, operator, router, _dir: dir }
    }

    fn issuer(&self) -> Issuer {
        Issuer::new(&self.address, &self.address)
    }

    /// A client for this audience: its secret.
    async fn client(&self, id: &str, audience: &str) -> String {
        let new = NewClient {
            name: id.to_owned(),
            id: Some(id.to_owned()),
            public: false,
            audiences: vec![audience.to_owned()],
        };
        self.operator.add_client(&new).await.unwrap().1.unwrap().expose().to_owned()
    }

    async fn login(&self) -> Value {
        self.login_below("").await
    }

    async fn login_below(&self, mount: &str) -> Value {
        let form = json!({"username": "ada", "password": PASSWORD}).to_string();
        let mut last = Value::Null;
        for path in ["/auth/register", "/auth/login"] {
            let request = Request::post(format!("{mount}{path}")).header("content-type", "application/json");
            let request = request.body(Body::from(form.clone())).unwrap();
            let answer = self.router.clone().oneshot(request).await.unwrap();
            last = serde_json::from_slice(&to_bytes(answer.into_body(), 99_999).await.unwrap()).unwrap();
        }
        last
    }
}

#[tokio::test]
async fn a_token_is_active_until_it_is_revoked() {
    let site = Site::new().await;
    let tokens = site.login().await;
    let (access, refresh) =
        (tokens["access_token"].as_str().unwrap(), tokens["refresh_token"].as_str().unwrap());
    let secret = site.client("orders:a+b%c", &site.address).await;
    let introspector = Introspector::new(&site.issuer(), "orders:a+b%c", &secret).unwrap();
    assert!(!format!("{introspector:?}").contains(&secret));
    let active = introspector.introspect(access).await.unwrap().unwrap();
    assert_eq!((active.username(), active.client_id()), (Some("ada"), Some("jotgate")));
    assert_eq!(active.sub(), tokens["user"]["id"].as_str());
    assert!(active.has_scope("account") && !active.has_role("admin") && active.exp().is_some());

    for other in ["x", refresh, &format!("{access}x"), ""] {
        let said = introspector.introspect(other).await;
        let nothing =
            if other.is_empty() { Err(AskError::Refused("invalid_request".into())) } else { Ok(None) };
        assert_eq!(said, nothing, "{other}");
    }
    let elsewhere =
        Introspector::new(&Issuer::new(&site.address, "https://other.example"), "orders:a+b%c", &secret);
    assert_eq!(
        elsewhere.unwrap().introspect(access).await,
        Ok(None),
        "for another audience than this program's"
    );

    // It was issued to the server's own logins, not to this client.
    for (token, hint) in
        [(access, None), (access, Some(Hint::AccessToken)), (refresh, Some(Hint::RefreshToken))]
    {
        let refused = introspector.revoke(token, hint).await;
        assert_eq!(refused, Err(AskError::Refused("invalid_grant".into())));
    }
    assert_eq!(introspector.revoke("x", None).await, Ok(()));
    assert!(introspector.introspect(access).await.unwrap().is_some(), "unharmed");
    site.operator.disable("ada").await.unwrap();
    assert_eq!(introspector.introspect(access).await, Ok(None), "at once");
    assert_eq!(introspector.revoke(access, None).await, Ok(()));
}

/// A server that is nested in an application has a path in its issuer. Its metadata are below that path; where only the
/// other place of RFC 8414 leads to them, they are found there.
#[tokio::test]
async fn an_issuer_with_a_path_is_asked_below_it() {
    for hides in [
        None,
        Some("/auth/.well-known/openid-configuration"),
        Some("/.well-known/oauth-authorization-server/auth"),
    ] {
        let dir = TempDir::new().unwrap();
        let config = Config {
            data_dir: dir.path().to_owned(),
            password: PasswordHash { memory_kib: 64, iterations: 1, parallelism: 1 },
            ..Config::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let builder = Server::builder(config.clone(), Origin::parse(&origin).unwrap());
        let server = builder.under("/auth").open().await.unwrap();
        let app = Router::new().nest("/auth", server.router()).merge(server.root_routes());
        let app = app.layer(middleware::from_fn(move |request: Request<Body>, next: Next| async move {
            let hidden = hides.is_some_and(|path| request.uri().path() == path);
            if hidden { StatusCode::NOT_FOUND.into_response() } else { next.run(request).await }
        }));
        let operator = Operator::open(config, Edge::system(), false).await.unwrap();
        let site = Site { address: format!("{origin}/auth"), operator, router: app.clone(), _dir: dir };
        tokio::spawn(async move { axum::serve(listener, app).await });
        let tokens = site.login_below("/auth").await;
        let access = tokens["access_token"].as_str().unwrap();
        let secret = site.client("orders", &site.address).await;
        let introspector = Introspector::new(&site.issuer(), "orders", &secret).unwrap();
        let active = introspector.introspect(access).await.unwrap().unwrap();
        assert_eq!(active.username(), Some("ada"), "{hides:?}");
        assert_eq!(active.get("iss"), Some(&json!(site.address)));
        assert_eq!(introspector.revoke("x", None).await, Ok(()));
        site.operator.disable("ada").await.unwrap();
        assert_eq!(introspector.introspect(access).await, Ok(None));
        // The origin alone is somebody else.
        let other = Introspector::new(&Issuer::new(&origin, &site.address), "orders", &secret).unwrap();
        assert_eq!(other.introspect(access).await, Err(AskError::Failure(Failure::Status(404))));
    }
}

#[tokio::test]
async fn a_client_that_is_none_is_told_so() {
    let site = Site::new().await;
    let secret = site.client("orders", &site.address).await;
    let wrong = Introspector::new(&site.issuer(), "orders", "wrong").unwrap();
    assert_eq!(wrong.introspect("x").await, Err(AskError::ClientRefused));
    let right = Introspector::new(&site.issuer(), "orders", &secret).unwrap();
    assert_eq!(right.introspect("x").await, Ok(None));
    site.operator.delete_client("orders").await.unwrap();
    assert_eq!(right.introspect("x").await, Err(AskError::ClientRefused));
    let said = right.introspect("x").await.unwrap_err().to_string();
    assert!(!said.contains(&secret), "{said}");
}

/// Another server in the issuer's place: its answers, whatever they are.
async fn answering(status: u16, body: &str) -> Introspector {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let metadata = json!({
        "issuer": address, "jwks_uri": format!("{address}/keys"),
        "introspection_endpoint": format!("{address}/introspect"),
    });
    let body = body.replace("ISSUER", &address);
    let introspect = move || async move { (StatusCode::from_u16(status).unwrap(), body) };
    let app = Router::new()
        .route("/.well-known/oauth-authorization-server", get(move || async move { metadata.to_string() }))
        .route("/introspect", post(introspect));
    tokio::spawn(async move { axum::serve(listener, app).await });
    Introspector::new(&Issuer::new(&address, "api"), "orders", "secret").unwrap()
}

#[tokio::test]
async fn a104_what_is_no_good_answer_lets_nobody_in() {
    let good = r#"{"active":true,"token_type":"bearer","iss":"ISSUER","aud":["x","api"],"exp":9999999999}"#;
    assert!(answering(200, good).await.introspect("t").await.unwrap().is_some());
    for (what, with) in [
        ("not active", good.replace("true", "false")),
        ("a refresh token", good.replace(r#""token_type":"bearer","#, "")),
        ("bound to a key", good.replace("bearer", "DPoP")),
        ("another issuer's", good.replace("ISSUER", "https://evil.example")),
        ("for another audience", good.replace(r#""api""#, r#""api2""#)),
        ("expired", good.replace("9999999999", "1")),
        ("without an end", good.replace(r#","exp":9999999999"#, "")),
    ] {
        assert_eq!(answering(200, &with).await.introspect("t").await, Ok(None), "{what}");
    }
    let unusable = Err(AskError::Failure(Failure::Unusable("no introspection answer")));
    for bad in ["", "<html>", "[]", "{}", r#"{"active":"true"}"#, r#"{"active":1}"#] {
        assert_eq!(answering(200, bad).await.introspect("t").await, unusable, "{bad}");
    }
    for status in [204, 302, 403, 404, 500, 503] {
        let failed = Err(AskError::Failure(Failure::Status(status)));
        assert_eq!(answering(status, good).await.introspect("t").await, failed);
    }
    let endless = format!(r#"{{"active":true,"x":"{}"}}"#, "x".repeat(70_000));
    let said = answering(200, &endless).await.introspect("t").await;
    assert_eq!(said, Err(AskError::Failure(Failure::TooLong)));
    let none = answering(200, good).await;
    assert_eq!(none.revoke("t", None).await, Err(AskError::NoEndpoint));
}

#[tokio::test]
async fn a_resource_says_where_its_tokens_come_from() {
    let verifier =
        Verifier::new(Policy::access_token("https://login.example", "https://api.example/v1"), KeySet::new());
    let api = ProtectedResource::new("https://api.example/v1", "https://login.example").unwrap();
    let api = api.scopes(&["notes:read"]);
    let app = Router::new()
        .route("/v1/notes", get(async || "notes"))
        .layer(Protect::new(Arc::new(verifier)).describe(&api))
        .layer(api.clone());
    let ask = async |method: Method, path: &str| {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        app.clone().oneshot(request).await.unwrap()
    };
    // A client knows the address of the resource, and is told the rest.
    let refused = ask(Method::GET, "/v1/notes").await;
    assert_eq!(refused.status(), 401);
    let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
    let url = challenge.strip_prefix("Bearer resource_metadata=\"").unwrap().strip_suffix('"').unwrap();
    assert_eq!(url, "https://api.example/.well-known/oauth-protected-resource/v1");
    let path = url.strip_prefix("https://api.example").unwrap();
    let found = ask(Method::GET, path).await;
    assert_eq!(
        (found.status(), &found.headers()["content-type"]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    assert_eq!(found.headers()["access-control-allow-origin"], "*");
    let body: Value = serde_json::from_slice(&to_bytes(found.into_body(), 9999).await.unwrap()).unwrap();
    // RFC 9728 §3.3: or anybody could speak for the resource.
    assert_eq!(body["resource"], "https://api.example/v1");
    assert_eq!(body["authorization_servers"], json!(["https://login.example"]));
    assert_eq!(body["scopes_supported"], json!(["notes:read"]));
    assert_eq!(body["bearer_methods_supported"], json!(["header"]));
    assert_eq!(ask(Method::HEAD, path).await.status(), 200);
    assert_eq!(ask(Method::POST, path).await.status(), 405);
    // Of another resource on this host: none of ours to describe.
    assert_eq!(ask(Method::GET, "/.well-known/oauth-protected-resource").await.status(), 401);
}
