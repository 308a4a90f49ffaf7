//! Webhooks through the whole application: a clock that is moved, and a receiver that says what the test wants.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod kept;
mod receiver;
#[path = "../support/mod.rs"]
mod support;
mod taken;
