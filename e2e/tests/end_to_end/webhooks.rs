//! Webhooks of the real binary, taken by the libraries that receivers use.

use e2e::Server;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use testing::postgres::{self, Database};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver in another language: the very code that `docs/webhooks.md` shows.
struct Receiver {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone, Copy, Debug)]
enum Language {
    Node,
    Python,
}

impl Language {
    const ALL: [Self; 2] = [Self::Node, Self::Python];

    /// The program, or why it cannot be run here.
    fn program(self) -> Result<Command, &'static str> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
        match self {
            Self::Node => {
                let folder = root.join("target/e2e/webhooks");
                if !folder.join("node_modules/standardwebhooks").is_dir() {
                    return Err("the npm packages of e2e/webhooks are missing");
                }
                // A module finds packages from where it lies.
                std::fs::copy(root.join("e2e/webhooks/receiver.mjs"), folder.join("receiver.mjs")).unwrap();
                let mut command = Command::new("node");
                command.arg(folder.join("receiver.mjs"));
                Ok(command)
            }
            Self::Python => {
                let packages = root.join("target/e2e/webhooks-python");
                if !packages.join("standardwebhooks").is_dir() {
                    return Err("the packages of e2e/webhooks/requirements.txt are missing");
                }
                let mut command = Command::new("python3");
                command.arg(root.join("e2e/webhooks/receiver.py")).env("PYTHONPATH", packages);
                Ok(command)
            }
        }
    }

    fn receiver(self, port: u16, secret: &str) -> Option<Receiver> {
        let mut command = match self.program() {
            Ok(command) => command,
            Err(why) => {
                e2e::left_out(&format!("webhooks taken by {self:?}"), why);
                return None;
            }
        };
        command.env("PORT", port.to_string()).env("WEBHOOK_SECRET", secret).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{self:?}: {error}"));
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (out, kept) = (child.stdout.take().unwrap(), Arc::clone(&lines));
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                kept.lock().unwrap().push(line);
            }
        });
        let receiver = Receiver { child, lines };
        until("the receiver listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(receiver)
    }
}

impl Receiver {
    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// Messages that were taken: id, type, data.
    fn taken(&self) -> Vec<(String, String, Value)> {
        let parse = |line: &String| {
            let mut words = line.splitn(3, ' ');
            let (id, kind, data) = (words.next()?, words.next()?, words.next()?);
            Some((id.to_owned(), kind.to_owned(), serde_json::from_str(data).unwrap()))
        };
        self.lines().iter().filter_map(parse).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The libraries have no other clock than the machine's.
#[expect(clippy::disallowed_methods, reason = "an attacker's clock, and not the server's")]
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn until(what: &str, holds: impl FnMut() -> bool) {
    until_within(PATIENCE, what, holds);
}

fn until_within(patience: Duration, what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A port that is free at this moment.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn config(port: u16, events: &str) -> String {
    format!(
        "password.hash = \"argon2id,m=64,t=1\"\n[webhooks.app]\nurl = \"http://127.0.0.1:{port}/hooks?key=canary-in-the-address\"\n\
         secret = [\"{OTHER}\", \"{SECRET}\"]\nevents = [{events}]\n"
    )
}

fn server(port: u16, events: &str) -> Server {
    let server = Server::with().config(&config(port, events)).start();
    for secret in [SECRET, OTHER, "canary-in-the-address"] {
        server.secret(secret);
    }
    server
}

fn register(server: &Server, username: &str) -> String {
    let user = json!({"username": username, "password": "four unrelated words"});
    let answer = server.client().post("/auth/register").json(&user).send().is(201).json();
    answer["user"]["id"].as_str().unwrap().to_owned()
}

/// The library takes what is signed, and refuses it once a byte is another, or its secret is.
#[test]
fn real_libraries_take_what_is_signed_and_refuse_the_rest() {
    for language in Language::ALL {
        let port = free_port();
        let Some(receiver) = language.receiver(port, SECRET) else { continue };
        let server = server(port, "\"*\"");
        let user = register(&server, "ada");
        until("the message is taken", || !receiver.taken().is_empty());
        let (id, kind, data) = receiver.taken().remove(0);
        assert_eq!((kind.as_str(), &data["user_id"]), ("user.registered", &json!(user)), "{language:?}");
        assert!(id.starts_with("app-"), "{id}");
        let tested = server.command(["webhook", "test", "app"]);
        assert!(tested.status.success(), "{tested:?}");
        until("the test message is taken", || receiver.taken().len() == 2);
        drop(server);

        // What an attacker sends who knows no secret, and one who changes a message that he saw.
        let now = now();
        let (id, body) = ("app-1-1", r#"{"type":"user.deleted","timestamp":"","data":{}}"#);
        let secret = |text: &str| jotgate_domain::webhook::Secret::parse(text).unwrap();
        let right = jotgate_domain::webhook::signature(&[secret(SECRET)], id, now, body);
        let wrong = jotgate_domain::webhook::signature(&[secret(OTHER)], id, now, body);
        let post = |at: i64, signature: &str, body: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
            write!(
                stream,
                "POST /hooks HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {}\r\nwebhook-id: {id}\r\n\
                 webhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer.split(' ').nth(1).unwrap().to_owned()
        };
        assert_eq!(post(now, &right, body), "204", "{language:?}: the signature itself is right");
        for (at, signature, body) in [
            (now, &wrong, body),
            (now, &right, r#"{"type":"user.deleted","timestamp":"","data":{ }}"#),
            (now + 1, &right, body),
            (now, &String::new(), body),
        ] {
            assert_eq!(post(at, signature, body), "400", "{language:?} {at} {signature} {body}");
        }
        let old = now - 3600;
        let old_signature = jotgate_domain::webhook::signature(&[secret(SECRET)], id, old, body);
        assert_eq!(post(old, &old_signature, body), "400", "{language:?}: from an hour ago");
    }
}

/// The receiver is down, then the server is killed, twice; each message arrives all the same, and nothing else.
#[test]
fn nothing_is_lost_while_the_receiver_is_down_or_when_the_server_is_killed() {
    let port = free_port();
    let mut server = server(port, "\"user.registered\"");
    let mut expected: Vec<String> = Vec::new();
    expected.push(register(&server, "down-1"));
    // Its first try fails, and the next one is five seconds later.
    std::thread::sleep(Duration::from_secs(2));
    expected.push(register(&server, "down-2"));
    // The answer to a registration is the promise: the moment after it, the process is gone.
    server.kill_9();
    server.start_again();
    expected.push(register(&server, "down-3"));
    let Some(receiver) = Language::Node.receiver(port, SECRET) else { return };
    server.kill_9();
    server.start_again();
    expected.push(register(&server, "up-1"));
    // Five seconds after a first try, as a rule; where the machine was so slow that two had failed, five minutes.
    until_within(Duration::from_secs(400), "all four are taken", || receiver.taken().len() >= 4);
    std::thread::sleep(Duration::from_secs(1));
    let mut by_id: BTreeMap<String, Value> = BTreeMap::new();
    for (id, _, data) in receiver.taken() {
        by_id.insert(id, data["user_id"].clone());
    }
    let mut users: Vec<_> = by_id.values().map(|user| user.as_str().unwrap().to_owned()).collect();
    users.sort();
    expected.sort();
    assert_eq!(users, expected, "each once, by webhook-id");
    until("nothing waits", || waiting(&server) == (0, 0));
}

/// Of `app`: waiting, and dead.
fn waiting(server: &Server) -> (u64, u64) {
    let output = server.command(["webhook", "list", "--json"]);
    let list: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    (list[0]["pending"].as_u64().unwrap(), list[0]["dead"].as_u64().unwrap())
}

/// Ten thousand events happen while the receiver is away; memory stays within what every test is held to.
#[test]
fn a_backlog_of_ten_thousand_arrives_and_memory_stays_flat() {
    const USERS: usize = 10_000;
    // It takes connections and never answers, so that hardly anything has been tried when the real one comes.
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = deaf.local_addr().unwrap().port();
    let server = server(port, "\"user.imported\"");
    let before = server.memory_mib().0;
    let rows: String = (0..USERS).map(|n| format!("{{\"username\":\"user-{n}\"}}\n")).collect();
    let path = server.folder().join("users.jsonl");
    std::fs::write(&path, rows).unwrap();
    let imported = server.command(["user", "import", path.to_str().unwrap()]);
    assert!(imported.status.success(), "{imported:?}");
    drop(deaf);
    let Some(receiver) = Language::Node.receiver(port, SECRET) else { return };
    // But for the few whose two first tries had failed, which come after five minutes.
    let nearly = USERS - 100;
    let limit = Duration::from_secs(240);
    until_within(limit, "the backlog arrives", || receiver.taken().len() >= nearly);
    let (_, most) = server.memory_mib();
    assert!(most < before + 48, "{most} MiB, from {before}");
}

/// Two nodes: one sends. When it is killed the other takes over, and every event arrives, nearly always once.
#[test]
fn of_two_nodes_one_sends_and_the_other_takes_over() {
    let port = free_port();
    let Some(receiver) = Language::Node.receiver(port, SECRET) else { return };
    let database = postgres::database();
    let secrets = tempfile::tempdir().unwrap();
    let master = secrets.path().join("master.key");
    std::fs::write(&master, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\n").unwrap();
    std::fs::set_permissions(&master, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut nodes = [node(&database, port, &master), node(&database, port, &master)];
    let mut expected = Vec::new();
    for round in 0..20 {
        expected.push(register(&nodes[round % 2], &format!("user-{round}")));
    }
    until("all are taken", || receiver.taken().len() >= 20);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(receiver.taken().len(), 20, "each once");

    // Whichever sends, it is killed with a message perhaps under way; the other goes on.
    expected.push(register(&nodes[0], "killed-0"));
    nodes[0].kill_9();
    expected.push(register(&nodes[1], "after-0"));
    until("the other node sends", || receiver.taken().len() >= 22);
    nodes[0].start_again();
    expected.push(register(&nodes[1], "killed-1"));
    nodes[1].kill_9();
    expected.push(register(&nodes[0], "after-1"));
    let users = || {
        let mut users: Vec<String> = receiver
            .taken()
            .iter()
            .map(|(_, _, data)| data["user_id"].as_str().unwrap().to_owned())
            .collect();
        users.sort();
        users.dedup();
        users
    };
    expected.sort();
    until("the first node sends again", || users() == expected);
}

fn node(database: &Database, port: u16, master: &std::path::Path) -> Server {
    let server = Server::with()
        .config(&config(port, "\"user.registered\""))
        .env("JOTGATE_DATABASE_URL", &database.url())
        .env("JOTGATE_MASTER_KEY_FILE", master.to_str().unwrap())
        .env("JOTGATE_PUBLIC_URL", "http://127.0.0.1:18080")
        .start();
    server.secret(postgres::PASSWORD);
    server
}

/// What the page shows is what runs here.
#[test]
fn the_page_about_webhooks_shows_these_receivers() {
    let page = include_str!("../../../docs/webhooks.md");
    for (language, code) in [
        ("js", include_str!("../../webhooks/receiver.mjs")),
        ("python", include_str!("../../webhooks/receiver.py")),
    ] {
        let shown = page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
        assert_eq!(shown, Some(code), "{language}");
    }
}
