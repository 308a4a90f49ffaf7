//! Signing in with other providers, through the whole application, against a provider that answers real requests with
//! real tokens and can be told to answer anything. What a well-behaved one does is tested end to end with another's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod accounts;
mod browser;
mod codes;
mod first_password;
mod hostile;
mod idp;
mod linking;
mod presets;
mod recent;
mod setting_out;
mod signing_in;
#[path = "../support/mod.rs"]
mod support;
