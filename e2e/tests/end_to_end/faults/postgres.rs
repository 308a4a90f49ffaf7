//! The database is away, slow, cut off, or another one: whatever needs none goes on, the rest is refused within
//! seconds, and all recovers by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use e2e::{Options, Server};
use testing::postgres::{self, Cluster};
use testing::proxy::Proxy;

use super::crowd::{Crowd, Doing};

/// What the server promises is five seconds; this machine may be busy.
const REFUSED_WITHIN: Duration = Duration::from_secs(8);
/// From memory it is milliseconds.
const FROM_MEMORY: Duration = Duration::from_secs(3);

/// How long the fault lasts.
fn lasting() -> Duration {
    Duration::from_secs(if std::env::var_os("XTASK_LONG").is_some() { 30 } else { 6 })
}

/// `size` connections through `proxy`.
fn node(url: &str, size: u32) -> Options {
    Server::with()
        .env("JOTGATE_DATABASE_URL", &format!("{url}?sslmode=disable&pool_size={size}"))
        .env("JOTGATE_PASSWORD_HASH", "argon2id,m=64,t=1")
}

/// The instant at which the node last heard from its database.
fn as_of(server: &Server) -> i64 {
    let page = server.client().get("/auth/revocations").send().is(200).json();
    page["as_of"].as_i64().unwrap_or_else(|| panic!("{page}"))
}

/// Work, the fault, its end, work again.
fn survives(fault: &str, size: u32, cause: fn(&Proxy)) {
    let database = postgres::database();
    let proxy = Proxy::to(database.cluster().port());
    let server = node(&database.url_at(proxy.port()), size).start();
    server.secret(postgres::PASSWORD);
    let crowd = Crowd::gather(&server, 8, Doing::Everything);
    crowd.works(60);
    let begun = Instant::now();
    cause(&proxy);
    super::until("writes are refused", || crowd.writes.refused() >= 8);
    // Whatever was read before has been heard by now.
    let heard = as_of(&server);
    super::until("the fault has lasted", || begun.elapsed() >= lasting());
    server.client().get("/healthz").send().expect(200);
    server.client().get("/readyz").send().expect(503);
    assert_eq!(as_of(&server), heard, "it claims to have heard from a database that is not there");
    proxy.mend();
    let mended = Instant::now();
    crowd.works(60);
    super::until("it is ready", || server.client().get("/readyz").send().status == 200);
    super::until("it hears again", || as_of(&server) > heard);
    println!("{fault}: after its end, 60 writes and a fresh feed took {:?}", mended.elapsed());
    let (writes, reads) = (Arc::clone(&crowd.writes), Arc::clone(&crowd.reads));
    let lost = crowd.judge(&server);
    writes.print(fault, "login, refresh, logout", lost);
    reads.print(fault, "verify, JWK Set, feed, status list", 0);
    assert_eq!((lost, writes.failed(), writes.cut()), (0, 0, 0));
    assert_eq!((reads.refused(), reads.failed(), reads.cut()), (0, 0, 0));
    assert!(writes.longest() < REFUSED_WITHIN, "{:?}", writes.longest());
    assert!(reads.longest() < FROM_MEMORY, "{:?}", reads.longest());
}

/// Over one connection, so that a permit that is not given back would be the end.
#[test]
fn the_database_is_away_and_comes_back() {
    survives("database away (PostgreSQL)", 1, Proxy::cut);
}

#[test]
fn the_network_is_cut_and_healed() {
    survives("network cut (PostgreSQL)", 4, Proxy::stand_still);
}

#[test]
fn a_slow_database_holds_nobody_else_up() {
    survives("5 s a statement (PostgreSQL)", 4, |proxy| proxy.slow_down(Duration::from_secs(5)));
}

/// The primary dies without a word, and its synchronous standby takes over behind the same address.
#[test]
fn a_standby_takes_over_and_nothing_acknowledged_is_lost() {
    // Until the test ends: a database belongs to a server that lives as long as the process.
    let primary: &'static Cluster = Box::leak(Box::new(Cluster::start(&["fsync=off"])));
    let database = primary.database();
    let standby = primary.start_standby();
    let proxy = Proxy::to(primary.port());
    let server = node(&database.url_at(proxy.port()), 8).start();
    server.secret(postgres::PASSWORD);
    let crowd = Crowd::gather(&server, 12, Doing::Everything);
    crowd.works(200);
    let begun = Instant::now();
    primary.stop();
    proxy.lead_to(standby.port());
    super::until("writes are refused", || crowd.writes.refused() > 0);
    standby.promote();
    crowd.works(200);
    println!("primary killed: {:?} until 200 writes on the standby", begun.elapsed());
    let (writes, reads) = (Arc::clone(&crowd.writes), Arc::clone(&crowd.reads));
    let lost = crowd.judge(&server);
    writes.print("primary killed, standby promoted (PostgreSQL)", "login, refresh, logout", lost);
    reads.print("primary killed, standby promoted (PostgreSQL)", "verify, JWK Set, feed, status list", 0);
    assert_eq!((lost, writes.failed(), writes.cut()), (0, 0, 0));
    assert_eq!((reads.refused(), reads.failed(), reads.cut()), (0, 0, 0));
    // A token that the new primary has not seen would have told.
    let told = "SELECT count(*) FROM audit WHERE action = 'refresh.database_went_back'";
    assert_eq!(standby.sql(&database.name, told), "0");
}
