//! Migrations: numbered, additive, each whole or not at all, and by one node at a time.
//!
//! Each runs in a transaction of its own together with the row that records it, under a lock that nodes starting
//! beside wait for. It is a lock of the transaction, not of the session: a pooler may move sessions about.

use aws_lc_rs::digest;
use jotgate_domain::Timestamp;
use tokio_postgres::types::Type;

use super::error::{Problem, text};
use super::pool::{Link, Sql};
use tokio_postgres::error::SqlState;

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
            sql: include_str!(concat!("../../../../../migrations/postgres/", $name, ".sql")),
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

/// What nodes that migrate wait for each other at; any number that nothing else uses.
const LOCK: i64 = 0x6a6f_7467_6174_6531;

/// From the rows of the catalogue: what `to_regclass` remembers may be older than a lock just waited for.
static FIND_TABLES: Sql = Sql {
    text: "SELECT tablename::text FROM pg_catalog.pg_tables \
           WHERE tablename = ANY($1) AND schemaname = ANY(current_schemas(false))",
    types: &[Type::TEXT_ARRAY],
    named: false,
};
static LEDGER: Sql = Sql {
    text: "SELECT version, checksum FROM jotgate_migrations ORDER BY version DESC",
    types: &[],
    named: false,
};
/// Tables that this program makes; one that is there before the first migration is another program's.
const TABLES: &[&str] = &[
    "users",
    "sessions",
    "revocations",
    "throttles",
    "signing_keys",
    "settings",
    "audit",
    "clients",
    "webhook_deliveries",
];

const MAKE_LEDGER: &str = "CREATE TABLE IF NOT EXISTS jotgate_migrations (
  version    bigint PRIMARY KEY,
  name       text   NOT NULL,
  checksum   bytea  NOT NULL,
  applied_at bigint NOT NULL
)";

/// Brings the schema up to `migrations`; `now` is what the record says of the time.
///
/// # Errors
/// [`Problem`]; a migration that failed left nothing.
pub(super) async fn migrate(link: &Link, migrations: &[Migration], now: Timestamp) -> Result<(), Problem> {
    let newest = check(link, migrations).await?;
    for migration in migrations.iter().filter(|migration| newest < migration.version) {
        let applied = apply(link, migration, now).await;
        if applied.is_err() {
            // Whatever the transaction was at; an error here says nothing new.
            let _ = link.batch("ROLLBACK").await;
        }
        if applied? {
            tracing::info!(version = migration.version, name = migration.name, "database migrated");
        }
    }
    // Once more: a newer program may have migrated meanwhile.
    check(link, migrations).await.map(drop)
}

/// Names of those that are not applied.
pub(super) async fn pending(link: &Link, migrations: &[Migration]) -> Result<Vec<&'static str>, Problem> {
    let newest = check(link, migrations).await?;
    let missing = migrations.iter().filter(|migration| newest < migration.version);
    Ok(missing.map(|migration| migration.name).collect())
}

/// Whether no migration was ever applied.
pub(super) async fn is_empty(link: &Link) -> Result<bool, Problem> {
    Ok(newest(link).await? == 0)
}

/// Applies one, unless another node did while this one waited; whether it did.
async fn apply(link: &Link, migration: &Migration, now: Timestamp) -> Result<bool, Problem> {
    let failed = |error: tokio_postgres::Error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Problem::NoRight(text(&error)),
        _ => Problem::Migration { version: migration.version, why: text(&error) },
    };
    // As long as it takes: nobody is served meanwhile.
    let begin = format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 0; SELECT pg_advisory_xact_lock({LOCK})"
    );
    link.batch(&begin).await.map_err(failed)?;
    if newest(link).await? >= migration.version {
        link.batch("COMMIT").await.map_err(failed)?;
        return Ok(false);
    }
    if migration.version == 1 {
        let found = link.query(&FIND_TABLES, &[&TABLES]).await.map_err(failed)?;
        if let Some(row) = found.first() {
            return Err(Problem::NotOurs(row.try_get(0).map_err(failed)?));
        }
    }
    // All numbers and hexadecimal digits, and a name of ours: nothing here needs quoting.
    let record = format!(
        "INSERT INTO jotgate_migrations (version, name, checksum, applied_at) VALUES ({}, '{}', '\\x{}', {})",
        migration.version,
        migration.name,
        checksum(migration).as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        now.0
    );
    link.batch(&format!("{MAKE_LEDGER};\n{}\n;{record}", migration.sql)).await.map_err(failed)?;
    link.batch("COMMIT").await.map_err(failed)?;
    Ok(true)
}

/// Whether what was applied is known and the same; the newest version, 0 for none.
async fn check(link: &Link, migrations: &[Migration]) -> Result<u32, Problem> {
    let known = migrations.last().map_or(0, |last| last.version);
    let rows = ledger(link).await?;
    for (version, sum) in &rows {
        match migrations.iter().find(|migration| migration.version == *version) {
            None => return Err(Problem::Newer { found: *version, known }),
            Some(ours) if checksum(ours).as_ref() != sum.as_slice() => {
                return Err(Problem::OtherMigration(*version));
            }
            Some(_) => {}
        }
    }
    Ok(rows.first().map_or(0, |(version, _)| *version))
}

async fn newest(link: &Link) -> Result<u32, Problem> {
    Ok(ledger(link).await?.first().map_or(0, |(version, _)| *version))
}

/// What was applied, newest first.
async fn ledger(link: &Link) -> Result<Vec<(u32, Vec<u8>)>, Problem> {
    let failed = |error: tokio_postgres::Error| Problem::Failed(text(&error));
    let ours: &[&str] = &["jotgate_migrations"];
    if link.query(&FIND_TABLES, &[&ours]).await.map_err(failed)?.is_empty() {
        return Ok(Vec::new());
    }
    let rows = link.query(&LEDGER, &[]).await.map_err(|error| match error.code() {
        Some(code) if *code == SqlState::INSUFFICIENT_PRIVILEGE => Problem::NoRight(text(&error)),
        _ => failed(error),
    })?;
    rows.iter()
        .map(|row| {
            let version: i64 = row.try_get(0).map_err(failed)?;
            Ok((u32::try_from(version).unwrap_or(u32::MAX), row.try_get(1).map_err(failed)?))
        })
        .collect()
}

fn checksum(migration: &Migration) -> digest::Digest {
    digest::digest(&digest::SHA256, migration.sql.as_bytes())
}
