//! Refresh tokens and the rule of rotation: a counter a session, nothing to clean.
//!
//! A token is `jgr_` + base64url(key id 1 ‖ handle 16 ‖ generation 4 ‖ tag 16); tag = HMAC-SHA256(refresh key,
//! "jgr1" ‖ handle ‖ generation), cut to 16 bytes. The row holds SHA-256(handle): neither a dump of the database,
//! nor the key alone, nor a session id forges one. A tag that holds proves that this installation minted the
//! token, so a generation *above* the row's means that the database went back, not that somebody guessed.
//!
//! What the rule promises, and under which conditions, is searched by `tests/refresh_model`.

use std::time::Duration;

use crate::config::Policy;
use crate::session::{RefreshState, Session};
use crate::status::REVOKED_MARGIN;
use crate::store::{Change, Expect, Revoked};
use crate::token::access_until;
use crate::{Timestamp, User};

/// The longest `refresh.grace`. A repeat inside it writes nothing, so its access token may expire by as much later
/// than the row knows; a revocation is remembered for that long beyond the row's instant, and the leeway.
pub const GRACE_MAX: Duration = Duration::from_secs(60);

const _: () = assert!(REVOKED_MARGIN.as_secs() >= GRACE_MAX.as_secs() + 60, "grace and 60 s of leeway");

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
/// `grace` is `refresh.grace`. A clock that went back counts as inside the grace. At [`u32::MAX`], which takes
/// more than a thousand years of rotations, the counter stays: the session goes on without noticing reuse.
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

/// How long a session is renewed by its access cookie alone before its refresh token has to rotate: a copy of that
/// token is found out by rotation only.
pub const RENEW_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Whether an access token may be made for a session without moving its counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    Granted,
    /// The session is over, or its token has to rotate first.
    Refused,
    /// As [`Decision::Reused`]: the session ends.
    Reused,
}

/// Decides it, so that requests which come all at once need not agree on a successor. `presented` is the generation of
/// the token that came along. `must`: where this is refused something is lost, such as what a person typed, so that age
/// is no reason.
#[must_use]
pub fn decide_renewal(
    session: &Session,
    presented: u32,
    now: Timestamp,
    grace: Duration,
    must: bool,
) -> Renewal {
    let is_young = now < session.last_used_at.plus(RENEW_FOR);
    if !session.is_live(now) {
        Renewal::Refused
    } else if decide(&session.refresh, presented, now, grace) == Decision::Reused {
        Renewal::Reused
    } else if is_young || must {
        Renewal::Granted
    } else {
        Renewal::Refused
    }
}

/// What that writes: the session's entry is remembered for as long as the token of `now` lives. It holds only if user
/// and session still are as it was decided on.
#[must_use]
pub fn renew(session: &Session, user: &User, policy: &Policy, now: Timestamp) -> (Vec<Change>, Vec<Expect>) {
    let extend = Change::ExtendTokens { session: session.id, access_until: access_until(policy, now) };
    (vec![extend], vec![Expect::User(user.id, user.version), Expect::Session(session.id)])
}

#[cfg(test)]
mod tests {
    use super::Decision::{Repeat, Reused, Rotate, Sibling, WentBack};
    use super::*;

    const GRACE: Duration = Duration::from_secs(10);
    const HASH: [u8; 32] = [7; 32];

    fn at(millis: i64) -> Timestamp {
        Timestamp(1_800_000_000_000 + millis)
    }

    fn row(previous: u32, first: u32, generation: u32, rotated_at: Option<Timestamp>) -> RefreshState {
        RefreshState { handle_hash: HASH, generation, previous, first, rotated_at }
    }

    /// Every row of the table, at every boundary of its numbers and of the grace.
    #[test]
    fn the_table() {
        // Siblings 5 to 7 were minted from 4; the last of them at 0.
        let state = row(4, 5, 7, Some(at(0)));
        let used = |p: u32, now: i64| row(p, 8, 8, Some(at(now)));
        let later = 10_000;
        let table = [
            // never used, outside the grace: its siblings are spent
            (5, later, Rotate(used(5, later))),
            (6, later, Rotate(used(6, later))),
            (7, later, Rotate(used(7, later))),
            (7, 1_000_000_000, Rotate(used(7, 1_000_000_000))),
            // never used, inside the grace: itself again
            (5, 9_999, Repeat(5)),
            (6, 0, Repeat(6)),
            (7, 1, Repeat(7)),
            // the one last used, inside the grace: the newest
            (4, 0, Repeat(7)),
            (4, 9_999, Repeat(7)),
            // the one last used, later: the answer was lost
            (4, later, Sibling(row(4, 5, 8, Some(at(later))))),
            // above the counter, whatever the time: the database went back
            (8, 0, WentBack(row(8, 9, 9, Some(at(0))))),
            (8, later, WentBack(row(8, 9, 9, Some(at(later))))),
            (1000, 5, WentBack(row(1000, 1001, 1001, Some(at(5))))),
            // older: spent, however recent
            (3, 0, Reused),
            (3, later, Reused),
            (1, 0, Reused),
            (0, later, Reused),
            // the clock went back: inside the grace
            (5, -1, Repeat(5)),
            (4, -1_000_000_000, Repeat(7)),
            (3, -1, Reused),
            (8, -1, WentBack(row(8, 9, 9, Some(at(-1))))),
        ];
        for (presented, now, expected) in table {
            assert_eq!(decide(&state, presented, at(now), GRACE), expected, "{presented} at {now}");
        }
    }

    #[test]
    fn at_login_nothing_was_rotated() {
        let state = RefreshState::new(HASH);
        assert_eq!(
            decide(&state, 1, at(0), GRACE),
            Rotate(row(1, 2, 2, Some(at(0)))),
            "no grace to be inside"
        );
        // No token of generation 0 is ever minted; it stands for none.
        assert_eq!(decide(&state, 2, at(0), GRACE), WentBack(row(2, 3, 3, Some(at(0)))));
    }

    /// Only the last of a spent generation's siblings may have been used; the others are as spent as it.
    #[test]
    fn an_unused_sibling_is_spent_with_its_generation() {
        let state = row(6, 8, 8, Some(at(0)));
        for (presented, inside, later) in [(5, Reused, Reused), (7, Reused, Reused)] {
            assert_eq!(decide(&state, presented, at(1), GRACE), inside);
            assert_eq!(decide(&state, presented, at(20_000), GRACE), later);
        }
    }

    #[test]
    fn without_a_grace_every_use_rotates() {
        let state = row(4, 5, 5, Some(at(0)));
        assert_eq!(decide(&state, 5, at(0), Duration::ZERO), Rotate(row(5, 6, 6, Some(at(0)))));
        assert_eq!(decide(&state, 4, at(0), Duration::ZERO), Sibling(row(4, 5, 6, Some(at(0)))));
    }

    #[test]
    fn an_access_token_is_renewed_for_a_day_by_a_token_that_is_not_spent() {
        let used = Timestamp(1_800_000_000_000);
        let session = Session {
            refresh: row(4, 5, 7, Some(used)),
            last_used_at: used,
            idle_until: used.plus(RENEW_FOR * 14),
            ..crate::sample::session()
        };
        use Renewal::{Granted, Refused, Reused};
        const DAY: i64 = 24 * 60 * 60 * 1000;
        for (presented, millis, must, expected) in [
            (7, 0, false, Granted),
            (7, DAY - 1, false, Granted),
            // Rotation is due, unless something would be lost by it.
            (7, DAY, false, Refused),
            (7, DAY, true, Granted),
            (7, 14 * DAY, true, Refused),
            // The last one used: its answer may have been lost.
            (4, 20_000, false, Granted),
            // Spent: however old, and whatever would be lost.
            (3, 0, false, Reused),
            (3, 0, true, Reused),
            (3, DAY, false, Reused),
            (3, 14 * DAY, true, Refused),
        ] {
            let now = Timestamp(used.0 + millis);
            assert_eq!(
                decide_renewal(&session, presented, now, GRACE, must),
                expected,
                "{presented} {millis} {must}"
            );
        }
    }

    #[test]
    fn the_counter_neither_wraps_nor_panics() {
        let max = u32::MAX;
        let extreme = [0, 1, max - 2, max - 1, max];
        for previous in extreme {
            for first in extreme {
                for generation in extreme {
                    for presented in extreme {
                        for now in [i64::MIN, 0, i64::MAX].map(Timestamp) {
                            for rotated_at in [None, Some(Timestamp(i64::MIN)), Some(Timestamp(i64::MAX))] {
                                let state = row(previous, first, generation, rotated_at);
                                match decide(&state, presented, now, Duration::MAX) {
                                    Rotate(next) | Sibling(next) | WentBack(next) => {
                                        assert!(next.generation >= generation.max(presented));
                                        assert!(next.first >= first || presented < first);
                                    }
                                    Repeat(handed) => assert!(handed == presented || handed == generation),
                                    Reused => assert!(presented < first),
                                }
                            }
                        }
                    }
                }
            }
        }
        let last = row(max - 1, max, max, Some(at(0)));
        assert_eq!(decide(&last, max, at(20_000), GRACE), Rotate(row(max, max, max, Some(at(20_000)))));
    }
}
