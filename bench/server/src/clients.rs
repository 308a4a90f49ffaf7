//! Those who ask: requests as their programs would send them.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;

use serde_json::Value;

use crate::load::{Client, once};
use crate::program::Outcome;

pub(crate) const PASSWORD: &str = "four unrelated words";

fn post(path: &str, body: &str, into: &mut Vec<u8>) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    into.extend_from_slice(head.as_bytes());
    into.extend_from_slice(body.as_bytes());
}

/// Registers users `user-0`… with the same password.
pub(crate) async fn register(address: SocketAddr, count: u32) -> Outcome<()> {
    for number in 0..count {
        let mut request = Vec::new();
        let body = format!(r#"{{"username":"user-{number}","password":"{PASSWORD}"}}"#);
        post("/auth/register", &body, &mut request);
        let (status, answer) = once(address, &request).await?;
        if status != 201 {
            return Err(format!("register: {status} {}", String::from_utf8_lossy(&answer)).into());
        }
    }
    Ok(())
}

/// The tokens of one session; no access token where there was none yet.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) access: String,
    pub(crate) refresh: String,
}

impl Pair {
    fn of(answer: &[u8]) -> Option<Self> {
        let answer: Value = serde_json::from_slice(answer).ok()?;
        let text = |name: &str| Some(answer.get(name)?.as_str()?.to_owned());
        Some(Self { access: text("access_token")?, refresh: text("refresh_token")? })
    }
}

/// `count` sessions, of these users in turn.
pub(crate) async fn log_in(address: SocketAddr, users: Range<u32>, count: usize) -> Outcome<Vec<Pair>> {
    let mut pairs = Vec::new();
    for user in users.cycle().take(count) {
        let mut request = Vec::new();
        Login::new(user).ask(&mut request);
        let (status, answer) = once(address, &request).await?;
        let pair = Pair::of(&answer);
        pairs.push(pair.ok_or_else(|| format!("login: {status} {}", String::from_utf8_lossy(&answer)))?);
    }
    Ok(pairs)
}

/// The same request each time.
#[derive(Clone, Debug)]
pub(crate) struct Get(Arc<[u8]>);

impl Get {
    #[must_use]
    pub(crate) fn new(path: &str, bearer: Option<&str>) -> Self {
        let mut request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n");
        if let Some(token) = bearer {
            request += &format!("authorization: Bearer {token}\r\n");
        }
        Self((request + "\r\n").into_bytes().into())
    }
}

impl Client for Get {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        request.extend_from_slice(&self.0);
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Requests with tokens: another one each time, over and over unless each is asked about once.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    path: &'static str,
    tokens: Arc<[String]>,
    at: usize,
    once: bool,
}

impl Ask {
    /// None of which the server has seen: each once.
    #[must_use]
    pub(crate) fn cold(path: &'static str, tokens: Arc<[String]>) -> Self {
        Self { path, tokens, at: 0, once: true }
    }

    /// So many clients, each of which begins at another token.
    #[must_use]
    pub(crate) fn in_turn(path: &'static str, tokens: &Arc<[String]>, clients: usize) -> Vec<Self> {
        let apart = tokens.len() / clients.max(1);
        let client = |number| Self { path, tokens: Arc::clone(tokens), at: number * apart, once: false };
        (0..clients).map(client).collect()
    }
}

impl Client for Ask {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        if self.at >= self.tokens.len() && !self.once {
            self.at = 0;
        }
        let Some(token) = self.tokens.get(self.at) else { return false };
        self.at += 1;
        let head =
            format!("GET {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n", self.path);
        request.extend_from_slice(head.as_bytes());
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Logs in again and again, as one user after the other.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    user: u32,
    apart: u32,
    users: u32,
}

impl Login {
    /// Always this user.
    #[must_use]
    pub(crate) fn new(user: u32) -> Self {
        Self { user, apart: 0, users: u32::MAX }
    }

    /// Users all over the table: the numbers do not follow each other.
    #[must_use]
    pub(crate) fn spread(begin: u32, users: u32) -> Self {
        Self { user: begin % users, apart: 7919, users }
    }
}

impl Client for Login {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        let body = format!(r#"{{"username":"user-{}","password":"{PASSWORD}"}}"#, self.user);
        post("/auth/login", &body, request);
        self.user = (self.user + self.apart) % self.users;
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Registers one new user after the other.
#[derive(Debug)]
pub(crate) struct Register {
    /// What the names of this client begin with.
    prefix: String,
    next: u32,
}

impl Register {
    #[must_use]
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix, next: 0 }
    }
}

impl Client for Register {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        let body = format!(r#"{{"username":"{}-{}","password":"{PASSWORD}"}}"#, self.prefix, self.next);
        post("/auth/register", &body, request);
        self.next += 1;
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Sessions that are refreshed in turn, each with the token that came last.
#[derive(Debug)]
pub(crate) struct Refresh {
    sessions: Vec<Pair>,
    at: usize,
    /// The access tokens that came, where they are wanted.
    pub(crate) collected: Option<Vec<String>>,
}

impl Refresh {
    #[must_use]
    pub(crate) fn new(sessions: Vec<Pair>, collect: bool) -> Self {
        Self { sessions, at: 0, collected: collect.then(Vec::new) }
    }

    /// The sessions over so many clients.
    #[must_use]
    pub(crate) fn shared(sessions: &[Pair], clients: usize) -> Vec<Self> {
        let each = sessions.len().div_ceil(clients).max(1);
        sessions.chunks(each).map(|some| Self::new(some.to_vec(), false)).collect()
    }

    /// The newest access token of every session that was refreshed.
    pub(crate) fn access_tokens(&self) -> impl Iterator<Item = &String> {
        self.sessions.iter().map(|session| &session.access).filter(|token| !token.is_empty())
    }
}

impl Client for Refresh {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        self.at = (self.at + 1) % self.sessions.len().max(1);
        let Some(session) = self.sessions.get(self.at) else { return false };
        post("/auth/refresh", &format!(r#"{{"refresh_token":"{}"}}"#, session.refresh), request);
        true
    }

    fn answered(&mut self, status: u16, body: &[u8]) {
        if status != 200 {
            return;
        }
        // The whole parser would take the processor from the server.
        let (Some(refresh), Some(access)) = (member(body, "refresh_token"), member(body, "access_token"))
        else {
            return;
        };
        if let Some(session) = self.sessions.get_mut(self.at) {
            refresh.clone_into(&mut session.refresh);
            access.clone_into(&mut session.access);
        }
        if let Some(collected) = &mut self.collected {
            collected.push(access.to_owned());
        }
    }
}

/// The text of a member whose value has no escapes.
pub(crate) fn member<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let key = format!("\"{name}\":\"");
    let begin = memchr::memmem::find(body, key.as_bytes())? + key.len();
    let rest = body.get(begin..)?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
}

/// Ends one session after the other.
#[derive(Debug)]
pub(crate) struct Logout {
    tokens: Vec<String>,
}

impl Logout {
    /// All that these clients have refreshed, for one to end.
    #[must_use]
    pub(crate) fn together(clients: &[Refresh]) -> Self {
        Self { tokens: clients.iter().flat_map(Refresh::access_tokens).cloned().collect() }
    }

    /// Those that these clients have refreshed, each its own.
    #[must_use]
    pub(crate) fn of(clients: &[Refresh]) -> Vec<Self> {
        clients.iter().map(|client| Self { tokens: client.access_tokens().cloned().collect() }).collect()
    }

    /// Those of these tokens, over so many clients.
    #[must_use]
    pub(crate) fn shared(tokens: &[String], clients: usize) -> Vec<Self> {
        tokens
            .chunks(tokens.len().div_ceil(clients).max(1))
            .map(|some| Self { tokens: some.to_vec() })
            .collect()
    }
}

impl Client for Logout {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        let Some(token) = self.tokens.pop() else { return false };
        let head = format!(
            "POST /auth/logout HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n"
        );
        request.extend_from_slice(head.as_bytes());
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refresh_goes_on_with_what_came() {
        let pair = Pair { access: String::new(), refresh: "jgr_a".to_owned() };
        let mut client = Refresh::new(vec![pair], true);
        let asked = |client: &mut Refresh| {
            let mut request = Vec::new();
            assert!(client.ask(&mut request));
            String::from_utf8(request).unwrap()
        };
        assert!(asked(&mut client).ends_with(r#"{"refresh_token":"jgr_a"}"#));
        client.answered(503, b"");
        assert!(asked(&mut client).contains("jgr_a"));
        client.answered(200, br#"{"access_token":"x.y.z","refresh_token":"jgr_b","scope":"account"}"#);
        assert!(asked(&mut client).contains("jgr_b"));
        assert_eq!(client.access_tokens().collect::<Vec<_>>(), ["x.y.z"]);
        assert_eq!(client.collected.as_deref(), Some(&["x.y.z".to_owned()][..]));
        let mut logout = Logout::of(&[client]).remove(0);
        assert!(logout.ask(&mut Vec::new()) && !logout.ask(&mut Vec::new()));
        let shares = Logout::shared(&["a", "b", "c"].map(str::to_owned), 2);
        assert_eq!(shares.iter().map(|share| share.tokens.len()).collect::<Vec<_>>(), [2, 1]);
    }

    #[test]
    fn tokens_are_shown_once_or_over_and_over() {
        let tokens = ["a", "b"].map(str::to_owned).to_vec();
        let asked = |mut client: Ask, times: usize| {
            let mut request = Vec::new();
            (0..times).filter(|_| client.ask(&mut request)).count()
        };
        assert_eq!(asked(Ask::cold("/", tokens.clone().into()), 5), 2);
        let turns = Ask::in_turn("/", &tokens.into(), 2);
        assert_eq!(turns.iter().map(|client| client.at).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(turns.into_iter().map(|client| asked(client, 5)).sum::<usize>(), 10);
    }
}
