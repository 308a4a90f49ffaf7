//! Other servers of the field, each as its documentation sets it up for production: how one is started, and what its
//! clients send. `bench/peers` has a small program for each; what it needs is installed by `cargo xtask bench`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;

use crate::Settings;
use crate::clients::{PASSWORD, member};
use crate::load::Client;
use crate::program::{Outcome, Program};

/// Users of each, with a session each.
pub(crate) const USERS: usize = 32;

/// One of them.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The file that tells its version, and what stands before the version in it.
    version: (&'static str, &'static str),
    start: fn(&Place<'_>) -> Command,
    /// The requests: path and what is sent; none where it does no such thing.
    pub(crate) login: Option<fn(usize) -> Vec<u8>>,
    pub(crate) me: fn(&str) -> Vec<u8>,
    pub(crate) refresh: Option<Refreshing>,
}

/// How a refresh token is sent, and where in the answer the next one and the new access token are.
#[derive(Clone, Copy)]
pub(crate) struct Refreshing {
    ask: fn(&str) -> Vec<u8>,
    refresh: &'static str,
    access: &'static str,
}

/// Where a peer is: its program, and what was installed for it.
struct Place<'p> {
    source: &'p Path,
    installed: &'p Path,
}

pub(crate) const PEERS: [Peer; 4] = [
    Peer {
        name: "better-auth",
        about: "SQLite in WAL, scrypt, one process; its sessions are rows, there is nothing to refresh",
        version: ("node_modules/better-auth/package.json", "\"version\": \""),
        start: node,
        login: Some(|user| {
            let body = format!(r#"{{"email":"user-{user}@example.com","password":"{PASSWORD}"}}"#);
            post("/api/auth/sign-in/email", "application/json", &body)
        }),
        me: |cookie| get("/api/auth/get-session", &format!("cookie: {cookie}")),
        refresh: None,
    },
    Peer {
        name: "oidc-provider",
        about: "everything in memory, nothing durable, one process; it has no passwords of its own",
        version: ("node_modules/oidc-provider/package.json", "\"version\": \""),
        start: node,
        login: None,
        me: |token| get("/me", &format!("authorization: Bearer {token}")),
        refresh: Some(Refreshing {
            ask: |token| {
                let body = format!("grant_type=refresh_token&client_id=bench&refresh_token={token}");
                post("/token", "application/x-www-form-urlencoded", &body)
            },
            refresh: "refresh_token",
            access: "access_token",
        }),
    },
    Peer {
        name: "simplejwt",
        about: "Django, gunicorn with two processes, the blacklist, SQLite in WAL, argon2id with the parameters of Jotgate",
        version: ("bench-version", ""),
        start: |place| {
            let mut command = Command::new("sh");
            let gunicorn = "python3 -m gunicorn -c \"$0/gunicorn.conf.py\" site_under_test:application";
            command
                .args(["-c", &format!("python3 \"$0/site_under_test.py\" && exec {gunicorn}")])
                .arg(place.source);
            let path = [place.installed, place.source];
            if let Ok(path) = std::env::join_paths(path) {
                command.env("PYTHONPATH", path);
            }
            command
        },
        login: Some(|user| {
            let body = format!(r#"{{"username":"user-{user}","password":"{PASSWORD}"}}"#);
            post("/login", "application/json", &body)
        }),
        me: |token| get("/me", &format!("authorization: Bearer {token}")),
        refresh: Some(Refreshing {
            ask: |token| post("/refresh", "application/json", &format!(r#"{{"refresh":"{token}"}}"#)),
            refresh: "refresh",
            access: "access",
        }),
    },
    Peer {
        name: "golang-jwt",
        about: "a resource server in Go, which verifies each ES256 token anew and asks nobody",
        version: ("bench-version", ""),
        start: |place| Command::new(place.installed.join("peer")),
        login: None,
        me: |token| get("/me", &format!("authorization: Bearer {token}")),
        refresh: None,
    },
];

fn node(place: &Place<'_>) -> Command {
    let mut command = Command::new("node");
    command.arg(place.installed.join("server.mjs"));
    command
}

fn post(path: &str, kind: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn get(path: &str, header: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{header}\r\n\r\n").into_bytes()
}

/// A peer that runs.
pub(crate) struct Running {
    pub(crate) program: Program,
    pub(crate) name: String,
    pub(crate) me: Vec<String>,
    pub(crate) refresh: Vec<String>,
}

impl Peer {
    /// Starts it, with users and sessions in it.
    ///
    /// # Errors
    /// What is missing, or what it said.
    pub(crate) fn start(&self, settings: &Settings) -> Outcome<Running> {
        if let Some((_, why)) = settings.missing.iter().find(|(name, _)| name == self.name) {
            return Err(why.clone().into());
        }
        let source = std::path::absolute(Path::new("bench/peers").join(self.name))?;
        let installed = std::path::absolute(settings.peers.join(self.name))?;
        let (file, before) = self.version;
        let text = std::fs::read_to_string(installed.join(file))
            .map_err(|error| format!("not installed by `cargo xtask bench`: {}: {error}", file))?;
        let version = text.split_once(before).map_or("", |(_, rest)| rest);
        let version = version.split(['"', '\n']).next().unwrap_or_default();
        // A module is looked for beside the one that imports it.
        if source.join("server.mjs").is_file() {
            std::fs::copy(source.join("server.mjs"), installed.join("server.mjs"))?;
        }
        let folder = tempfile::Builder::new().prefix("bench-peer-").tempdir_in("target")?;
        let here = std::path::absolute(folder.path())?;
        let mut command = (self.start)(&Place { source: &source, installed: &installed });
        command
            .current_dir(&here)
            .env("NODE_ENV", "production")
            // Nothing is left in the source, and nothing in anybody's home.
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("HOME", &here)
            .env("BENCH_USERS", USERS.to_string())
            .env("BENCH_PASSWORD", PASSWORD)
            .stderr(std::fs::File::create(here.join("log"))?);
        let said = here.join("log");
        let program = Program::start(&mut command, Some(folder)).map_err(|error| {
            // The folder is gone with the program; what it wrote last may still be there.
            format!("{error} {}", std::fs::read_to_string(said).unwrap_or_default().trim())
        })?;
        let seed: Value = serde_json::from_slice(&std::fs::read(here.join("seed.json"))?)?;
        let texts = |name: &str| -> Vec<String> {
            let all = seed.get(name).and_then(Value::as_array);
            all.into_iter().flatten().filter_map(|one| Some(one.as_str()?.to_owned())).collect()
        };
        let (me, refresh) = (texts("me"), texts("refresh"));
        Ok(Running { program, name: format!("{} {version}", self.name).trim().to_owned(), me, refresh })
    }
}

/// One of some requests after the other.
pub(crate) struct InTurn {
    requests: Arc<[Vec<u8>]>,
    at: usize,
}

impl InTurn {
    pub(crate) fn clients(requests: impl Iterator<Item = Vec<u8>>, count: usize) -> Vec<Self> {
        let requests: Arc<[Vec<u8>]> = requests.collect();
        (0..count).map(|at| Self { requests: Arc::clone(&requests), at }).collect()
    }
}

impl Client for InTurn {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        self.at = (self.at + 1) % self.requests.len().max(1);
        let Some(next) = self.requests.get(self.at) else { return false };
        request.extend_from_slice(next);
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// One session, refreshed with the token that came last.
pub(crate) struct Rotating {
    token: String,
    how: Refreshing,
    /// Of the last answer.
    pub(crate) access: Option<String>,
}

impl Rotating {
    pub(crate) fn new(token: &str, how: Refreshing) -> Self {
        Self { token: token.to_owned(), how, access: None }
    }
}

impl Client for Rotating {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        request.extend_from_slice(&(self.how.ask)(&self.token));
        true
    }

    fn answered(&mut self, status: u16, body: &[u8]) {
        if status != 200 {
            return;
        }
        if let Some(next) = member(body, self.how.refresh) {
            next.clone_into(&mut self.token);
        }
        self.access = member(body, self.how.access).map(str::to_owned);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_peer_that_could_not_be_had_says_why() {
        let nowhere = tempfile::tempdir().unwrap();
        let [first, others @ ..] = PEERS;
        let settings = Settings {
            binary: "jotgate".into(),
            rounds: 1,
            round: Duration::from_millis(1),
            quick: true,
            peers: nowhere.path().to_owned(),
            missing: vec![(first.name.to_owned(), "no registry".to_owned())],
        };
        assert_eq!(first.start(&settings).err().unwrap().to_string(), "no registry");
        for peer in others {
            let why = peer.start(&settings).err().unwrap().to_string();
            assert!(why.starts_with("not installed by `cargo xtask bench`"), "{}: {why}", peer.name);
        }
    }
}
