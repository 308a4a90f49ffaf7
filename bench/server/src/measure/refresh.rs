//! What is written: refresh, logout, register, on both databases, against the bare durable row in the same run.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, params};
use testing::postgres::Cluster;

use super::CLIENTS;
use crate::Settings;
use crate::clients::{Logout, Refresh, log_in, register};
use crate::load::{Tally, closed};
use crate::program::{Outcome, Program};
use crate::report::{Bar, Figures, Part, Row};

const SESSIONS: u32 = 128;
/// Rows of the bare table.
const ROWS: u32 = 4096;

pub(crate) fn measure(settings: &Settings) -> Outcome<Part> {
    crate::runtime()?.block_on(run(settings))
}

async fn run(settings: &Settings) -> Outcome<Part> {
    // Every refresh rotates: with a grace, one that comes too soon would be a repeat, which writes nothing.
    let rotating = [("JOTGATE_REFRESH_GRACE", "0s")];
    let folder = tempfile::tempdir_in("target")?;
    let bare_sqlite = BareSqlite::new(&folder.path().join("bare.db"))?;
    let on_sqlite = Program::jotgate(&settings.binary, &rotating)?;

    let cluster = tokio::task::spawn_blocking(|| Cluster::start(&["max_connections=150"])).await?;
    let cluster: &'static Cluster = Box::leak(Box::new(cluster));
    let database = cluster.database();
    let url = format!("{}?pool_size=32", database.url());
    let bare_postgres = BarePostgres::new(cluster, &database.url(), folder.path())?;
    let on_postgres =
        Program::jotgate(&settings.binary, &[rotating[0], ("JOTGATE_DATABASE_URL", url.as_str())])?;

    let mut figures = [
        "SQLite, the bare row, 64 a commit",
        "Jotgate refresh, SQLite",
        "PostgreSQL, the bare row, pgbench with 32 clients",
        "Jotgate refresh, PostgreSQL",
    ]
    .map(|name| Figures::new(name, "1/s"));
    let mut sqlite_clients = refreshers(&on_sqlite).await?;
    let mut postgres_clients = refreshers(&on_postgres).await?;
    for _ in 0..settings.rounds {
        let time = settings.round;
        figures[0].add(bare_sqlite.rows_a_second(time)?);
        let (tally, clients) = closed(on_sqlite.address, sqlite_clients, time).await?;
        figures[1].add(all_good("refresh on SQLite", &tally, 200)?);
        sqlite_clients = clients;
        figures[2].add(bare_postgres.rows_a_second(time)?);
        let (tally, clients) = closed(on_postgres.address, postgres_clients, time).await?;
        figures[3].add(all_good("refresh on PostgreSQL", &tally, 200)?);
        postgres_clients = clients;
    }
    let mut figures = figures.to_vec();
    let [bare_sqlite, sqlite, bare_postgres, postgres] = figures.as_slice() else {
        return Err("figures".into());
    };
    let rows = vec![
        Row::ratio(
            "refresh over HTTP, SQLite, against the bare row",
            sqlite,
            bare_sqlite,
            Some(Bar::AtLeast(0.4)),
        ),
        Row::ratio(
            "refresh over HTTP, PostgreSQL, against pgbench",
            postgres,
            bare_postgres,
            Some(Bar::AtLeast(0.55)),
        ),
    ];
    figures.push(logouts("Jotgate logout, SQLite", &on_sqlite).await?);
    figures.push(logouts("Jotgate logout, PostgreSQL", &on_postgres).await?);
    cluster.stop();
    let about = format!(
        "{CLIENTS} connections, {SESSIONS} sessions. `synchronous=FULL` on SQLite, `synchronous_commit=on` on \
         PostgreSQL: what was answered is on the disk. A refresh checks its tag, rotates the row and signs a token."
    );
    Ok(Part { title: "Refresh", about, rows, figures })
}

async fn refreshers(server: &Program) -> Outcome<Vec<Refresh>> {
    register(server.address, 8).await?;
    let sessions = log_in(server.address, 8, SESSIONS).await?;
    let each = sessions.len() / CLIENTS;
    let chunk = |some: &[crate::clients::Pair]| {
        Refresh::new(some.iter().map(|pair| pair.refresh.clone()).collect(), false)
    };
    Ok(sessions.chunks(each).map(chunk).collect())
}

/// Once: a session ends once.
async fn logouts(name: &str, server: &Program) -> Outcome<Figures> {
    let sessions = log_in(server.address, 8, 256).await?;
    let clients = sessions
        .chunks(sessions.len() / CLIENTS)
        .map(|some| Logout { tokens: some.iter().map(|pair| pair.access.clone()).collect() })
        .collect();
    let (tally, _) = closed(server.address, clients, Duration::from_secs(60)).await?;
    Ok(Figures::one(name, "1/s", all_good(name, &tally, 204)?))
}

fn all_good(name: &str, tally: &Tally, status: u16) -> Outcome<f64> {
    if tally.statuses.keys().any(|other| *other != status) || tally.statuses.is_empty() {
        return Err(format!("{name}: {:?}", tally.statuses).into());
    }
    Ok(tally.rate(status))
}

/// A row of the size of a session's, found by its key and changed.
struct BareSqlite(Connection);

impl BareSqlite {
    fn new(path: &Path) -> Outcome<Self> {
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

    fn rows_a_second(&self, time: Duration) -> Outcome<f64> {
        let (began, mut done) = (Instant::now(), 0_u32);
        while began.elapsed() < time {
            self.0.execute_batch("BEGIN IMMEDIATE")?;
            for _ in 0..64 {
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

struct BarePostgres {
    pgbench: std::path::PathBuf,
    url: String,
    script: std::path::PathBuf,
}

impl BarePostgres {
    fn new(cluster: &Cluster, url: &str, folder: &Path) -> Outcome<Self> {
        let script = folder.join("bare.sql");
        let text = format!(
            "\\set id random(0, {})\nUPDATE bare SET a = a + 1, b = :id, c = :id, d = :id, e = :id, f = :id WHERE id = :id;\n",
            ROWS - 1
        );
        std::fs::write(&script, text)?;
        let made = Command::new(cluster.tool("psql"))
            .args([url, "--quiet", "--command"])
            .arg(format!(
                "CREATE TABLE bare (id int PRIMARY KEY, a bigint, b bigint, c bigint, d bigint, e bigint, f bigint, \
                 filler text) WITH (fillfactor = 75); \
                 INSERT INTO bare SELECT n, 0, 0, 0, 0, 0, 0, repeat('x', 250) FROM generate_series(0, {}) n",
                ROWS - 1
            ))
            .status()?;
        if !made.success() {
            return Err("the bare table could not be made".into());
        }
        Ok(Self { pgbench: cluster.tool("pgbench"), url: url.to_owned(), script })
    }

    fn rows_a_second(&self, time: Duration) -> Outcome<f64> {
        let seconds = time.as_secs().max(1).to_string();
        let run = Command::new(&self.pgbench)
            .args(["-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", &seconds, "-f"])
            .arg(&self.script)
            .arg(&self.url)
            .output()?;
        let text = String::from_utf8_lossy(&run.stdout);
        let line = text.lines().find_map(|line| line.strip_prefix("tps = ")).ok_or("pgbench gave no rate")?;
        Ok(line.split(' ').next().unwrap_or_default().parse()?)
    }
}
