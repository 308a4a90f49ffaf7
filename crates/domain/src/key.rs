//! Signing keys over their life: published → signs → retired → gone, told by instants in the row, so every node
//! agrees by its clock and no job has to move them.

use crate::Timestamp;

/// One row of `signing_keys`. The private key is sealed; the rule never needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredKey {
    pub kid: String,
    /// Its one algorithm, as in a JOSE header.
    pub algorithm: String,
    /// The private JWK, sealed under the master key.
    pub sealed: Vec<u8>,
    /// In the JWK Set from this instant on.
    pub published_at: Timestamp,
    /// Signs from this instant on, until a later key does; none for the standby.
    pub signs_at: Option<Timestamp>,
    /// Out of the JWK Set and refused from this instant on; set when it retires.
    pub gone_at: Option<Timestamp>,
}

/// Where in its life a key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Published so that everyone has it; signs at the next rotation.
    Standby,
    Signing,
    /// Signs no more; what it signed is still accepted.
    Retired,
    Gone,
}
