//! The real binary, as a person or a script runs it: what it prints, where, and its exit code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod backup;
mod clients;
mod config;
mod demo;
mod doctor;
mod follower;
mod help;
mod host;
mod operate;
mod ops;
mod outbound;
mod program;
mod token;
