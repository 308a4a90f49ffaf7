//! The HTTP machinery from outside: a small router behind the real layer and the real server, over TCP and TLS.
//! The numbers in names are those of the catalogue of attacks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod abuse;
mod browser;
mod end;
mod support;
mod tls;
mod wire;
