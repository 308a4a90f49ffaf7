//! What is installed: the Debian package, in a Debian of its own with its own systemd, and the container image.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod container;
mod debian;
mod machine;
mod package;
mod shells;
