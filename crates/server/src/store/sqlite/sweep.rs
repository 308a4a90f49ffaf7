//! What the sweeper takes away, a batch at a time.

use jotgate_domain::{Timestamp, webhook};
use rusqlite::params;

use super::tx::{Failure, Tx};

pub(super) const DUE_SESSIONS: &str =
    "SELECT rowid, min(idle_until, expires_at) FROM sessions WHERE sweep_at <= ?1 ORDER BY sweep_at LIMIT ?2";
pub(super) const SWEEP_REVOCATIONS: &str = "DELETE FROM revocations WHERE seq IN \
     (SELECT seq FROM revocations WHERE until_at < ?1 ORDER BY until_at LIMIT ?2)";
pub(super) const SWEEP_THROTTLES: &str = "DELETE FROM throttles WHERE bucket IN \
     (SELECT bucket FROM throttles WHERE forgotten_at <= ?1 ORDER BY forgotten_at LIMIT ?2)";
pub(super) const SWEEP_TICKETS: &str = "DELETE FROM sso_tickets WHERE hash IN \
     (SELECT hash FROM sso_tickets WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";
pub(super) const SWEEP_SPENT: &str = "DELETE FROM spent WHERE id IN \
     (SELECT id FROM spent WHERE until_at < ?1 ORDER BY until_at LIMIT ?2)";
pub(super) const SWEEP_AUDIT: &str = "DELETE FROM audit WHERE id IN \
     (SELECT id FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1 ORDER BY id LIMIT ?2)";

/// Dead letters that are too old.
pub(super) const SWEEP_OLD: &str = "DELETE FROM webhook_deliveries WHERE id IN \
     (SELECT id FROM webhook_deliveries WHERE dead_at < ?1 ORDER BY dead_at LIMIT ?2)";
/// Those that are too many beside newer ones; a number that every instant is above, so that it is searched for.
pub(super) const SWEEP_MANY: &str = "DELETE FROM webhook_deliveries WHERE id IN \
     (SELECT id FROM webhook_deliveries WHERE dead_at > 0 ORDER BY dead_at DESC LIMIT ?2 OFFSET ?1)";

/// Sessions looked at by one pass of the sweeper.
#[derive(Clone, Copy, Debug)]
pub(super) struct SweptSessions {
    pub(super) gone: u32,
    pub(super) seen: u32,
}

/// Deletes the due sessions that have ended, and puts off the others to their present end.
pub(super) fn sweep_sessions(tx: &Tx<'_>, now: Timestamp, batch: u32) -> Result<SweptSessions, Failure> {
    let due = tx
        .connection
        .prepare_cached(DUE_SESSIONS)?
        .query_map(params![now.0, batch], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let mut swept = SweptSessions { gone: 0, seen: 0 };
    for (rowid, end) in due {
        swept.seen += 1;
        if end <= now.0 {
            swept.gone += 1;
            tx.connection.prepare_cached("DELETE FROM sessions WHERE rowid = ?1")?.execute([rowid])?;
        } else {
            tx.connection
                .prepare_cached("UPDATE sessions SET sweep_at = ?2 WHERE rowid = ?1")?
                .execute([rowid, end])?;
        }
    }
    Ok(swept)
}

/// The other kinds; how many rows went.
pub(super) fn sweep_rest(tx: &Tx<'_>, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, Failure> {
    let keep = i64::try_from(keep_audit).unwrap_or(i64::MAX);
    let mut gone = tx.connection.prepare_cached(SWEEP_REVOCATIONS)?.execute(params![now.0, batch])?;
    gone += tx.connection.prepare_cached(SWEEP_THROTTLES)?.execute(params![now.0, batch])?;
    gone += tx.connection.prepare_cached(SWEEP_TICKETS)?.execute(params![now.0, batch])?;
    gone += tx.connection.prepare_cached(SWEEP_SPENT)?.execute(params![now.0, batch])?;
    gone += tx.connection.prepare_cached(SWEEP_AUDIT)?.execute(params![keep, batch])?;
    let old = now.minus(webhook::DEAD_FOR).0;
    gone += tx.connection.prepare_cached(SWEEP_OLD)?.execute(params![old, batch])?;
    gone += tx.connection.prepare_cached(SWEEP_MANY)?.execute(params![webhook::MOST_DEAD, batch])?;
    Ok(u64::try_from(gone).unwrap_or(u64::MAX))
}
