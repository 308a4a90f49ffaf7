//! Introspection (RFC 7662) and revocation (RFC 7009) asked for by a client that shares no code with Jotgate.

use std::path::PathBuf;

use e2e::Server;
use serde_json::{Value, json};

use super::judge::Judge;

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
    let ask =
        |question: Value| -> Value { serde_json::from_str(&npm.verdict(&question.to_string())).unwrap() };
    let add = |id: &str, audience: &str| -> String {
        let added = server.command(["client", "add", id, "--id", id, "--audience", audience, "--json"]);
        assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
        let added: Value = serde_json::from_slice(&added.stdout).unwrap();
        added["client_secret"].as_str().unwrap().to_owned()
    };
    // Whatever has to be encoded before it is base64 is in the id.
    let id = "orders:a+b%c/d";
    let (secret, elsewhere) = (add(id, server.url()), add("elsewhere", "https://api.example.com"));

    let login = json!({"username": "ada", "password": "four unrelated words"});
    let mut client = server.client();
    client.post("/auth/register").json(&login).send().expect(201);
    let tokens = client.post("/auth/login").json(&login).send().is(200).json();
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
