//! Introspection (RFC 7662) and revocation (RFC 7009) asked for by clients that share no code with Jotgate.

use std::path::PathBuf;

use e2e::{Client, Server};
use serde_json::{Value, json};

use super::judge::Judge;

/// A confidential client: its secret.
fn add(server: &Server, id: &str, audience: &str) -> String {
    let added = server.command(["client", "add", id, "--id", id, "--audience", audience, "--json"]);
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let added: Value = serde_json::from_slice(&added.stdout).unwrap();
    added["client_secret"].as_str().unwrap().to_owned()
}

/// Somebody who signed in: their browser, and what they were answered.
fn signed_in(server: &Server) -> (Client, Value) {
    let login = json!({"username": "ada", "password": "four unrelated words"});
    let mut client = server.client();
    client.post("/auth/register").json(&login).send().expect(201);
    let tokens = client.post("/auth/login").json(&login).send().is(200).json();
    (client, tokens)
}

fn ask(client: &Judge, question: &Value) -> Value {
    serde_json::from_str(&client.verdict(&question.to_string())).unwrap()
}

#[test]
fn a_client_and_a_resource_server_of_pypi_introspect_and_revoke() {
    let packages = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/e2e/oauth-python");
    if !packages.join("authlib").is_dir() {
        e2e::left_out(
            "PyPI Authlib as a client",
            "the Python packages are not installed (`cargo xtask test --only e2e` does it)",
        );
        return;
    }
    let server = Server::start();
    let python = Judge::python("oauth-client.py", &[server.url(), packages.to_str().unwrap()]);
    let ask = |question: Value| ask(&python, &question);
    // Authlib does not encode what it joins by a colon: such an id needs no encoding.
    let (secret, elsewhere) =
        (add(&server, "orders", server.url()), add(&server, "elsewhere", "https://api.example.com"));

    let (mut client, tokens) = signed_in(&server);
    let access = tokens["access_token"].as_str().unwrap();

    for post in [false, true] {
        let of = |what: &str, id: &str, secret: &str, token: &str| {
            ask(json!({"what": what, "id": id, "secret": secret, "post": post, "token": token}))
        };
        let told = of("introspect", "orders", &secret, access);
        assert_eq!((&told["active"], &told["sub"]), (&json!(true), &tokens["user"]["id"]), "{told}");
        let inactive = json!({"active": false});
        assert_eq!(of("introspect", "orders", &secret, "nonsense"), inactive);
        assert_eq!(of("introspect", "elsewhere", &elsewhere, access), inactive);
        let refused = json!({"refused": "invalid_client", "status": 401});
        assert_eq!(of("introspect", "orders", "wrong", access), refused);
        let others = json!({"refused": "invalid_grant", "status": 400});
        assert_eq!(of("revoke", "orders", &secret, access), others);

        // As a resource server asks about whoever came, and for which scopes.
        let validate = |token: &str, scopes: &[&str]| {
            ask(json!({
                "what": "validate", "id": "orders", "secret": secret, "post": post, "token": token, "scopes": scopes,
            }))
        };
        assert_eq!(validate(access, &["account"]), "ada");
        let insufficient = json!({"refused": "insufficient_scope", "status": 403});
        assert_eq!(validate(access, &["admin"]), insufficient);
        assert_eq!(validate("nonsense", &[]), json!({"refused": "invalid_token", "status": 401}));
    }

    let revoke = |token: &str, hint: &str| {
        ask(json!({"what": "revoke", "id": "jotgate", "token": token, "hint": hint}))
    };
    assert_eq!(revoke("nonsense", "access_token"), "ok");
    assert_eq!(revoke(access, "refresh_token"), "ok");
    let of = json!({"what": "validate", "id": "orders", "secret": secret, "token": access});
    assert_eq!(ask(of), json!({"refused": "invalid_token", "status": 401}));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(revoke(refresh, "access_token"), "ok");
    client.post("/auth/refresh").json(&json!({"refresh_token": refresh})).send().expect(401);
}

#[test]
fn a_strict_client_of_npm_introspects_and_revokes() {
    let modules = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/e2e/oauth");
    if !modules.join("node_modules/oauth4webapi").is_dir() {
        e2e::left_out(
            "npm oauth4webapi as a client",
            "the npm packages are not installed (`cargo xtask test --only e2e` does it)",
        );
        return;
    }
    let server = Server::start();
    let npm = Judge::script("oauth-client.mjs", &[server.url(), modules.to_str().unwrap()]);
    let ask = |question: Value| ask(&npm, &question);
    // Whatever has to be encoded before it is base64 is in the id.
    let id = "orders:a+b%c/d";
    let (secret, elsewhere) =
        (add(&server, id, server.url()), add(&server, "elsewhere", "https://api.example.com"));

    let (mut client, tokens) = signed_in(&server);
    let access = tokens["access_token"].as_str().unwrap();

    for post in [false, true] {
        let introspect = |id: &str, secret: &str, token: &str| {
            ask(json!({"what": "introspect", "id": id, "secret": secret, "post": post, "token": token}))
        };
        let told = introspect(id, &secret, access);
        assert_eq!((&told["active"], &told["token_type"]), (&json!(true), &json!("Bearer")), "{told}");
        assert_eq!(told["sub"], tokens["user"]["id"]);
        assert_eq!(introspect(id, &secret, "nonsense"), json!({"active": false}));
        assert_eq!(introspect("elsewhere", &elsewhere, access), json!({"active": false}));
        let refused = introspect(id, "wrong", access);
        assert_eq!((&refused["refused"], &refused["status"]), (&json!("basic"), &json!(401)));
        let other = ask(json!({"what": "revoke", "id": id, "secret": secret, "post": post, "token": access}));
        assert_eq!((&other["refused"], &other["status"]), (&json!("invalid_grant"), &json!(400)));
    }

    let revoke = |token: &str, hint: &str| {
        ask(json!({"what": "revoke", "id": "jotgate", "token": token, "hint": hint}))
    };
    assert_eq!(revoke("nonsense", "access_token"), "revoked");
    assert_eq!(revoke(access, "refresh_token"), "revoked");
    let told = ask(json!({"what": "introspect", "id": id, "secret": secret, "token": access}));
    assert_eq!(told, json!({"active": false}));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = client.post("/auth/refresh").json(&json!({"refresh_token": refresh})).send().is(200).json();
    let refresh = renewed["refresh_token"].as_str().unwrap();
    assert_eq!(revoke(refresh, "access_token"), "revoked");
    client.post("/auth/refresh").json(&json!({"refresh_token": refresh})).send().expect(401);
}
