//! Keys: each has exactly one algorithm (RFC 8725 §3.1), and is checked when it is made.

mod edwards;
mod private;
mod public;
mod signing;
mod verifying;

pub(crate) use private::MAX_SIGNATURE;
pub use signing::SigningKey;
pub use verifying::VerifyingKey;
