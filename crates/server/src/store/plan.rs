//! What a refresh does to the rows: the rule's decision spelled out, for every backend alike.
//!
//! The backend reads session and user, asks [`plan`], and writes what it says in the same transaction (SQLite) or
//! under a compare-and-set (PostgreSQL).

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::refresh::{Decision, GRACE_MAX, Request, decide};
use jotgate_domain::{Session, Timestamp, User};

/// From where the counter was last moved: what a repeat is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LastUse {
    pub(super) address: String,
    pub(super) user_agent: String,
    /// The rotation of which a repeat from elsewhere was already told.
    pub(super) elsewhere_at: Option<Timestamp>,
}

/// What to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing; the answer is [`jotgate_domain::refresh::Outcome::Invalid`].
    Invalid,
    /// Hand out `generation`. Where there is `access_until` it is written, with a fresh status entry where the
    /// session has none; and the event with its mark ([`LastUse::elsewhere_at`]) where there is one.
    Repeat { generation: u32, access_until: Option<Timestamp>, event: Option<Event> },
    /// Replace the session's row by this one, with a fresh status entry where it has none; hand out its
    /// generation.
    Move { session: Box<Session>, event: Option<Event> },
    /// End the session.
    End { event: Event },
}

/// Decides what `request` does to a session, its user and the place of its last use, as they were read.
pub(super) fn plan(session: &Session, user: &User, last: &LastUse, request: &Request) -> Plan {
    if !session.is_live(request.now) || session.client_id != request.client_id || !user.is_active() {
        return Plan::Invalid;
    }
    let told = |action, actor, detail| Event {
        at: request.now,
        action,
        actor,
        user: Some(user.id),
        session: Some(session.id),
        address: request.address.clone(),
        detail,
    };
    let presented = request.generation;
    match decide(&session.refresh, presented, request.now, request.grace) {
        Decision::Repeat(generation) => {
            let elsewhere = last.address != request.address || last.user_agent != request.user_agent;
            // Once a rotation, so that two tabs on two networks do not fill the trail.
            let new = last.elsewhere_at.is_none() || last.elsewhere_at != session.refresh.rotated_at;
            let event = (elsewhere && new).then(|| {
                let detail = format!("generation {presented}, first used from {}", last.address);
                told(Action::RefreshRepeatedElsewhere, Actor::User(user.id), detail)
            });
            // `token.access_ttl` may have been raised since: its revocation is to be remembered for as long.
            let far = request.access_until > session.access_until.plus(GRACE_MAX);
            let access_until = (session.status.is_none() || far).then_some(request.access_until);
            Plan::Repeat { generation, access_until, event }
        }
        Decision::Rotate(state) => Plan::Move { session: moved(session, state, request), event: None },
        Decision::Sibling(state) => {
            let detail = format!("generation {presented} again, {} minted", state.generation);
            let event = told(Action::RefreshSibling, Actor::User(user.id), detail);
            Plan::Move { session: moved(session, state, request), event: Some(event) }
        }
        Decision::WentBack(state) => {
            let detail = format!("generation {presented}, the row knew {}", session.refresh.generation);
            let event = told(Action::DatabaseWentBack, Actor::System, detail);
            Plan::Move { session: moved(session, state, request), event: Some(event) }
        }
        Decision::Reused => {
            let detail = format!("generation {presented} of {}", session.refresh.generation);
            // Who it was is what nobody knows.
            Plan::End { event: told(Action::RefreshReused, Actor::Anonymous, detail) }
        }
    }
}

fn moved(
    session: &Session,
    refresh: jotgate_domain::session::RefreshState,
    request: &Request,
) -> Box<Session> {
    let access_until = match session.status {
        Some(_) => session.access_until.max(request.access_until),
        // A fresh entry: nothing was signed under it before.
        None => request.access_until,
    };
    Box::new(Session {
        refresh,
        access_until,
        last_used_at: request.now,
        idle_until: request.now.plus(request.idle_ttl).min(session.expires_at),
        ..session.clone()
    })
}
