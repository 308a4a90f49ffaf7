use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::client::{Client, ClientId, Proof};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::{Email, Username};
use jotgate_domain::session::{FIRST_PARTY, RefreshState};
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::Store;
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, IdentityId, Session, SessionId, User, UserId};
use rusqlite::Connection;
use serde_json::json;
use testing::postgres::{self, Database};
use uuid::Uuid;

use super::*;
use crate::store::{Postgres, Sqlite};

const NOW: Timestamp = Timestamp(1_795_000_000_000);

fn place(database: &Database) -> Place {
    Place::Postgres(Box::new(database.url().parse().unwrap()))
}

/// Every column of both schemas is described, but for those that only say how one database finds its rows.
#[tokio::test]
async fn the_description_is_the_schema() {
    let described: BTreeMap<&str, BTreeSet<String>> = TABLES
        .iter()
        .map(|table| (table.name, table.columns.iter().map(|(name, _)| (*name).to_owned()).collect()))
        .collect();

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    drop(Sqlite::open(&path, NOW).unwrap());
    let file = Connection::open(&path).unwrap();
    let lines = |sql: &str| -> Vec<String> {
        let mut statement = file.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = lines("SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'");
    let bookkeeping = ["counters", "migrations"];
    for table in tables.iter().filter(|table| !bookkeeping.contains(&table.as_str())) {
        let columns: BTreeSet<_> =
            lines(&format!("SELECT name FROM pragma_table_info('{table}')")).into_iter().collect();
        assert_eq!(described.get(table.as_str()), Some(&columns), "{table} of SQLite");
    }

    let database = postgres::database();
    drop(Postgres::open(&database.url().parse().unwrap(), NOW).await.unwrap());
    let columns = database.sql(
        "SELECT table_name || ' ' || column_name FROM information_schema.columns WHERE table_schema = 'public'",
    );
    let only_here = ["revocations xid", "audit xid", "throttles sweep_at"];
    let mut found: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for line in columns.lines().filter(|line| !only_here.contains(line)) {
        let (table, column) = line.split_once(' ').unwrap();
        found.entry(table).or_default().insert(column.to_owned());
    }
    found.remove("jotgate_migrations");
    assert_eq!(found, described, "PostgreSQL");
}

/// Fills a store with rows of every kind, more than go at once, and with text that databases stumble over.
async fn fill(store: &dyn Store, users: u32) {
    for number in 0..users {
        let id = UserId(Uuid::from_u128(u128::from(number) << 90 | 7));
        let odd = number % 3 == 0;
        let user = User {
            id,
            username: Username::parse(&format!("Üser-{number}")).unwrap(),
            email: odd.then(|| Email::parse(&format!("u{number}@example.com")).unwrap()),
            email_verified_at: (number % 6 == 0).then_some(NOW),
            password_hash: odd.then(|| "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$aGFzaA".to_owned()),
            password_changed_at: None,
            roles: Vec::new(),
            claims: BTreeMap::from([("note".to_owned(), json!({"é\\\n\t\"": [1.5, null, "\u{2028}"]}))]),
            created_at: NOW,
            disabled_at: (number % 7 == 0).then_some(NOW),
            version: 1,
        };
        let mut changes = vec![Change::CreateUser(user)];
        changes.push(Change::LinkIdentity(Identity {
            id: IdentityId(Uuid::from_u128(u128::from(number) << 70 | 5)),
            user_id: id,
            issuer: "https://issuer.example".to_owned(),
            subject: format!("é{number}"),
            provider: "example".to_owned(),
            label: "Ü ' \"".to_owned(),
            created_at: NOW,
        }));
        if odd {
            let mut spent = [9; 32];
            spent[..4].copy_from_slice(&number.to_be_bytes());
            changes.push(Change::Spend { id: spent, until: NOW });
            let mut handle_hash = [0; 32];
            handle_hash[..4].copy_from_slice(&number.to_be_bytes());
            let session = Session {
                id: SessionId(Uuid::from_u128(u128::from(number) << 80 | 9)),
                user_id: id,
                client_id: FIRST_PARTY.to_owned(),
                scope: "account".to_owned(),
                refresh: RefreshState { generation: number + 2, ..RefreshState::new(handle_hash) },
                status: None,
                access_until: NOW,
                created_at: NOW,
                authenticated_at: NOW,
                last_used_at: NOW,
                idle_until: Timestamp(i64::MAX / 2),
                expires_at: Timestamp(i64::MAX / 2),
                address: String::new(),
                user_agent: "quote ' and \\ and tab\t".to_owned(),
            };
            changes.push(Change::StartSession { session: session.clone(), max_per_user: 5 });
            if number % 9 == 0 {
                changes.push(Change::EndSession(session.id));
            }
        }
        changes.push(Change::Audit(Event {
            at: NOW,
            action: Action::UserCreated,
            actor: Actor::User(id),
            user: Some(id),
            session: None,
            address: "2001:db8::1".to_owned(),
            detail: String::new(),
        }));
        store.apply(changes, Vec::new()).await.unwrap();
    }
    let key = StoredKey {
        kid: "ké".to_owned(),
        algorithm: "ES256".to_owned(),
        sealed: vec![0, 255, 7],
        published_at: NOW,
        signs_at: None,
        gone_at: None,
    };
    let changes = vec![
        Change::PutKey(key),
        Change::PutTicket(Ticket {
            hash: [3; 32],
            session: SessionId(Uuid::from_u128(9)),
            origin: "https://shop.other.test".to_owned(),
            binding: [255; 32],
            expires_at: NOW,
        }),
        Change::RevokeKey { kid: "gone".to_owned(), until: NOW },
        Change::PutSetting { name: "x".to_owned(), value: "{}".to_owned() },
        Change::CreateClient(client("é?", Proof::Secret([255; 32]))),
        Change::CreateClient(client("public", Proof::None)),
        Change::PutDelivery(Delivery {
            id: "app-1-1".to_owned(),
            webhook: "app".to_owned(),
            kind: "user.created".to_owned(),
            body: "{\"é\":\"'\\\\\"}".to_owned(),
            tries: 3,
            next_at: NOW,
            dead_at: Some(NOW),
            problem: "answered 500".to_owned(),
        }),
    ];
    store.apply(changes, Vec::new()).await.unwrap();
}

fn client(name: &str, proof: Proof) -> Client {
    Client {
        id: ClientId::from_stored(name.to_owned()),
        name: name.to_owned(),
        proof,
        audiences: vec!["https://api.example/\"\\".to_owned()],
        created_at: NOW,
    }
}

fn sqlite(folder: &Path, name: &str) -> Place {
    Place::Sqlite(folder.join(name))
}

async fn all(from: &Place, to: &Place) -> Result<Carried, TransferError> {
    let mut steps = Vec::new();
    let carried = carry(from, to, Target::Empty, false, NOW, |step| steps.push(step)).await;
    if carried.is_ok() {
        let last = steps.last().unwrap();
        assert_eq!(last.done, last.total, "the bar fills");
    }
    carried
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_and_comes_back_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, back) =
        (sqlite(folder.path(), "a.db"), postgres::database(), sqlite(folder.path(), "b.db"));
    let users = u32::try_from(BATCH).unwrap() + 500;
    fill(&Sqlite::open(&folder.path().join("a.db"), NOW).unwrap(), users).await;

    let there = all(&first, &place(&second)).await.unwrap();
    let rows: BTreeMap<_, _> = there.tables.iter().map(|(table, rows, _)| (*table, *rows)).collect();
    assert_eq!((rows["users"], rows["signing_keys"], rows["settings"]), (u64::from(users), 1, 1));
    assert_eq!(rows["clients"], 2);
    assert_eq!(rows["webhook_deliveries"], 1);
    assert!(rows["sessions"] > 500 && rows["revocations"] > 200 && rows["audit"] >= u64::from(users));
    let here = all(&place(&second), &back).await.unwrap();
    assert_eq!(here, there, "the same rows, to the byte");

    // Each goes on where the other was: no status entry, no place in the log and no entry of the trail comes twice.
    let store = Postgres::open(&second.url().parse().unwrap(), NOW).await.unwrap();
    let given = store.revocations(0).await.unwrap().last_status;
    assert_eq!(
        given,
        Sqlite::open(&folder.path().join("b.db"), NOW).unwrap().revocations(0).await.unwrap().last_status
    );
    assert!(given > 500);
    store.apply(vec![Change::RevokeKey { kid: "k2".into(), until: NOW }], Vec::new()).await.unwrap();
    let event = Event {
        at: NOW,
        action: Action::KeyRevoked,
        actor: Actor::System,
        user: None,
        session: None,
        address: String::new(),
        detail: String::new(),
    };
    store.apply(vec![Change::Audit(event)], Vec::new()).await.unwrap();

    // What is not empty is left alone.
    assert!(matches!(all(&first, &place(&second)).await, Err(TransferError::NotEmpty("users"))));
    assert!(matches!(all(&first, &back).await, Err(TransferError::NotEmpty("users"))));
}

/// What is no text would arrive as another one, and be called the same.
#[tokio::test]
async fn what_cannot_be_carried_as_it_is_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fill(&Sqlite::open(&path, NOW).unwrap(), 1).await;
    let file = Connection::open(&path).unwrap();
    file.execute("UPDATE settings SET value = CAST(x'61ff' AS TEXT)", []).unwrap();
    let refused = all(&sqlite(folder.path(), "a.db"), &sqlite(folder.path(), "b.db")).await;
    assert!(matches!(refused, Err(TransferError::Database(_))), "{refused:?}");
    assert_eq!(
        Connection::open(folder.path().join("b.db"))
            .unwrap()
            .query_row("SELECT count(*) FROM users", [], |row| row.get::<_, u64>(0))
            .unwrap(),
        0,
        "and leaves the target as it was"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_target_has_nothing_of_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let target = postgres::database();
    fill(&Postgres::open(&target.url().parse().unwrap(), NOW).await.unwrap(), 40).await;
    fill(&Sqlite::open(&folder.path().join("a.db"), NOW).unwrap(), 3).await;
    let source = sqlite(folder.path(), "a.db");
    let carried = carry(&source, &place(&target), Target::Replaced, true, NOW, |_| ()).await.unwrap();
    assert_eq!(carried.tables[0].1, 3);
    assert_eq!(target.sql("SELECT count(*) FROM users").trim(), "3");
    // Whatever the source gives from now on, the target gives none of it.
    let store = Postgres::open(&target.url().parse().unwrap(), NOW).await.unwrap();
    assert_eq!(store.revocations(0).await.unwrap().last_status, LIST_SIZE);
}
