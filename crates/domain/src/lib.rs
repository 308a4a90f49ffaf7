//! The rules of Jotgate, pure: (what was read, input, now, random) → (outcome, changes to write).
//!
//! Nothing here reads a clock, draws randomness or does I/O: the server reads both once at its edge and
//! passes them in, so the test of a rule is a table. [`store`] is the one interface to a database; each
//! backend is a folder in the server crate that implements it.

pub mod access;
pub mod account;
pub mod audit;
pub mod client;
pub mod config;
pub mod id;
pub mod key;
pub mod login;
pub mod master;
pub mod name;
pub mod password;
pub mod refresh;
pub mod refresh_token;
pub mod register;
#[cfg(test)]
mod sample;
pub mod session;
pub mod sso;
pub mod status;
pub mod store;
pub mod throttle;
pub mod time;
pub mod token;
pub mod upstream;
pub mod user;
pub mod webhook;

pub use client::{Client, ClientId};
pub use id::{IdentityId, SessionId, UserId};
pub use session::Session;
pub use store::{Change, Expect, Store, StoreError};
pub use time::Timestamp;
pub use user::User;
