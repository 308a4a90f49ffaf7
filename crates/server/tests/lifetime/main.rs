//! The database over time: it does not grow beyond what lives, and what a release wrote is good in the next.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "../store_suite/fixture.rs"]
#[allow(dead_code, reason = "shared with the suite")]
mod fixture;
#[path = "../support/mod.rs"]
mod support;

mod growth;
mod released;
