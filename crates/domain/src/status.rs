//! Status entries (draft-ietf-oauth-status-list): the one thing that is ever revoked.
//!
//! Entries are numbered by a counter of the database, so they are unique without retries and never reused.
//! A keyed permutation makes the index of the number: random to look at, so that neighbouring indexes say
//! nothing of who logged in after whom.

/// Entries a list; every list has this size from the start, so its length says nothing of its use.
pub const LIST_SIZE: u64 = 1 << 20;

/// An access token's expiry may pass by this before its revocation is forgotten: clock leeway, a repeat inside
/// the grace, a lowered `token.access_ttl`.
pub const REVOKED_MARGIN: std::time::Duration = std::time::Duration::from_secs(120);

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which list; the last segment of its address.
    pub list: u64,
    /// Index in it, below [`LIST_SIZE`].
    pub index: u64,
}
