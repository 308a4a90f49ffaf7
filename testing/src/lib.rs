//! What tests of several packages need beside the code.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate: what goes wrong here is a failed test"
)]

pub mod postgres;
pub mod proxy;
