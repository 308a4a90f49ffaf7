//! Routes behind the layer, as an application sees them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::routing::{get, post};
use http::header::{AUTHORIZATION, COOKIE, WWW_AUTHENTICATE};
use http::{Request, Response};
use jotgate_jose::{Algorithm, Error, KeySet, Policy, SigningKey};
use jotgate_verify::protect::{Allowed, Demand, Denied, Protect, Reason, Require};
use jotgate_verify::{Refusal, Token, Verifier};
use serde_json::Value;
use tower::{Layer as _, ServiceExt as _, service_fn};

const ISSUER: &str = "https://login.example";
const AUDIENCE: &str = "https://api.example";
const METADATA: &str = "https://api.example/.well-known/oauth-protected-resource";

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

struct Issuer {
    key: SigningKey,
    verifier: Arc<Verifier>,
}

impl Issuer {
    fn new() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let policy = Policy::access_token(ISSUER, AUDIENCE);
        let verifier = Verifier::new(policy, KeySet::from(key.verifying_key())).with_cache(1 << 20);
        Self { key, verifier: Arc::new(verifier) }
    }

    fn token(&self, sub: &str, scope: &str, roles: &str, signed_in: u64) -> String {
        let now = now();
        let payload = format!(
            r#"{{"iss":"{ISSUER}","sub":"{sub}","aud":"{AUDIENCE}","exp":{},"iat":{now},"jti":"{sub}",
               "client_id":"web","scope":"{scope}","roles":[{roles}],"auth_time":{},
               "status":{{"status_list":{{"idx":1,"uri":"{ISSUER}/auth/status/0"}}}}}}"#,
            now + 600,
            now - signed_in
        );
        self.key.sign("at+jwt", payload.as_bytes()).unwrap()
    }
}

struct Writers;
impl Demand for Writers {
    const REQUIRE: Require = Require::new().scopes(&["notes:write"]).roles(&["editor"]);
}

async fn who(token: Token) -> String {
    token.claims().sub().unwrap().to_owned()
}

async fn perhaps(token: Option<Token>) -> String {
    token.map_or_else(|| "nobody".into(), |token| token.claims().sub().unwrap().to_owned())
}

async fn write(token: Allowed<Writers>) -> String {
    format!("written by {}", token.claims().sub().unwrap())
}

fn app(issuer: &Issuer) -> Router {
    let protect = Protect::new(Arc::clone(&issuer.verifier)).resource_metadata(METADATA);
    let routes = Router::new()
        .route("/who", get(who))
        .route("/write", post(write))
        .route("/danger", get(who).layer(Require::new().signed_in_within(300)))
        .route("/read", get(who).layer(Require::new().scopes(&["notes:read"])));
    let open = Router::new().route("/perhaps", get(perhaps)).route("/must", get(who));
    Router::new()
        .merge(routes.layer(protect.clone()))
        .merge(open.layer(protect.cookie("jwt").or_anonymous()))
        .route("/forgotten", get(who))
        .route("/forgotten-too", get(perhaps))
        .route("/forgotten-layer", get(|| async {}).layer(Require::new()))
}

async fn ask(app: &Router, method: &str, path: &str, bearer: Option<&str>) -> (u16, Option<String>, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = bearer {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    send(app, request.body(Body::empty()).unwrap()).await
}

async fn send(app: &Router, request: Request<Body>) -> (u16, Option<String>, String) {
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let challenge = response.headers().get(WWW_AUTHENTICATE).map(|value| value.to_str().unwrap().to_owned());
    let body = to_bytes(response.into_body(), 4096).await.unwrap();
    (status, challenge, String::from_utf8(body.into()).unwrap())
}

fn code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["type"], format!("urn:jotgate:error:{}", body["code"].as_str().unwrap()));
    body["code"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_route_lets_in_whom_it_asks_for() {
    let issuer = Issuer::new();
    let app = app(&issuer);
    let editor = issuer.token("ada", "notes:read notes:write", r#""editor","staff""#, 10);
    let reader = issuer.token("bob", "notes:read", r#""staff""#, 301);
    let writer = issuer.token("eve", "notes:write", "", 10);
    let told = format!("resource_metadata=\"{METADATA}\"");
    let scope = |scope: &str| Some(format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\", {told}"));
    let rows = [
        ("GET", "/who", Some(&editor), 200, "ada", None),
        ("GET", "/who", Some(&reader), 200, "bob", None),
        ("GET", "/who", None, 401, "unauthenticated", Some(format!("Bearer {told}"))),
        ("POST", "/write", Some(&editor), 200, "written by ada", None),
        ("POST", "/write", Some(&reader), 403, "insufficient_scope", scope("notes:write")),
        ("POST", "/write", Some(&writer), 403, "forbidden", None),
        ("GET", "/danger", Some(&editor), 200, "ada", None),
        (
            "GET",
            "/danger",
            Some(&reader),
            401,
            "insufficient_user_authentication",
            Some(format!("Bearer error=\"insufficient_user_authentication\", max_age=\"300\", {told}")),
        ),
        ("GET", "/read", Some(&reader), 200, "bob", None),
        ("GET", "/read", Some(&writer), 403, "insufficient_scope", scope("notes:read")),
        ("GET", "/read", None, 401, "unauthenticated", Some(format!("Bearer {told}"))),
        ("GET", "/perhaps", Some(&editor), 200, "ada", None),
        ("GET", "/perhaps", None, 200, "nobody", None),
        ("GET", "/must", None, 401, "unauthenticated", Some(format!("Bearer {told}"))),
    ];
    for (method, path, token, status, says, challenge) in rows {
        let (got, shown, body) = ask(&app, method, path, token.map(String::as_str)).await;
        let body = if status == 200 { body } else { code(&body) };
        assert_eq!((got, &*body, shown), (status, says, challenge), "{method} {path} {says}");
    }
}

#[tokio::test]
async fn a_bad_credential_is_refused_even_where_none_is_needed() {
    let issuer = Issuer::new();
    let app = app(&issuer);
    let good = issuer.token("ada", "", "", 0);
    let forged = Issuer::new().token("ada", "", "", 0);
    for path in ["/who", "/perhaps"] {
        let (status, challenge, body) = ask(&app, "GET", path, Some(&forged)).await;
        assert_eq!((status, &*code(&body)), (401, "unknown_key"), "{path}");
        assert!(challenge.unwrap().starts_with("Bearer error=\"invalid_token\""));
        assert!(!body.contains(&forged));
        let two =
            Request::get(path).header(AUTHORIZATION, format!("Bearer {good}")).header(AUTHORIZATION, "x");
        let (status, challenge, body) = send(&app, two.body(Body::empty()).unwrap()).await;
        assert_eq!((status, &*code(&body)), (400, "ambiguous_credentials"), "{path}");
        assert!(challenge.unwrap().starts_with("Bearer error=\"invalid_request\""));
    }
    let cookie = |value: &str| Request::get("/perhaps").header(COOKIE, value).body(Body::empty()).unwrap();
    assert_eq!(send(&app, cookie(&format!("__Host-jwt={good}"))).await.2, "ada");
    assert_eq!(send(&app, cookie(&format!("jwt={forged}"))).await.0, 401);
    assert_eq!(send(&app, cookie("jwt=a; jwt=a")).await.0, 400);
    issuer.verifier.revocations().insert(&format!("{ISSUER}/auth/status/0"), 1, i64::MAX);
    let (status, _, body) = ask(&app, "GET", "/who", Some(&good)).await;
    assert_eq!((status, &*code(&body)), (401, "revoked"));
}

#[tokio::test]
async fn a_forgotten_layer_lets_nobody_in() {
    let issuer = Issuer::new();
    let app = app(&issuer);
    let good = issuer.token("ada", "", "", 0);
    for path in ["/forgotten", "/forgotten-too", "/forgotten-layer"] {
        let (status, challenge, body) = ask(&app, "GET", path, Some(&good)).await;
        assert_eq!((status, challenge, &*code(&body)), (500, None, "internal"), "{path}");
    }
}

#[tokio::test]
async fn without_knowledge_nobody_is_called_a_liar() {
    let issuer = Issuer::new();
    let token = issuer.token("ada", "", "", 0);
    issuer.verifier.set_keys(KeySet::new());
    let (status, challenge, body) = ask(&app(&issuer), "GET", "/who", Some(&token)).await;
    assert_eq!((status, challenge, &*code(&body)), (503, None, "unavailable"));
}

/// Not only axum: any service of `http` messages whose body can be made of a `String`.
#[tokio::test]
async fn a_plain_service_is_protected_as_well() {
    let issuer = Issuer::new();
    let good = issuer.token("ada", "read", "", 0);
    let service = service_fn(|request: Request<Vec<u8>>| async move {
        let token = request.extensions().get::<Token>().unwrap();
        Ok::<_, Infallible>(Response::new(token.claims().sub().unwrap().to_owned()))
    });
    let inner = Require::new().scopes(&["read"]).layer(service);
    let service = Protect::new(Arc::clone(&issuer.verifier)).layer(inner);
    let request = |token: &str| {
        Request::get("/").header(AUTHORIZATION, format!("Bearer {token}")).body(b"body".to_vec()).unwrap()
    };
    let response = service.clone().oneshot(request(&good)).await.unwrap();
    assert_eq!((response.status().as_u16(), &**response.body()), (200, "ada"));
    let response = service.oneshot(request(&issuer.token("bob", "", "", 0))).await.unwrap();
    assert_eq!(response.status().as_u16(), 403);
}

#[test]
fn no_debug_shows_a_token() {
    let issuer = Issuer::new();
    let text = issuer.token("ada", "", "", 0);
    let token = issuer.verifier.check(&text, now()).unwrap();
    let signature = text.rsplit('.').next().unwrap();
    let denied = Denied::because(Reason::Refused(Refusal::Token(Error::Expired)));
    let protect = Protect::new(Arc::clone(&issuer.verifier)).cookie("jwt");
    for shown in [format!("{token:?}"), format!("{protect:?}"), format!("{denied:?} {denied}")] {
        assert!(!shown.contains(signature) && !shown.contains("\"ada\","), "{shown}");
    }
    assert!(format!("{protect:?}").contains("Verified"), "the cache is in it, and says nothing");
}
