//! A provider: an HTTP server of its own that signs real tokens, keeps to PKCE, gives each code out once, and does
//! wrong exactly what it is told to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Form, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, StatusCode};
use jotgate::config::{Config, Provider, Secret};
use jotgate_jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::Url;

use super::support::START;

pub(crate) const CLIENT: &str = "jotgate-client";
pub(crate) const SECRET: &str = "s3cret/with+odd%characters";
/// Where an application of the tests has its codes sent.
pub(crate) const APP_URI: &str = "com.example.app:/callback";

/// Somebody with an account there.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) sub: &'static str,
    pub(crate) email: Option<&'static str>,
    pub(crate) email_verified: bool,
    pub(crate) name: &'static str,
}

pub(crate) const ADA: Person =
    Person { sub: "1001", email: Some("ada@example.com"), email_verified: true, name: "Ada Lovelace" };

/// What a code is good for.
#[derive(Clone, Debug)]
struct Issued {
    person: Person,
    /// When they signed in there, where it was asked for.
    auth_time: Option<i64>,
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
}

type Change = Box<dyn Fn(&mut Value) + Send>;
/// Makes a token of claims in another way than it should.
type Forge = Box<dyn Fn(&Value) -> String + Send>;

#[derive(Default)]
pub(crate) struct Mischief {
    /// Changes the claims of the next ID tokens.
    pub(crate) claims: Option<Change>,
    pub(crate) forge: Option<Forge>,
    /// Answers anything but metadata with this status.
    pub(crate) status: Option<u16>,
    /// Is silent for longer than anybody waits.
    pub(crate) hangs: bool,
    /// Answers the token endpoint with that many bytes.
    pub(crate) huge: bool,
    /// Speaks of somebody else at the userinfo endpoint.
    pub(crate) userinfo: Option<Value>,
    /// Is not there at all.
    pub(crate) away: bool,
    /// Asks nobody to sign in anew, whatever it is asked for.
    pub(crate) silent: bool,
    /// Answers the token endpoint when it is let go.
    pub(crate) held: Option<Arc<Notify>>,
    /// What stands in `at_hash`; the right one where there is none.
    pub(crate) at_hash: Option<Value>,
    pub(crate) metadata: Option<Change>,
}

pub(crate) struct Inner {
    pub(crate) base: String,
    pub(crate) key: Mutex<SigningKey>,
    codes: Mutex<HashMap<String, Issued>>,
    next: AtomicUsize,
    pub(crate) mischief: Mutex<Mischief>,
    /// Requests by path.
    asked: Mutex<HashMap<String, usize>>,
    /// The last form at the token endpoint.
    pub(crate) form: Mutex<HashMap<String, String>>,
    /// Its time, in seconds.
    now: AtomicI64,
    /// When the person at the browser signed in there; 0 for not at all.
    signed_in_at: AtomicI64,
}

#[derive(Clone)]
pub(crate) struct Idp(pub(crate) Arc<Inner>);

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let idp = Self(Arc::new(Inner {
            base: format!("http://{}", listener.local_addr().unwrap()),
            key: Mutex::new(SigningKey::generate(Algorithm::Es256).unwrap()),
            codes: Mutex::default(),
            next: AtomicUsize::new(1),
            mischief: Mutex::default(),
            asked: Mutex::default(),
            form: Mutex::default(),
            now: AtomicI64::new(START),
            signed_in_at: AtomicI64::new(0),
        }));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata))
            .route("/{tenant}/v2.0/.well-known/openid-configuration", get(metadata))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .route("/me", get(userinfo))
            .route("/login/oauth/access_token", post(token))
            .route("/api/v3/user", get(github_user))
            .route("/api/v3/user/emails", get(github_emails))
            .with_state(idp.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        idp
    }

    pub(crate) fn base(&self) -> &str {
        &self.0.base
    }

    /// The configuration of it, under the name `idp`.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.providers.insert("idp".into(), self.provider());
    }

    pub(crate) fn provider(&self) -> Provider {
        Provider {
            issuer: Some(self.base().to_owned()),
            client_id: CLIENT.to_owned(),
            client_secret: Some(Secret::new(SECRET)),
            redirect_uris: vec![APP_URI.to_owned()],
            trust_email: Some(true),
            ..Provider::default()
        }
    }

    /// `person` signs in at the address that a browser was sent to, and is sent back: the path there.
    pub(crate) fn authorize(&self, at: &Url, person: &Person) -> String {
        let asked: HashMap<String, String> = at.query_pairs().into_owned().collect();
        assert_eq!(asked["response_type"], "code");
        assert_eq!(asked["client_id"], CLIENT);
        assert_eq!(asked["code_challenge_method"], "S256");
        let redirect_uri = asked["redirect_uri"].clone();
        let max_age: Option<i64> = asked.get("max_age").map(|age| age.parse().unwrap());
        let says_when = max_age.is_some() || asked.contains_key("claims");
        let anew = asked.get("prompt").is_some_and(|prompt| prompt == "login");
        let at = self.sign_in_there(anew, max_age);
        let code = self.issue(Issued {
            person: person.clone(),
            auth_time: says_when.then_some(at),
            nonce: asked.get("nonce").cloned(),
            challenge: asked["code_challenge"].clone(),
            redirect_uri: redirect_uri.clone(),
        });
        let mut back = Url::parse(&redirect_uri).unwrap();
        back.query_pairs_mut().append_pair("code", &code).append_pair("state", &asked["state"]);
        format!("{}?{}", back.path(), back.query().unwrap())
    }

    /// Its clock goes on.
    pub(crate) fn pass(&self, time: Duration) {
        self.0.now.fetch_add(i64::try_from(time.as_secs()).unwrap(), Ordering::SeqCst);
    }

    /// The person types a password, where they have to; when they last did.
    fn sign_in_there(&self, anew: bool, max_age: Option<i64>) -> i64 {
        let now = self.0.now.load(Ordering::SeqCst);
        let at = self.0.signed_in_at.load(Ordering::SeqCst);
        let anew =
            (anew || max_age.is_some_and(|age| now - at > age)) && !self.0.mischief.lock().unwrap().silent;
        if at == 0 || anew {
            self.0.signed_in_at.store(now, Ordering::SeqCst);
        }
        self.0.signed_in_at.load(Ordering::SeqCst)
    }

    /// A code for an application with PKCE of its own: the code and its verifier.
    pub(crate) fn code(&self, person: &Person, nonce: Option<&str>) -> (String, String) {
        let verifier = format!("{:0>43}", self.0.next.load(Ordering::SeqCst));
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
        let code = self.issue(Issued {
            person: person.clone(),
            auth_time: None,
            nonce: nonce.map(str::to_owned),
            challenge: URL_SAFE_NO_PAD.encode(hash),
            redirect_uri: APP_URI.to_owned(),
        });
        (code, verifier)
    }

    fn issue(&self, issued: Issued) -> String {
        let code = format!("code-{}-{}", issued.person.sub, self.0.next.fetch_add(1, Ordering::SeqCst));
        self.0.codes.lock().unwrap().insert(code.clone(), issued);
        code
    }

    pub(crate) fn does(&self, mischief: Mischief) {
        *self.0.mischief.lock().unwrap() = mischief;
    }

    /// How often a path was asked.
    pub(crate) fn asked(&self, path: &str) -> usize {
        self.0.asked.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    fn count(&self, path: &str) {
        *self.0.asked.lock().unwrap().entry(path.to_owned()).or_default() += 1;
    }

    fn claims(&self, issued: &Issued) -> Value {
        let person = &issued.person;
        let now = self.0.now.load(Ordering::SeqCst);
        let mut claims = json!({
            "iss": self.base(),
            "aud": CLIENT,
            "sub": person.sub,
            "iat": now,
            "exp": now + 300,
            "name": person.name,
        });
        if let Some(nonce) = &issued.nonce {
            claims["nonce"] = json!(nonce);
        }
        if let Some(at) = issued.auth_time {
            claims["auth_time"] = json!(at);
        }
        if let Some(email) = person.email {
            claims["email"] = json!(email);
            claims["email_verified"] = json!(person.email_verified);
        }
        claims
    }
}

/// A wrong answer, where one was asked for.
async fn wrong(idp: &Idp, path: &str) -> Option<Response> {
    idp.count(path);
    let (hangs, status, away) = {
        let mischief = idp.0.mischief.lock().unwrap();
        (mischief.hangs, mischief.status, mischief.away)
    };
    if hangs {
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    if away {
        return Some(StatusCode::BAD_GATEWAY.into_response());
    }
    let status = status.filter(|_| path != "/metadata")?;
    let to = [("location", format!("{}/me", idp.base()))];
    Some((StatusCode::from_u16(status).unwrap(), to, Json(json!({}))).into_response())
}

async fn metadata(State(idp): State<Idp>) -> Response {
    if let Some(answer) = wrong(&idp, "/metadata").await {
        return answer;
    }
    let base = idp.base();
    let mut document = json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize?of=idp"),
        "token_endpoint": format!("{base}/token"),
        "userinfo_endpoint": format!("{base}/me"),
        "jwks_uri": format!("{base}/jwks"),
        "id_token_signing_alg_values_supported": ["ES256", "HS256", "none"],
    });
    if let Some(change) = &idp.0.mischief.lock().unwrap().metadata {
        change(&mut document);
    }
    Json(document).into_response()
}

async fn jwks(State(idp): State<Idp>) -> Response {
    if let Some(answer) = wrong(&idp, "/jwks").await {
        return answer;
    }
    let jwk = idp.0.key.lock().unwrap().verifying_key().to_public_jwk().unwrap();
    let jwk: Value = serde_json::from_str(&jwk).unwrap();
    Json(json!({"keys": [jwk]})).into_response()
}

async fn token(
    State(idp): State<Idp>,
    uri: http::Uri,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let Some(answer) = wrong(&idp, "/token").await {
        return answer;
    }
    if idp.0.mischief.lock().unwrap().huge {
        return "x".repeat(3 * 1024 * 1024).into_response();
    }
    *idp.0.form.lock().unwrap() = form.clone();
    let held = idp.0.mischief.lock().unwrap().held.clone();
    if let Some(held) = held {
        held.notified().await;
    }
    // GitHub's has a name of its own for it, and status 200.
    let refuse = |error: &str| match uri.path() {
        "/login/oauth/access_token" => Json(json!({"error": "bad_verification_code"})).into_response(),
        _ => (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response(),
    };
    // As RFC 6749 §2.3.1 has it, or in the form.
    let named = match headers.get("authorization") {
        Some(basic) => {
            let text = basic.to_str().unwrap().strip_prefix("Basic ").unwrap();
            let text = String::from_utf8(STANDARD.decode(text).unwrap()).unwrap();
            let pair = text.replacen(':', "=", 1);
            url::form_urlencoded::parse(pair.as_bytes())
                .next()
                .is_some_and(|(id, secret)| id == CLIENT && secret == SECRET)
        }
        None => form.get("client_id").is_some_and(|id| id == CLIENT) && form.contains_key("client_secret"),
    };
    if !named {
        return refuse("invalid_client");
    }
    let Some(issued) = idp.0.codes.lock().unwrap().remove(&form["code"]) else {
        return refuse("invalid_grant");
    };
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, form["code_verifier"].as_bytes());
    if URL_SAFE_NO_PAD.encode(hash) != issued.challenge || form["redirect_uri"] != issued.redirect_uri {
        return refuse("invalid_grant");
    }
    let mut claims = idp.claims(&issued);
    let mischief = idp.0.mischief.lock().unwrap();
    let access = format!("access-{}", issued.person.sub);
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, access.as_bytes());
    let at_hash = json!(URL_SAFE_NO_PAD.encode(&hash.as_ref()[..16]));
    claims["at_hash"] = mischief.at_hash.clone().unwrap_or(at_hash);
    if let Some(change) = &mischief.claims {
        change(&mut claims);
    }
    let token = match &mischief.forge {
        Some(forge) => forge(&claims),
        None => idp.0.key.lock().unwrap().sign("JWT", claims.to_string().as_bytes()).unwrap(),
    };
    let mut answer = json!({"access_token": access, "token_type": "Bearer", "id_token": token});
    if token.is_empty() {
        answer.as_object_mut().unwrap().remove("id_token");
    }
    Json(answer).into_response()
}

async fn userinfo(State(idp): State<Idp>, headers: HeaderMap) -> Response {
    if let Some(answer) = wrong(&idp, "/me").await {
        return answer;
    }
    let said = idp.0.mischief.lock().unwrap().userinfo.clone();
    let bearer = headers["authorization"].to_str().unwrap();
    let sub = bearer.strip_prefix("Bearer access-").unwrap();
    Json(said.unwrap_or_else(|| json!({"sub": sub}))).into_response()
}

/// In the shape of GitHub's API.
async fn github_user(State(idp): State<Idp>, headers: HeaderMap) -> Response {
    if let Some(answer) = wrong(&idp, "/user").await {
        return answer;
    }
    let bearer = headers["authorization"].to_str().unwrap();
    assert!(headers.contains_key("user-agent"), "GitHub refuses who has none");
    let id: u64 = bearer.strip_prefix("Bearer access-").unwrap().parse().unwrap();
    Json(json!({"login": "octocat", "id": id, "name": "Mona", "email": "public@evil.example"}))
        .into_response()
}

async fn github_emails(State(idp): State<Idp>) -> Response {
    if let Some(answer) = wrong(&idp, "/user/emails").await {
        return answer;
    }
    let said = idp.0.mischief.lock().unwrap().userinfo.clone();
    let verified = json!([
        {"email": "other@example.com", "primary": false, "verified": true},
        {"email": "ada@example.com", "primary": true, "verified": true},
    ]);
    Json(said.unwrap_or(verified)).into_response()
}
