//! The Jotgate server, also as a library.
//!
//! `cli → app → http → { domain, ui }`; `store` knows neither http nor ui.

#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod edge;
pub mod hasher;
pub mod seal;
pub mod store;
pub mod ui;
