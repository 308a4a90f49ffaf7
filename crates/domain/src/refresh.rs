//! Refresh tokens and the rule of rotation: a counter a session, nothing to clean.
//!
//! A token is `jgr_` + base64url(key id 1 ‖ handle 16 ‖ generation 4 ‖ tag 16); tag = HMAC-SHA256(refresh key,
//! "jgr1" ‖ handle ‖ generation), cut to 16 bytes. The row holds SHA-256(handle): neither a dump of the database,
//! nor the key alone, nor a session id forges one. A tag that holds proves that this installation minted the
//! token, so a generation *above* the row's means that the database went back, not that somebody guessed.

use std::time::Duration;

use crate::session::{RefreshState, Session};
use crate::store::Revoked;
use crate::{Timestamp, User};

/// What the presented generation means for a session; the whole rule, RFC 9700 §4.14 and beyond.
///
/// | presented `p` | decision |
/// |---|---|
/// | `first ≤ p ≤ generation`, outside the grace | [`Decision::Rotate`]: its siblings are spent |
/// | the same, inside the grace | [`Decision::Repeat`] of `p`: nobody rotates twice inside a grace |
/// | `p == previous`, inside the grace | [`Decision::Repeat`] of `generation`: racing tabs converge |
/// | `p == previous`, later | [`Decision::Sibling`]: the answer was lost |
/// | `p > generation` | [`Decision::WentBack`]: the database was restored to an earlier state |
/// | any other `p < first` | [`Decision::Reused`]: spent; the session ends |
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Mint `state.generation` and write `state`.
    Rotate(RefreshState),
    /// Hand out this generation again; write nothing.
    Repeat(u32),
    /// Mint `state.generation` beside what stands, write `state` and an audit event.
    Sibling(RefreshState),
    /// Mint `state.generation`, write `state` and an audit event.
    WentBack(RefreshState),
    /// End the session.
    Reused,
}

/// Decides what a token of generation `presented` gets from a live session in state `state`.
///
/// `grace` is `refresh.grace`. A clock that went back counts as inside the grace.
#[must_use]
pub fn decide(state: &RefreshState, presented: u32, now: Timestamp, grace: Duration) -> Decision {
    let in_grace = state.rotated_at.is_some_and(|at| now < at.plus(grace));
    let next = |from: u32| RefreshState {
        previous: presented,
        generation: from.saturating_add(1),
        first: from.saturating_add(1),
        rotated_at: Some(now),
        ..*state
    };
    if presented > state.generation {
        Decision::WentBack(next(presented))
    } else if presented >= state.first {
        if in_grace { Decision::Repeat(presented) } else { Decision::Rotate(next(state.generation)) }
    } else if presented == state.previous {
        if in_grace {
            Decision::Repeat(state.generation)
        } else {
            let generation = state.generation.saturating_add(1);
            Decision::Sibling(RefreshState { generation, rotated_at: Some(now), ..*state })
        }
    } else {
        Decision::Reused
    }
}

/// A refresh as a [`crate::Store`] sees it: the tag was already found good.
#[derive(Clone, Debug)]
pub struct Request {
    pub handle_hash: [u8; 32],
    pub generation: u32,
    /// Whose token it must be.
    pub client_id: String,
    pub now: Timestamp,
    /// `refresh.grace`.
    pub grace: Duration,
    /// `session.idle_ttl`: the idle time starts anew.
    pub idle_ttl: Duration,
    /// `exp` of the access token that is minted if this is granted.
    pub access_until: Timestamp,
    /// From where it came, bounded and cleaned as in [`Session::address`]: a repeat from elsewhere is audited.
    pub address: String,
    pub user_agent: String,
}

/// What became of it.
#[derive(Clone, Debug)]
pub enum Outcome {
    Granted(Box<Granted>),
    /// A spent token: the session ended, `revoked` is its status entry.
    Reused {
        session: Box<Session>,
        revoked: Vec<Revoked>,
    },
    /// No such live session, another client's, or its user is gone or disabled. Nothing was written.
    Invalid,
}

/// Everything needed to answer a refresh; `session` and `user` as they stand after it.
#[derive(Clone, Debug)]
pub struct Granted {
    pub session: Session,
    pub user: User,
    /// The generation to hand out.
    pub generation: u32,
}
