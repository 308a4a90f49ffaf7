//! What a signed-in user costs in memory, and what one authenticated request costs, with a session table and with
//! signed tokens. `cargo run --release -p bench-session-or-jwt` prints the table of `docs/session-or-jwt.md`.
//!
//! Costs are medians over interleaved rounds in one process, so that what the machine does meanwhile falls on all
//! alike; memory is what the process's resident set grows by.

use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::time::Instant;

use aws_lc_rs::digest::{SHA256, digest};
use jotgate_jose::{Algorithm, KeySet, Policy, SigningKey};
use jotgate_verify::Verifier;
use rusqlite::{Connection, params};

const USERS: u32 = 100_000;
const ROUNDS: usize = 31;
const PER_ROUND: u32 = 200;
const NOW: u64 = 1_790_000_000;
const ISSUER: &str = "https://login.example.com";
const AUDIENCE: &str = "https://api.example.com";

type Outcome<T> = Result<T, Box<dyn Error>>;
/// A request of user `n`: whether it was let through.
type Request<'a> = Box<dyn FnMut(u32) -> bool + 'a>;

fn main() -> Outcome<()> {
    let users: u32 = match std::env::args().nth(1) {
        Some(number) => number.parse()?,
        None => USERS,
    };
    println!("{users} signed-in users; medians of {ROUNDS} interleaved rounds of {PER_ROUND} requests\n");

    let (memory, table) = grown(|| Ok(SessionTable::filled(users)))?;
    let (disk, database) = grown(|| Database::filled(users))?;
    let (tokens, verifiers) = grown(|| {
        [Algorithm::Hs256, Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa]
            .into_iter()
            .map(Tokens::of)
            .collect::<Outcome<Vec<_>>>()
    })?;
    // A user of a hundred is signed out by hand before the token expires: far more than happens.
    let (revoked, ()) = grown(|| {
        for one in &verifiers {
            for index in (0..u64::from(users)).step_by(100) {
                one.verifier.revocations().insert(&one.list, index * 7919 % (1 << 20), i64::MAX);
            }
        }
        Ok(())
    })?;

    println!("| where the session is | memory of the server, KiB | on disk, KiB |");
    println!("|---|---:|---:|");
    println!("| table in memory | {memory} | 0 |");
    println!("| table in SQLite | {disk} | {} |", database.file_kib()?);
    println!("| in the token (four algorithms, keys and all) | {tokens} | 0 |");
    println!("| the same, 1 % of the users signed out early | {} | 0 |\n", tokens + revoked);

    let mut requests: Vec<(&str, Request<'_>)> = vec![
        ("table in memory: hash the id, look it up", Box::new(|n| table.find(n % users))),
        ("table in SQLite: hash the id, read the row", Box::new(|n| database.find(n % users))),
    ];
    for one in &verifiers {
        requests.push((one.name, Box::new(|_| one.verify())));
    }
    let mut times: Vec<Vec<f64>> = requests.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    for round in 0..ROUNDS {
        for ((name, request), times) in requests.iter_mut().zip(&mut times) {
            let began = Instant::now();
            for n in 0..PER_ROUND {
                let spread = (u32::try_from(round)? * PER_ROUND + n).wrapping_mul(2_654_435_761);
                if !black_box(request(black_box(spread))) {
                    return Err(format!("{name}: refused").into());
                }
            }
            times.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(PER_ROUND));
        }
    }
    println!("| one authenticated request | µs | asks another machine |");
    println!("|---|---:|---|");
    for ((name, _), times) in requests.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        let median = times.get(ROUNDS / 2).copied().unwrap_or_default();
        let asks = if name.contains("SQLite") { "where it is not here: each time" } else { "no" };
        println!("| {name} | {median:.2} | {asks} |");
    }
    Ok(())
}

/// What the resident set grows by while `make` runs, in KiB.
fn grown<T>(make: impl FnOnce() -> Outcome<T>) -> Outcome<(u64, T)> {
    let before = resident_kib()?;
    let made = make()?;
    Ok((resident_kib()?.saturating_sub(before), made))
}

fn resident_kib() -> Outcome<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// The cookie's value of user `n`: 32 characters, as random to look at as any.
fn session_id(n: u32) -> String {
    let hash = digest(&SHA256, &n.to_be_bytes());
    hash.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// A table holds the hash, so that whoever reads it cannot sign in.
fn stored_id(n: u32) -> [u8; 32] {
    let mut id = [0; 32];
    id.copy_from_slice(digest(&SHA256, session_id(n).as_bytes()).as_ref());
    id
}

/// What a request needs to know of its user.
struct Record {
    user: [u8; 16],
    name: String,
    roles: Vec<String>,
    expires_at: u64,
}

fn name(n: u32) -> String {
    format!("user-{n}")
}

struct SessionTable(HashMap<[u8; 32], Record>);

impl SessionTable {
    fn filled(users: u32) -> Self {
        let record = |n| Record {
            user: [u8::try_from(n % 256).unwrap_or(0); 16],
            name: name(n),
            roles: vec!["editor".to_owned()],
            expires_at: NOW + 600,
        };
        Self((0..users).map(|n| (stored_id(n), record(n))).collect())
    }

    fn find(&self, n: u32) -> bool {
        self.0.get(&stored_id(n)).is_some_and(|record| {
            black_box((&record.user, &record.name, &record.roles));
            record.expires_at > NOW
        })
    }
}

struct Database {
    connection: Connection,
    folder: tempfile::TempDir,
}

impl Database {
    fn filled(users: u32) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let mut connection = Connection::open(folder.path().join("sessions.db"))?;
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
             CREATE TABLE sessions (id BLOB PRIMARY KEY, user BLOB, name TEXT, roles TEXT, expires_at INTEGER)
             STRICT, WITHOUT ROWID;",
        )?;
        let transaction = connection.transaction()?;
        for n in 0..users {
            transaction
                .prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, '[\"editor\"]', ?4)")?
                .execute(params![stored_id(n), [0_u8; 16], name(n), i64::try_from(NOW)? + 600])?;
        }
        transaction.commit()?;
        connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
        Ok(Self { connection, folder })
    }

    fn find(&self, n: u32) -> bool {
        let row = self
            .connection
            .prepare_cached("SELECT user, name, roles, expires_at FROM sessions WHERE id = ?1");
        let read = row.and_then(|mut row| {
            row.query_row([stored_id(n)], |row| {
                let record: (Vec<u8>, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
                black_box(record);
                row.get::<_, i64>(3)
            })
        });
        read.is_ok_and(|expires_at| expires_at > i64::try_from(NOW).unwrap_or(0))
    }

    fn file_kib(&self) -> Outcome<u64> {
        Ok(self.folder.path().join("sessions.db").metadata()?.len() / 1024)
    }
}

struct Tokens {
    name: &'static str,
    verifier: Verifier,
    token: String,
    list: String,
}

impl Tokens {
    fn of(algorithm: Algorithm) -> Outcome<Self> {
        let key = SigningKey::generate(algorithm)?;
        let list = format!("{ISSUER}/auth/status/{algorithm}");
        // Index 5 is none that is revoked.
        let claims = format!(
            r#"{{"iss":"{ISSUER}","sub":"0198c3f2-a7d4-7c1e-8000-000000000001","aud":"{AUDIENCE}","exp":{},"iat":{NOW},"jti":"AAAAAAAAAAAAAAAAAAAAAA","client_id":"jotgate","scope":"account","sid":"0198c3f2-a7d4-7c1e-8000-000000000002","auth_time":{NOW},"roles":["editor"],"preferred_username":"user-1","status":{{"status_list":{{"idx":5,"uri":"{list}"}}}}}}"#,
            NOW + 600
        );
        let token = key.sign("at+jwt", claims.as_bytes())?;
        let verifier =
            Verifier::new(Policy::access_token(ISSUER, AUDIENCE), KeySet::from(key.verifying_key()));
        let name = match algorithm {
            Algorithm::Hs256 => "token, HS256: verify, look whether it is revoked",
            Algorithm::Rs256 => "token, RS256: the same",
            Algorithm::Es256 => "token, ES256: the same",
            _ => "token, EdDSA: the same",
        };
        Ok(Self { name, verifier, token, list })
    }

    fn verify(&self) -> bool {
        self.verifier.verify(&self.token, NOW).is_ok()
    }
}
