//! The store suite on PostgreSQL behind a pooler in transaction mode, where each transaction may run on another
//! connection than the one before, and a prepared statement may be somebody else's.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use jotgate::store::Postgres;
use jotgate_domain::store::Lookup;
use jotgate_domain::{Change, Store as _};
use store_suite::fixture::*;
use testing::postgres::{self, Database};

mod store_suite;

async fn empty() -> (Box<dyn jotgate_domain::Store>, Database) {
    let database = postgres::database();
    (Box::new(open(&database).await), database)
}

async fn open(database: &Database) -> Postgres {
    let url = database.url_at(postgres::bouncer().port());
    Postgres::open(&url.parse().unwrap(), T0).await.unwrap()
}

store_suite!(crate::empty);

/// Two programs whose connections share three of the server's: each gets the answers to what it asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_gets_the_statement_of_another() {
    let database = postgres::database();
    let stores = [Arc::new(open(&database).await), Arc::new(open(&database).await)];
    let tasks: Vec<_> = (0..12_u32)
        .map(|n| {
            let store = Arc::clone(&stores[usize::from(n % 2 == 0)]);
            tokio::spawn(async move {
                let (alice, begun) = signed_in(&*store, &format!("alice{n}")).await;
                for generation in 1..=15 {
                    let now = after(100 * u64::from(generation));
                    assert_eq!(refresh(&*store, &begun, generation, now).await.generation, generation + 1);
                    assert_eq!(store.user(Lookup::Id(alice.id)).await.unwrap().unwrap(), alice);
                    let name = format!("s{n}");
                    apply(
                        &*store,
                        [Change::PutSetting { name: name.clone(), value: generation.to_string() }],
                    )
                    .await;
                    assert_eq!(store.setting(&name).await.unwrap(), Some(generation.to_string()));
                    store.revocations(0).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // What was prepared under a name would be seen here: the pooler's connections to the server are still there.
    let prepared = database.sql(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = 'jotgate'",
    );
    assert!(prepared.parse::<u32>().unwrap() <= 3, "{prepared} connections: this was no pooler");
}
