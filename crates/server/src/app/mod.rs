//! The use cases: each is one path to one decision, called by the JSON API, by the hosted pages and by the
//! command line alike. No HTTP and no SQL here.

use jotgate_domain::{Session, User};
use zeroize::Zeroizing;

/// Who is asking, as far as the connection tells: for throttles, the device list and the audit trail.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// Canonical text of the client's address; empty for the operator's own program.
    pub address: String,
    /// What the throttle counts: the address, of IPv6 its /64.
    pub network: String,
    /// Cleaned and cut.
    pub user_agent: String,
}

/// A pair of tokens that was just made, and what it stands for.
#[derive(Debug)]
pub struct Grant {
    pub access_token: Zeroizing<String>,
    /// Seconds.
    pub expires_in: u64,
    pub refresh_token: Zeroizing<String>,
    /// Seconds until the session's idle or absolute end, whichever is first.
    pub session_expires_in: u64,
    pub session: Session,
    pub user: User,
}
