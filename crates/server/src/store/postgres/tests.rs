//! What only PostgreSQL does, and what can only be seen from the inside: the one rule that SQL repeats, how
//! statements are run, migrations.

use std::time::Duration;

use jotgate_domain::session::FIRST_PARTY;
use jotgate_domain::store::{Attempt, Connections, Lookup};
use jotgate_domain::throttle::{Bucket, Limit, Verdict, take};
use jotgate_domain::{Store as _, Timestamp, name};
use testing::postgres::{self, Database};

use super::migrate::{MIGRATIONS, Migration};
use super::pool::{Query, Sql};
use super::{Postgres, Problem, rows, sql};
use tokio_postgres::types::Type;

const NOW: Timestamp = Timestamp(1_795_000_000_000);

async fn db() -> (Postgres, Database) {
    let database = postgres::database();
    (Postgres::open(&database.url().parse().unwrap(), NOW).await.unwrap(), database)
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.roll(all.len() as u64)).unwrap()]
    }

    /// A number up to about `most`, of any size alike.
    fn any(&mut self, most: u32) -> u64 {
        let bits = self.roll(u64::from(most)) + 1;
        self.roll(1 << bits)
    }
}

static PUT: Sql = Sql {
    text: "INSERT INTO throttles (bucket, tries, counted_at, blocked_until, forgotten_at, sweep_at) \
           VALUES ($1, $2, $3, $4, 0, 0)",
    types: &[Type::BYTEA, Type::INT8, Type::INT8, Type::INT8],
    named: true,
};
static GET: Sql = Sql {
    text: "SELECT tries, counted_at, blocked_until, forgotten_at FROM throttles WHERE bucket = $1",
    types: &[Type::BYTEA],
    named: true,
};

/// The arithmetic of a throttle stands twice, as a function and in SQL: they agree on whatever is thrown.
#[tokio::test]
async fn a_try_counts_as_the_rule_says() {
    let (store, _database) = db().await;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let (mut granted, mut refused, mut fresh) = (0, 0, 0);
    for round in 0..4000_u32 {
        let limit = match dice.roll(4) {
            0 => Limit::ACCOUNT,
            1 => Limit::MAIL,
            _ => Limit {
                free: dice.of(&[0, 1, 3, 20, u32::MAX]),
                first_delay: Duration::from_millis(dice.of(&[0, 1, 1000, 60_000, u64::MAX])),
                longest_delay: Duration::from_millis(dice.of(&[0, 1, 1000, 300_000, 86_400_000, 1 << 49])),
                forgive_every: Duration::from_millis(dice.of(&[0, 1, 60_000, 300_000, 1 << 49])),
            },
        };
        let now = Timestamp(dice.of(&[NOW.0, NOW.0, 1_000_000, 4_000_000_000_000]));
        let around = |dice: &mut Dice| {
            let away = i64::try_from(dice.any(40)).unwrap();
            Timestamp(if dice.roll(2) == 0 { now.0 - away } else { now.0 + away }.max(0))
        };
        let bucket = if dice.roll(8) == 0 {
            fresh += 1;
            Bucket::default()
        } else {
            Bucket {
                tries: u32::try_from(dice.any(32)).unwrap(),
                counted_at: around(&mut dice),
                blocked_until: around(&mut dice),
            }
        };
        let mut key = [0; 32];
        key[..4].copy_from_slice(&round.to_be_bytes());
        if bucket != Bucket::default() {
            let row = (i64::from(bucket.tries), bucket.counted_at.0, bucket.blocked_until.0);
            store.pool.run(&Query(&PUT, &[&key.as_slice(), &row.0, &row.1, &row.2])).await.unwrap();
        }
        let (verdict, after) = take(bucket, limit, now);
        let lookup = Lookup::Name(name::canonical("nobody"));
        let attempted = store.attempt(Attempt { bucket: key, limit, lookup, now }).await.unwrap();
        let case = format!("round {round}: {bucket:?} {limit:?} at {now:?}");
        assert_eq!(attempted.verdict, verdict, "{case}");
        let read = store.pool.run(&Query(&GET, &[&key.as_slice()])).await.unwrap();
        let number = |at| rows::get::<i64>(&read[0], at).unwrap();
        let stored = Bucket {
            tries: u32::try_from(number(0)).unwrap(),
            counted_at: Timestamp(number(1)),
            blocked_until: Timestamp(number(2)),
        };
        assert_eq!(stored, after, "{case}");
        if verdict == Verdict::Granted {
            granted += 1;
            let forgotten = after.counted_at.plus(limit.forgive_every.saturating_mul(after.tries));
            assert_eq!(number(3), forgotten.max(after.blocked_until).0, "{case}");
        } else {
            refused += 1;
        }
    }
    // All sides were seen.
    assert!(granted > 500 && refused > 500 && fresh > 200, "{granted} {refused} {fresh}");
}

/// Tables as of a busy installation: whatever reads one of them from end to end shows.
async fn filled() -> (Postgres, Database) {
    let (store, database) = db().await;
    database.sql(
        "INSERT INTO users (id, username, username_canonical, roles, claims, created_at, version)
           SELECT gen_random_uuid(), 'u' || n, 'u' || n, '[]', '{}', n, 1 FROM generate_series(1, 20000) n;
         INSERT INTO sessions (id, user_id, client_id, scope, handle_hash, generation, previous, first, access_until,
             created_at, authenticated_at, last_used_at, idle_until, expires_at, address, user_agent, sweep_at)
           SELECT gen_random_uuid(), id, CASE WHEN created_at % 100 = 0 THEN 'c' ELSE 'jotgate' END, 's', sha256(id::text::bytea), 1, 0, 1, 0, 0, 0, 0, created_at,
             created_at, '', '', created_at FROM users;
         INSERT INTO revocations (xid, status, until_at) SELECT n, n, n FROM generate_series(1, 20000) n;
         INSERT INTO throttles SELECT sha256(n::text::bytea), 1, n, n, n, n FROM generate_series(1, 20000) n;
         INSERT INTO identities SELECT gen_random_uuid(), id, 'i', id::text, 'p', '', 0 FROM users;
         INSERT INTO spent SELECT sha256(n::text::bytea), n FROM generate_series(1, 20000) n;
         INSERT INTO sso_tickets SELECT sha256(n::text::bytea), gen_random_uuid(), 'o', sha256('b'), n
           FROM generate_series(1, 20000) n;
         INSERT INTO webhook_deliveries SELECT 'm' || n, 'w' || n % 3, 'k', '{}', 1, n,
             CASE WHEN n % 2 = 0 THEN n END, '' FROM generate_series(1, 20000) n;
         INSERT INTO audit (at, action, actor, user_id, address, detail, xid)
           SELECT 0, 'a', 'a', id, '', '', created_at::text::xid8 FROM users;
         ANALYZE",
    );
    (store, database)
}

/// No statement that is asked often, or that would grow with the database, reads a table from end to end.
#[tokio::test]
async fn no_hot_statement_scans() {
    let (_store, database) = filled().await;
    let plan = |text: &str, types: &[Type], values: &str| {
        let types: Vec<&str> = types.iter().map(Type::name).collect();
        let types = if types.is_empty() { String::new() } else { format!("({})", types.join(", ")) };
        let values = if values.is_empty() { String::new() } else { format!("({values})") };
        database.sql(&format!("PREPARE p {types} AS {text}; EXPLAIN EXECUTE p {values}"))
    };
    let large = [
        "users",
        "sessions",
        "revocations",
        "throttles",
        "audit",
        "identities",
        "spent",
        "sso_tickets",
        "webhook_deliveries",
    ];
    let scans = |plan: &str| large.iter().any(|table| plan.contains(&format!("Seq Scan on {table}")));
    let mut checked = 0;
    for (name, sql) in sql::ALL {
        let nulls = vec!["NULL"; sql.types.len()].join(", ");
        let plan = database.sql(&format!(
            "SET plan_cache_mode = force_generic_plan; PREPARE p {} AS {}; EXPLAIN EXECUTE p {}",
            if sql.types.is_empty() {
                String::new()
            } else {
                format!("({})", sql.types.iter().map(Type::name).collect::<Vec<_>>().join(", "))
            },
            sql.text,
            if nulls.is_empty() { String::new() } else { format!("({nulls})") },
        ));
        // The operator's list of all sessions is just that, and so is the count of what waits for webhooks: they show
        // that a scan would be noticed.
        let reads_all = matches!(*name, "SESSIONS" | "DELIVERY_COUNTS");
        assert_eq!(reads_all, scans(&plan), "{name}\n{plan}");
        checked += 1;
    }
    assert!(checked > 40, "{checked}");
    let log = plan(sql::REVOCATIONS.text, sql::REVOCATIONS.types, "19990");
    assert!(log.contains("revocations_xid") && !scans(&log), "{log}");
    let values = "'19990:19990:', '20001:20001:', 0, NULL, NULL, 1000";
    let trail = plan(sql::AUDIT_SINCE.text, sql::AUDIT_SINCE.types, values);
    assert!(trail.contains("audit_xid") && !scans(&trail), "{trail}");
}

/// A refresh, and a try of a bucket, leave the indexes alone.
#[tokio::test]
async fn hot_updates_touch_no_index() {
    let (store, database) = filled().await;
    let hash = database.sql("SELECT encode(handle_hash, 'hex') FROM sessions LIMIT 1");
    database.sql("UPDATE sessions SET status = 1, idle_until = 9999999999999, expires_at = 9999999999999");
    database.sql("VACUUM FULL sessions");
    let mut handle_hash = [0; 32];
    for (n, byte) in handle_hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hash[2 * n..2 * n + 2], 16).unwrap();
    }
    let hot = "SELECT n_tup_hot_upd || ' ' || n_tup_upd FROM pg_stat_user_tables WHERE relname = ";
    let count = |table: &str| -> (i64, i64) {
        let text = database.sql(&format!("{hot} '{table}'"));
        let (hot, all) = text.split_once(' ').unwrap();
        (hot.parse().unwrap(), all.parse().unwrap())
    };
    let first = (count("sessions"), count("throttles"));
    for generation in 1..=20_u32 {
        let now = NOW.plus(Duration::from_secs(u64::from(generation) * 60));
        let request = jotgate_domain::refresh::Request {
            handle_hash,
            generation,
            client_id: FIRST_PARTY.to_owned(),
            now,
            grace: Duration::from_secs(10),
            idle_ttl: Duration::from_secs(600),
            access_until: now,
            address: "192.0.2.7".to_owned(),
            user_agent: "Firefox".to_owned(),
        };
        let outcome = store.refresh(request).await.unwrap();
        assert!(matches!(outcome, jotgate_domain::refresh::Outcome::Granted(_)), "{generation}: {outcome:?}");
        let lookup = Lookup::Name(name::canonical("u1"));
        store.attempt(Attempt { bucket: [7; 32], limit: Limit::ACCOUNT, lookup, now }).await.unwrap();
    }
    // The server counts when a connection rests.
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let changed = loop {
        let now = (count("sessions"), count("throttles"));
        if (now.0.1 - first.0.1 >= 20 && now.1.1 - first.1.1 >= 19) || std::time::Instant::now() > deadline {
            break now;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(changed.0.1 - first.0.1, 20, "refreshes");
    // Full pages give no room to a few; the others reuse what was left.
    assert!(changed.0.0 - first.0.0 >= 18, "{changed:?} {first:?}");
    assert!(changed.1.0 - first.1.0 >= 18, "{changed:?} {first:?}");
}

#[tokio::test]
async fn migrations_run_once_and_in_order() {
    let database = postgres::database();
    let url = database.url().parse().unwrap();
    let two = [MIGRATIONS[0], Migration { version: 2, name: "0002_more", sql: "CREATE TABLE more (x int)" }];
    drop(Postgres::open_with(&url, &two[..1], true, NOW).await.unwrap());
    // Nodes of one release that start at once: one migrates, the others wait.
    let opens: Vec<_> = (0..6)
        .map(|_| {
            let url = url.clone();
            tokio::spawn(async move { Postgres::open_with(&url, &two, true, NOW).await.map(drop) })
        })
        .collect();
    for open in opens {
        open.await.unwrap().unwrap();
    }
    assert_eq!(database.sql("SELECT count(*) FROM more"), "0");
    assert_eq!(
        database.sql("SELECT string_agg(name, ' ') FROM jotgate_migrations"),
        "0001_initial 0002_more"
    );
    // The release before knows less, and stays away.
    let newer = Postgres::open_with(&url, &two[..1], true, NOW).await.unwrap_err();
    assert_eq!(newer, Problem::Newer { found: 2, known: 1 });
    let edited = [two[0], Migration { sql: "CREATE TABLE other (x int)", ..two[1] }];
    let other = Postgres::open_with(&url, &edited, true, NOW).await.unwrap_err();
    assert_eq!(other, Problem::OtherMigration(2));
}

#[tokio::test]
async fn a_failed_migration_leaves_nothing() {
    let database = postgres::database();
    let url = database.url().parse().unwrap();
    let bad = Migration { version: 2, name: "0002_bad", sql: "CREATE TABLE half (x int); SELECT 1/0" };
    let failed = Postgres::open_with(&url, &[MIGRATIONS[0], bad], true, NOW).await.unwrap_err();
    assert!(
        matches!(&failed, Problem::Migration { version: 2, why } if why.contains("division")),
        "{failed:?}"
    );
    assert_eq!(database.sql("SELECT to_regclass('half') IS NULL"), "t");
    // Mended, it goes on from there.
    let good = Migration { sql: "CREATE TABLE half (x int)", ..bad };
    drop(Postgres::open_with(&url, &[MIGRATIONS[0], good], true, NOW).await.unwrap());
    assert_eq!(database.sql("SELECT to_regclass('half') IS NULL"), "f");
}

#[tokio::test]
async fn the_pool_says_how_it_stands() {
    let (store, _database) = db().await;
    let most = 16;
    assert_eq!(store.connections(), Some(Connections { busy: 0, idle: 1, most }));
    static SLEEP: Sql = Sql { text: "SELECT pg_sleep(60)", types: &[], named: false };
    let (sleep, mut polled) = (store.read(&SLEEP, &[]), 0);
    let mut sleep = std::pin::pin!(sleep);
    while store.connections() != Some(Connections { busy: 1, idle: 0, most }) {
        polled += 1;
        assert!(polled < 1000);
        let step = tokio::time::timeout(Duration::from_millis(5), sleep.as_mut()).await;
        assert!(step.is_err(), "it sleeps for longer");
    }
}
