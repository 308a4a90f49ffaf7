//! An installation whose server can be stopped, killed and started again.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::program::{self, Place, Run};

pub(super) const PASSWORD: &str = "a long enough passphrase";
/// Cheap, so that the tests are not about hashing.
pub(super) const HASH: (&str, &str) = ("JOTGATE_PASSWORD_HASH", "argon2id,m=64,t=1");

/// The server is killed when this is dropped.
pub(super) struct Host {
    pub(super) place: Place,
    child: Option<Child>,
    pub(super) url: String,
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The tokens of a login.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: String,
}

impl Host {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(more: &[&str]) -> Self {
        let mut host = Self { place: Place::new(), child: None, url: String::new() };
        host.start_again(more);
        host
    }

    pub(super) fn start_again(&mut self, more: &[&str]) {
        self.kill();
        let anywhere = ["--listen", "127.0.0.1:0"];
        let listen = if more.contains(&"--listen") { &[] } else { &anywhere[..] };
        let mut command = self.place.command(&[&["serve"], listen, more].concat());
        command.env(HASH.0, HASH.1).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut first = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
        self.url = first.trim().strip_prefix("listening on ").expect("the first line").to_owned();
        self.child = Some(child);
    }

    pub(super) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    pub(super) fn stop(&mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(child.wait().unwrap().success());
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Run {
        self.place.run_with(&[HASH], arguments)
    }

    pub(super) fn run_with_input(&self, arguments: &[&str], input: &str) -> Run {
        let mut command = self.place.command(arguments);
        command.env(HASH.0, HASH.1);
        program::finish(command, input)
    }

    pub(super) fn add(&self, name: &str) {
        self.run_with_input(&["user", "add", name, "--password-stdin"], &format!("{PASSWORD}\n")).exits(0);
    }

    pub(super) fn users(&self) -> Vec<String> {
        let list = self.run(&["user", "list", "--json"]).exits(0).json();
        let users = list["users"].as_array().unwrap();
        users.iter().map(|user| user["username"].as_str().unwrap().to_owned()).collect()
    }

    pub(super) fn audit(&self, action: &str) -> usize {
        let list = self.run(&["audit", "list", "--json", "--action", action]).exits(0);
        list.out.lines().map(|line| line.matches(&format!("\"{action}\"")).count()).sum()
    }

    /// Status and body.
    pub(super) fn ask(
        &self,
        method: &str,
        path: &str,
        bearer: Option<&str>,
        body: Option<&Value>,
    ) -> (u16, Value) {
        ask(&self.url, method, path, bearer, body)
    }

    pub(super) fn login(&self, name: &str) -> Tokens {
        let body = json!({"username": name, "password": PASSWORD});
        tokens(&self.ask("POST", "/auth/login", None, Some(&body)))
    }

    pub(super) fn refresh(&self, token: &str) -> (u16, Value) {
        self.ask("POST", "/auth/refresh", None, Some(&json!({"refresh_token": token})))
    }

    pub(super) fn verify(&self, access: &str) -> u16 {
        self.ask("GET", "/auth/verify", Some(access), None).0
    }
}

pub(super) fn ask(
    url: &str,
    method: &str,
    path: &str,
    bearer: Option<&str>,
    body: Option<&Value>,
) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = http::Request::builder().method(method).uri(format!("{url}{path}"));
    if let Some(token) = bearer {
        request = request.header("Authorization", format!("Bearer {token}"));
    }
    let mut response = match body {
        Some(body) => {
            let request = request.header("Content-Type", "application/json").body(body.to_string());
            agent.run(request.unwrap()).unwrap()
        }
        None => agent.run(request.body(()).unwrap()).unwrap(),
    };
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), serde_json::from_str(&text).unwrap_or_default())
}

#[track_caller]
pub(super) fn tokens((status, body): &(u16, Value)) -> Tokens {
    assert_eq!(*status, 200, "{body}");
    let text = |name: &str| body[name].as_str().unwrap().to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token") }
}
