//! The store suite on SQLite.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use jotgate::store::Sqlite;

mod store_suite;

async fn empty() -> (Box<dyn jotgate_domain::Store>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let store = Sqlite::open(&dir.path().join("jotgate.db"), store_suite::fixture::T0).unwrap();
    (Box::new(store), dir)
}

store_suite!(crate::empty);
