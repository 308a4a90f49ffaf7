//! `jotgate client`: made, listed, shown and deleted, and a server that runs knows them at once.

use serde_json::json;

use super::operate::Server;
use super::program::Place;

#[test]
fn a_client_is_made_listed_shown_and_deleted() {
    let place = Place::new();
    let empty = place.run(&["client", "list"]);
    assert_eq!(empty.code, 1, "there is no installation yet: {}", empty.err);
    let api = ["client", "add", "Orders API", "--id", "orders", "--audience", "https://api.example.com"];
    let made = place.run(&[&api[..], &["--json"]].concat()).exits(0).json();
    let secret = made["client_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("jgc_") && secret.len() == 47);
    assert_eq!((&made["client_id"], &made["public"]), (&json!("orders"), &json!(false)));
    assert_eq!(made["audiences"], json!(["https://api.example.com"]));

    let again = place.run(&api).exits(1);
    assert!(again.err.contains("the client id is taken"), "{}", again.err);
    let phone = place.run(&["client", "add", "Phone", "--public"]).exits(0);
    assert!(phone.out.contains("It is public") && !phone.out.contains("jgc_"), "{}", phone.out);
    for wrong in [
        &["client", "add", "x", "--id", "jotgate"][..],
        &["client", "add", "x", "--id", "01936b2e-8f00-7c3a-9d57-0f4a5c1e2b3d"],
        &["client", "add", "x", "--id", "a b"],
        &["client", "add", "\u{202e}x"],
        &["client", "add", ""],
        &["client", "add", "x", "--public", "--audience", "a"],
        &["client", "delete", "orders"],
    ] {
        place.run(wrong).exits(2);
    }

    let listed = place.run(&["client", "list", "--json"]).exits(0);
    assert!(!listed.out.contains(&secret), "it is not shown again");
    let clients = listed.json()["clients"].as_array().unwrap().clone();
    assert_eq!(clients.len(), 2);
    let drawn = clients.iter().find(|one| one["name"] == "Phone").unwrap();
    assert!(drawn["client_id"].as_str().unwrap().starts_with('c') && drawn["public"] == true, "{drawn}");
    let table = place.run(&["client", "list"]).exits(0).out;
    assert!(table.contains("orders") && table.contains("confidential"), "{table}");
    let shown = place.run(&["client", "show", "orders"]).exits(0).out;
    assert!(shown.contains("Orders API") && shown.contains("https://api.example.com"), "{shown}");

    let gone = place.run(&["client", "delete", "orders", "--yes", "--json"]).exits(0).json();
    assert_eq!((&gone["client"]["client_id"], &gone["sessions_ended"]), (&json!("orders"), &json!(0)));
    for missing in [&["client", "show", "orders"][..], &["client", "delete", "orders", "--yes"]] {
        let run = place.run(missing).exits(1);
        assert!(run.err.contains("jotgate client list"), "{}", run.err);
    }
    let trail = place.run(&["audit", "list", "--json"]).exits(0).out;
    assert!(trail.contains("client.created") && trail.contains("client.deleted") && !trail.contains(&secret));
}

#[test]
fn a_server_that_runs_knows_a_client_at_once() {
    let server = Server::start();
    server.add("ada", &[]);
    let token = server.token("ada");
    let made = server.run(&["client", "add", "api", "--audience", &server.url, "--json"]).exits(0).json();
    let (id, secret) = (made["client_id"].as_str().unwrap(), made["client_secret"].as_str().unwrap());
    let form = format!("client_id={id}&client_secret={secret}&token={token}");
    let (status, told) = server.ask_form("/oauth/introspect", &form);
    assert_eq!((status, &told["active"], &told["username"]), (200, &json!(true), &json!("ada")));
    server.run(&["user", "disable", "ada"]).exits(0);
    assert_eq!(server.ask_form("/oauth/introspect", &form), (200, json!({"active": false})), "at once");
    server.run(&["client", "delete", id, "--yes"]).exits(0);
    assert_eq!(server.ask_form("/oauth/introspect", &form).0, 401);
}
