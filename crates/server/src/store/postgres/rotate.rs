//! A refresh: one statement where it is the ordinary one; else rows are read, the pure rule decides, and what it says is
//! written only if the rows still are as they were read.

use jotgate_domain::audit::Event;
use jotgate_domain::refresh::{self, Granted, Outcome};
use jotgate_domain::{Session, StoreError, User};

use super::changes::{Steps, text, values};
use super::{Postgres, TRIES, rows, sql};
use crate::store::plan::{LastUse, Plan, plan};

impl Postgres {
    /// The ordinary refresh in one statement, any other by the rule.
    pub(super) async fn rotate(&self, request: &refresh::Request) -> Result<Outcome, StoreError> {
        let rotated = self
            .one(
                &sql::ROTATE,
                &[
                    &request.handle_hash.as_slice(),
                    &i64::from(request.generation),
                    &text(&request.client_id),
                    &request.now.0,
                    &request.now.minus(request.grace).0,
                    &request.access_until.0,
                    &request.now.plus(request.idle_ttl).0,
                    &text(&request.address),
                    &text(&request.user_agent),
                ],
                rows::both,
            )
            .await?;
        if let Some((session, user)) = rotated {
            let generation = session.refresh.generation;
            return Ok(granted(session, user, generation));
        }
        for _ in 0..TRIES {
            if let Some(outcome) = self.refresh_by_rule(request).await? {
                return Ok(outcome);
            }
        }
        Err(StoreError::Conflict)
    }

    /// One round of what the single statement did not do; none where the rows changed under it.
    async fn refresh_by_rule(&self, request: &refresh::Request) -> Result<Option<Outcome>, StoreError> {
        let found = self
            .one(&sql::SESSION_BY_HANDLE, &[&request.handle_hash.as_slice()], |row| {
                let (session, user) = rows::both(row)?;
                Ok((rows::last_use(row, &session)?, session, user))
            })
            .await?;
        let Some((last, session, user)) = found else { return Ok(Some(Outcome::Invalid)) };
        let written = match plan(&session, &user, &last, request) {
            Plan::Invalid => return Ok(Some(Outcome::Invalid)),
            Plan::End { event } => {
                let mut steps = stands(&session, &user, &last);
                steps.end_session(session.id);
                steps.event(&event);
                self.write(&steps).await.map(|applied| {
                    if applied.ended == 0 {
                        return None;
                    }
                    Some(Outcome::Reused { session: Box::new(session), revoked: applied.revoked })
                })
            }
            Plan::Repeat { generation, access_until: None, event: None } => {
                return Ok(Some(granted(session, user, generation)));
            }
            Plan::Repeat { generation, access_until, event } => {
                let mut moved = session.clone();
                moved.access_until = access_until.unwrap_or(session.access_until);
                let told = event.as_ref().map_or(last.elsewhere_at, |_| session.refresh.rotated_at);
                let to = LastUse { elsewhere_at: told, ..last.clone() };
                let moved = self.move_session(&session, &user, &last, (moved, to), event).await;
                moved.map(|session| Some(granted(session, user, generation)))
            }
            Plan::Move { session: moved, event } => {
                let to = LastUse {
                    address: request.address.clone(),
                    user_agent: request.user_agent.clone(),
                    elsewhere_at: None,
                };
                let moved = self.move_session(&session, &user, &last, (*moved, to), event).await;
                moved.map(|session| {
                    let generation = session.refresh.generation;
                    Some(granted(session, user, generation))
                })
            }
        };
        match written {
            Err(StoreError::Conflict) => Ok(None),
            written => written,
        }
    }

    /// Writes the session, if it and its user are as they were read; with a fresh entry where it has none.
    async fn move_session(
        &self,
        read: &Session,
        user: &User,
        last: &LastUse,
        (to, used): (Session, LastUse),
        event: Option<Event>,
    ) -> Result<Session, StoreError> {
        let mut steps = stands(read, user, last);
        let state = &to.refresh;
        steps.status(
            &sql::MOVE_SESSION,
            values![
                to.id.0,
                i64::from(state.generation),
                i64::from(state.previous),
                i64::from(state.first),
                state.rotated_at.map(|at| at.0),
                to.access_until.0,
                to.last_used_at.0,
                to.idle_until.0,
                text(&used.address),
                text(&used.user_agent),
                used.elsewhere_at.map(|at| at.0),
            ],
        );
        if let Some(event) = &event {
            steps.event(event);
        }
        let status = self.write(&steps).await?.status.first().copied();
        Ok(Session { status, ..to })
    }
}

/// The beginning of what is written only if session and user are as they were read.
fn stands(session: &Session, user: &User, last: &LastUse) -> Steps {
    let mut steps = Steps::default();
    let state = &session.refresh;
    let status = session.status.and_then(|status| i64::try_from(status).ok());
    steps.add(&sql::USER_STANDS, values![user.id.0, user.version]);
    steps.add(
        &sql::SESSION_STANDS,
        values![
            session.id.0,
            state.handle_hash.to_vec(),
            i64::from(state.generation),
            i64::from(state.previous),
            i64::from(state.first),
            state.rotated_at.map(|at| at.0),
            status,
            session.access_until.0,
            last.elsewhere_at.map(|at| at.0),
        ],
    );
    steps
}

fn granted(session: Session, user: User, generation: u32) -> Outcome {
    Outcome::Granted(Box::new(Granted { session, user, generation }))
}
