//! Drives the real binary from outside. One test program for all files here, so that their waiting overlaps.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod browser_client;
mod crash;
mod faults;
mod first_login;
mod followers;
mod introspection;
mod judge;
mod languages;
mod moving;
mod nodes;
mod pages;
mod proxies;
mod revocation;
mod rotation;
mod sso;
mod upstream;
mod webhooks;
