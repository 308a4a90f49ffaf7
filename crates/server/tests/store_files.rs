//! Database files that are not to be opened: each error names the file and what to do, and leaves the file as it
//! was found.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jotgate::store::{OpenError, Sqlite};
use jotgate_domain::{Change, Store as _, Timestamp};
use rusqlite::Connection;

const NOW: Timestamp = Timestamp(1_795_000_000_000);

fn place() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jotgate.db");
    (dir, path)
}

/// The error of opening it, which names the file; the file is as it was.
fn refused(path: &Path) -> OpenError {
    let before = std::fs::read(path).ok();
    let error = Sqlite::open(path, NOW).expect_err("it was opened");
    assert_eq!(std::fs::read(path).ok(), before, "it was changed: {error}");
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert!(text.contains(". "), "no advice: {text}");
    error
}

/// A database with some thousand rows, closed.
async fn filled(path: &Path) {
    let store = Sqlite::open(path, NOW).unwrap();
    for round in 0..4 {
        let put = |n| Change::PutSetting { name: format!("{round}-{n}"), value: "x".repeat(1000) };
        store.apply((0..500).map(put).collect(), vec![]).await.unwrap();
    }
}

#[tokio::test]
async fn an_empty_file_becomes_a_database() {
    let (_dir, path) = place();
    std::fs::write(&path, "").unwrap();
    let store = Sqlite::open(&path, NOW).unwrap();
    store.ping().await.unwrap();
}

#[test]
fn text_is_no_database() {
    let (_dir, path) = place();
    for text in ["x".to_owned(), "no database\n".repeat(10), "no database\n".repeat(1000)] {
        std::fs::write(&path, text).unwrap();
        let error = refused(&path);
        assert!(matches!(error, OpenError::NotADatabase { .. }), "{error:?}");
    }
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let (_dir, path) = place();
    let theirs = Connection::open(&path).unwrap();
    theirs.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)").unwrap();
    drop(theirs);
    assert!(matches!(refused(&path), OpenError::NotOurs { .. }));
    // Also one that only marked the file so far.
    let (_dir, path) = place();
    Connection::open(&path).unwrap().execute_batch("PRAGMA application_id = 77").unwrap();
    assert!(matches!(refused(&path), OpenError::NotOurs { .. }));
}

#[tokio::test]
async fn a_file_cut_short_is_damaged() {
    let (_dir, path) = place();
    filled(&path).await;
    let whole = std::fs::read(&path).unwrap();
    assert!(whole.len() > 2_000_000);
    for keep in [whole.len() - 1, whole.len() - 4096, whole.len() / 2, 8192, 4096, 600, 100, 50] {
        std::fs::write(&path, &whole[..keep]).unwrap();
        let error = refused(&path);
        let expected = matches!(error, OpenError::Damaged { .. } | OpenError::NotADatabase { .. });
        assert!(expected, "{keep}: {error:?}");
    }
    std::fs::write(&path, &whole).unwrap();
    Sqlite::open(&path, NOW).unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn an_overwritten_schema_is_damaged() {
    let (_dir, path) = place();
    filled(&path).await;
    let mut spoilt = std::fs::read(&path).unwrap();
    spoilt[100..1600].fill(0xaa);
    std::fs::write(&path, &spoilt).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn a_log_without_its_database_is_not_thrown_away() {
    let (_dir, path) = place();
    let store = Sqlite::open(&path, NOW).unwrap();
    let put = Change::PutSetting { name: "a".into(), value: "b".into() };
    store.apply(vec![put], vec![]).await.unwrap();
    let log = PathBuf::from(format!("{}-wal", path.display()));
    let (kept, kept_log) = (std::fs::read(&path).unwrap(), std::fs::read(&log).unwrap());
    assert!(!kept_log.is_empty());
    drop(store);
    let (_dir, path) = place();
    let log = PathBuf::from(format!("{}-wal", path.display()));
    std::fs::write(&log, &kept_log).unwrap();
    let error = refused(&path);
    assert!(matches!(error, OpenError::OrphanedLog { .. }), "{error:?}");
    assert!(!path.exists());
    assert_eq!(std::fs::read(&log).unwrap(), kept_log);
    // With its database back, nothing is lost.
    std::fs::write(&path, &kept).unwrap();
    let store = Sqlite::open(&path, NOW).unwrap();
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("b"));
}

#[test]
fn a_directory_or_a_missing_place_is_named() {
    let (dir, _) = place();
    let path = dir.path().join("sub");
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(refused(&path), OpenError::Io { .. }));
    std::fs::write(dir.path().join("file"), "x").unwrap();
    let below_a_file = dir.path().join("file/jotgate.db");
    let text = Sqlite::open(&below_a_file, NOW).unwrap_err().to_string();
    assert!(text.contains("/file"), "{text}");
}

#[tokio::test]
async fn only_its_owner_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/jotgate.db");
    let store = Sqlite::open(&path, NOW).unwrap();
    store.apply(vec![Change::PutSetting { name: "a".into(), value: "b".into() }], vec![]).await.unwrap();
    let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
    assert_eq!(mode(&dir.path().join("a")), 0o700);
    assert_eq!(mode(&dir.path().join("a/b")), 0o700);
    for suffix in ["", "-wal", "-shm"] {
        assert_eq!(mode(Path::new(&format!("{}{suffix}", path.display()))), 0o600, "{suffix}");
    }
    drop(store);
    // One that was left open to others is tightened.
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(Sqlite::open(&path, NOW).unwrap());
    assert_eq!(mode(&path), 0o600);
}

#[tokio::test]
async fn closing_leaves_one_file() {
    let (dir, path) = place();
    filled(&path).await;
    let names: Vec<_> =
        std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["jotgate.db"]);
}
