//! What only SQLite does, and what can only be seen from the inside: how statements are run, what a group of
//! writes is, and what becomes of it when the disk fails.

mod migrations;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use jotgate_domain::store::Lookup;
use jotgate_domain::{Change, Store as _, StoreError, Timestamp, User, UserId, name};
use rusqlite::Connection;
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::tx::Failure;
use super::{Sqlite, changes, connection, rows, sweep};

const NOW: Timestamp = Timestamp(1_795_000_000_000);

struct Db {
    store: Arc<Sqlite>,
    path: PathBuf,
    dir: TempDir,
}

fn db() -> Db {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jotgate.db");
    Db { store: Arc::new(Sqlite::open(&path, NOW).unwrap()), path, dir }
}

fn setting(n: usize) -> Change {
    Change::PutSetting { name: format!("s{n}"), value: "x".repeat(2000) }
}

impl Db {
    async fn put(&self, n: usize) -> Result<(), StoreError> {
        self.store.apply(vec![setting(n)], vec![]).await.map(|_| ())
    }

    /// Runs a statement on the writer's own connection, in its transaction.
    async fn on_writer(&self, sql: &'static str) -> Result<(), StoreError> {
        self.store.writer.write(move |tx| Ok(tx.connection.execute_batch(sql)?)).await
    }

    /// Rows that a connection of its own sees.
    fn count(&self) -> i64 {
        let other = Connection::open(&self.path).unwrap();
        other.query_row("SELECT count(*) FROM settings", [], |row| row.get(0)).unwrap()
    }

    /// Keeps the writer busy until the sender is dropped, so that what is asked meanwhile becomes one group.
    async fn hold(&self) -> (mpsc::Sender<()>, JoinHandle<()>) {
        let (release, held) = mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let store = Arc::clone(&self.store);
        let job = tokio::spawn(async move {
            let hold = store.writer.write(move |_| {
                let _ = begun.send(());
                let _ = held.recv();
                Ok(())
            });
            hold.await.unwrap();
        });
        has_begun.await.unwrap();
        (release, job)
    }

    fn spawn_put(&self, n: usize) -> JoinHandle<Result<(), StoreError>> {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move { store.apply(vec![setting(n)], vec![]).await.map(|_| ()) })
    }
}

fn is_unavailable<T: std::fmt::Debug>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::Unavailable(_)))
}

/// Repeats until it holds, for at most five seconds.
async fn eventually(mut holds: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds().await {
        assert!(Instant::now() < end, "it did not come");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn no_hot_statement_scans() {
    let db = db();
    let connection = Connection::open(&db.path).unwrap();
    let hot = [
        rows::USER_BY_ID,
        rows::USER_BY_NAME,
        rows::USER_BY_EMAIL,
        rows::USERS_AFTER,
        rows::SESSION_WITH_USER,
        rows::SESSION_BY_HANDLE,
        rows::SESSIONS_OF,
        rows::CLIENT,
        rows::CLIENTS_AFTER,
        rows::IDENTITY,
        rows::IDENTITIES_OF,
        rows::SETTING,
        rows::REVOCATIONS,
        rows::AUDIT_AFTER,
        rows::AUDIT_LAST,
        rows::AUDIT_NEWEST_OF,
        changes::BUCKET,
        changes::PUT_BUCKET,
        changes::NEXT_STATUS,
        changes::MOVE_SESSION,
        changes::START_SESSION,
        changes::DISPLACED,
        changes::END_SESSION,
        changes::SESSION_IDS_OF,
        changes::SESSION_IDS_OF_CLIENT,
        changes::UNLINK_IDENTITY,
        changes::UNLINK_ALL,
        changes::ADD_EVENT,
        changes::ADD_REVOCATION,
        sweep::DUE_SESSIONS,
        sweep::SWEEP_REVOCATIONS,
        sweep::SWEEP_THROTTLES,
        changes::PUT_TICKET,
        changes::IS_TICKET,
        changes::TAKE_TICKET,
        sweep::SWEEP_TICKETS,
        rows::TICKET,
        sweep::SWEEP_SPENT,
        sweep::SWEEP_AUDIT,
        changes::PUT_DELIVERY,
        changes::DELETE_DELIVERY,
        sweep::SWEEP_OLD,
        sweep::SWEEP_MANY,
        rows::DELIVERIES_DUE,
        rows::DELIVERIES_DEAD,
        rows::DELIVERY,
        // The foreign key of sessions, when a user is deleted.
        "SELECT 1 FROM sessions WHERE user_id = ?1",
    ];
    for sql in hot {
        let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let count = plan.parameter_count();
        let parameters = rusqlite::params_from_iter(std::iter::repeat_n(rusqlite::types::Null, count));
        let steps: Vec<String> =
            plan.query_map(parameters, |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        for step in &steps {
            assert!(!step.starts_with("SCAN"), "{sql}\n{steps:#?}");
        }
    }
    // The newest entries of all: the end of the table, read backwards.
    let plan = format!("EXPLAIN QUERY PLAN {}", rows::AUDIT_NEWEST);
    let step: String = connection.query_row(&plan, [rusqlite::types::Null; 2], |row| row.get(3)).unwrap();
    assert_eq!(step, "SCAN audit");
}

#[tokio::test]
async fn every_connection_is_set_up() {
    let db = db();
    let value = |connection: &Connection, pragma: &str| -> String {
        let value =
            connection.pragma_query_value(None, pragma, |row| row.get::<_, rusqlite::types::Value>(0));
        match value.unwrap() {
            rusqlite::types::Value::Integer(n) => n.to_string(),
            rusqlite::types::Value::Text(text) => text,
            other => panic!("{other:?}"),
        }
    };
    let writer = db.store.writer.write(move |tx| {
        let of = |pragma| value(tx.connection, pragma);
        Ok(["journal_mode", "synchronous", "foreign_keys", "trusted_schema"].map(of))
    });
    assert_eq!(writer.await.unwrap(), ["wal", "2", "1", "0"]);
    let reader = db.store.readers.point(move |connection| {
        let of = |pragma| value(connection, pragma);
        Ok(["journal_mode", "query_only"].map(of))
    });
    assert_eq!(reader.await.unwrap(), ["wal", "1"]);
    let application: i32 = Connection::open(&db.path)
        .unwrap()
        .pragma_query_value(None, "application_id", |row| row.get(0))
        .unwrap();
    assert_eq!(application, connection::APPLICATION_ID);
    let strict: Vec<(String, bool)> = Connection::open(&db.path)
        .unwrap()
        .prepare(
            "SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND name NOT LIKE 'sqlite%'",
        )
        .unwrap()
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(strict.len() > 8 && strict.iter().all(|(_, strict)| *strict), "{strict:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_group_is_answered_after_its_commit() {
    let db = db();
    let (release, held) = db.hold().await;
    let mut puts: Vec<_> = (0..40).map(|n| db.spawn_put(n)).collect();
    // The last of the group looks around: the others are done, none is committed, none was answered.
    let path = db.path.clone();
    let store = Arc::clone(&db.store);
    let looks = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let look = store.writer.write(move |tx| {
            let count = |connection: &Connection| -> rusqlite::Result<i64> {
                connection.query_row("SELECT count(*) FROM settings", [], |row| row.get(0))
            };
            std::thread::sleep(Duration::from_millis(50));
            Ok((count(tx.connection)?, count(&Connection::open(&path).unwrap())?, Instant::now()))
        });
        look.await.unwrap()
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(release);
    held.await.unwrap();
    let answered = tokio::spawn(async move {
        for put in &mut puts {
            put.await.unwrap().unwrap();
        }
        Instant::now()
    });
    let (inside, outside, looked_at) = looks.await.unwrap();
    assert_eq!((inside, outside), (40, 0));
    assert!(answered.await.unwrap() > looked_at);
    assert_eq!(db.count(), 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refused_write_takes_only_itself_back() {
    let db = db();
    let (release, held) = db.hold().await;
    let mut puts = Vec::new();
    for n in 0..10 {
        puts.push(db.spawn_put(n));
        let store = Arc::clone(&db.store);
        puts.push(tokio::spawn(async move {
            let refused: Result<(), _> = store
                .writer
                .write(move |tx| {
                    tx.connection.execute("INSERT INTO settings VALUES (?1, 'y')", [format!("other{n}")])?;
                    Err(Failure::Refused(StoreError::Conflict))
                })
                .await;
            assert_eq!(refused, Err(StoreError::Conflict));
            Ok(())
        }));
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(release);
    held.await.unwrap();
    for put in puts {
        put.await.unwrap().unwrap();
    }
    assert_eq!(db.count(), 10);
}

/// Attack 199: a full disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_full_disk_fails_the_group_and_heals() {
    let db = db();
    db.put(0).await.unwrap();
    let limit = "PRAGMA max_page_count = 1"; // no further page
    db.on_writer(limit).await.unwrap();
    let mut kept = 1;
    // Until the pages that it has are full.
    let failed = loop {
        match db.put(kept).await {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
        assert!(kept < 1000);
    };
    assert!(matches!(&failed, StoreError::Unavailable(why) if why.contains("full")), "{failed:?}");
    // The whole group, what fits included.
    let (release, held) = db.hold().await;
    let mut group: Vec<_> = (0..5).map(|n| db.spawn_put(5000 + n)).collect();
    let small = Arc::clone(&db.store);
    group.push(tokio::spawn(async move {
        let change = Change::PutSetting { name: "s0".into(), value: "small".into() };
        small.apply(vec![change], vec![]).await.map(|_| ())
    }));
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(release);
    held.await.unwrap();
    for write in group {
        assert!(is_unavailable(&write.await.unwrap()));
    }
    // Reads go on.
    assert!(db.store.setting("s0").await.unwrap().is_some_and(|value| value.len() == 2000));
    assert_eq!(db.count(), i64::try_from(kept).unwrap());
    // There is room again: nothing has to be started anew.
    db.on_writer("PRAGMA max_page_count = 1000000").await.unwrap();
    db.put(9999).await.unwrap();
    assert_eq!(db.count(), i64::try_from(kept).unwrap() + 1);
}

#[tokio::test]
async fn a_connection_that_is_hurt_is_replaced() {
    let db = db();
    db.put(0).await.unwrap();
    // To SQLite this is a read-only database.
    db.on_writer("PRAGMA query_only = ON").await.unwrap();
    let first = db.put(1).await;
    assert!(is_unavailable(&first), "{first:?}");
    eventually(async || db.put(2).await.is_ok()).await;
    assert_eq!(db.count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_panic_fails_the_group_only() {
    let db = db();
    let panics = db.store.writer.write(|tx| -> Result<(), Failure> {
        tx.connection.execute("INSERT INTO settings VALUES ('panics', 'y')", [])?;
        panic!("on purpose");
    });
    assert!(is_unavailable(&panics.await));
    eventually(async || db.put(1).await.is_ok()).await;
    assert_eq!(db.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_long_queue_refuses_quickly() {
    let db = db();
    let (release, held) = db.hold().await;
    let begun = Instant::now();
    let puts: Vec<_> = (0..1200).map(|n| db.spawn_put(n)).collect();
    eventually(async || puts.iter().filter(|put| put.is_finished()).count() == 176).await;
    assert!(begun.elapsed() < Duration::from_secs(1));
    drop(release);
    held.await.unwrap();
    let mut done = 0;
    for put in puts {
        match put.await.unwrap() {
            Ok(()) => done += 1,
            refused => assert!(is_unavailable(&refused)),
        }
    }
    assert_eq!(done, 1024);
    assert_eq!(db.count(), 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waited_too_long_is_not_begun() {
    let db = db();
    let (release, held) = db.hold().await;
    let put = db.spawn_put(1);
    let gone = db.spawn_put(2);
    tokio::time::sleep(Duration::from_millis(50)).await;
    gone.abort();
    tokio::time::sleep(Duration::from_millis(4200)).await;
    drop(release);
    assert!(is_unavailable(&put.await.unwrap()));
    held.await.unwrap();
    db.put(3).await.unwrap();
    assert_eq!(db.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_waits_for_another_process_but_not_for_ever() {
    let db = db();
    let other = Connection::open(&db.path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE; INSERT INTO settings VALUES ('other', 'x')").unwrap();
    let put = db.spawn_put(1);
    // Reads do not wait.
    let begun = Instant::now();
    assert_eq!(db.store.setting("other").await.unwrap(), None);
    assert!(begun.elapsed() < Duration::from_millis(500));
    tokio::time::sleep(Duration::from_millis(300)).await;
    other.execute_batch("COMMIT").unwrap();
    put.await.unwrap().unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    assert!(is_unavailable(&db.put(2).await));
    assert!(begun.elapsed() < Duration::from_secs(15));
    other.execute_batch("COMMIT").unwrap();
    db.put(3).await.unwrap();
    assert_eq!(db.count(), 3);
}

#[tokio::test]
async fn a_deleted_file_is_not_written_to() {
    let db = db();
    db.put(1).await.unwrap();
    let away = db.dir.path().join("away.db");
    std::fs::rename(&db.path, &away).unwrap();
    let refused = db.put(2).await;
    assert!(is_unavailable(&refused), "{refused:?}");
    assert!(!db.path.exists(), "it must not come back empty");
    std::fs::rename(&away, &db.path).unwrap();
    eventually(async || db.put(3).await.is_ok()).await;
    assert_eq!(db.count(), 2);
}

#[tokio::test]
async fn a_restored_backup_is_taken_up() {
    let db = db();
    db.put(1).await.unwrap();
    let backup = db.dir.path().join("backup.db");
    let source = Connection::open(&db.path).unwrap();
    source.backup("main", &backup, None::<fn(rusqlite::backup::Progress)>).unwrap();
    drop(source);
    db.put(2).await.unwrap();
    let seen = db.store.changed(0).await;
    assert!(db.store.setting("s2").await.unwrap().is_some());
    // As an operator would, against the advice to stop the server first.
    let _ = std::fs::remove_file(connection::log_path(&db.path));
    std::fs::rename(&backup, &db.path).unwrap();
    eventually(async || db.put(3).await.is_ok()).await;
    assert!(tokio::time::timeout(Duration::from_secs(2), db.store.changed(seen)).await.unwrap() > seen);
    // Readers have moved with it.
    assert_eq!(db.store.setting("s2").await.unwrap(), None);
    assert!(db.store.setting("s3").await.unwrap().is_some());
    let sound: String = Connection::open(&db.path)
        .unwrap()
        .pragma_query_value(None, "integrity_check", |row| row.get(0))
        .unwrap();
    assert_eq!(sound, "ok");
}

#[tokio::test]
async fn another_file_in_its_place_is_refused() {
    let db = db();
    let begun = Instant::now();
    let other = db.dir.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let _ = std::fs::remove_file(connection::log_path(&db.path));
    std::fs::rename(&other, &db.path).unwrap();
    while begun.elapsed() < Duration::from_millis(600) {
        assert!(is_unavailable(&db.put(1).await));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let tables: i64 = Connection::open(&db.path)
        .unwrap()
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_checkpoint_keeps_the_log_short() {
    let db = db();
    for round in 0..30 {
        let changes = (0..500).map(|n| setting(round * 500 + n)).collect();
        db.store.apply(changes, vec![]).await.unwrap();
    }
    db.put(1).await.unwrap();
    let log = connection::log_path(&db.path).metadata().unwrap().len();
    let file = db.path.metadata().unwrap().len();
    assert!(file > 20_000_000, "{file}");
    assert!(log < 20_000_000, "{log}");
}

#[tokio::test]
async fn a_row_that_nobody_wrote_is_corrupt() {
    let db = db();
    let user = User {
        id: UserId::new(NOW, [1; 10]),
        username: name::Username::from_stored("alice".into()),
        email: None,
        email_verified_at: None,
        password_hash: None,
        password_changed_at: None,
        roles: vec![],
        claims: std::collections::BTreeMap::default(),
        created_at: NOW,
        disabled_at: None,
        version: 1,
    };
    db.store.apply(vec![Change::CreateUser(user.clone())], vec![]).await.unwrap();
    for (spoil, heal) in [
        ("UPDATE users SET roles = '[1]'", "UPDATE users SET roles = '[]'"),
        ("UPDATE users SET claims = 'x'", "UPDATE users SET claims = '{}'"),
    ] {
        db.on_writer(spoil).await.unwrap();
        let lookup = Lookup::Id(user.id);
        assert!(matches!(db.store.user(lookup.clone()).await, Err(StoreError::Corrupt(_))));
        let mine = Change::UpdateUser(User { version: 2, ..user.clone() });
        let attempt = jotgate_domain::store::Attempt {
            bucket: [1; 32],
            limit: jotgate_domain::throttle::Limit::ACCOUNT,
            lookup: lookup.clone(),
            now: NOW,
        };
        // Only its own write is refused.
        assert!(matches!(db.store.attempt(attempt).await, Err(StoreError::Corrupt(_))));
        assert_eq!(
            db.store.apply(vec![mine], vec![jotgate_domain::Expect::User(user.id, 9)]).await,
            Err(StoreError::Conflict)
        );
        db.on_writer(heal).await.unwrap();
        assert_eq!(db.store.user(lookup).await.unwrap(), Some(user.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_take_the_detour_while_the_disk_is_slow() {
    let db = db();
    let here = std::thread::current().id();
    let where_read = async || db.store.readers.point(|_| Ok(std::thread::current().id())).await.unwrap();
    assert_eq!(where_read().await, here);
    let slow = async || {
        let slow = db.store.readers.point(|_| {
            std::thread::sleep(Duration::from_millis(30));
            Ok(std::thread::current().id())
        });
        slow.await.unwrap()
    };
    // Now and then one loses its turn on the processor.
    for _ in 0..5 {
        assert_eq!(slow().await, here);
        for _ in 0..8 {
            assert_eq!(where_read().await, here);
        }
    }
    // Most of them are slow: it is the disk.
    for _ in 0..4 {
        assert_eq!(slow().await, here);
    }
    assert_ne!(where_read().await, here);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(where_read().await, here);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_survive_a_broken_connection() {
    let db = db();
    db.put(1).await.unwrap();
    let spoil = async || {
        let spoil = db.store.readers.point(|connection| {
            // As if the disk had failed once, then not.
            static FIRST: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(true);
            if FIRST.swap(false, std::sync::atomic::Ordering::SeqCst) {
                return Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(10), None));
            }
            connection.query_row("SELECT count(*) FROM settings", [], |row| row.get::<_, i64>(0))
        });
        spoil.await
    };
    assert_eq!(spoil().await, Ok(1));
    assert_eq!(spoil().await, Ok(1));
    let always = db.store.readers.point(|_| -> rusqlite::Result<()> {
        Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(10), None))
    });
    assert!(is_unavailable(&always.await));
    db.store.ping().await.unwrap();
}
