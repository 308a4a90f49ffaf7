//! Migrations: numbered, additive, each whole or not at all.
//!
//! Each runs in a transaction of its own together with the row that records it, so a crash at any point leaves
//! the database at a version, and the next start goes on from there. A database that knows more than the program
//! is refused, since the program cannot tell what its own writes would leave out.

use std::path::Path;

use aws_lc_rs::digest;
use jotgate_domain::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::connection::{APPLICATION_ID, open_error};
use crate::store::OpenError;

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub(super) struct Migration {
    pub(super) version: u32,
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

macro_rules! migration {
    ($version:literal, $name:literal) => {
        Migration {
            version: $version,
            name: $name,
            sql: include_str!(concat!("../../../../../migrations/sqlite/", $name, ".sql")),
        }
    };
}

/// Every migration, in order; what was released is never edited again.
pub(super) const MIGRATIONS: &[Migration] = &[
    migration!(1, "0001_initial"),
    migration!(2, "0002_clients"),
    migration!(3, "0003_sso_tickets"),
    migration!(4, "0004_webhooks"),
    migration!(5, "0005_identities"),
];

/// Brings the schema up to `migrations`; `now` is what the record says of the time.
///
/// # Errors
/// [`OpenError::Newer`], [`OpenError::OtherMigration`], or the one that failed.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[Migration],
    now: Timestamp,
) -> Result<(), OpenError> {
    let failed = |error: rusqlite::Error| open_error(path, &error);
    check(connection, path, migrations)?;
    for migration in migrations {
        if applied(connection, migration.version).map_err(failed)?.is_some() {
            continue;
        }
        let run = |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been quicker while this one waited for the lock.
            if applied(&transaction, migration.version)?.is_some() {
                return Ok(());
            }
            transaction.execute_batch(LEDGER)?;
            transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
            transaction.execute_batch(migration.sql)?;
            transaction.execute(
                "INSERT INTO migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
                (migration.version, migration.name, checksum(migration).as_ref(), now.0),
            )?;
            transaction.commit()
        };
        run(connection).map_err(|error| match open_error(path, &error) {
            OpenError::Failed { .. } | OpenError::Io { .. } => OpenError::Migration {
                path: path.to_owned(),
                version: migration.version,
                why: error.to_string(),
            },
            other => other,
        })?;
        tracing::info!(version = migration.version, name = migration.name, "database migrated");
    }
    // Once more: a newer program may have migrated meanwhile.
    check(connection, path, migrations)
}

/// Whether the schema is that of this program, as [`migrate`] left it.
pub(super) fn is_current(connection: &Connection) -> rusqlite::Result<bool> {
    let newest = ledger(connection)?.first().map(|(version, _)| *version);
    Ok(newest == MIGRATIONS.last().map(|last| last.version))
}

/// Names of those that are not applied.
pub(super) fn pending(
    connection: &Connection,
    path: &Path,
    migrations: &[Migration],
) -> Result<Vec<&'static str>, OpenError> {
    check(connection, path, migrations)?;
    let applied = ledger(connection).map_err(|error| open_error(path, &error))?;
    let missing = |migration: &&Migration| applied.iter().all(|(version, _)| *version != migration.version);
    Ok(migrations.iter().filter(missing).map(|migration| migration.name).collect())
}

const LEDGER: &str = "CREATE TABLE IF NOT EXISTS migrations (
  version    INTEGER PRIMARY KEY,
  name       TEXT    NOT NULL,
  checksum   BLOB    NOT NULL,
  applied_at INTEGER NOT NULL
) STRICT";

/// Refuses a schema that this program does not know.
pub(super) fn check(connection: &Connection, path: &Path, migrations: &[Migration]) -> Result<(), OpenError> {
    let known = migrations.last().map_or(0, |last| last.version);
    let rows = ledger(connection).map_err(|error| open_error(path, &error))?;
    for (version, sum) in rows {
        match migrations.iter().find(|migration| migration.version == version) {
            None => return Err(OpenError::Newer { path: path.to_owned(), found: version, known }),
            Some(ours) if checksum(ours).as_ref() != sum.as_slice() => {
                return Err(OpenError::OtherMigration { path: path.to_owned(), version });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// What was applied, newest first.
fn ledger(connection: &Connection) -> rusqlite::Result<Vec<(u32, Vec<u8>)>> {
    if !has_ledger(connection)? {
        return Ok(Vec::new());
    }
    let mut rows = connection.prepare("SELECT version, checksum FROM migrations ORDER BY version DESC")?;
    rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}

fn applied(connection: &Connection, version: u32) -> rusqlite::Result<Option<u32>> {
    if !has_ledger(connection)? {
        return Ok(None);
    }
    connection
        .query_row("SELECT version FROM migrations WHERE version = ?1", [version], |row| row.get(0))
        .optional()
}

fn has_ledger(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'migrations'", [], |row| {
        row.get::<_, i64>(0).map(|count| count > 0)
    })
}

fn checksum(migration: &Migration) -> digest::Digest {
    digest::digest(&digest::SHA256, migration.sql.as_bytes())
}
