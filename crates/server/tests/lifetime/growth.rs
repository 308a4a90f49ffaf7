//! Very many logins with a short life leave the database at the size of what lives.

use std::time::Duration;

use jotgate::store::{Postgres, Sqlite};
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::store::{Attempt, Lookup};
use jotgate_domain::throttle::Limit;
use jotgate_domain::{Change, Session, Store, Timestamp, User, name};
use rusqlite::Connection;
use testing::postgres;

use crate::fixture::*;

const USERS: u64 = 20;
const LIFE: Duration = Duration::from_secs(600);
/// Logins in one commit: what is measured is the rows, not the disk.
const TOGETHER: u64 = 100;
const KEEP_AUDIT: u64 = 2000;
/// As `run_jobs` has it: a sweep a minute, in batches, until there is no full one.
const SWEEP_EVERY: u64 = 60;
const BATCH: u32 = 500;
/// In logins: far more seldom than autovacuum comes by, which goes by the number of dead rows.
const VACUUM_EVERY: u64 = 1000;
const TABLES: [&str; 4] = ["sessions", "revocations", "throttles", "audit"];

fn logins() -> u64 {
    if std::env::var_os("XTASK_LONG").is_some() { 1_000_000 } else { 20_000 }
}

/// A login a second; every fourth is signed out, and beside each somebody guesses at a name that nobody has.
async fn log_in(store: &dyn Store, users: &[User], from: u64) {
    let mut changes = Vec::new();
    for n in from..from + TOGETHER {
        let user = &users[usize::try_from(n % USERS).unwrap()];
        let now = after(n);
        let begun =
            Session { access_until: now.plus(LIFE / 10), idle_until: now.plus(LIFE), ..session(user, now) };
        let event = Event {
            at: now,
            action: Action::LoginSucceeded,
            actor: Actor::User(user.id),
            user: Some(user.id),
            session: Some(begun.id),
            address: "192.0.2.1".to_owned(),
            detail: String::new(),
        };
        changes.extend([start(&begun), Change::Audit(event)]);
        if n % 4 == 0 {
            changes.push(Change::EndSession(begun.id));
        }
    }
    apply(store, changes).await;
    let mut bucket = [0; 32];
    bucket[..8].copy_from_slice(&from.to_be_bytes());
    let lookup = Lookup::Name(name::canonical(&format!("nobody-{from}")));
    let guess = Attempt { bucket, limit: Limit::ACCOUNT, lookup, now: after(from) };
    store.attempt(guess).await.unwrap();
}

/// What a database takes, in pages.
#[derive(Debug)]
struct Size {
    pages: i64,
    in_use: i64,
    rows: Vec<(&'static str, i64)>,
}

fn sqlite_size(path: &std::path::Path) -> Size {
    let connection = Connection::open(path).unwrap();
    let pragma = |name: &str| -> i64 { connection.pragma_query_value(None, name, |row| row.get(0)).unwrap() };
    let pages = pragma("page_count");
    let count = |table: &'static str| {
        let rows = connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0));
        (table, rows.unwrap())
    };
    Size { pages, in_use: pages - pragma("freelist_count"), rows: TABLES.map(count).to_vec() }
}

/// Tables with their indexes; pages that are free inside count too.
fn postgres_size(database: &postgres::Database) -> Size {
    let number = |sql: &str| -> i64 { database.sql(sql).parse().unwrap() };
    let names = TABLES.map(|table| format!("'{table}'")).join(", ");
    let pages = number(&format!(
        "SELECT sum(pg_total_relation_size(name::regclass) / 8192) FROM unnest(ARRAY[{names}]) name"
    ));
    let count = |table: &'static str| (table, number(&format!("SELECT count(*) FROM {table}")));
    Size { pages, in_use: pages, rows: TABLES.map(count).to_vec() }
}

async fn sweep(store: &dyn Store, now: Timestamp) {
    while store.sweep(now, KEEP_AUDIT, BATCH).await.unwrap() >= u64::from(BATCH) {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_stays_at_the_size_of_what_lives() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jotgate.db");
    let store = Sqlite::open(&path, T0).unwrap();
    stays_at_the_size_of_what_lives(&store, || (), || sqlite_size(&path)).await;
}

/// The same, with what autovacuum does done here, at times that are known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgresql_stays_at_the_size_of_what_lives() {
    let database = postgres::database();
    let store = Postgres::open(&database.url().parse().unwrap(), T0).await.unwrap();
    let tables = TABLES.join(", ");
    let vacuum = || drop(database.sql(&format!("VACUUM ANALYZE {tables}")));
    stays_at_the_size_of_what_lives(&store, vacuum, || postgres_size(&database)).await;
}

async fn stays_at_the_size_of_what_lives(store: &dyn Store, vacuum: impl Fn(), size: impl Fn() -> Size) {
    let users: Vec<User> = (0..USERS).map(|n| user(&format!("user-{n}"))).collect();
    apply(store, users.iter().cloned().map(Change::CreateUser).collect::<Vec<_>>()).await;
    let (mut swept, mut vacuumed) = (0, 0);
    let mut early = None;
    for from in (0..logins()).step_by(usize::try_from(TOGETHER).unwrap()) {
        log_in(store, &users, from).await;
        if from >= swept + SWEEP_EVERY {
            swept = from;
            sweep(store, after(from)).await;
        }
        if from >= vacuumed + VACUUM_EVERY {
            vacuumed = from;
            vacuum();
        }
        if from == 5000 {
            early = Some(size());
        }
    }
    sweep(store, after(logins())).await;
    vacuum();
    let (early, late) = (early.unwrap(), size());
    println!("after 5000 logins {early:?}");
    println!("after {} logins {late:?}", logins());
    assert!(late.in_use <= early.in_use + early.in_use / 2, "{late:?}, {early:?} before");
    assert!(late.pages <= early.pages * 2, "{late:?}, {early:?} before");
    let live = i64::try_from(LIFE.as_secs()).unwrap();
    let bound = |table: &str| match table {
        "sessions" => live,
        // Minutes of history: an access token's life and its margin.
        "revocations" => live / 2,
        "throttles" => live / 10,
        _ => i64::try_from(KEEP_AUDIT).unwrap(),
    };
    for (table, rows) in late.rows {
        assert!(rows > 0 && rows <= bound(table), "{rows} {table}");
    }

    // When nobody comes any more, nothing is left but users and the trail.
    sweep(store, after(logins() + 86_400)).await;
    vacuum();
    let left = size();
    println!("a day later {left:?}");
    assert!(left.in_use < late.in_use, "{left:?}");
    let kept = i64::try_from(KEEP_AUDIT).unwrap();
    assert_eq!(left.rows, [("sessions", 0), ("revocations", 0), ("throttles", 0), ("audit", kept)]);
    assert_eq!(store.users(None, 100).await.unwrap(), users_in_order(users));
}

fn users_in_order(mut users: Vec<User>) -> Vec<User> {
    users.sort_by_key(|user| user.username.canonical().as_str().to_owned());
    users
}
