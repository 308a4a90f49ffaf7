//! The store suite on PostgreSQL, and what only a database that others use too can do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jotgate::config::PostgresUrl;
use jotgate::store::postgres::Problem;
use jotgate::store::{OpenError, Postgres};
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::store::{AuditQuery, Expect, Lookup, Revocable};
use jotgate_domain::{Change, Store as _, StoreError};
use store_suite::fixture::*;
use testing::postgres::{self, Cluster, Database, PASSWORD, PASSWORD_IN_URL};
use testing::proxy::Proxy;

mod store_suite;

async fn empty() -> (Box<dyn jotgate_domain::Store>, Database) {
    let database = postgres::database();
    (Box::new(open(&database).await), database)
}

async fn open(database: &Database) -> Postgres {
    Postgres::open(&database.url().parse().unwrap(), T0).await.unwrap()
}

store_suite!(crate::empty);

/// A transaction that took its place in the log first and commits last: a reader that was there in between gets it.
#[tokio::test]
async fn rows_that_commit_out_of_order_are_not_missed() {
    let database = postgres::database();
    let store = open(&database).await;
    let (_, begun) = signed_in(&store, "alice").await;
    let mut late = database.psql();
    late.run("BEGIN");
    late.run("INSERT INTO revocations (status, until_at) VALUES (1000, 9999999999999)");
    let ended = apply(&store, [Change::EndSession(begun.id)]).await.revoked;
    let first = store.revocations(0).await.unwrap();
    assert_eq!(first.revoked, ended, "what is committed is seen");
    // And again while it still has not ended.
    let second = store.revocations(first.cursor).await.unwrap();
    late.run("COMMIT");
    for cursor in [first.cursor, second.cursor] {
        let news = news(&store, cursor, &ended).await;
        assert_eq!(news.iter().map(|row| row.what.clone()).collect::<Vec<_>>(), [Revocable::Status(1000)]);
    }
}

/// A node finds out by it that its own clock is wrong.
#[tokio::test]
async fn the_database_says_what_its_clock_says() {
    let database = postgres::database();
    let store = open(&database).await;
    let read = || -> i64 {
        database.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint").trim().parse().unwrap()
    };
    let (before, said, after) = (read(), store.clock().await.unwrap().unwrap().0, read());
    assert!((before..=after).contains(&said), "{before} {said} {after}");
}

/// The same in the audit trail: one that took its id early and commits late is not missed, and nothing comes twice.
#[tokio::test]
async fn audit_entries_that_commit_out_of_order_are_not_missed() {
    let database = postgres::database();
    let store = open(&database).await;
    let event = |n: u64| {
        Change::Audit(Event {
            at: after(n),
            action: Action::KeyRotated,
            actor: Actor::System,
            user: None,
            session: None,
            address: String::new(),
            detail: n.to_string(),
        })
    };
    let add =
        "INSERT INTO audit (at, action, actor, address, detail) VALUES (0, 'key.rotated', 'system', '', ";
    apply(&store, [event(1)]).await;
    let two = AuditQuery { limit: 2, ..AuditQuery::default() };
    let mut position = store.audit_since(two.clone(), None).await.unwrap().position;
    let mut next = async || -> Vec<(i64, String)> {
        let page = store.audit_since(two.clone(), Some(&position)).await.unwrap();
        position = page.position;
        page.entries.into_iter().map(|entry| (entry.id, entry.event.detail)).collect()
    };
    let mut sessions = [database.psql(), database.psql()];
    for (n, late) in sessions.iter_mut().enumerate() {
        late.run("BEGIN");
        late.run(&format!("{add}'late {n}')"));
    }
    for n in 2..=4 {
        apply(&store, [event(n)]).await;
    }
    let details = |entries: &[(i64, String)]| -> Vec<String> {
        entries.iter().map(|(_, detail)| detail.clone()).collect()
    };
    let first = next().await;
    assert_eq!(details(&first), ["2", "3"]);
    // One comes in the midst of a page after page, the other when all was read.
    sessions[0].run("COMMIT");
    assert_eq!(details(&next().await), ["4"]);
    let late = next().await;
    assert_eq!(details(&late), ["late 0"]);
    assert!(late[0].0 < first[0].0, "whoever went by ids would miss it");
    assert_eq!(next().await, []);
    apply(&store, [event(5)]).await;
    assert_eq!(details(&next().await), ["5"]);
    sessions[1].run("COMMIT");
    assert_eq!(details(&next().await), ["late 1"]);
    assert_eq!(next().await, []);

    // What comes out of a dump of another server, with transactions that are still to come here, is not new then.
    database.sql(&format!(
        "ALTER TABLE audit ALTER xid SET DEFAULT (pg_current_xact_id()::text::bigint + 3)::text::xid8; \
         {add}'restored'); ALTER TABLE audit ALTER xid SET DEFAULT pg_current_xact_id()"
    ));
    for n in 6..=12 {
        apply(&store, [event(n)]).await;
    }
    let mut all = Vec::new();
    loop {
        let page = next().await;
        if page.is_empty() {
            break;
        }
        all.extend(details(&page));
    }
    assert_eq!(all, ["6", "7", "8", "9", "10", "11", "12"]);
}

/// What one node changes, another hears of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_other_nodes() {
    let database = postgres::database();
    let (one, two) = (Arc::new(open(&database).await), open(&database).await);
    let (_, begun) = signed_in(&*one, "alice").await;
    let mut seen = two.changed(0).await;
    let mut cursor = two.revocations(0).await.unwrap().cursor;
    let told = Instant::now();
    let ended = apply(&*one, [Change::EndSession(begun.id)]).await.revoked;
    let limit = Duration::from_secs(30);
    loop {
        seen = tokio::time::timeout(limit, two.changed(seen)).await.expect("nothing heard");
        let page = two.revocations(cursor).await.unwrap();
        if page.revoked == ended {
            break;
        }
        cursor = page.cursor;
    }
    println!("another node read the revocation {:?} after it was asked for", told.elapsed());
}

/// Many nodes at once on an empty database: each opens, and the schema was made once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn first_starts_at_once_make_one_schema() {
    let database = postgres::database();
    let opens: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url().parse().unwrap();
            tokio::spawn(async move { Postgres::open(&url, T0).await })
        })
        .collect();
    for open in opens {
        open.await.unwrap().unwrap().ping().await.unwrap();
    }
    let once = "SELECT count(*) > 0 AND count(*) = max(version) FROM jotgate_migrations";
    assert_eq!(database.sql(once), "t");
}

/// Of two that expect a setting not to be there, one writes it, also where both looked before either wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_who_expect_nothing_one_wins() {
    let database = postgres::database();
    let store = Arc::new(open(&database).await);
    for round in 0..20 {
        let name = format!("s{round}");
        let puts: Vec<_> = (0..8)
            .map(|n| {
                let (store, name) = (Arc::clone(&store), name.clone());
                tokio::spawn(async move {
                    let put = Change::PutSetting { name: name.clone(), value: n.to_string() };
                    store.apply(vec![put], vec![Expect::Setting { name, value: None }]).await
                })
            })
            .collect();
        let mut won = vec![];
        for (n, put) in puts.into_iter().enumerate() {
            match put.await.unwrap() {
                Ok(_) => won.push(n.to_string()),
                Err(error) => assert_eq!(error, StoreError::Conflict),
            }
        }
        assert_eq!(won.len(), 1);
        assert_eq!(store.setting(&name).await.unwrap(), won.pop());
    }
    // Who only asked leaves nothing behind.
    let absent = Expect::Setting { name: "y".into(), value: None };
    store.apply(vec![], vec![absent]).await.unwrap();
    assert_eq!(store.setting("y").await.unwrap(), None);
}

/// A role taken away while its holder refreshes: the token that comes of it is revoked, or does not have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_refresh_beside_a_loss_of_rights_keeps_none() {
    let database = postgres::database();
    let store = Arc::new(open(&database).await);
    for round in 0..60_u64 {
        let (alice, begun) = signed_in(&*store, &format!("alice{round}")).await;
        // Every other time without an entry, so that the refresh takes a fresh one.
        if round % 2 == 0 {
            apply(&*store, [Change::RevokeTokens(begun.id)]).await;
        }
        let refresh = {
            let (store, begun) = (Arc::clone(&store), begun.clone());
            tokio::spawn(async move { refresh(&*store, &begun, 1, after(60)).await })
        };
        let loss = {
            let (store, alice) = (Arc::clone(&store), alice.clone());
            tokio::spawn(async move {
                let less = jotgate_domain::User { roles: vec![], version: 2, ..alice.clone() };
                let changes = vec![Change::UpdateUser(less), Change::RevokeTokensOf(alice.id)];
                store.apply(changes, vec![Expect::User(alice.id, 1)]).await.unwrap()
            })
        };
        let (granted, loss) = (refresh.await.unwrap(), loss.await.unwrap());
        let status = granted.session.status.unwrap();
        let revoked = loss.revoked.iter().any(|revoked| revoked.what == Revocable::Status(status));
        assert!(granted.user.roles.is_empty() || revoked, "round {round}: a token with the role lives on");
    }
}

/// The error of opening it, with the password nowhere in it.
async fn refused(url: &str) -> Problem {
    let error = Postgres::open(&url.parse().unwrap(), T0).await.expect_err("it was opened");
    let text = format!("{error} {error:?}");
    assert!(
        !text.contains("canary") && !text.contains(PASSWORD) && !text.contains(PASSWORD_IN_URL),
        "{text}"
    );
    assert!(error.to_string().contains(". "), "no advice: {error}");
    match error {
        OpenError::Postgres { place, problem } => {
            assert!(error_names(&place, url), "{place}");
            problem
        }
        other => panic!("{other:?}"),
    }
}

fn error_names(place: &str, url: &str) -> bool {
    let host = url.rsplit_once('@').unwrap().1.split('/').next().unwrap();
    place.contains(host)
}

#[tokio::test]
async fn what_is_wrong_is_named() {
    let database = postgres::database();
    let url = database.url();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let found = refused(&database.url_at(port)).await;
    assert!(matches!(&found, Problem::Unreachable(why) if why.contains("refused")), "{found:?}");
    let found = refused(&url.replace(PASSWORD_IN_URL, "canary-wrong")).await;
    assert!(matches!(found, Problem::NotLetIn(_)), "{found:?}");
    let found = refused(&url.replace(&format!(":{PASSWORD_IN_URL}"), "")).await;
    assert!(matches!(&found, Problem::NotLetIn(why) if why.contains("password")), "{found:?}");
    let found = refused(&url.replace(&database.name, "nowhere")).await;
    assert_eq!(found, Problem::NoDatabase);
    let empty: PostgresUrl = url.parse().unwrap();
    match Postgres::open_existing(&empty, T0).await.unwrap_err() {
        OpenError::Postgres { problem: Problem::Empty, .. } => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(database.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "0");
    // Nothing is sent in clear where that is not wanted.
    for mode in ["require", "verify-full"] {
        let found = refused(&format!("{url}?sslmode={mode}")).await;
        assert!(matches!(&found, Problem::Tls(why) if why.contains("does not offer")), "{found:?}");
    }
    let found = refused(&format!("{url}?sslmode=require&sslrootcert=/nowhere/ca.pem")).await;
    assert!(matches!(&found, Problem::Tls(why) if why.contains("/nowhere/ca.pem")), "{found:?}");

    database.sql(
        "REVOKE ALL ON SCHEMA public FROM PUBLIC; ALTER SCHEMA public OWNER TO postgres; \
                  GRANT USAGE ON SCHEMA public TO PUBLIC",
    );
    let found = refused(&url).await;
    assert!(matches!(found, Problem::NoRight(_)), "{found:?}");

    let theirs = postgres::database();
    theirs.sql("CREATE TABLE users (x int)");
    assert_eq!(refused(&theirs.url()).await, Problem::NotOurs("users".to_owned()));
    assert_eq!(theirs.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), "1");
}

/// A node that reaches nothing but a standby says so and does not start; it goes to the primary where that is named too,
/// and one that runs waits for a server that takes writes.
#[tokio::test]
async fn a_standby_is_refused_by_name() {
    // Until the test ends: a database belongs to a server that lives as long as the process.
    let primary: &'static Cluster = Box::leak(Box::new(Cluster::start(&["fsync=off"])));
    let (database, fresh) = (primary.database(), primary.database());
    let proxy = Proxy::to(primary.port());
    let store = Postgres::open(&database.url_at(proxy.port()).parse().unwrap(), T0).await.unwrap();
    let (alice, begun) = signed_in(&store, "alice").await;
    let standby = primary.start_standby();
    assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery()"), "t");
    let before = [&database, &fresh].map(Database::dump);

    for database in [&database, &fresh] {
        let url = database.url_at(standby.port());
        assert_eq!(refused(&url).await, Problem::Standby);
        let said = Postgres::open_existing(&url.parse().unwrap(), T0).await.unwrap_err().to_string();
        let advice = "is a read-only standby. Name the primary in database_url, or all: postgres://…@A,B/…";
        assert!(said.ends_with(advice), "{said}");
        assert_eq!(Postgres::pending(&url.parse().unwrap()).await.unwrap_err().to_string(), said);
    }
    // The primary goes away from under one that runs, and only the standby is left.
    proxy.cut();
    proxy.lead_to(standby.port());
    proxy.mend();
    let change = vec![Change::EndSession(begun.id)];
    for _ in 0..3 {
        let error = store.apply(change.clone(), vec![]).await.unwrap_err();
        assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
    }
    assert_eq!([&database, &fresh].map(Database::dump), before, "nothing was written");

    let (user, place) =
        database.url().split_once("127.0.0.1").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let (_, name) = place.split_once('/').unwrap();
    let all = format!("{user}127.0.0.1:{},127.0.0.1:{}/{name}", standby.port(), primary.port());
    let other = Postgres::open(&all.parse().unwrap(), T0).await.unwrap();
    apply(&other, change.clone()).await;
    primary.stop();
    standby.promote();
    let deadline = Instant::now() + Duration::from_secs(30);
    for store in [&store, &other] {
        while let Err(error) = apply_to(store, &alice).await {
            assert!(matches!(&error, StoreError::Unavailable(_)), "{error:?}");
            assert!(Instant::now() < deadline, "the promoted standby was not found: {error:?}");
        }
        assert_eq!(row(store, begun.id).await, None, "what was acknowledged is there");
    }
}

/// One more session of a user.
async fn apply_to(store: &Postgres, user: &jotgate_domain::User) -> Result<(), StoreError> {
    store.apply(vec![start(&session(user, T0))], vec![]).await.map(drop)
}

/// Of several hosts the first that takes writes is used, and found again when it is another.
#[tokio::test]
async fn hosts_are_tried_in_turn() {
    let database = postgres::database();
    let proxies = [Proxy::to(database.cluster().port()), Proxy::to(database.cluster().port())];
    let hosts =
        proxies.iter().map(|proxy| format!("127.0.0.1:{}", proxy.port())).collect::<Vec<_>>().join(",");
    let (before, after) =
        database.url().split_once("127.0.0.1").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let url = format!("{before}{hosts}/{}", after.split_once('/').unwrap().1);
    proxies[0].cut();
    let store = Postgres::open(&url.parse().unwrap(), T0).await.unwrap();
    signed_in(&store, "alice").await;
    assert_eq!(proxies[0].trips(), 0);
    proxies[0].mend();
    proxies[1].cut();
    let deadline = Instant::now() + Duration::from_secs(30);
    while store.ping().await.is_err() {
        assert!(Instant::now() < deadline, "the other host was not found");
    }
    assert!(proxies[0].trips() > 0);
}

#[tokio::test]
async fn another_kind_of_server_is_no_database() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = stream;
            let _ = stream.read(&mut [0; 64]);
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let found = refused(&postgres::database().url_at(port)).await;
    assert!(matches!(found, Problem::NotPostgres(_)), "{found:?}");
}

/// TLS with a certificate that checks, with one that does not, and with nobody checking.
#[tokio::test]
async fn tls_is_checked() {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let files = [("server.crt", certificate.pem()), ("server.key", key.serialize_pem())];
    let cluster = Box::leak(Box::new(Cluster::start_with(
        &["fsync=off", "ssl=on", "ssl_cert_file=../server.crt", "ssl_key_file=../server.key"],
        &files,
    )));
    let database = cluster.database();
    let url = database.url();
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) \
                     WHERE usename = 'jotgate'";
    let roots = cluster.folder().join("server.crt");
    let checked = format!("{url}?sslmode=verify-full&sslrootcert={}", roots.display());
    let store = Postgres::open(&checked.parse().unwrap(), T0).await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(database.sql(encrypted), "t");
    drop(store);
    // Unknown to the platform; then the right authority for another host.
    let found = refused(&format!("{url}?sslmode=require")).await;
    assert!(matches!(&found, Problem::Tls(why) if why.contains("certificate")), "{found:?}");
    let found = refused(&checked.replace("127.0.0.1", "localhost")).await;
    assert!(matches!(&found, Problem::Tls(why) if why.contains("certificate")), "{found:?}");
    let store = Postgres::open(&url.parse().unwrap(), T0).await.unwrap();
    store.ping().await.unwrap();
    assert_eq!(database.sql(encrypted), "t", "prefer takes what it is offered");
    cluster.stop();
    let failed = store.ping().await.unwrap_err();
    assert!(matches!(failed, StoreError::Unavailable(_)), "{failed:?}");
}

/// What is asked often is one round trip.
#[tokio::test]
async fn round_trips_are_counted() {
    let database = postgres::database();
    let proxy = Proxy::to(database.cluster().port());
    let url = format!("{}?sslmode=disable", database.url_at(proxy.port()));
    let store = Postgres::open(&url.parse().unwrap(), T0).await.unwrap();
    let mut table = vec![];
    // The first round prepares the statements on the connection.
    for round in 0..3_u64 {
        let (alice, begun) = signed_in(&store, &format!("alice{round}")).await;
        let (_, other) = signed_in(&store, &format!("bob{round}")).await;
        let event = |action| {
            Change::Audit(Event {
                at: T0,
                action,
                actor: Actor::User(alice.id),
                user: Some(alice.id),
                session: None,
                address: "192.0.2.1".to_owned(),
                detail: String::new(),
            })
        };
        let mut counted = vec![];
        let mut before = proxy.trips();
        let mut note = |what: &'static str| {
            counted.push((what, proxy.trips() - before));
            before = proxy.trips();
        };
        note("nothing");
        let attempt = store_suite::attempt([u8::try_from(round).unwrap(); 32], "alice0", T0);
        store.attempt(attempt).await.unwrap();
        note("a try of a throttle, with its user");
        let login =
            [start(&session(&alice, T0)), Change::ClearThrottle([1; 32]), event(Action::LoginSucceeded)];
        store.apply(login.to_vec(), vec![Expect::User(alice.id, 1)]).await.unwrap();
        note("a login's writes");
        refresh(&store, &begun, 1, after(60)).await;
        note("a refresh");
        refresh(&store, &begun, 1, after(61)).await;
        note("a refresh repeated inside the grace");
        refresh(&store, &begun, 1, after(160)).await;
        note("a refresh whose answer was lost");
        apply(&store, [Change::EndSession(other.id), event(Action::LoggedOut)]).await;
        note("a logout");
        let cursor = store.revocations(0).await.unwrap().cursor;
        note("the revocation log from the start");
        store.revocations(cursor).await.unwrap();
        note("the revocation log from a position");
        store.user(Lookup::Id(alice.id)).await.unwrap();
        note("a user");
        table = counted;
    }
    for (what, trips) in &table {
        println!("{trips} {what}");
    }
    let expected = [0, 1, 1, 1, 2, 3, 1, 1, 1, 1];
    assert_eq!(table.iter().map(|(_, trips)| *trips).collect::<Vec<_>>(), expected, "{table:?}");
}

/// The database goes away and comes back: what is asked meanwhile is refused soon, and then all goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_network_heals() {
    let database = postgres::database();
    let proxy = Proxy::to(database.cluster().port());
    let url = format!("{}?pool_size=4", database.url_at(proxy.port()));
    let store = Arc::new(Postgres::open(&url.parse().unwrap(), T0).await.unwrap());
    let (alice, begun) = signed_in(&*store, "alice").await;
    let mut seen = store.changed(0).await;
    let unavailable = |result: Result<(), StoreError>| {
        assert!(
            matches!(&result, Err(StoreError::Unavailable(why)) if !why.contains("canary")),
            "{result:?}"
        );
    };
    for round in 0..4 {
        // By turns with an end to each connection, and with silence.
        if round % 2 == 0 {
            proxy.cut()
        } else {
            proxy.stand_still()
        }
        let asked: Vec<_> = (0..64)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    let begun = Instant::now();
                    (store.ping().await, begun.elapsed())
                })
            })
            .collect();
        for ping in asked {
            let (result, took) = ping.await.unwrap();
            unavailable(result);
            assert!(took < Duration::from_secs(20), "{took:?}");
        }
        proxy.mend();
        let deadline = Instant::now() + Duration::from_secs(30);
        while store.ping().await.is_err() {
            assert!(Instant::now() < deadline, "it stays away");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // No turn was lost on the way, and followers are woken.
        let all = (0..64).map(|_| store.user(Lookup::Id(alice.id)));
        for user in futures_util::future::join_all(all).await {
            assert_eq!(user.unwrap().unwrap(), alice);
        }
        seen = tokio::time::timeout(Duration::from_secs(30), store.changed(seen)).await.unwrap();
    }
    refresh(&*store, &begun, 1, after(60)).await;
}
