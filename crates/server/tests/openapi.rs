//! The description of the HTTP surface against the surface itself: the same paths and methods, and answers of the
//! form that it says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use http::Method;
use jotgate::app::{NewClient, Operator};
use jotgate::edge::Edge;
use jotgate::http::openapi::document;
use serde_json::{Value, json};
use support::{Answer, PASSWORD, Site};

const METHODS: [Method; 5] = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

fn parsed() -> Value {
    serde_json::from_str(document()).unwrap()
}

/// Every path that the sources hand to `route(…)`.
fn routes(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            routes(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            for call in code.split(".route(").skip(1) {
                let argument = call.trim_start().split([',', ')']).next().unwrap();
                if argument.starts_with('&') {
                    continue; // what a nested server has at the root as well
                }
                let path = match argument.strip_prefix('"') {
                    Some(literal) => literal.trim_end_matches('"').to_owned(),
                    None => constant(code, argument),
                };
                found.insert(path);
            }
        }
    }
}

fn constant(code: &str, name: &str) -> String {
    let (_, value) =
        code.split_once(&format!("const {name}: &str = \"")).expect("a constant of the same file");
    value.split('"').next().unwrap().to_owned()
}

#[test]
fn every_route_is_described_and_nothing_else_is() {
    let mut routed = BTreeSet::new();
    routes(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"), &mut routed);
    let described: BTreeSet<String> = parsed()["paths"].as_object().unwrap().keys().cloned().collect();
    assert!(routed.len() > 20, "{routed:?}");
    assert_eq!(described, routed);
}

#[tokio::test]
async fn each_path_has_exactly_the_methods_that_are_described() {
    let site = Site::new().await;
    for (path, item) in parsed()["paths"].as_object().unwrap() {
        if item["get"]["x-any-method"] == true {
            continue;
        }
        let concrete = path.replace("{id}", "01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d").replace("{list}", "0");
        let concrete = concrete.replace("{file}", "style.css");
        for method in METHODS {
            let operation = &item[method.as_str().to_lowercase()];
            let answer = site.ask(method.clone(), &concrete).header("sec-fetch-site", "same-origin");
            let answer = answer.send().await;
            if operation.is_null() {
                assert_eq!(answer.status, 405, "{method} {path} is answered and not described");
                continue;
            }
            let described = operation["responses"].as_object().unwrap();
            let status = answer.status.to_string();
            assert!(
                described.contains_key(&status) || described.contains_key("default"),
                "{method} {path} answers {status}, which is not described: {}",
                answer.text()
            );
            assert_ne!(answer.status, 405, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn the_document_is_served_as_it_is_printed() {
    let answer = Site::new().await.get("/openapi.json").send().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.text(), document());
}

/// Says where `value` is not as `schema` says; a member that is not described is a mistake.
fn misfits(document: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
        return misfits(document, schema, value, at, found);
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(some) => some.iter().map(|one| one.as_str().unwrap()).collect(),
        _ => panic!("{at}: a schema without a type"),
    };
    let is = |name: &&str| match *name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{at}: {other}"),
    };
    if !types.iter().any(is) {
        found.push(format!("{at} is {value}, not {types:?}"));
    }
    if schema["enum"].as_array().is_some_and(|allowed| !allowed.contains(value)) {
        found.push(format!("{at} is {value}, which is not in the list"));
    }
    if schema.get("const").is_some_and(|only| only != value) {
        found.push(format!("{at} is {value}, not {}", schema["const"]));
    }
    match value {
        Value::Object(members) => {
            for name in schema["required"].as_array().into_iter().flatten() {
                if !members.contains_key(name.as_str().unwrap()) {
                    found.push(format!("{at} has no {name}"));
                }
            }
            for (name, value) in members {
                match schema["properties"].get(name) {
                    Some(schema) => misfits(document, schema, value, &format!("{at}/{name}"), found),
                    None if schema["additionalProperties"] == true => {}
                    None => found.push(format!("{at}/{name} is not described")),
                }
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                misfits(document, &schema["items"], item, &format!("{at}/{i}"), found);
            }
        }
        _ => {}
    }
}

/// Ends the test unless the answer is described with this status and has the form that is described.
#[track_caller]
fn fits(method: &str, path: &str, status: u16, answer: &Answer) {
    let document = parsed();
    assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    let mut response = &document["paths"][path][method]["responses"][status.to_string()];
    if let Some(reference) = response["$ref"].as_str() {
        response = document.pointer(reference.strip_prefix('#').unwrap()).unwrap();
    }
    assert!(response.is_object(), "{method} {path} {status} is not described");
    let Some(content) = response["content"].as_object() else {
        assert_eq!(answer.text(), "", "{method} {path}");
        return;
    };
    let media = answer.header("content-type").unwrap().split(';').next().unwrap();
    let schema = &content.get(media).unwrap_or_else(|| panic!("{method} {path} {status}: {media}"))["schema"];
    let mut found = Vec::new();
    misfits(&document, schema, &answer.json(), "", &mut found);
    assert!(found.is_empty(), "{method} {path} {status}: {found:#?}");
}

#[tokio::test]
async fn answers_have_the_form_that_is_described() {
    let site = Site::with(support::http_origin(), |config| {
        config.policy.permissions = [("editor".to_owned(), vec!["write".to_owned()])].into();
    })
    .await;
    let register = json!({"username": "ada", "password": PASSWORD, "email": "ada@example.com"});
    fits("post", "/auth/register", 201, &site.post("/auth/register", &register).send().await);
    fits("post", "/auth/register", 409, &site.register("ada").await);
    fits("post", "/auth/register", 415, &site.ask(Method::POST, "/auth/register").body("x").send().await);
    let short = json!({"username": "eve", "password": "short"});
    fits("post", "/auth/register", 422, &site.post("/auth/register", &short).send().await);
    fits("post", "/auth/login", 400, &site.post("/auth/login", &json!({})).send().await);
    fits("post", "/auth/login", 401, &site.login("nobody").await);
    let foreign = site.post("/auth/login", &json!({"username": "ada", "password": PASSWORD}));
    fits("post", "/auth/login", 403, &foreign.header("sec-fetch-site", "cross-site").send().await);

    let login = site.login("ada").await;
    fits("post", "/auth/login", 200, &login);
    let cookies = json!({"username": "ada", "password": PASSWORD, "delivery": "cookie"});
    fits("post", "/auth/login", 200, &site.post("/auth/login", &cookies).send().await);
    let tokens = login.tokens();
    fits("get", "/auth/me", 200, &site.me(&tokens.access).await);
    fits("get", "/auth/me", 401, &site.me("x").await);
    fits("get", "/auth/sessions", 200, &site.get("/auth/sessions").bearer(&tokens.access).send().await);
    fits("get", "/auth/verify", 200, &site.get("/auth/verify").bearer(&tokens.access).send().await);
    fits("get", "/auth/verify", 403, &site.get("/auth/verify?role=x").bearer(&tokens.access).send().await);

    let change = json!({"current_password": PASSWORD, "new_password": "another long passphrase"});
    let changed = site.post("/auth/password/change", &change).bearer(&tokens.access).send().await;
    fits("post", "/auth/password/change", 200, &changed);
    let tokens = changed.tokens();
    fits("post", "/auth/refresh", 200, &site.refresh(&tokens.refresh).await);
    fits("post", "/auth/refresh", 401, &site.refresh("jgr_x").await);
    let unknown = site.ask(Method::DELETE, "/auth/sessions/01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d");
    fits("delete", "/auth/sessions/{id}", 404, &unknown.bearer(&tokens.access).send().await);
    fits(
        "post",
        "/auth/logout",
        204,
        &site.ask(Method::POST, "/auth/logout").bearer(&tokens.access).send().await,
    );
    fits("post", "/auth/logout", 401, &site.ask(Method::POST, "/auth/logout").send().await);

    let form = |path: &str, body: &str| {
        let ask = site.ask(Method::POST, path).header("content-type", "application/x-www-form-urlencoded");
        ask.body(body.to_owned())
    };
    let operator = Operator::with_store(
        site.config.clone(),
        Edge::new(site.clock.clone()),
        std::sync::Arc::clone(&site.server.app().store),
    );
    let api = NewClient {
        name: "api".to_owned(),
        id: Some("api".to_owned()),
        public: false,
        audiences: vec!["http://127.0.0.1:8080".to_owned()],
    };
    let secret = operator.add_client(&api).await.unwrap().1.unwrap();
    let token = site.post("/auth/login", &json!({"username": "ada", "password": "another long passphrase"}));
    let token = token.send().await.tokens().access;
    let asked = format!("client_id=api&client_secret={}&token=", secret.expose());
    fits(
        "post",
        "/oauth/introspect",
        200,
        &form("/oauth/introspect", &format!("{asked}{token}")).send().await,
    );
    fits("post", "/oauth/introspect", 200, &form("/oauth/introspect", &format!("{asked}x")).send().await);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        fits("post", path, 400, &form(path, &asked).send().await);
        fits("post", path, 401, &form(path, "token=x").send().await);
    }
    fits("post", "/oauth/revoke", 400, &form("/oauth/revoke", &format!("{asked}{token}")).send().await);
    let own = format!("client_id=jotgate&token={token}");
    fits("post", "/oauth/revoke", 200, &form("/oauth/revoke", &own).send().await);

    fits("get", "/auth/revocations", 200, &site.get("/auth/revocations").send().await);
    for path in [
        "/auth/status",
        "/.well-known/jwks.json",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
    ] {
        fits("get", path, 200, &site.get(path).send().await);
    }
}

#[test]
fn a_misfit_is_found() {
    let document = parsed();
    let problem = json!({"type": "t", "title": "t", "status": "401", "code": "nonsense", "secret": 1});
    let mut found = Vec::new();
    misfits(&document, &json!({"$ref": "#/components/schemas/Problem"}), &problem, "", &mut found);
    assert_eq!(found.len(), 4, "{found:#?}");
}
