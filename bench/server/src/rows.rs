//! The bare durable row: what a database does of itself, without a server before it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use testing::postgres::Cluster;

use crate::program::Outcome;

/// Rows of the bare table.
const ROWS: u32 = 4096;
/// Rows a commit: as many as a busy server has waiting.
pub(crate) const GROUP: u32 = 64;

/// A row of the size of a session's, found by its key and changed.
pub(crate) struct Sqlite(Connection);

impl Sqlite {
    pub(crate) fn new(path: &Path) -> Outcome<Self> {
        let mut connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
             PRAGMA cache_size = -16384;
             CREATE TABLE bare (id INTEGER, handle BLOB NOT NULL UNIQUE, a INTEGER, b INTEGER, c INTEGER, d INTEGER,
               e INTEGER, f INTEGER, filler TEXT) STRICT;",
        )?;
        let transaction = connection.transaction()?;
        for row in 0..ROWS {
            transaction
                .prepare_cached("INSERT INTO bare VALUES (?1, ?2, 0, 0, 0, 0, 0, 0, ?3)")?
                .execute(params![row, handle(row).as_slice(), "x".repeat(250)])?;
        }
        transaction.commit()?;
        Ok(Self(connection))
    }

    /// In commits of [`GROUP`].
    pub(crate) fn rows_a_second(&self, time: Duration) -> Outcome<f64> {
        let (began, mut done) = (Instant::now(), 0_u32);
        while began.elapsed() < time {
            self.0.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..GROUP {
                let mut update = self.0.prepare_cached(
                    "UPDATE bare SET a = a + 1, b = a, c = a + 1, d = ?2, e = ?2, f = ?2 WHERE handle = ?1",
                )?;
                update.execute(params![handle(done % ROWS).as_slice(), done])?;
                done += 1;
            }
            self.0.execute_batch("COMMIT")?;
        }
        Ok(f64::from(done) / began.elapsed().as_secs_f64())
    }
}

fn handle(number: u32) -> [u8; 32] {
    let mut handle = [0; 32];
    for (slot, byte) in handle.iter_mut().zip(number.wrapping_mul(2_654_435_761).to_be_bytes()) {
        *slot = byte;
    }
    handle
}

/// The same by `pgbench`, one row a transaction.
pub(crate) struct Postgres {
    pgbench: PathBuf,
    url: String,
    script: PathBuf,
    clients: usize,
}

impl Postgres {
    pub(crate) fn new(cluster: &Cluster, url: &str, folder: &Path, clients: usize) -> Outcome<Self> {
        let script = folder.join("bare.sql");
        let last = ROWS - 1;
        let text = format!(
            "\\set id random(0, {last})\n\
             UPDATE bare SET a = a + 1, b = :id, c = :id, d = :id, e = :id, f = :id WHERE id = :id;\n"
        );
        std::fs::write(&script, text)?;
        let made = Command::new(cluster.tool("psql"))
            .args([url, "--quiet", "--command"])
            .arg(format!(
                "CREATE TABLE bare (id int PRIMARY KEY, a bigint, b bigint, c bigint, d bigint, e bigint, f bigint, \
                 filler text) WITH (fillfactor = 75); \
                 INSERT INTO bare SELECT n, 0, 0, 0, 0, 0, 0, repeat('x', 250) FROM generate_series(0, {last}) n"
            ))
            .status()?;
        if !made.success() {
            return Err("the bare table could not be made".into());
        }
        Ok(Self { pgbench: cluster.tool("pgbench"), url: url.to_owned(), script, clients })
    }

    pub(crate) fn rows_a_second(&self, time: Duration) -> Outcome<f64> {
        // Less would be over before all have connected to a busy machine.
        let seconds = time.as_secs().max(3).to_string();
        let run = Command::new(&self.pgbench)
            .args(["-n", "-M", "prepared", "-j", "2", "-c", &self.clients.to_string(), "-T", &seconds, "-f"])
            .arg(&self.script)
            .arg(&self.url)
            .output()?;
        let text = String::from_utf8_lossy(&run.stdout);
        let said = || format!("pgbench: {text}{}", String::from_utf8_lossy(&run.stderr));
        let line = text.lines().find_map(|line| line.strip_prefix("tps = ")).ok_or_else(said)?;
        Ok(line.split(' ').next().unwrap_or_default().parse()?)
    }
}
