//! The Jotgate server, also as a library: [`Server`](app::Server) builds an axum router to nest in an
//! application of one's own.
//!
//! `cli → app → http → { domain, ui }`; `store` knows neither http nor ui.

pub mod config;
pub mod edge;
