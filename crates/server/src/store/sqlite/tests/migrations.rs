//! How a database comes to its newest form: once, in order, whole steps only, by one process at a time.

use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use super::{Db, NOW, db};
use crate::store::OpenError;
use crate::store::sqlite::migrate::{MIGRATIONS, Migration, migrate};
use crate::store::sqlite::{Sqlite, connection};

/// The newest of the program's own.
const KNOWN: u32 = match MIGRATIONS.last() {
    Some(migration) => migration.version,
    None => 0,
};
const NEXT: u32 = KNOWN + 1;
const AFTER_NEXT: u32 = KNOWN + 2;

const STEP: Migration =
    Migration { version: NEXT, name: "step", sql: "CREATE TABLE more (x INTEGER) STRICT;" };

fn with(more: &[Migration]) -> Vec<Migration> {
    [MIGRATIONS, more].concat()
}

fn version(path: &Path) -> u32 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT max(version) FROM migrations", [], |row| row.get(0)).unwrap()
}

#[test]
fn migrations_are_numbered_in_order() {
    for (migration, version) in MIGRATIONS.iter().zip(1..) {
        assert_eq!(migration.version, version);
        assert!(migration.name.starts_with(&format!("{version:04}_")), "{}", migration.name);
    }
}

#[test]
fn a_database_is_migrated_once() {
    let Db { path, store, dir: _dir } = db();
    drop(store);
    let two = with(&[STEP]);
    for _ in 0..2 {
        drop(Sqlite::open_with(&path, &two, NOW).unwrap());
        assert_eq!(version(&path), NEXT);
    }
}

#[test]
fn a_newer_database_is_refused() {
    let Db { path, store, dir: _dir } = db();
    drop(store);
    drop(Sqlite::open_with(&path, &with(&[STEP]), NOW).unwrap());
    let error = Sqlite::open(&path, NOW).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: NEXT, known: KNOWN, .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("backup"), "{text}");
}

#[test]
fn another_migration_of_that_number_is_refused() {
    let Db { path, store, dir: _dir } = db();
    drop(store);
    drop(Sqlite::open_with(&path, &with(&[STEP]), NOW).unwrap());
    let edited = Migration { sql: "CREATE TABLE more (x TEXT) STRICT;", ..STEP };
    let error = Sqlite::open_with(&path, &with(&[edited]), NOW).unwrap_err();
    assert!(matches!(error, OpenError::OtherMigration { version: NEXT, .. }), "{error:?}");
}

#[test]
fn a_failed_migration_leaves_the_one_before_and_resumes() {
    let Db { path, store, dir: _dir } = db();
    drop(store);
    let third =
        Migration { version: AFTER_NEXT, name: "third", sql: "CREATE TABLE a (x); CREATE TABLE users (x);" };
    let error = Sqlite::open_with(&path, &with(&[STEP, third]), NOW).unwrap_err();
    assert!(matches!(error, OpenError::Migration { version: AFTER_NEXT, .. }), "{error:?}");
    assert!(error.to_string().contains("users"), "{error}");
    assert_eq!(version(&path), NEXT);
    let tables: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema WHERE name = 'a'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 0, "half a migration was kept");
    let mended = Migration { sql: "CREATE TABLE a (x);", ..third };
    drop(Sqlite::open_with(&path, &with(&[STEP, mended]), NOW).unwrap());
    assert_eq!(version(&path), AFTER_NEXT);
}

#[test]
fn two_processes_may_migrate_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jotgate.db");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(Sqlite::open_with(&path, &with(&[STEP]), NOW).unwrap()));
        }
    });
    assert_eq!(version(&path), NEXT);
    let rows: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM migrations", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, i64::from(NEXT));
}

/// Attack 209: killed in the midst of a migration.
#[test]
fn a_killed_migration_resumes() {
    if let Some(path) = std::env::var_os("JOTGATE_TEST_MIGRATE") {
        let _ = Sqlite::open_with(Path::new(&path), &with(&[STEP, LONG]), NOW);
        return;
    }
    let Db { path, store, dir: _dir } = db();
    drop(store);
    for round in 0..8_u64 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::sqlite::tests::migrations::a_killed_migration_resumes"])
            .env("JOTGATE_TEST_MIGRATE", &path)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + 40 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whole steps only.
        let connection = Connection::open(&path).unwrap();
        let version: u32 =
            connection.query_row("SELECT max(version) FROM migrations", [], |row| row.get(0)).unwrap();
        let rows: Result<i64, _> = connection.query_row("SELECT count(*) FROM filled", [], |row| row.get(0));
        match version {
            ..=NEXT => assert!(rows.is_err(), "a part of the last migration was kept"),
            _ => assert_eq!(rows.unwrap(), 300_000),
        }
    }
    drop(Sqlite::open_with(&path, &with(&[STEP, LONG]), NOW).unwrap());
    let rows: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM filled", [], |row| row.get(0))
        .unwrap();
    assert_eq!(rows, 300_000);
}

const LONG: Migration = Migration {
    version: AFTER_NEXT,
    name: "long",
    sql: "CREATE TABLE filled (x INTEGER, y TEXT) STRICT; \
          WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 300000) \
          INSERT INTO filled SELECT x, hex(x) FROM n;",
};

#[test]
fn a_migration_sees_the_lock_of_another() {
    let Db { path, store, dir: _dir } = db();
    drop(store);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut mine = connection::open_writer(&path).unwrap();
    let error = migrate(&mut mine, &path, &with(&[STEP]), NOW).unwrap_err();
    assert!(matches!(error, OpenError::Busy { .. }), "{error:?}");
    other.execute_batch("COMMIT").unwrap();
    migrate(&mut mine, &path, &with(&[STEP]), NOW).unwrap();
}
