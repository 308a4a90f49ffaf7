//! The HTTP surface: what requests look like, who they come from, and what refusals look like.
//!
//! Handlers are thin: they name a use case of [`crate::app`] and an answer.

mod answer;
mod applications;
pub mod auth;
pub mod bearer;
pub mod body;
pub mod clear_cookies;
pub mod client;
pub mod cookies;
mod cors;
pub mod csrf;
pub mod error;
pub mod form;
mod front;
mod headers;
mod health;
mod identities;
pub mod json;
pub mod log;
mod login;
mod logout;
mod me;
mod metrics;
pub mod oauth;
pub mod openapi;
pub mod pages;
mod password;
mod providers;
mod refresh;
mod register;
mod revocations;
pub(crate) mod router;
mod script;
mod sessions;
mod site;
mod surface;
mod upstream;
mod verify;
mod view;
mod well_known;

pub use front::{Arrival, Connection, Front, FrontLayer};
pub use headers::FormAction;
pub use site::{RenderError, Site};
pub use surface::Surface;
