//! Those who ask: requests as their programs would send them.

use std::net::SocketAddr;
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

/// The tokens of one login.
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

/// `count` sessions, of `users` users in turn.
pub(crate) async fn log_in(address: SocketAddr, users: u32, count: u32) -> Outcome<Vec<Pair>> {
    let mut pairs = Vec::new();
    for number in 0..count {
        let mut request = Vec::new();
        Login::new(number % users).ask(&mut request);
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

/// Another token each time, none of which the server has seen.
#[derive(Debug)]
pub(crate) struct Cold {
    pub(crate) path: &'static str,
    pub(crate) tokens: Vec<String>,
}

impl Client for Cold {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        let Some(token) = self.tokens.pop() else { return false };
        let head =
            format!("GET {} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\n\r\n", self.path);
        request.extend_from_slice(head.as_bytes());
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Logs in again and again.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    body: String,
}

impl Login {
    #[must_use]
    pub(crate) fn new(user: u32) -> Self {
        Self { body: format!(r#"{{"username":"user-{user}","password":"{PASSWORD}"}}"#) }
    }
}

impl Client for Login {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        post("/auth/login", &self.body, request);
        true
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Sessions that are refreshed in turn, each with the token that came last.
#[derive(Debug)]
pub(crate) struct Refresh {
    sessions: Vec<String>,
    at: usize,
    /// The access tokens that came, where they are wanted.
    pub(crate) collected: Option<Vec<String>>,
}

impl Refresh {
    #[must_use]
    pub(crate) fn new(sessions: Vec<String>, collect: bool) -> Self {
        Self { sessions, at: 0, collected: collect.then(Vec::new) }
    }
}

impl Client for Refresh {
    fn ask(&mut self, request: &mut Vec<u8>) -> bool {
        self.at = (self.at + 1) % self.sessions.len().max(1);
        let Some(token) = self.sessions.get(self.at) else { return false };
        post("/auth/refresh", &format!(r#"{{"refresh_token":"{token}"}}"#), request);
        true
    }

    fn answered(&mut self, status: u16, body: &[u8]) {
        if status != 200 {
            return;
        }
        // The whole parser would take the processor from the server.
        if let (Some(refresh), Some(slot)) = (member(body, "refresh_token"), self.sessions.get_mut(self.at)) {
            slot.clear();
            slot.push_str(refresh);
        }
        if let (Some(collected), Some(access)) = (&mut self.collected, member(body, "access_token")) {
            collected.push(access.to_owned());
        }
    }
}

/// The text of a member whose value has no escapes.
fn member<'b>(body: &'b [u8], name: &str) -> Option<&'b str> {
    let key = format!("\"{name}\":\"");
    let begin = memchr::memmem::find(body, key.as_bytes())? + key.len();
    let rest = body.get(begin..)?;
    std::str::from_utf8(rest.get(..memchr::memchr(b'"', rest)?)?).ok()
}

/// Ends one session after the other.
#[derive(Debug)]
pub(crate) struct Logout {
    pub(crate) tokens: Vec<String>,
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
        let mut client = Refresh::new(vec!["jgr_a".to_owned()], true);
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
        assert_eq!(client.collected.unwrap(), ["x.y.z"]);
    }
}
