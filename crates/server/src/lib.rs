//! The Jotgate server, also as a library: [`Server`] builds an axum router to nest in an application of one's own.
//!
//! `cli → app → http → { domain, ui }`; `store` knows neither http nor ui.

pub mod app;
#[doc(hidden)]
pub mod cli;
pub mod config;
pub mod edge;
mod events;
pub mod hasher;
pub mod hooks;
pub mod http;
pub mod log;
mod metrics;
mod otel;
mod outbound;
pub mod seal;
pub mod serve;
mod server;
pub mod store;
pub mod ui;

pub use events::Events;
pub use http::auth::{Claims, CurrentUser};
pub use server::{Builder, Server};
