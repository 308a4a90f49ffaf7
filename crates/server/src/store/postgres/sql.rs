//! The statements, each with the types of its parameters. They store, compare and lock; none decides.
//!
//! Locks are taken in one order, user before session, so that transactions rarely meet head-on; where they do, the
//! database breaks one off and it is begun again.

use tokio_postgres::types::Type;

use super::pool::Sql;
use super::rows::{session_columns, user_columns};

macro_rules! statements {
    ($($(#[$meta:meta])* $name:ident [$($kind:ident),*] = $($text:expr),+;)*) => {
        $($(#[$meta])* pub(super) static $name: Sql =
            Sql { text: concat!($($text),+), types: &[$(Type::$kind),*], named: true };)*
        /// Every statement by its name.
        #[cfg(test)]
        pub(super) static ALL: &[(&str, &Sql)] = &[$((stringify!($name), &$name)),*];
    };
}

/// An account's bucket: the arithmetic of `jotgate_domain::throttle::take`, which has to see and write the row in
/// one step. `$2`-`$5` is the bucket after a first try, `$6` now, `$7` milliseconds in which a try is forgiven, `$8`
/// the tries without delay, `$9` the delays behind them (the last one stands for all further), `$10` how far a
/// block may lie ahead before it is taken for a clock that went back. A property test holds the two against each
/// other.
macro_rules! take_try {
    () => {
        "WITH taken AS (INSERT INTO throttles AS t (bucket, tries, counted_at, blocked_until, forgotten_at, \
         sweep_at) VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (bucket) DO UPDATE SET (tries, counted_at, \
         blocked_until, forgotten_at) = (SELECT b.tries, b.counted_at, b.blocked_until, greatest(b.blocked_until, \
         least(b.counted_at + $7::numeric * b.tries, 9223372036854775807)::bigint) \
         FROM (SELECT a.tries, a.counted_at, \
         coalesce($6 + nullif($9[least(greatest(a.tries - $8, 0), cardinality($9))], 0), 0) AS blocked_until \
         FROM (SELECT least(l.left_over + 1, 4294967295) AS tries, \
         CASE WHEN l.left_over = 0 OR t.counted_at > $6 THEN $6 ELSE t.counted_at + $7 * l.forgiven END \
         AS counted_at \
         FROM (SELECT f.forgiven, greatest(t.tries - f.forgiven, 0) AS left_over \
         FROM (SELECT least(greatest($6 - t.counted_at, 0) / greatest($7, 1), 4294967295) AS forgiven) f) l) a) b) \
         WHERE NOT ($6 < t.blocked_until AND t.blocked_until <= $6 + $10) RETURNING 1) \
         SELECT t.tries, t.counted_at, t.blocked_until, (SELECT count(*) FROM taken) AS granted, "
    };
}

macro_rules! attempt {
    ($lookup:literal) => {
        concat!(
            take_try!(),
            user_columns!(),
            " FROM (SELECT) one LEFT JOIN throttles t ON t.bucket = $1 LEFT JOIN users u ON ",
            $lookup
        )
    };
}

macro_rules! audit_columns {
    () => {
        "SELECT id, at, action, actor, actor_id, user_id, session_id, address, detail FROM audit "
    };
}

macro_rules! delivery_columns {
    () => {
        "SELECT id, webhook, kind, body, tries, next_at, dead_at, problem FROM webhook_deliveries "
    };
}

/// Adds what a list `gone` of status entries revokes to the log, and tells it.
macro_rules! log_revoked {
    ($margin:literal) => {
        concat!(
            "log AS (INSERT INTO revocations (status, until_at) SELECT status, access_until + ",
            $margin,
            " FROM gone WHERE status IS NOT NULL) SELECT status, access_until + ",
            $margin,
            " FROM gone"
        )
    };
}

/// Rows and position are of one snapshot: whatever commits later has a transaction that is not before it. Sent without
/// a name, so that it is planned for the position, which is nearly always at the end.
pub(super) static REVOCATIONS: Sql = Sql {
    text: "SELECT point.horizon, (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM status_numbers), \
           r.status, r.until_at, r.kid \
           FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon) point \
           LEFT JOIN revocations r ON r.xid >= $1 ORDER BY r.seq",
    types: &[Type::INT8],
    named: false,
};

/// What the snapshot `$1` did not see and `$2`, or where that is null the present one, does. A row is of the transaction
/// that its column says, unless it came out of a dump: that one is not new.
pub(super) static AUDIT_SINCE: Sql = Sql {
    text: "SELECT a.id, a.at, a.action, a.actor, a.actor_id, a.user_id, a.session_id, a.address, a.detail, \
           point.behind::text FROM (SELECT $1::pg_snapshot AS before, \
           coalesce($2::pg_snapshot, pg_current_snapshot()) AS behind) point \
           LEFT JOIN LATERAL (SELECT * FROM audit WHERE xid >= pg_snapshot_xmin(point.before) \
           AND xid < pg_snapshot_xmax(point.behind) AND NOT pg_visible_in_snapshot(xid, point.before) \
           AND pg_visible_in_snapshot(xid, point.behind) AND audit.xmin = xid::xid AND id > $3 \
           AND ($4 IS NULL OR user_id = $4) AND ($5 IS NULL OR action = $5) ORDER BY id LIMIT $6) a ON true \
           ORDER BY a.id",
    types: &[Type::TEXT, Type::TEXT, Type::INT8, Type::UUID, Type::TEXT, Type::INT8],
    named: false,
};

statements! {
    ATTEMPT_BY_ID [BYTEA, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8_ARRAY, INT8, UUID] =
        attempt!("u.id = $11");
    ATTEMPT_BY_NAME [BYTEA, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8_ARRAY, INT8, TEXT] =
        attempt!("u.username_canonical = $11");
    ATTEMPT_BY_EMAIL [BYTEA, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8_ARRAY, INT8, TEXT] =
        attempt!("u.email_canonical = $11 AND u.email_verified_at IS NOT NULL");

    /// The ordinary refresh: every condition under which `jotgate_domain::refresh::decide` says to rotate, in a
    /// place where they are compared again with the row as it is when its lock is got. What this does not move is
    /// read and decided on.
    ROTATE [BYTEA, INT8, TEXT, INT8, INT8, INT8, INT8, TEXT, TEXT] =
        "UPDATE sessions s SET generation = s.generation + 1, previous = $2, first = s.generation + 1, \
         rotated_at = $4, access_until = greatest(s.access_until, $6), last_used_at = $4, \
         idle_until = least($7, s.expires_at), used_address = nullif($8, s.address), \
         used_agent = nullif($9, s.user_agent), elsewhere_at = NULL FROM users u \
         WHERE s.handle_hash = $1 AND u.id = s.user_id AND u.disabled_at IS NULL AND s.client_id = $3 \
         AND s.first <= $2 AND $2 <= s.generation AND s.generation < 4294967295 \
         AND (s.rotated_at IS NULL OR s.rotated_at <= $5) AND s.idle_until > $4 AND s.expires_at > $4 \
         AND s.status IS NOT NULL RETURNING ",
        user_columns!(), ", ", session_columns!();
    /// The session is as it was read; it stays so until the transaction ends.
    SESSION_STANDS [UUID, BYTEA, INT8, INT8, INT8, INT8, INT8, INT8, INT8] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM sessions WHERE id = $1 AND handle_hash = $2 \
         AND generation = $3 AND previous = $4 AND first = $5 AND rotated_at IS NOT DISTINCT FROM $6 \
         AND status IS NOT DISTINCT FROM $7 AND access_until = $8 AND elsewhere_at IS NOT DISTINCT FROM $9 \
         FOR NO KEY UPDATE) s";
    /// The same for the user: a role taken away meanwhile would be in the token, and revoked nowhere.
    USER_STANDS [UUID, INT8] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM users WHERE id = $1 AND version = $2 \
         FOR SHARE) u";
    MOVE_SESSION [UUID, INT8, INT8, INT8, INT8, INT8, INT8, INT8, TEXT, TEXT, INT8] =
        "UPDATE sessions SET generation = $2, previous = $3, first = $4, rotated_at = $5, \
         status = coalesce(status, nextval('status_numbers')), access_until = $6, last_used_at = $7, \
         idle_until = $8, used_address = nullif($9, address), used_agent = nullif($10, user_agent), \
         elsewhere_at = $11 WHERE id = $1 RETURNING status";

    USER_BY_ID [UUID] = "SELECT ", user_columns!(), " FROM users u WHERE u.id = $1";
    USER_BY_NAME [TEXT] = "SELECT ", user_columns!(), " FROM users u WHERE u.username_canonical = $1";
    USER_BY_EMAIL [TEXT] = "SELECT ", user_columns!(),
        " FROM users u WHERE u.email_canonical = $1 AND u.email_verified_at IS NOT NULL";
    USERS_AFTER [TEXT, INT8] = "SELECT ", user_columns!(),
        " FROM users u WHERE u.username_canonical > $1 ORDER BY u.username_canonical LIMIT $2";
    SESSION_WITH_USER [UUID] = "SELECT ", user_columns!(), ", ", session_columns!(),
        " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.id = $1";
    SESSION_BY_HANDLE [BYTEA] = "SELECT ", user_columns!(), ", ", session_columns!(),
        ", s.used_address, s.used_agent, s.elsewhere_at",
        " FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.handle_hash = $1";
    SESSIONS_OF [UUID, INT8, INT8] = "SELECT ", session_columns!(),
        " FROM sessions s WHERE s.user_id = $1 AND s.idle_until > $2 AND s.expires_at > $2",
        " ORDER BY s.last_used_at DESC, s.id DESC LIMIT $3";
    /// For the operator's list; reads them all.
    SESSIONS [INT8, INT8] = "SELECT ", session_columns!(),
        " FROM sessions s WHERE s.idle_until > $1 AND s.expires_at > $1",
        " ORDER BY s.last_used_at DESC, s.id DESC LIMIT $2";
    CLIENT [TEXT] = "SELECT id, name, secret_hash, audiences, created_at FROM clients WHERE id = $1";
    CLIENTS_AFTER [TEXT, INT8] =
        "SELECT id, name, secret_hash, audiences, created_at FROM clients WHERE id > $1 ORDER BY id LIMIT $2";
    TICKET [BYTEA] = "SELECT hash, session_id, origin, binding, expires_at FROM sso_tickets WHERE hash = $1";
    IDENTITY [TEXT, TEXT] = "SELECT ", user_columns!(),
        ", i.id, i.user_id, i.issuer, i.subject, i.provider, i.label, i.created_at",
        " FROM identities i JOIN users u ON u.id = i.user_id WHERE i.issuer = $1 AND i.subject = $2";
    IDENTITIES_OF [UUID] = "SELECT id, user_id, issuer, subject, provider, label, created_at FROM identities \
        WHERE user_id = $1 ORDER BY created_at, id";
    KEYS [] = "SELECT kid, algorithm, sealed, published_at, signs_at, gone_at FROM signing_keys";
    SETTING [TEXT] = "SELECT value FROM settings WHERE name = $1";
    PING [] = "SELECT 1";
    SNAPSHOT [] = "SELECT pg_current_snapshot()::text";
    AUDIT_NEWEST [TEXT, INT8] = audit_columns!(),
        "WHERE ($1 IS NULL OR action = $1) ORDER BY id DESC LIMIT $2";
    AUDIT_NEWEST_OF [TEXT, INT8, UUID] = audit_columns!(),
        "WHERE user_id = $3 AND ($1 IS NULL OR action = $1) ORDER BY id DESC LIMIT $2";
    AUDIT_AFTER [INT8, INT8] = audit_columns!(), "WHERE id > $1 ORDER BY id LIMIT $2";
    CLOCK [] = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

    EXPECT_USER [UUID, INT8] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM users WHERE id = $1 AND version = $2 \
         FOR NO KEY UPDATE) u";
    EXPECT_SESSION [UUID] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM sessions WHERE id = $1 \
         FOR NO KEY UPDATE) s";
    EXPECT_CLIENT [TEXT] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM clients WHERE id = $1 FOR UPDATE) c";
    /// Of two who come for one ticket the second waits here, and finds it gone.
    EXPECT_TICKET [BYTEA] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM sso_tickets WHERE hash = $1 FOR UPDATE) t";
    EXPECT_SETTING [TEXT, TEXT] =
        "SELECT jotgate_expect(count(*) = 1) FROM (SELECT 1 FROM settings WHERE name = $1 AND value = $2 \
         FOR UPDATE) s";
    /// Holds the name, so that of two who expect nothing there one waits for the other.
    EXPECT_NO_SETTING [TEXT] =
        "WITH held AS (INSERT INTO settings (name, value) VALUES ($1, '') ON CONFLICT DO NOTHING RETURNING 1) \
         SELECT jotgate_expect(count(*) = 1) FROM held";
    /// What the one above wrote, where nothing else was written in its place.
    RELEASE_SETTING [TEXT] = "DELETE FROM settings WHERE name = $1";

    CREATE_USER [UUID, TEXT, TEXT, TEXT, TEXT, INT8, TEXT, INT8, TEXT, TEXT, INT8, INT8, INT8] =
        "INSERT INTO users (id, username, username_canonical, email, email_canonical, email_verified_at, \
         password_hash, password_changed_at, roles, claims, created_at, disabled_at, version) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    UPDATE_USER [UUID, TEXT, TEXT, TEXT, TEXT, INT8, TEXT, INT8, TEXT, TEXT, INT8, INT8, INT8] =
        "WITH updated AS (UPDATE users SET username = $2, username_canonical = $3, email = $4, \
         email_canonical = $5, email_verified_at = $6, password_hash = $7, password_changed_at = $8, roles = $9, \
         claims = $10, created_at = $11, disabled_at = $12, version = $13 WHERE id = $1 AND version = $13 - 1 \
         RETURNING 1) SELECT jotgate_expect(count(*) = 1) FROM updated";
    /// Whoever starts a session of the user waits, and counts what this transaction left.
    LOCK_USER [UUID] = "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE";
    LOCK_USER_AWAY [UUID] = "SELECT 1 FROM users WHERE id = $1 FOR UPDATE";
    DELETE_USER [UUID] = "DELETE FROM users WHERE id = $1";
    LINK_IDENTITY [UUID, UUID, TEXT, TEXT, TEXT, TEXT, INT8] =
        "INSERT INTO identities (id, user_id, issuer, subject, provider, label, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";
    UNLINK_IDENTITY [UUID, UUID] = "DELETE FROM identities WHERE id = $1 AND user_id = $2";
    UNLINK_ALL [UUID] = "DELETE FROM identities WHERE user_id = $1";
    SPEND [BYTEA, INT8] = "INSERT INTO spent (id, until_at) VALUES ($1, $2)";
    START_SESSION [UUID, UUID, TEXT, TEXT, BYTEA, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8, INT8, TEXT,
        TEXT] =
        "INSERT INTO sessions (id, user_id, client_id, scope, handle_hash, generation, previous, first, \
         rotated_at, status, access_until, created_at, authenticated_at, last_used_at, idle_until, expires_at, \
         address, user_agent, sweep_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, nextval('status_numbers'), \
         $10, $11, $12, $13, $14, $15, $16, $17, least($14, $15)) RETURNING status";
    /// The sessions of a user that are too many beside a new one, each with its audit entry.
    DISPLACE [UUID, UUID, INT8, INT8, TEXT, TEXT, INT8, TEXT, TEXT] =
        "WITH gone AS (DELETE FROM sessions WHERE id = ANY(ARRAY(SELECT id FROM sessions WHERE user_id = $1 \
         AND id <> $2 AND idle_until > $3 AND expires_at > $3 ORDER BY created_at DESC, id DESC OFFSET $4)) \
         RETURNING id, status, access_until), told AS (INSERT INTO audit (at, action, actor, user_id, session_id, \
         address, detail) SELECT $3, $8, $9, $1, id, $5, $6 FROM gone), ",
        log_revoked!("$7");
    END_SESSION [UUID, INT8] =
        "WITH gone AS (DELETE FROM sessions WHERE id = $1 RETURNING status, access_until), ",
        log_revoked!("$2");
    END_SESSIONS_OF [UUID, UUID, INT8] =
        "WITH gone AS (DELETE FROM sessions WHERE user_id = $1 AND ($2 IS NULL OR id <> $2) \
         RETURNING status, access_until), ",
        log_revoked!("$3");
    END_SESSIONS_OF_CLIENT [TEXT, INT8] =
        "WITH gone AS (DELETE FROM sessions WHERE client_id = $1 AND client_id <> 'jotgate' \
         RETURNING status, access_until), ",
        log_revoked!("$2");
    /// Takes the entry from a session that goes on; one without an entry has no tokens to revoke.
    REVOKE_TOKENS [UUID, INT8] =
        "WITH gone AS (SELECT id, status, access_until FROM sessions WHERE id = $1 AND status IS NOT NULL \
         FOR NO KEY UPDATE), taken AS (UPDATE sessions s SET status = NULL FROM gone WHERE s.id = gone.id), ",
        log_revoked!("$2");
    REVOKE_TOKENS_OF [UUID, INT8] =
        "WITH gone AS (SELECT id, status, access_until FROM sessions WHERE user_id = $1 AND status IS NOT NULL \
         FOR NO KEY UPDATE), taken AS (UPDATE sessions s SET status = NULL FROM gone WHERE s.id = gone.id), ",
        log_revoked!("$2");
    RENEW_SESSION [UUID, BYTEA, INT8, INT8, INT8, INT8, INT8, TEXT, INT8, INT8, INT8, INT8] =
        "WITH renewed AS (UPDATE sessions SET handle_hash = $2, generation = $3, previous = $4, first = $5, \
         rotated_at = $6, status = nextval('status_numbers'), access_until = $7, scope = $8, \
         authenticated_at = $9, last_used_at = $10, idle_until = $11, expires_at = $12, used_address = NULL, \
         used_agent = NULL, elsewhere_at = NULL, sweep_at = least(sweep_at, $11, $12) WHERE id = $1 \
         RETURNING status) SELECT max(status), jotgate_expect(count(*) = 1) FROM renewed";
    EXTEND_TOKENS [UUID, INT8] =
        "WITH extended AS (UPDATE sessions SET status = coalesce(status, nextval('status_numbers')), \
         access_until = greatest(access_until, $2) WHERE id = $1 RETURNING status) \
         SELECT max(status), jotgate_expect(count(*) = 1) FROM extended";
    PUT_TICKET [BYTEA, UUID, TEXT, BYTEA, INT8] =
        "INSERT INTO sso_tickets (hash, session_id, origin, binding, expires_at) VALUES ($1, $2, $3, $4, $5)";
    TAKE_TICKET [BYTEA] = "DELETE FROM sso_tickets WHERE hash = $1";
    REVOKE_KEY [TEXT, INT8] = "INSERT INTO revocations (kid, until_at) VALUES ($1, $2)";
    CREATE_CLIENT [TEXT, TEXT, BYTEA, TEXT, INT8] =
        "INSERT INTO clients (id, name, secret_hash, audiences, created_at) VALUES ($1, $2, $3, $4, $5)";
    DELETE_CLIENT [TEXT] = "DELETE FROM clients WHERE id = $1";
    CLEAR_THROTTLE [BYTEA] = "DELETE FROM throttles WHERE bucket = $1";
    PUT_KEY [TEXT, TEXT, BYTEA, INT8, INT8, INT8] =
        "INSERT INTO signing_keys (kid, algorithm, sealed, published_at, signs_at, gone_at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (kid) DO UPDATE SET algorithm = $2, sealed = $3, \
         published_at = $4, signs_at = $5, gone_at = $6";
    DELETE_KEY [TEXT] = "DELETE FROM signing_keys WHERE kid = $1";
    PUT_SETTING [TEXT, TEXT] =
        "INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2";
    ADD_EVENT [INT8, TEXT, TEXT, UUID, UUID, UUID, TEXT, TEXT] =
        "INSERT INTO audit (at, action, actor, actor_id, user_id, session_id, address, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

    PUT_DELIVERY [TEXT, TEXT, TEXT, TEXT, INT8, INT8, INT8, TEXT] =
        "INSERT INTO webhook_deliveries (id, webhook, kind, body, tries, next_at, dead_at, problem) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET tries = $5, next_at = $6, \
         dead_at = $7, problem = $8";
    DELETE_DELIVERY [TEXT] = "DELETE FROM webhook_deliveries WHERE id = $1";
    DELIVERIES_DUE [TEXT, INT8, INT8] = delivery_columns!(),
        "WHERE webhook = $1 AND dead_at IS NULL AND next_at <= $2 ORDER BY next_at LIMIT $3";
    DELIVERIES_DEAD [TEXT, INT8] = delivery_columns!(),
        "WHERE dead_at IS NOT NULL AND ($1 IS NULL OR webhook = $1) ORDER BY dead_at DESC, id DESC LIMIT $2";
    DELIVERY [TEXT] = delivery_columns!(), "WHERE id = $1";
    DELIVERY_COUNTS [] =
        "SELECT webhook, sum(pending)::bigint, sum(dead)::bigint FROM (SELECT webhook, count(*) AS pending, \
         0 AS dead FROM webhook_deliveries WHERE dead_at IS NULL GROUP BY webhook UNION ALL SELECT webhook, 0, \
         count(*) FROM webhook_deliveries WHERE dead_at IS NOT NULL GROUP BY webhook) both_kinds GROUP BY webhook \
         ORDER BY webhook";
    MARK [] =
        "SELECT 'postgres ' || system_identifier || ' ' || (SELECT oid FROM pg_database \
         WHERE datname = current_database()) FROM pg_control_system()";

    /// Deletes the due sessions that have ended, and puts off the others to their present end. What another node
    /// sweeps at the moment is left to it.
    SWEEP_SESSIONS [INT8, INT8] =
        "WITH due AS (SELECT id, least(idle_until, expires_at) AS ends_at FROM sessions WHERE sweep_at <= $1 \
         ORDER BY sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM sessions WHERE id = \
         ANY(ARRAY(SELECT id FROM due WHERE ends_at <= $1)) RETURNING 1), kept AS (UPDATE sessions \
         SET sweep_at = least(idle_until, expires_at) WHERE id = ANY(ARRAY(SELECT id FROM due WHERE ends_at > $1))) \
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM due)";
    SWEEP_THROTTLES [INT8, INT8] =
        "WITH due AS (SELECT bucket, forgotten_at FROM throttles WHERE sweep_at <= $1 \
         ORDER BY sweep_at LIMIT $2 FOR UPDATE SKIP LOCKED), gone AS (DELETE FROM throttles WHERE bucket = \
         ANY(ARRAY(SELECT bucket FROM due WHERE forgotten_at <= $1)) RETURNING 1), kept AS (UPDATE throttles \
         SET sweep_at = forgotten_at WHERE bucket = ANY(ARRAY(SELECT bucket FROM due WHERE forgotten_at > $1))) \
         SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM due)";
    SWEEP_REVOCATIONS [INT8, INT8] =
        "WITH gone AS (DELETE FROM revocations WHERE seq = ANY(ARRAY(SELECT seq FROM revocations \
         WHERE until_at < $1 ORDER BY until_at LIMIT $2)) RETURNING 1) SELECT count(*), count(*) FROM gone";
    SWEEP_TICKETS [INT8, INT8] =
        "WITH gone AS (DELETE FROM sso_tickets WHERE hash = ANY(ARRAY(SELECT hash FROM sso_tickets \
         WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)) RETURNING 1) SELECT count(*), count(*) FROM gone";
    SWEEP_SPENT [INT8, INT8] =
        "WITH gone AS (DELETE FROM spent WHERE id = ANY(ARRAY(SELECT id FROM spent WHERE until_at < $1 \
         ORDER BY until_at LIMIT $2)) RETURNING 1) SELECT count(*), count(*) FROM gone";
    SWEEP_AUDIT [INT8, INT8] =
        "WITH gone AS (DELETE FROM audit WHERE id = ANY(ARRAY(SELECT id FROM audit WHERE id <= \
         (SELECT max(id) FROM audit) - $1 ORDER BY id LIMIT $2)) RETURNING 1) SELECT count(*), count(*) FROM gone";
    /// Dead letters that are too old, and those that are too many beside newer ones.
    SWEEP_DEAD [INT8, INT8, INT8] =
        "WITH gone AS (DELETE FROM webhook_deliveries WHERE id = ANY(ARRAY(SELECT id FROM webhook_deliveries \
         WHERE dead_at < $1 ORDER BY dead_at LIMIT $3)) OR id = ANY(ARRAY(SELECT id FROM webhook_deliveries \
         WHERE dead_at IS NOT NULL ORDER BY dead_at DESC LIMIT $3 OFFSET $2)) RETURNING 1) \
         SELECT count(*), count(*) FROM gone";
}
