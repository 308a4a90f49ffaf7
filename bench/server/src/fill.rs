//! Many users, sessions and revocations in an installation: copies of one real row of each, written straight into the
//! database of a server that is stopped. The refresh tokens of the copied sessions are real, too: whoever has the
//! installation's master key can mint them.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::master::{MasterKey, Purpose};
use jotgate_domain::refresh_token::{Handle, RefreshKeys};
use rusqlite::{Connection, params};
use testing::postgres::Database;

use crate::clients::{Pair, log_in, register};
use crate::program::{Outcome, Program};

/// How much of each there is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) users: u32,
    pub(crate) sessions: u32,
    pub(crate) revocations: u32,
}

/// What mints the tokens of the sessions that were filled in.
pub(crate) struct Filled {
    keys: RefreshKeys,
    sessions: u32,
}

impl Filled {
    /// The session at this place of an order that goes all over the table; without an access token.
    #[must_use]
    pub(crate) fn session(&self, place: u32) -> Pair {
        let number = u64::from(place) * 7919 % u64::from(self.sessions);
        let token = self.keys.mint(&Handle::new(handle(number)), 1);
        Pair { access: String::new(), refresh: token.expose().to_owned() }
    }
}

/// A server on SQLite with so much in it.
pub(crate) async fn sqlite(
    binary: &Path,
    environment: &[(&str, &str)],
    amount: Amount,
) -> Outcome<(Program, Filled)> {
    let folder = begun(binary, environment).await?;
    let data = folder.path().join("jotgate-data");
    let keys = refresh_keys(&data)?;
    tokio::task::spawn_blocking(move || fill_sqlite(&data.join("jotgate.db"), amount)).await??;
    let program = Program::jotgate_in(binary, folder, environment)?;
    Ok((program, Filled { keys, sessions: amount.sessions }))
}

/// The same on PostgreSQL; `environment` leads to this database.
pub(crate) async fn postgres(
    binary: &Path,
    environment: &[(&str, &str)],
    database: &Database,
    amount: Amount,
) -> Outcome<(Program, Filled)> {
    let folder = begun(binary, environment).await?;
    let keys = refresh_keys(&folder.path().join("jotgate-data"))?;
    let database = database.clone();
    tokio::task::spawn_blocking(move || fill_postgres(&database, amount)).await??;
    let program = Program::jotgate_in(binary, folder, environment)?;
    Ok((program, Filled { keys, sessions: amount.sessions }))
}

/// An installation with one user and one session, stopped.
async fn begun(binary: &Path, environment: &[(&str, &str)]) -> Outcome<tempfile::TempDir> {
    let program = Program::jotgate(binary, environment)?;
    register(program.address, 1).await?;
    log_in(program.address, 0..1, 1).await?;
    program.end().ok_or_else(|| "no folder".into())
}

fn refresh_keys(data: &Path) -> Outcome<RefreshKeys> {
    let text = std::fs::read_to_string(data.join("master.key"))?;
    let bytes = URL_SAFE_NO_PAD.decode(text.trim())?;
    let master = MasterKey::new(bytes.try_into().map_err(|_| "the master key has another length")?);
    Ok(RefreshKeys::new(1, &master.derive(Purpose::Refresh(1))))
}

/// 16 bytes that no server draws.
fn handle(number: u64) -> [u8; 16] {
    let mut handle = *b"benchxxx\0\0\0\0\0\0\0\0";
    handle.iter_mut().skip(8).zip(number.to_be_bytes()).for_each(|(slot, byte)| *slot = byte);
    handle
}

/// The same as `handle` in hexadecimal, without the number.
const HANDLE_BEGINS: &str = "62656e6368787878";
/// What every id that is filled in begins with; like those of a server, they ascend.
const ID_BEGINS: &str = "019ac3f20000700080";

fn id(number: u64) -> Outcome<uuid::Uuid> {
    Ok(uuid::Uuid::try_parse(&format!("{ID_BEGINS}{number:014x}"))?)
}

/// All columns, with something else in place of some.
fn copied(columns: &str, changed: &[(&str, &str)]) -> String {
    let one = |column| changed.iter().find(|(name, _)| *name == column).map_or(column, |(_, other)| *other);
    columns.split(',').map(one).collect::<Vec<_>>().join(", ")
}

fn fill_sqlite(path: &Path, amount: Amount) -> Outcome<()> {
    let mut connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA synchronous = OFF; PRAGMA foreign_keys = OFF; PRAGMA cache_size = -524288;
         PRAGMA temp_store = MEMORY;",
    )?;
    let transaction = connection.transaction()?;
    let columns = |table: &str| {
        let sql = "SELECT group_concat(name, ',') FROM pragma_table_info(?1)";
        transaction.query_row(sql, [table], |row| row.get::<_, String>(0))
    };
    {
        let list =
            copied(&columns("users")?, &[("id", "?1"), ("username", "?2"), ("username_canonical", "?2")]);
        let sql = format!("INSERT INTO users SELECT {list} FROM users WHERE username_canonical = 'user-0'");
        let mut insert = transaction.prepare(&sql)?;
        for number in 1..amount.users {
            insert.execute(params![id(number.into())?.as_bytes(), format!("user-{number}")])?;
        }
    }
    let status = "SELECT value FROM counters WHERE name = 'status'";
    let status: u64 = transaction.query_row(status, [], |row| row.get(0))?;
    {
        let changed = [("id", "?1"), ("user_id", "?2"), ("handle_hash", "?3"), ("status", "?4")];
        let list = copied(&columns("sessions")?, &changed);
        let sql = format!("INSERT INTO sessions SELECT {list} FROM sessions WHERE rowid = 1");
        let mut insert = transaction.prepare(&sql)?;
        for number in 0..u64::from(amount.sessions) {
            let user = id(1 + number % u64::from(amount.users - 1).max(1))?;
            let hash = digest(&SHA256, &handle(number));
            insert.execute(params![
                id(number)?.as_bytes(),
                user.as_bytes(),
                hash.as_ref(),
                status + 1 + number
            ])?;
        }
    }
    let (first, last) = revoked(status, amount);
    transaction.execute(
        "INSERT INTO revocations (status, until_at)
         WITH RECURSIVE n(n) AS (SELECT ?1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
         SELECT n, unixepoch() * 1000 + 86400000 FROM n WHERE n <= ?2",
        params![first, last],
    )?;
    transaction.execute("UPDATE counters SET value = ?1 WHERE name = 'status'", [last])?;
    transaction.commit()?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    Ok(())
}

/// The status numbers after those of the sessions.
fn revoked(status: u64, amount: Amount) -> (u64, u64) {
    let first = status + u64::from(amount.sessions) + 1;
    (first, first + u64::from(amount.revocations) - 1)
}

fn fill_postgres(database: &Database, amount: Amount) -> Outcome<()> {
    let columns = |table: &str| {
        database.sql(&format!(
            "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns \
             WHERE table_name = '{table}' AND table_schema = current_schema()"
        ))
    };
    let id = |number: &str| format!("('{ID_BEGINS}' || lpad(to_hex({number}), 14, '0'))::uuid");
    let last = amount.users - 1;
    let changed = [("id", &*id("n")), ("username", "'user-' || n"), ("username_canonical", "'user-' || n")];
    let list = copied(&columns("users"), &changed);
    database.sql(&format!(
        "INSERT INTO users SELECT {list} FROM users, generate_series(1, {last}) n \
         WHERE username_canonical = 'user-0'"
    ));
    let status: u64 = database.sql("SELECT last_value FROM status_numbers").parse()?;
    let hash = format!("sha256(decode('{HANDLE_BEGINS}' || lpad(to_hex(n), 16, '0'), 'hex'))");
    let (user, entry) = (id(&format!("1 + n % {}", last.max(1))), format!("{} + n", status + 1));
    let changed = [("id", &*id("n")), ("user_id", &*user), ("handle_hash", &*hash), ("status", &*entry)];
    let list = copied(&columns("sessions"), &changed);
    // Each of the users is there: no need to look for a million of them.
    database.sql(&format!(
        "SET session_replication_role = replica; \
         INSERT INTO sessions SELECT {list} FROM (SELECT * FROM sessions LIMIT 1) one, \
         generate_series(0, {}) n",
        amount.sessions - 1
    ));
    let (first, last) = revoked(status, amount);
    database.sql(&format!(
        "INSERT INTO revocations (status, until_at) \
         SELECT n, (extract(epoch FROM now()) * 1000)::bigint + 86400000 FROM generate_series({first}, {last}) n"
    ));
    database.sql(&format!("SELECT setval('status_numbers', {last})"));
    database.sql("VACUUM ANALYZE");
    database.sql("CHECKPOINT");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_databases_make_the_same_handles_and_ids() {
        let hex: String = handle(513).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("{HANDLE_BEGINS}{:016x}", 513));
        assert_eq!(id(513).unwrap().to_string(), "019ac3f2-0000-7000-8000-000000000201");
    }

    #[test]
    fn a_copy_differs_in_what_is_named() {
        assert_eq!(copied("id,name,at", &[("name", "?1"), ("id", "?2")]), "?2, ?1, at");
    }
}
