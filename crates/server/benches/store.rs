//! Refreshes a second at the store, durable, against what the database does by itself: the bare statement on a row, in
//! commits of 64 on SQLite, and by `pgbench` with as many clients on PostgreSQL. Rounds take turns, so that a busy
//! machine is as unkind to each of them.
//!
//! `cargo bench -p jotgate --bench store`
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a benchmark"
)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jotgate::store::{Postgres, Sqlite};
use jotgate_domain::name::Username;
use jotgate_domain::refresh::{Outcome, Request};
use jotgate_domain::session::{FIRST_PARTY, RefreshState};
use jotgate_domain::{Change, Session, SessionId, Store, Timestamp, User, UserId};
use rusqlite::{Connection, params};
use testing::postgres::Cluster;
use uuid::Uuid;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const FAR: Timestamp = Timestamp(4_000_000_000_000);
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(3);
const SESSIONS: u32 = 4096;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // Where the database rests by default, not in memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let store: Arc<dyn Store> = Arc::new(Sqlite::open(&folder.path().join("jotgate.db"), NOW).unwrap());
    let mut clients = Clients::new(Arc::clone(&store), 64).await;
    let bare = BareSqlite::copy_of(&folder.path().join("jotgate.db"), &folder.path().join("bare.db"));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(clients.refreshes().await);
        theirs.push(bare.rows_in_groups_of_64());
    }
    report("SQLite, 64 clients", &mut ours, &mut theirs, "the bare statement, 64 a commit");

    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start(&["max_connections=100"])));
    let database = cluster.database();
    let url = format!("{}?pool_size=32", database.url());
    let store: Arc<dyn Store> = Arc::new(Postgres::open(&url.parse().unwrap(), NOW).await.unwrap());
    let bare = BarePostgres::new(cluster, &database.url(), folder.path());
    let mut clients = Clients::new(store, 32).await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(clients.refreshes().await);
        theirs.push(bare.rows());
    }
    report("PostgreSQL, 32 clients", &mut ours, &mut theirs, "pgbench -M prepared, one row each");
    cluster.stop();
}

fn report(what: &str, ours: &mut [f64], theirs: &mut [f64], bare: &str) {
    ours.sort_by(f64::total_cmp);
    theirs.sort_by(f64::total_cmp);
    let (middle, last) = (ROUNDS / 2, ROUNDS - 1);
    println!(
        "{what}: {:.0} refreshes/s (best {:.0}); {bare}: {:.0}/s (best {:.0}); ratio {:.2} (of the best {:.2})",
        ours[middle],
        ours[last],
        theirs[middle],
        theirs[last],
        ours[middle] / theirs[middle],
        ours[last] / theirs[last],
    );
}

/// Sessions, each with the generation that its client has.
struct Clients {
    store: Arc<dyn Store>,
    at_once: usize,
    generations: Vec<u32>,
    now: Timestamp,
}

fn handle(number: u32) -> [u8; 32] {
    let mut handle = [0; 32];
    handle[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    handle[4..8].copy_from_slice(&number.to_be_bytes());
    handle
}

impl Clients {
    async fn new(store: Arc<dyn Store>, at_once: usize) -> Self {
        for number in 0..SESSIONS {
            let user = UserId(Uuid::from_u128(u128::from(number) << 64 | 1));
            let changes = vec![
                Change::CreateUser(User {
                    id: user,
                    username: Username::parse(&format!("user-{number}")).unwrap(),
                    email: None,
                    email_verified_at: None,
                    password_hash: None,
                    password_changed_at: None,
                    roles: Vec::new(),
                    claims: std::collections::BTreeMap::new(),
                    created_at: NOW,
                    disabled_at: None,
                    version: 1,
                }),
                Change::StartSession {
                    session: Session {
                        id: SessionId(Uuid::from_u128(u128::from(number) << 64 | 2)),
                        user_id: user,
                        client_id: FIRST_PARTY.to_owned(),
                        scope: "account".to_owned(),
                        refresh: RefreshState::new(handle(number)),
                        status: None,
                        access_until: NOW,
                        created_at: NOW,
                        authenticated_at: NOW,
                        last_used_at: NOW,
                        idle_until: FAR,
                        expires_at: FAR,
                        address: "198.51.100.7".to_owned(),
                        user_agent: "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
                            .to_owned(),
                    },
                    max_per_user: 100,
                },
            ];
            store.apply(changes, Vec::new()).await.unwrap();
        }
        Self { store, at_once, generations: vec![1; SESSIONS as usize], now: NOW }
    }

    /// Ordinary refreshes for a round, `at_once` side by side: each session in turn, each time past the grace.
    async fn refreshes(&mut self) -> f64 {
        let begun = Instant::now();
        let share = self.generations.len() / self.at_once;
        let tasks: Vec<_> = self
            .generations
            .chunks(share)
            .enumerate()
            .map(|(part, generations)| {
                let (store, mut generations, mut now) =
                    (Arc::clone(&self.store), generations.to_vec(), self.now);
                tokio::spawn(async move {
                    let mut done = 0_u32;
                    'round: loop {
                        now = now.plus(Duration::from_secs(60));
                        for (index, generation) in generations.iter_mut().enumerate() {
                            if begun.elapsed() >= ROUND {
                                break 'round;
                            }
                            let number = u32::try_from(part * share + index).unwrap();
                            let request = Request {
                                handle_hash: handle(number),
                                generation: *generation,
                                client_id: FIRST_PARTY.to_owned(),
                                now,
                                grace: Duration::from_secs(10),
                                idle_ttl: Duration::from_secs(14 * 86_400),
                                access_until: now.plus(Duration::from_secs(600)),
                                address: "198.51.100.7".to_owned(),
                                user_agent:
                                    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
                                        .to_owned(),
                            };
                            match store.refresh(request).await.unwrap() {
                                Outcome::Granted(granted) => *generation = granted.generation,
                                other => panic!("{other:?}"),
                            }
                            done += 1;
                        }
                    }
                    (generations, now, done)
                })
            })
            .collect();
        let (mut all, mut done, mut latest) = (Vec::new(), 0, self.now);
        for task in tasks {
            let (generations, now, count) = task.await.unwrap();
            all.extend(generations);
            done += count;
            latest = latest.max(now);
        }
        (self.generations, self.now) = (all, latest);
        f64::from(done) / begun.elapsed().as_secs_f64()
    }
}

/// The statement of a refresh and nothing else, on a copy of the same rows.
struct BareSqlite(Connection);

impl BareSqlite {
    fn copy_of(store: &Path, path: &Path) -> Self {
        Connection::open(store).unwrap().execute("VACUUM INTO ?1", [path.to_str().unwrap()]).unwrap();
        let connection = Connection::open(path).unwrap();
        connection
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;
                 PRAGMA cache_size = -16384;",
            )
            .unwrap();
        Self(connection)
    }

    fn rows_in_groups_of_64(&self) -> f64 {
        let (begun, mut done) = (Instant::now(), 0_u32);
        while begun.elapsed() < ROUND {
            self.0.execute_batch("BEGIN IMMEDIATE").unwrap();
            for _ in 0..64 {
                let mut update = self
                    .0
                    .prepare_cached(
                        "UPDATE sessions SET generation = generation + 1, previous = generation, \
                         first = generation + 1, rotated_at = ?2, access_until = ?2, last_used_at = ?2, \
                         idle_until = ?2 WHERE handle_hash = ?1",
                    )
                    .unwrap();
                let changed =
                    update.execute(params![handle(done % SESSIONS).as_slice(), NOW.0 + i64::from(done)]);
                assert_eq!(changed.unwrap(), 1);
                done += 1;
            }
            self.0.execute_batch("COMMIT").unwrap();
        }
        f64::from(done) / begun.elapsed().as_secs_f64()
    }
}

struct BarePostgres {
    pgbench: std::path::PathBuf,
    url: String,
    script: std::path::PathBuf,
}

impl BarePostgres {
    fn new(cluster: &Cluster, url: &str, folder: &Path) -> Self {
        let script = folder.join("bare.sql");
        std::fs::write(
            &script,
            format!(
                "\\set id random(0, {})\nUPDATE bare SET a = a + 1, b = :id, c = :id, d = :id, e = :id, f = :id WHERE id = :id;\n",
                SESSIONS - 1
            ),
        )
        .unwrap();
        let bare = Self { pgbench: cluster.tool("pgbench"), url: url.to_owned(), script };
        let made = Command::new(cluster.tool("psql"))
            .args([url, "--quiet", "--command"])
            .arg(format!(
                "CREATE TABLE bare (id int PRIMARY KEY, a bigint, b bigint, c bigint, d bigint, e bigint, f bigint, \
                 filler text) WITH (fillfactor = 75); \
                 INSERT INTO bare SELECT n, 0, 0, 0, 0, 0, 0, repeat('x', 250) FROM generate_series(0, {}) n",
                SESSIONS - 1
            ))
            .status()
            .unwrap();
        assert!(made.success());
        bare
    }

    fn rows(&self) -> f64 {
        let seconds = ROUND.as_secs().to_string();
        let run = Command::new(&self.pgbench)
            .args(["-n", "-M", "prepared", "-c", "32", "-j", "2", "-T", &seconds, "-f"])
            .arg(&self.script)
            .arg(&self.url)
            .output()
            .unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
        let line = text.lines().find_map(|line| line.strip_prefix("tps = ")).expect("a rate");
        line.split(' ').next().unwrap().parse().unwrap()
    }
}
