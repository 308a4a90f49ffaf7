//! The operator's commands, on the database of a server that runs.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::host::{HASH, PASSWORD, ask};
use super::program::{Place, Run};

/// `jotgate serve`, killed when dropped.
pub(crate) struct Server {
    place: Place,
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    fn start_with(variables: &[(&str, &str)]) -> Self {
        Self::at(Place::new(), variables)
    }

    pub(crate) fn at(place: Place, variables: &[(&str, &str)]) -> Self {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command
            .envs(variables.iter().copied())
            .env(HASH.0, HASH.1)
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        let url = first.trim().strip_prefix("listening on ").expect("the first line").to_owned();
        Self { place, child, url }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        self.place.run_with(&[HASH], arguments)
    }

    pub(crate) fn add(&self, name: &str, more: &[&str]) {
        let mut command = self.place.command(&[&["user", "add", name, "--password-stdin"], more].concat());
        command.env(HASH.0, HASH.1);
        super::program::finish(command, &format!("{PASSWORD}\n")).exits(0);
    }

    /// Status and body.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        ask(&self.url, method, path, bearer, body)
    }

    /// The same with a form.
    pub(crate) fn ask_form(&self, path: &str, form: &str) -> (u16, Value) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(format!("{}{path}", self.url));
        let mut response =
            request.content_type("application/x-www-form-urlencoded").send(form.to_owned()).unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
    }

    fn login(&self, name: &str, password: &str) -> (u16, Value) {
        self.ask("POST", "/auth/login", None, Some(&json!({"username": name, "password": password})))
    }

    /// The access token of a login that has to succeed.
    pub(crate) fn token(&self, name: &str) -> String {
        let (status, body) = self.login(name, PASSWORD);
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    fn me(&self, token: &str) -> u16 {
        self.ask("GET", "/auth/me", Some(token), None).0
    }

    /// A running server follows within 100 ms; this waits longer before it gives up.
    fn refuses(&self, token: &str) -> bool {
        (0..50).any(|_| {
            std::thread::sleep(std::time::Duration::from_millis(40));
            self.ask("GET", "/auth/verify", Some(token), None).0 == 401
        })
    }
}

#[test]
fn what_the_operator_changes_a_running_server_sees() {
    let server = Server::start();
    server.add("ada", &["--email", "ada@example.com", "--role", "admin", "--role", "editor"]);
    assert_eq!(server.login("ada@example.com", PASSWORD).0, 200);

    let token = server.token("ada");
    assert_eq!(server.me(&token), 200);
    let done = server.run(&["user", "revoke", "ada", "editor", "--json"]).exits(0).json();
    assert_eq!((&done["changed"], &done["user"]["roles"]), (&json!(true), &json!(["admin"])));
    assert!(server.refuses(&token), "a role that is gone takes the tokens with it");
    let done = server.run(&["user", "revoke", "ada", "editor", "--json"]).exits(0).json();
    assert_eq!(done["changed"], false);

    server.run(&["user", "set-claim", "ada", "plan=\"pro\"", "seats=5"]).exits(0);
    let shown = server.run(&["user", "show", "ada", "--json"]).exits(0).json();
    assert_eq!(shown["claims"], json!({"plan": "pro", "seats": 5}));
    server.run(&["user", "set-claim", "ada", "iss=1"]).exits(2);
    server.run(&["user", "set-claim", "ada", "plan=pro"]).exits(2);

    let token = server.token("ada");
    let sessions = server.run(&["session", "list", "--user", "ada", "--json"]).exits(0).json();
    let newest = sessions["sessions"][0]["id"].as_str().unwrap();
    assert_eq!(sessions["sessions"][0]["username"], "ada");
    server.run(&["session", "revoke", newest]).exits(0);
    assert!(server.refuses(&token));
    server.run(&["session", "revoke", newest]).exits(1);

    let token = server.token("ada");
    let run = server.run(&["user", "disable", "ada"]).exits(0);
    assert!(run.out.starts_with("ada is disabled. "), "{}", run.out);
    assert!(server.refuses(&token));
    assert_eq!(server.login("ada", PASSWORD).0, 401);
    server.run(&["user", "enable", "ada"]).exits(0);

    let token = server.token("ada");
    let mut command = server.place.command(&["user", "set-password", "ada", "--password-stdin"]);
    command.env(HASH.0, HASH.1);
    super::program::finish(command, "quite another passphrase\n").exits(0);
    assert!(server.refuses(&token));
    assert_eq!(
        (server.login("ada", PASSWORD).0, server.login("ada", "quite another passphrase").0),
        (401, 200)
    );

    let before = server.run(&["key", "list", "--json"]).exits(0).json();
    let after = server.run(&["key", "rotate", "--json"]).exits(0).json();
    assert_eq!(after.as_array().unwrap().len(), before.as_array().unwrap().len() + 1);
    let kid = before[0]["kid"].as_str().unwrap();
    assert!(server.run(&["key", "export", kid]).exits(1).err.contains("its private half stays here"));

    server.run(&["user", "delete", "ada"]).exits(2);
    server.run(&["user", "delete", "ada", "--yes"]).exits(0);
    assert!(server.run(&["user", "show", "ada"]).exits(1).err.contains("there is no user \"ada\""));

    let trail = server.run(&["audit", "list", "--json"]).exits(0).out;
    for action in [
        "user.created",
        "role.revoked",
        "session.revoked",
        "user.disabled",
        "password.changed",
        "user.deleted",
    ] {
        assert!(trail.contains(&format!("\"action\":\"{action}\"")), "{action}: {trail}");
    }
    assert!(!trail.contains(PASSWORD));
}

#[test]
fn a_mistyped_directory_is_no_empty_installation() {
    let place = Place::new();
    for arguments in [&["user", "list"][..], &["session", "list"], &["key", "list"], &["audit", "list"]] {
        let run = place.run(arguments).exits(1);
        assert!(run.err.contains("there is no database at ./jotgate-data/jotgate.db yet"), "{}", run.err);
    }
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}

#[test]
fn passwords_come_from_a_person_or_from_standard_input_and_weak_ones_are_refused() {
    let place = Place::new();
    let run = place.run(&["user", "add", "ada"]).exits(2);
    assert!(run.err.contains("--password-stdin"), "{}", run.err);
    place.run_with_input(&["user", "add", "ada", "--password-stdin"], "").exits(2);
    let run = place.run_with_input(&["user", "add", "ada", "--password-stdin"], "short\n").exits(1);
    assert!(run.err.contains("the password is refused: use at least 8 characters"), "{}", run.err);
    assert!(place.run(&["user", "list"]).exits(0).out.contains("jotgate user add NAME"));
}

/// Attack 69, and that no row is dropped.
#[test]
fn an_import_reports_every_row_and_writes_the_good_ones() {
    let place = Place::new();
    let hash = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21l$MTIzNDU2Nzg5MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTI";
    let costly = hash.replace("m=64,t=1", "m=4194304,t=1000");
    let bcrypt = "$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW";
    let row = |name: &str, hash: &str| json!({"username": name, "password_hash": hash, "roles": ["editor"]});
    let rows = [
        row("ada", hash),
        row("bob", &costly),
        row("eve", bcrypt),
        row("b@d", hash),
        row("Ada", hash),
        row("zoe", hash),
    ];
    let mut text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    text.push_str("nonsense\n");
    place.write("users.jsonl", &text);

    let report = |run: &Run| -> Vec<(u64, String, Option<String>)> {
        let lines = run.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines
            .filter(|row| row["line"].is_u64())
            .map(|row| {
                let error = row["error"].as_str().map(str::to_owned);
                (row["line"].as_u64().unwrap(), row["status"].as_str().unwrap().to_owned(), error)
            })
            .collect()
    };
    place.run_with_input(&["user", "add", "first", "--password-stdin"], PASSWORD).exits(0);
    let expected = |good: &str| {
        let bad = |line, error: &str| (line, "refused".to_owned(), Some(error.to_owned()));
        vec![
            (1, good.to_owned(), None),
            bad(2, "hash_too_expensive"),
            bad(3, "unsupported_hash"),
            bad(4, "invalid_username"),
            bad(5, "username_taken"),
            (6, good.to_owned(), None),
            bad(7, "malformed_row"),
        ]
    };
    let dry = place.run(&["user", "import", "users.jsonl", "--dry-run", "--json"]).exits(1);
    assert_eq!(report(&dry), expected("would_be_imported"));
    assert!(place.run(&["user", "show", "zoe"]).code == 1, "a dry run writes nothing");
    let real = place.run(&["user", "import", "users.jsonl", "--json"]).exits(1);
    assert_eq!(report(&real), expected("imported"));
    assert!(real.out.ends_with("{\"rows\":7,\"imported\":2,\"refused\":5}\n"), "{}", real.out);

    let page = place.run(&["user", "list", "--limit", "2", "--json"]).exits(0).json();
    assert_eq!((page["users"].as_array().unwrap().len(), &page["next"]), (2, &json!("first")));
    let rest = place.run(&["user", "list", "--after", "first", "--json"]).exits(0).json();
    assert_eq!((&rest["users"][0]["username"], &rest["next"]), (&json!("zoe"), &Value::Null));
}

#[test]
fn the_trail_is_followed_as_it_is_written() {
    let server = Server::start();
    server.add("ada", &[]);
    let mut command = server.place.command(&["audit", "list", "--follow", "--json", "--user", "ada"]);
    let mut following = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let (told, lines) = std::sync::mpsc::channel();
    let out = BufReader::new(following.stdout.take().unwrap());
    std::thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
    let next = |action: &str| {
        let line = lines.recv_timeout(std::time::Duration::from_secs(20)).expect(action);
        let entry: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(entry["action"], action, "{line}");
    };
    next("user.created");
    let token = server.token("ada");
    next("login.succeeded");
    assert_eq!(server.login("ada", "not the password").0, 401);
    next("login.failed");
    assert_eq!(server.ask("POST", "/auth/logout", Some(&token), None).0, 204);
    next("session.logged_out");
    following.kill().unwrap();
    following.wait().unwrap();
}

#[test]
fn all_sessions_of_a_user_end_at_once() {
    let server = Server::start();
    server.add("ada", &[]);
    server.add("bob", &[]);
    let (one, two, other) = (server.token("ada"), server.token("ada"), server.token("bob"));
    server.run(&["session", "revoke", "--user", "ada"]).exits(0);
    assert!(server.refuses(&one) && server.refuses(&two));
    assert_eq!(server.me(&other), 200);
    let left = server.run(&["session", "list", "--json"]).exits(0).json();
    assert_eq!(left["sessions"].as_array().unwrap().len(), 1, "{left}");
}

fn within_a_second(holds: impl Fn() -> bool) -> bool {
    (0..20).any(|_| {
        holds() || {
            std::thread::sleep(std::time::Duration::from_millis(50));
            false
        }
    })
}

/// A key that somebody else may have: its tokens die at once, its sessions live.
#[test]
fn keys_end_before_their_time() {
    let server = Server::start();
    server.add("ada", &[]);
    let listed = |args: &[&str]| -> Vec<(String, String)> {
        let keys = server.run(args).exits(0).json();
        let text = |key: &serde_json::Value, name: &str| key[name].as_str().unwrap().to_owned();
        keys.as_array().unwrap().iter().map(|key| (text(key, "kid"), text(key, "state"))).collect()
    };
    let of = |keys: &[(String, String)], state: &str| -> String {
        keys.iter().find(|(_, is)| is == state).unwrap_or_else(|| panic!("no {state} in {keys:?}")).0.clone()
    };
    let jwks = || server.ask("GET", "/.well-known/jwks.json", None, None).1.to_string();
    let keys = listed(&["key", "list", "--json"]);
    let (bad, standby) = (of(&keys, "signing"), of(&keys, "standby"));
    // Neither of them is retired by hand.
    for kid in [&bad, &standby] {
        assert!(server.run(&["key", "retire", kid]).exits(1).err.contains("rotate first"));
    }
    let token = server.token("ada");
    let run = server.run(&["key", "rotate", "--emergency", "--json"]).exits(0);
    assert!(run.err.contains(&format!("tokens signed with {bad} are refused")), "{}", run.err);
    assert!(server.refuses(&token));
    // What verifies learns of it a moment before what publishes.
    assert!(within_a_second(|| !jwks().contains(&bad) && jwks().contains(&standby)));
    let feed = server.ask("GET", "/auth/revocations", None, None).1;
    assert!(feed["entries"].as_array().unwrap().iter().any(|entry| entry["kid"] == bad.as_str()), "{feed}");
    // The standby signs, and there is another one.
    let keys = listed(&["key", "list", "--json"]);
    assert_eq!((of(&keys, "signing"), of(&keys, "gone")), (standby.clone(), bad.clone()));
    let token = server.token("ada");
    assert_eq!(server.me(&token), 200);

    // A standby that leaked is replaced; nobody notices.
    let leaked = of(&keys, "standby");
    server.run(&["key", "rotate", "--emergency", &leaked]).exits(0);
    assert_eq!(server.me(&token), 200);
    let keys = listed(&["key", "list", "--json"]);
    assert_ne!(of(&keys, "standby"), leaked);
    let again = server.run(&["key", "rotate", "--emergency", &leaked]).exits(1);
    assert!(again.err.contains("no such key, or it is gone already"), "{}", again.err);
    server.run(&["key", "rotate", &leaked]).exits(2);
    for action in ["key.revoked", "key.rotated", "key.created"] {
        assert!(server.run(&["audit", "list"]).exits(0).out.contains(action), "{action}");
    }
}

/// With HS256 a resource server gets the secret itself, and verifies with it.
#[test]
fn a_symmetric_key_is_handed_out_with_a_warning() {
    let server = Server::start_with(&[("JOTGATE_TOKEN_ALGORITHM", "HS256")]);
    server.add("ada", &[]);
    let token = server.token("ada");
    let hs256 = [HASH, ("JOTGATE_TOKEN_ALGORITHM", "HS256")];
    let keys = server.place.run_with(&hs256, &["key", "list", "--json"]).exits(0).json();
    let signing =
        keys.as_array().unwrap().iter().find(|key| key["algorithm"] == "HS256" && key["state"] == "signing");
    let kid = signing.expect("a signing key")["kid"].as_str().unwrap();
    let run = server.place.run_with(&hs256, &["key", "export", kid]).exits(0);
    assert!(run.err.contains("can make tokens for every user"), "{}", run.err);
    assert!(!server.ask("GET", "/.well-known/jwks.json", None, None).1.to_string().contains("\"oct\""));
    let file = server.place.write("secret.json", &run.out);
    let verify = ["token", "verify", &token, "--jwks", file.to_str().unwrap(), "--issuer", &server.url];
    assert_eq!(server.run(&verify).exits(0).json()["valid"], true);
}
