//! Several nodes over one PostgreSQL: what one does holds on all, and any of them may die at any time.

use e2e::{Client, Server};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use testing::postgres::{self, Database};

/// No wait in here takes longer on a machine that works at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where users would reach the nodes; nobody listens there.
const PUBLIC_URL: &str = "http://127.0.0.1:18080";
/// 32 bytes in base64url.
const MASTER_KEY: &str = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\n";

struct Nodes {
    all: Vec<Server>,
    database: Database,
    _secrets: TempDir,
}

impl Nodes {
    /// Three at once on an empty database; `grace` is `refresh.grace`.
    fn start(grace: &str) -> Self {
        let database = postgres::database();
        let secrets = tempfile::tempdir().unwrap();
        for (name, text) in [("master.key", MASTER_KEY), ("url", &database.url())] {
            let path = secrets.path().join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        }
        let path = |name: &str| secrets.path().join(name).to_str().unwrap().to_owned();
        let options = Server::with()
            .env("JOTGATE_DATABASE_URL_FILE", &path("url"))
            .env("JOTGATE_MASTER_KEY_FILE", &path("master.key"))
            .env("JOTGATE_PUBLIC_URL", PUBLIC_URL)
            .env("JOTGATE_PASSWORD_HASH", "argon2id,m=64,t=1")
            .env("JOTGATE_REFRESH_GRACE", grace);
        let starts: Vec<_> = (0..3)
            .map(|_| {
                let options = options.clone();
                std::thread::spawn(move || options.start())
            })
            .collect();
        let all: Vec<Server> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        for node in &all {
            node.secret(postgres::PASSWORD);
            node.secret(postgres::PASSWORD_IN_URL);
        }
        Self { all, database, _secrets: secrets }
    }

    fn clients(&self) -> Vec<Client> {
        self.all.iter().map(Server::client).collect()
    }
}

fn user(name: &str) -> Value {
    json!({"username": name, "password": "four unrelated words"})
}

fn kids(client: &mut Client) -> BTreeSet<String> {
    let set = client.get("/.well-known/jwks.json").send().is(200).json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Waits until `holds`, and says how long that took.
fn until(what: &str, mut holds: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
    begun.elapsed()
}

#[test]
fn what_one_node_does_holds_on_all() {
    let nodes = Nodes::start("10s");
    let mut clients = nodes.clients();

    // Three first starts made one set of keys.
    let first = kids(&mut clients[0]);
    assert_eq!(first.len(), 2, "one that signs and its standby");
    assert!(clients.iter_mut().all(|client| kids(client) == first));
    assert_eq!(nodes.database.sql("SELECT count(*) FROM signing_keys"), "2");

    // Fifty refreshes of one token, spread over them: one successor.
    clients[0].post("/auth/register").json(&user("alice")).send().expect(201);
    let login = clients[1].post("/auth/login").json(&user("alice")).send().is(200);
    let body = json!({"refresh_token": login.member("refresh_token")});
    let refreshes: Vec<_> = (0..50)
        .map(|n| {
            let (mut client, body) = (nodes.all[n % 3].client(), body.clone());
            std::thread::spawn(move || {
                client.post("/auth/refresh").json(&body).send().is(200).member("refresh_token")
            })
        })
        .collect();
    let tokens: BTreeSet<String> = refreshes.into_iter().map(|refresh| refresh.join().unwrap()).collect();
    assert_eq!(tokens.len(), 1, "one successor");
    assert_eq!(nodes.database.sql("SELECT generation FROM sessions WHERE generation > 1"), "2");

    // A logout on one is refused by the others.
    let mut took = Vec::new();
    for round in 0..20 {
        let (here, there) = (round % 3, (round + 1) % 3);
        let login = clients[there].post("/auth/login").json(&user("alice")).send().is(200);
        let token = login.member("access_token");
        let verify = |client: &mut Client| client.get("/auth/verify").bearer(&token).send().status;
        assert!(clients.iter_mut().all(|client| verify(client) == 200));
        clients[here].post("/auth/logout").bearer(&token).send().expect(204);
        assert_eq!(verify(&mut clients[here]), 401);
        took.push(until("the logout on every node", || {
            clients.iter_mut().all(|client| verify(client) == 401)
        }));
    }
    took.sort();
    let (median, worst) = (took[took.len() / 2], took[took.len() - 1]);
    println!(
        "a logout on one node was refused by the others after {median:?} (median), {worst:?} (worst of 20)"
    );
    assert!(median < Duration::from_secs(1), "{took:?}");

    // A rotation by the operator beside one node is seen by all.
    let rotated = nodes.all[0].command(["key", "rotate"]);
    assert!(rotated.status.success(), "{rotated:?}");
    let took = until("the rotation on every node", || {
        let now: BTreeSet<_> = clients.iter_mut().map(kids).collect();
        now.len() == 1 && !now.contains(&first)
    });
    println!("a rotation of keys was on every node after {took:?}");
}

/// Twenty clients refresh, on any node that answers, while one node after the other is killed: nobody is signed out,
/// and no answer turns out not to be so.
#[test]
fn a_node_may_die_while_clients_refresh() {
    let mut nodes = Nodes::start("0s");
    let (stop, answered, lost) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let clients: Vec<_> = (0..20)
        .map(|n| {
            let mut clients = nodes.clients();
            let (stop, answered, lost) = (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&lost));
            let name = format!("user{n}");
            clients[0].post("/auth/register").json(&user(&name)).send().expect(201);
            let mut token =
                clients[0].post("/auth/login").json(&user(&name)).send().is(200).member("refresh_token");
            std::thread::spawn(move || {
                for turn in n.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let body = json!({"refresh_token": token});
                    match clients[turn % 3].post("/auth/refresh").json(&body).try_send() {
                        Ok(answer) if answer.status == 503 => {}
                        Ok(answer) => {
                            token = answer.is(200).member("refresh_token");
                            answered.fetch_add(1, Ordering::Relaxed);
                        }
                        // The node died, before or after it wrote: the client shows the token that it has.
                        Err(e2e::Lost::Refused) => std::thread::sleep(Duration::from_millis(5)),
                        Err(_) => {
                            lost.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                token
            })
        })
        .collect();
    for round in 0..12 {
        let before = answered.load(Ordering::Relaxed);
        until("refreshes that go on", || answered.load(Ordering::Relaxed) >= before + 100);
        let node = &mut nodes.all[round % 3];
        node.kill_9();
        let before = answered.load(Ordering::Relaxed);
        until("refreshes on the nodes that are left", || answered.load(Ordering::Relaxed) >= before + 40);
        node.start_again();
    }
    stop.store(true, Ordering::Relaxed);
    let tokens: Vec<String> = clients.into_iter().map(|client| client.join().unwrap()).collect();
    let mut client = nodes.all[0].client();
    for token in &tokens {
        client.post("/auth/refresh").json(&json!({"refresh_token": token})).send().expect(200);
    }
    let count =
        |action: &str| nodes.database.sql(&format!("SELECT count(*) FROM audit WHERE action = '{action}'"));
    println!(
        "{} refreshes answered, {} answers lost in 12 kills; {} of them had been written",
        answered.load(Ordering::Relaxed),
        lost.load(Ordering::Relaxed),
        count("refresh.sibling"),
    );
    // What was answered was there ever after, and nobody was taken for a thief.
    assert_eq!(count("refresh.database_went_back"), "0");
    assert_eq!(count("refresh.reused"), "0");
    assert_eq!(nodes.database.sql("SELECT count(*) FROM sessions"), "20");
}

/// A node that has another master key would sign what the others cannot read: it does not start, and says why.
#[test]
fn a_node_with_another_master_key_does_not_start() {
    let nodes = Nodes::start("10s");
    let before = nodes.database.sql("SELECT string_agg(kid, ' ' ORDER BY kid) FROM signing_keys");
    let start = |key: Option<&str>| {
        let folder = tempfile::tempdir().unwrap();
        let mut command = e2e::jotgate(folder.path());
        command.arg("serve").env("JOTGATE_LISTEN", "127.0.0.1:0");
        command.env("JOTGATE_DATABASE_URL", nodes.database.url());
        if let Some(key) = key {
            let data = folder.path().join("jotgate-data");
            std::fs::create_dir(&data).unwrap();
            std::fs::write(data.join("master.key"), key).unwrap();
            let mode = |mode| std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&data, mode(0o700)).unwrap();
            std::fs::set_permissions(data.join("master.key"), mode(0o600)).unwrap();
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(!said.contains("canary"), "{said}");
        said
    };
    let said = start(None);
    assert!(said.contains("master.key is missing") && said.contains("another node"), "{said}");
    let said = start(Some(&MASTER_KEY.replace('M', "N")));
    assert!(said.contains("does not open with this master key"), "{said}");
    assert_eq!(nodes.database.sql("SELECT string_agg(kid, ' ' ORDER BY kid) FROM signing_keys"), before);
}
