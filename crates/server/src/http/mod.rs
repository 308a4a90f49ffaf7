//! The HTTP surface: what requests look like, who they come from, and what refusals look like.
//!
//! Handlers are thin: they name a use case of [`crate::app`] and an answer.

pub mod bearer;
pub mod body;
pub mod client;
pub mod cookies;
pub mod error;
pub mod form;
pub mod json;
pub mod log;
mod site;

pub use site::{RenderError, Site};
