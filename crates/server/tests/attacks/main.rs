//! The catalogue of attacks against the whole application in process: each test carries the numbers of its cases,
//! those with a zero are cases that the catalogue does not list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

mod algorithms;
mod bodies;
mod browsers;
mod claims;
mod clients;
mod cookies;
mod endings;
mod forward_auth;
mod guessing;
mod login;
mod meddler;
mod moments;
mod passwords;
mod refresh;
mod registration;
mod renewal;
mod sso;
mod tokens;
mod tools;
