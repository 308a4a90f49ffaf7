//! A frame for end-to-end tests. They drive the real binary from outside, as a user, an attacker, a browser or a
//! reader of the documentation would, and know nothing of its inside.
//!
//! ```no_run
//! use e2e::Server;
//! use serde_json::json;
//!
//! let server = Server::start(); // a free port, a fresh data folder; ended and checked when dropped
//! let alice = json!({"username": "alice", "password": "correct horse battery"});
//! server.client().post("/auth/register").json(&alice).send().expect(201);
//! ```
//!
//! Whatever a test is about, when its [`Server`] goes, the log is searched for panics, for lines that are no JSON and
//! for every password and token that passed through a [`Client`]; the memory it used is held to a limit.
//!
//! The binary is the one that `JOTGATE_BIN` names (`cargo xtask test` builds the release one), else it is built by
//! `cargo build` at the first use, so that no test runs an old one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate: what goes wrong here is a failed test"
)]

pub mod browser;
mod canary;
pub mod documents;
mod http;
mod program;
mod proxy;
mod server;
mod tls;

pub use http::{Client, Cookie, Lost, Request, Response, Wire};
pub use program::{jotgate, root};
pub use proxy::{Proxy, free_port};
pub use server::{Options, Server};
pub use tls::{Trust, certificate};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::io::Write as _;

/// The claims of a token, of which nothing is verified.
#[must_use]
pub fn claims(token: &str) -> serde_json::Value {
    let payload = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON")
}

/// Lets this process have as many connections as it may: a soft limit is often 1,024.
pub fn raise_limit_of_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}

/// Says that the test `name` is left out, and why. `cargo xtask test` counts it as skipped.
pub fn left_out(name: &str, reason: &str) {
    // The harness hides what a passing test prints by macro; this must be seen.
    let _ = writeln!(std::io::stderr(), "left out: {name}: {reason}");
}
