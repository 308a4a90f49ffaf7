//! OAuth clients: who they are, what they may ask, what they may end.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use jotgate::app::{NewClient, Operator};
use jotgate::edge::{Edge, Source as _};
use jotgate::seal::open_master_key;
use jotgate_domain::audit::Action;
use jotgate_domain::master::Purpose;
use jotgate_domain::refresh_token::{Handle, RefreshKeys};
use jotgate_domain::session::RefreshState;
use jotgate_domain::status::Permutation;
use jotgate_domain::{Change, Session, SessionId};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, Site, Tokens, claims};
use crate::tools::{
    SentFrom as _, accepted_everywhere, another_installation, audited, beside, disable, record,
    refused_everywhere, shape, signing_key,
};

const API: &str = "http://127.0.0.1:8080";
const FORM: &str = "application/x-www-form-urlencoded";

fn operator(site: &Site) -> Operator {
    let store = Arc::clone(&site.server.app().store);
    Operator::with_store(site.config.clone(), Edge::new(site.clock.clone()), store)
}

/// A confidential client for these audiences: its secret.
async fn add(site: &Site, id: &str, audiences: &[&str]) -> String {
    let audiences = audiences.iter().map(|&one| one.to_owned()).collect();
    let new = NewClient { name: id.to_owned(), id: Some(id.to_owned()), public: false, audiences };
    operator(site).add_client(&new).await.unwrap().1.unwrap().expose().to_owned()
}

async fn add_public(site: &Site, id: &str) {
    let new =
        NewClient { name: id.to_owned(), id: Some(id.to_owned()), public: true, ..NewClient::default() };
    assert!(operator(site).add_client(&new).await.unwrap().1.is_none());
}

fn encoded(form: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

fn basic(id: &str, secret: &str) -> String {
    let part = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", part(id), part(secret))))
}

fn form<'s>(site: &'s Site, path: &str, form: &[(&str, &str)]) -> Ask<'s> {
    site.ask(Method::POST, path).header("content-type", FORM).body(encoded(form))
}

async fn introspect(site: &Site, (id, secret): (&str, &str), token: &str) -> Value {
    let answer = form(site, "/oauth/introspect", &[("token", token)]);
    let answer = answer.header("authorization", &basic(id, secret)).send().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn is_active(site: &Site, client: (&str, &str), token: &str) -> bool {
    let told = introspect(site, client, token).await;
    let active = told["active"].as_bool().unwrap();
    assert!(active || told == json!({"active": false}), "{told}");
    active
}

async fn revoke(site: &Site, with: &[(&str, &str)], token: &str) -> Answer {
    form(site, "/oauth/revoke", &[&[("token", token)], with].concat()).send().await
}

fn refused(answer: &Answer, status: u16, error: &str) {
    assert_eq!((answer.status, answer.json()["error"].as_str()), (status, Some(error)), "{}", answer.text());
    assert_eq!(answer.header("www-authenticate").is_some(), status == 401, "RFC 9110 §15.5.2");
    assert!(answer.header("www-authenticate").is_none_or(|said| said.starts_with("Basic ")));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
}

/// A session of this user that was granted to an OAuth client, with the tokens it would have.
async fn granted(site: &Site, user: &str, client_id: &str) -> Tokens {
    let app = site.server.app();
    let edge = Edge::new(site.clock.clone());
    let master = open_master_key(&site.config.master_key, &site.config.data_dir, false, &edge).unwrap();
    let (mut handle, mut id) = ([0; 16], [0; 10]);
    site.clock.fill(&mut handle).unwrap();
    site.clock.fill(&mut id).unwrap();
    let handle = Handle::new(handle);
    let (user, now) = (record(site, user).await, app.now());
    let session = Session {
        id: SessionId::new(now, id),
        user_id: user.id,
        client_id: client_id.to_owned(),
        scope: "notes:read".to_owned(),
        refresh: RefreshState::new(handle.hash()),
        status: None,
        access_until: now.plus(Duration::from_secs(600)),
        created_at: now,
        authenticated_at: now,
        last_used_at: now,
        idle_until: now.plus(Duration::from_secs(3600)),
        expires_at: now.plus(Duration::from_secs(7200)),
        address: String::new(),
        user_agent: String::new(),
    };
    let start = Change::StartSession { session: session.clone(), max_per_user: 100 };
    let status = app.store.apply(vec![start], vec![]).await.unwrap().status[0];
    let position = Permutation::new(&master.derive(Purpose::Status)).position(status);
    let payload = json!({
        "iss": app.issuer(), "sub": user.id.to_string(), "aud": API, "exp": now.secs() + 600, "iat": now.secs(),
        "jti": "j", "client_id": client_id, "scope": session.scope, "sid": session.id.to_string(),
        "auth_time": now.secs(), "roles": [], "preferred_username": user.username.as_str(),
        "status": {"status_list": {
            "idx": position.index, "uri": format!("{}/auth/status/{}", app.issuer(), position.list),
        }},
    });
    let access = signing_key(site).await.sign("at+jwt", payload.to_string().as_bytes()).unwrap();
    let refresh = RefreshKeys::new(1, &master.derive(Purpose::Refresh(1))).mint(&handle, 1);
    Tokens { access, refresh: refresh.expose().to_owned(), session: session.id.to_string() }
}

#[tokio::test]
async fn an_active_token_is_described_by_its_claims() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    let ada = site.signed_in("ada").await;
    let told = introspect(&site, ("api", &secret), &ada.access).await;
    let mut expected = claims(&ada.access);
    expected.as_object_mut().unwrap().remove("status");
    expected["active"] = json!(true);
    expected["token_type"] = json!("Bearer");
    expected["username"] = json!("ada");
    assert_eq!(told, expected);
    for member in
        ["active", "scope", "client_id", "username", "token_type", "exp", "iat", "sub", "aud", "iss", "jti"]
    {
        assert!(!told[member].is_null(), "RFC 7662 §2.2: {member}");
    }
    site.clock.pass(Duration::from_secs(601));
    assert!(!is_active(&site, ("api", &secret), &ada.access).await, "expired");
}

#[tokio::test]
async fn a_clients_own_refresh_token_is_described_and_is_no_bearer_token() {
    let site = Site::new().await;
    site.register("ada").await;
    let secret = add(&site, "app", &[API]).await;
    let other = add(&site, "other", &[API]).await;
    let tokens = granted(&site, "ada", "app").await;
    let told = introspect(&site, ("app", &secret), &tokens.refresh).await;
    assert_eq!(
        (&told["active"], &told["scope"], &told["sid"]),
        (&json!(true), &json!("notes:read"), &json!(tokens.session))
    );
    assert!(told.get("token_type").is_none(), "{told}");
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 3600, "the nearer end");
    assert!(!is_active(&site, ("other", &other), &tokens.refresh).await, "another client's");
    let ada = site.login("ada").await.tokens();
    assert!(!is_active(&site, ("app", &secret), &ada.refresh).await, "first-party");
    site.clock.pass(Duration::from_secs(3600));
    assert!(!is_active(&site, ("app", &secret), &tokens.refresh).await, "idle too long");
}

#[tokio::test]
async fn a109_what_one_node_revoked_is_inactive_on_every_node_at_once() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    let client = ("api", &*secret);
    let ada = site.signed_in("ada").await;
    // It never hears of anything: without a server around it, nothing runs that follows the database.
    let deaf = beside(&site).await;
    let api = operator(&site).client("api").await.unwrap();
    let is_active_there = async |token: &str| deaf.introspect(&api, token).await.unwrap().is_some();
    let is_accepted_there =
        |token: &str| deaf.verifier.check(token, deaf.now().secs().try_into().unwrap()).is_ok();
    assert!(is_active_there(&ada.access).await);
    assert_eq!(revoke(&site, &[("client_id", "jotgate")], &ada.access).await.status, 200);
    assert_eq!(audited(&site, Action::TokenRevoked).await, 1);
    refused_everywhere(&site, &ada.access, "revoked").await;
    assert!(is_accepted_there(&ada.access));
    assert!(!is_active(&site, client, &ada.access).await && !is_active_there(&ada.access).await);
    // The session goes on, with tokens of a fresh entry.
    let next = site.refresh(&ada.refresh).await.tokens();
    assert!(is_active(&site, client, &next.access).await && is_active_there(&next.access).await);
    assert!(!is_active(&site, client, &ada.access).await && !is_active_there(&ada.access).await);
    assert_eq!(
        revoke(&site, &[("client_id", "jotgate")], &ada.access).await.status,
        200,
        "it is dead already"
    );
    assert!(is_active(&site, client, &next.access).await, "and takes no other one along");

    disable(&site, "ada").await;
    assert!(!is_active_there(&next.access).await, "the user is disabled");

    let bob = site.signed_in("bob").await;
    assert!(is_active_there(&bob.access).await);
    operator(&site).rotate_keys_in_an_emergency(None).await.unwrap();
    assert!(is_accepted_there(&bob.access));
    assert!(!is_active_there(&bob.access).await, "its key is");
}

#[tokio::test]
async fn a110_a102_another_clients_token_is_refused_and_unharmed() {
    let site = Site::new().await;
    let secret = add(&site, "app", &[API]).await;
    let other = add(&site, "other", &[API]).await;
    add_public(&site, "phone").await;
    let ada = site.signed_in("ada").await;
    let tokens = granted(&site, "ada", "app").await;
    let as_other = [("client_id", "other"), ("client_secret", other.as_str())];
    for with in [&as_other[..], &[("client_id", "phone")], &[("client_id", "jotgate")]] {
        for token in [&tokens.access, &tokens.refresh] {
            refused(&revoke(&site, with, token).await, 400, "invalid_grant");
        }
    }
    for token in [&ada.access, &ada.refresh] {
        refused(&revoke(&site, &as_other, token).await, 400, "invalid_grant");
    }
    for token in [&tokens.access, &tokens.refresh, &ada.access] {
        assert!(is_active(&site, ("app", &secret), token).await);
    }
    assert_eq!(site.refresh(&ada.refresh).await.status, 200);
    // What is no good is no secret: 200, to anybody.
    let spoilt = format!("{}x", ada.access);
    for token in ["x", "jgr_", "a.b.c", &spoilt, &"x".repeat(8000)] {
        assert_eq!(revoke(&site, &as_other, token).await.status, 200, "{token}");
    }
}

#[tokio::test]
async fn a111_hints_do_not_mislead() {
    let site = Site::new().await;
    let secret = add(&site, "app", &[API]).await;
    site.register("ada").await;
    let client = ("app", &*secret);
    for hint in ["access_token", "refresh_token", "banana", ""] {
        for refresh in [false, true] {
            let tokens = granted(&site, "ada", "app").await;
            let token = if refresh { &tokens.refresh } else { &tokens.access };
            let hinted = [("token", &**token), ("token_type_hint", hint)];
            let asked =
                form(&site, "/oauth/introspect", &hinted).header("authorization", &basic("app", &secret));
            assert_eq!(asked.send().await.json()["active"], true, "{hint}");
            let with = [("client_id", "app"), ("client_secret", &secret), ("token_type_hint", hint)];
            let answer = revoke(&site, &with, token).await;
            assert_eq!((answer.status, answer.text().as_str()), (200, ""));
            assert!(!is_active(&site, client, token).await, "{hint} {refresh}");
        }
    }
}

#[tokio::test]
async fn a113_a_revoked_refresh_token_takes_its_session_along_and_no_other() {
    let site = Site::new().await;
    let secret = add(&site, "app", &[API]).await;
    let client = ("app", &*secret);
    let ada = site.signed_in("ada").await;
    let (gone, stays) = (granted(&site, "ada", "app").await, granted(&site, "ada", "app").await);
    let with = [("client_id", "app"), ("client_secret", secret.as_str())];
    assert_eq!(revoke(&site, &with, &gone.refresh).await.status, 200);
    refused_everywhere(&site, &gone.access, "revoked").await;
    for (token, active) in [
        (&gone.access, false),
        (&gone.refresh, false),
        (&stays.access, true),
        (&stays.refresh, true),
        (&ada.access, true),
    ] {
        assert_eq!(is_active(&site, client, token).await, active);
    }
    assert_eq!(revoke(&site, &with, &gone.refresh).await.status, 200, "as often as one likes");

    // This server's own logins are a public client: whoever holds the token may end it, as at `/auth/logout`.
    assert_eq!(revoke(&site, &[("client_id", "jotgate")], &ada.refresh).await.status, 200);
    assert_eq!(site.refresh(&ada.refresh).await.status, 401);
    refused_everywhere(&site, &ada.access, "revoked").await;
}

#[tokio::test]
async fn a114_who_may_introspect_and_what_it_is_told() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    let elsewhere = add(&site, "elsewhere", &["https://other.example.com"]).await;
    let nothing = add(&site, "nothing", &[]).await;
    add_public(&site, "phone").await;
    let ada = site.signed_in("ada").await;
    let ask = |with: &[(&str, &str)]| {
        form(&site, "/oauth/introspect", &[&[("token", &*ada.access)], with].concat())
    };
    for with in [
        &[][..],
        &[("client_id", "phone")],
        &[("client_id", "jotgate")],
        &[("client_id", "api")],
        &[("client_id", "api"), ("client_secret", "wrong")],
        &[("client_id", "phone"), ("client_secret", "x")],
        &[("client_id", "nobody"), ("client_secret", &secret)],
        &[("client_secret", &secret)],
    ] {
        refused(&ask(with).send().await, 401, "invalid_client");
    }
    refused(
        &ask(&[]).header("authorization", &format!("Bearer {}", ada.access)).send().await,
        401,
        "invalid_client",
    );
    let by_form = ask(&[("client_id", "api"), ("client_secret", &secret)]).send().await;
    assert_eq!(by_form.json()["active"], true);
    for client in [("elsewhere", &*elsewhere), ("nothing", &*nothing)] {
        assert_eq!(introspect(&site, client, &ada.access).await, json!({"active": false}));
    }
}

#[tokio::test]
async fn a114_a_cookie_is_no_client_authentication() {
    let site = Site::new().await;
    let ada = site.signed_in("ada").await;
    let cookie = format!("{}={}", site.server.site().cookies.access_name(), ada.access);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let ask = || form(&site, path, &[("token", &ada.access)]).header("cookie", &cookie);
        refused(&ask().header("sec-fetch-site", "same-origin").send().await, 401, "invalid_client");
        // From another site it is not even looked at, and said in the form of these endpoints.
        refused(&ask().header("sec-fetch-site", "cross-site").send().await, 400, "invalid_request");
    }
    accepted_everywhere(&site, &ada.access).await;
}

#[tokio::test]
async fn a115_whatever_is_not_active_looks_alike() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    let elsewhere = add(&site, "elsewhere", &["https://other.example.com"]).await;
    let ada = site.signed_in("ada").await;
    let foreign = another_installation().await.signed_in("ada").await;
    let id_token = signing_key(&site).await.sign("JWT", claims(&ada.access).to_string().as_bytes()).unwrap();
    let out = site.login("ada").await.tokens();
    site.post("/auth/logout", &json!({})).bearer(&out.access).send().await;
    let spoilt = format!("{}x", ada.access);
    let mut shapes = Vec::new();
    for (secret, id, token) in [
        (&secret, "api", "x"),
        (&secret, "api", &spoilt),
        (&secret, "api", &id_token),
        (&secret, "api", &foreign.access),
        (&secret, "api", &foreign.refresh),
        (&secret, "api", &ada.refresh),
        (&secret, "api", &out.access),
        (&secret, "api", "jgr_ATAxMjM0NTY3ODlhYmNkZWYAAAAHbooAFQ7aZAAPIEIqbBY6HQ"),
        (&elsewhere, "elsewhere", &ada.access),
    ] {
        let ask = form(&site, "/oauth/introspect", &[("token", token)]);
        shapes.push(shape(&ask.header("authorization", &basic(id, secret)).send().await));
    }
    assert_eq!(shapes[0].2, r#"{"active":false}"#);
    shapes.dedup();
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
}

#[tokio::test]
async fn a73_ids_and_secrets_are_what_they_are_after_decoding() {
    let site = Site::new().await;
    let ada = site.signed_in("ada").await;
    let secret = add(&site, "a:b+c%d", &[API]).await;
    assert!(is_active(&site, ("a:b+c%d", &secret), &ada.access).await);
    let ask = async |header: String| {
        let ask = form(&site, "/oauth/introspect", &[("token", &ada.access)]);
        ask.header("authorization", &header).send().await
    };
    // Any character of the secret may be escaped.
    let escaped: String = secret.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let escaped = format!("Basic {}", STANDARD.encode(format!("a%3Ab%2Bc%25d:{escaped}")));
    assert_eq!(ask(escaped).await.json()["active"], true);
    // Not encoded, the id is another one, or none.
    for raw in
        [format!("a:b+c%d:{secret}"), format!("a%3Ab+c%25d:{secret}"), format!("a%3Ab%2Bc%25d:{secret}%3A")]
    {
        refused(&ask(format!("Basic {}", STANDARD.encode(raw))).await, 401, "invalid_client");
    }
}

#[tokio::test]
async fn a137_a131_requests_are_read_strictly() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    add_public(&site, "phone").await;
    let ada = site.signed_in("ada").await;
    let (token, header) = (("token", &*ada.access), basic("api", &secret));
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        let with = |pairs: &[(&str, &str)]| form(&site, path, pairs).header("authorization", &header);
        let wrong = [("client_id", "api"), ("client_secret", "wrong")];
        refused(&form(&site, path, &[token, wrong[0]]).send().await, 401, "invalid_client");
        refused(&form(&site, path, &[token, wrong[0], wrong[1]]).send().await, 401, "invalid_client");
        refused(&with(&[token, ("client_secret", &secret)]).send().await, 400, "invalid_request");
        refused(&with(&[token, ("client_id", "phone")]).send().await, 400, "invalid_request");
        refused(&with(&[token, token]).send().await, 400, "invalid_request");
        refused(&with(&[]).send().await, 400, "invalid_request");
        refused(&with(&[("token", "")]).send().await, 400, "invalid_request");
        refused(&with(&[token, ("x", "1"), ("x", "2")]).send().await, 400, "invalid_request");
        let json = site.post(path, &json!({"token": ada.access})).header("authorization", &header);
        refused(&json.send().await, 400, "invalid_request");
        let query = format!("{path}?token=x");
        let asked = form(&site, &query, &[token]).header("authorization", &header).send().await;
        refused(&asked, 400, "invalid_request");
        let large = "x".repeat(17 * 1024);
        refused(&with(&[("token", &large)]).send().await, 400, "invalid_request");
        assert_eq!(site.get(path).send().await.status, 405);
        accepted_everywhere(&site, &ada.access).await;
    }
    let ignored = [token, ("x", "1"), ("token_type_hint", ""), ("client_id", "api")];
    let answer = form(&site, "/oauth/introspect", &ignored).header("authorization", &header).send().await;
    assert_eq!(answer.json()["active"], true);
}

#[tokio::test]
async fn a98_a_deleted_client_is_nobody_and_its_sessions_end() {
    let site = Site::new().await;
    let secret = add(&site, "app", &[API]).await;
    let reader = add(&site, "reader", &[API]).await;
    let ada = site.signed_in("ada").await;
    let tokens = granted(&site, "ada", "app").await;
    accepted_everywhere(&site, &tokens.access).await;
    assert_eq!(operator(&site).delete_client("app").await.unwrap().1, 1);
    assert_eq!(audited(&site, Action::ClientDeleted).await, 1);
    assert!(!is_active(&site, ("reader", &reader), &tokens.access).await);
    assert!(is_active(&site, ("reader", &reader), &ada.access).await);
    let with = [("client_id", "app"), ("client_secret", secret.as_str())];
    refused(&revoke(&site, &with, &tokens.refresh).await, 401, "invalid_client");
    // The running server hears of it as of any other revocation.
    let other = beside(&site).await;
    assert!(other.verifier.verify(&tokens.access, u64::try_from(other.now().secs()).unwrap()).is_err());
}

/// Whoever fails on and on is told to wait, and nobody beside them: not a client that shows the right secret from the
/// same network, which knows nothing of its neighbours.
#[tokio::test]
async fn a63_an_address_that_fails_to_be_a_client_is_stopped_and_what_is_right_passes() {
    let site = Site::new().await;
    let secret = add(&site, "api", &[API]).await;
    add_public(&site, "phone").await;
    let ada = site.signed_in("ada").await;
    let ask = async |header: &str, from: &str| {
        let ask = form(&site, "/oauth/introspect", &[("token", &ada.access)]);
        ask.header("authorization", header).sent_from(from).send().await
    };
    let right = basic("api", &secret);
    // What succeeds is never counted.
    for _ in 0..600 {
        assert_eq!(ask(&right, "192.0.2.1").await.status, 200);
    }
    let mut failed = 0;
    while ask(&basic("api", "wrong"), "192.0.2.1").await.status == 401 {
        failed += 1;
        assert!(failed < 1000, "never stopped");
    }
    assert_eq!(failed, 501);
    // Stopped, and whatever is wrong is told the same: nothing is learned by it of a client or a secret.
    let almost = format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('A') { 'B' } else { 'A' });
    let wrong = [
        basic("api", "wrong"),
        basic("api", &almost),
        basic("api", &secret.to_lowercase()),
        basic("nobody", &secret),
        basic("phone", &secret),
        basic("jotgate", &secret),
        "Basic nonsense".to_owned(),
    ];
    let mut shapes = Vec::new();
    for header in &wrong {
        let stopped = ask(header, "192.0.2.1").await;
        refused(&stopped, 503, "temporarily_unavailable");
        assert!(stopped.header("retry-after").is_some());
        shapes.push(shape(&stopped));
        assert_eq!(ask(&right, "192.0.2.1").await.status, 200, "meanwhile");
    }
    shapes.dedup();
    assert_eq!(shapes.len(), 1, "{shapes:#?}");
    // By its id alone: what needs no proof is not kept out either.
    let public = form(&site, "/oauth/revoke", &[("token", "x"), ("client_id", "phone")]);
    assert_eq!(public.sent_from("192.0.2.1").send().await.status, 200);
    assert_eq!(
        ask(&basic("api", "wrong"), "192.0.2.2").await.status,
        401,
        "another network is counted apart"
    );
    assert_eq!(site.login("ada").await.status, 200, "and so are logins");
    site.clock.pass(Duration::from_secs(5));
    assert_eq!(ask(&basic("api", "wrong"), "192.0.2.1").await.status, 401);
}

#[tokio::test]
async fn the_metadata_names_what_is_there() {
    let site = Site::new().await;
    let metadata = site.get("/.well-known/oauth-authorization-server").send().await.json();
    for (member, path) in
        [("introspection_endpoint", "/oauth/introspect"), ("revocation_endpoint", "/oauth/revoke")]
    {
        assert_eq!(metadata[member], format!("{API}{path}"));
        let methods = metadata[format!("{member}_auth_methods_supported")].as_array().unwrap();
        assert!(
            methods.contains(&json!("client_secret_basic")) && methods.contains(&json!("client_secret_post"))
        );
        assert_eq!(methods.contains(&json!("none")), path == "/oauth/revoke");
    }
    assert!(metadata.get("token_endpoint").is_none());
}
