//! What waits is neither lost nor deleted: by age, by a configuration that lacks the webhook, by a clock that is
//! wrong, by a move to another database.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use jotgate::config::{Config, DatabaseUrl, MasterKeySource, Webhook};
use jotgate::store::Sqlite;
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::store::{Deliveries, Store};
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::receiver::*;
use crate::support::{START, Site, http_origin};

const DAY: Duration = Duration::from_secs(24 * 3600);

fn event(action: Action) -> Change {
    Change::Audit(Event {
        at: Timestamp(START * 1000),
        action,
        actor: Actor::System,
        user: None,
        session: None,
        address: String::new(),
        detail: String::new(),
    })
}

/// Long enough for a server that has just begun to sweep, and to look after former webhooks.
async fn swept() {
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_receiver_that_is_gone_waits_for_months() {
    let receiver = Receiver::new(|_| status(410)).await;
    let site = site(named("orders", webhook(&receiver, &[Action::UserRegistered]))).await;
    site.register("ada").await;
    receiver.tries(1).await;
    settled(&operator(&site).await, (1, 0)).await;
    site.clock.pass(DAY * 60);
    let site = site.restart(|_| {}).await;
    swept().await;
    receiver.says(|_| ok());
    let operator = operator(&site).await;
    assert_eq!(counts(&operator).await, (1, 0));
    assert!(operator.enable_webhook("orders").await.unwrap());
    receiver.tries(2).await;
    settled(&operator, (0, 0)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_a_former_webhook_becomes_dead_letters_after_a_month_and_can_be_sent_again() {
    let receiver = Receiver::new(|_| status(500)).await;
    let hooks = named("orders", webhook(&receiver, &[Action::UserRegistered]));
    let site = site(hooks.clone()).await;
    site.register("ada").await;
    let id = receiver.tries(1).await.remove(0).id;
    settled(&operator(&site).await, (1, 0)).await;

    let mut site = site.restart(|config| config.webhooks.clear()).await;
    let mut left = (1, 0);
    for days in [0, 29, 2] {
        site.clock.pass(DAY * days);
        site = site.restart(|_| {}).await;
        swept().await;
        left = if days == 2 { (0, 1) } else { left };
        let operator = operator(&site).await;
        settled(&operator, left).await;
        let states = operator.webhooks().await.unwrap();
        assert_eq!((states[0].name.as_str(), states[0].configured), ("orders", false));
    }
    let dead = operator(&site).await.dead_letters(None, 10).await.unwrap();
    assert_eq!(
        (dead[0].id.as_str(), dead[0].problem.as_str()),
        (id.as_str(), "the webhook is configured no longer")
    );

    receiver.says(|_| ok());
    let site = site.restart(|config| config.webhooks = hooks).await;
    let operator = operator(&site).await;
    assert_eq!(operator.retry_dead(None).await.unwrap(), 1);
    assert_eq!(receiver.tries(2).await[1].id, id);
    settled(&operator, (0, 0)).await;
}

/// Two nodes on one PostgreSQL, one of which does not know the webhook: during a rolling change, and with a clock that
/// is forty days ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_webhook_or_with_a_wrong_clock_takes_nothing_from_the_others() {
    let receiver = Receiver::new(|_| status(500)).await;
    let database = testing::postgres::database();
    let keys = TempDir::new().unwrap();
    let master = keys.path().join("master.key");
    fs::write(&master, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\n").unwrap();
    fs::set_permissions(&master, fs::Permissions::from_mode(0o600)).unwrap();
    let node = async |webhooks: BTreeMap<String, Webhook>, ahead: Duration| {
        let change = |config: &mut Config| {
            config.database_url = DatabaseUrl::Postgres(Box::new(database.url().parse().unwrap()));
            config.master_key = MasterKeySource::File(master.clone());
            config.webhooks = webhooks;
        };
        let clock = crate::support::Fixed::at(now_of(&database).plus(ahead));
        Site::with_clock(http_origin(), clock, change).await
    };
    let with = node(named("orders", webhook(&receiver, &[Action::UserRegistered])), Duration::ZERO).await;
    with.register("ada").await;
    receiver.tries(1).await;
    let store = &with.server.app().store;
    let which = || Deliveries::Due { webhook: "orders".to_owned(), now: Timestamp(i64::MAX) };
    let waiting = store.deliveries(which(), 1).await.unwrap().remove(0);
    let dead = Delivery { id: "orders-dead".to_owned(), dead_at: Some(waiting.next_at), ..waiting };
    store.apply(vec![Change::PutDelivery(dead)], Vec::new()).await.unwrap();

    for ahead in [Duration::ZERO, DAY * 40] {
        let without = node(BTreeMap::new(), ahead).await;
        swept().await;
        assert_eq!(counts(&operator(&without).await).await, (1, 1), "{ahead:?}");
    }
    // One whose clock is right, and that has heard of no node with this webhook for a month.
    drop(with);
    database.sql("UPDATE settings SET value = '1' WHERE name = 'webhook_configured:orders'");
    let without = node(BTreeMap::new(), Duration::ZERO).await;
    settled(&operator(&without).await, (0, 2)).await;
}

fn now_of(database: &testing::postgres::Database) -> Timestamp {
    let millis = database.sql("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    Timestamp(millis.trim().parse().unwrap())
}

/// As after `jotgate move`: the positions are another database's, and more was not told than is read at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_move_everything_that_was_not_told_yet_is_told_however_much_it_is() {
    let receiver = Receiver::new(|_| ok()).await;
    let site = site(named("orders", webhook(&receiver, &[Action::UserRegistered]))).await;
    site.register("told").await;
    receiver.tries(1).await;
    settled(&operator(&site).await, (0, 0)).await;
    let Site { dir, config, origin, clock, server, router } = site;
    drop((server, router));

    let store = Sqlite::open(&dir.path().join("jotgate.db"), Timestamp(START * 1000)).unwrap();
    let mut untold = vec![event(Action::UserRegistered)];
    untold.extend((0..10_050).map(|_| event(Action::LoginFailed)));
    untold.push(event(Action::UserRegistered));
    store.apply(untold, Vec::new()).await.unwrap();
    let mut cursor: Value =
        serde_json::from_str(&store.setting("webhook:orders").await.unwrap().unwrap()).unwrap();
    cursor["mark"] = json!("of another database");
    cursor["position"] = json!("987654:987654:");
    let moved = Change::PutSetting { name: "webhook:orders".to_owned(), value: cursor.to_string() };
    store.apply(vec![moved], Vec::new()).await.unwrap();
    drop(store);

    let site = Site::open(dir, config, origin, clock).await;
    let got = receiver.tries(3).await;
    assert!(got.iter().all(|one| one.kind() == "user.registered"), "{got:?}");
    // And from there on by position.
    site.register("later").await;
    receiver.tries(4).await;
    settled(&operator(&site).await, (0, 0)).await;
}

/// More hang than one client has places for: each has a client of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_that_hang_take_no_place_from_one_that_answers() {
    const HANGING: usize = 5;
    const EVENTS: usize = 40;
    let answers = Receiver::new(|_| ok()).await;
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", deaf.local_addr().unwrap());
    let hangs =
        |n: usize| (format!("a{n}"), Webhook { url: url.clone(), secrets: vec![secret(1)], events: None });
    let mut hooks: BTreeMap<_, _> = (0..HANGING).map(hangs).collect();
    hooks.insert("z".to_owned(), webhook(&answers, &[]));
    let site = site(hooks).await;
    let begun = std::time::Instant::now();
    let events = (0..EVENTS).map(|_| event(Action::LoginFailed)).collect();
    site.server.app().store.apply(events, Vec::new()).await.unwrap();
    answers.tries(EVENTS).await;
    // Those that hang are given up after 15 seconds, and would then make room.
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    let waiting = operator(&site).await.webhooks().await.unwrap();
    assert!(waiting[..HANGING].iter().all(|state| state.pending == EVENTS as u64), "{waiting:?}");
    drop(deaf);
}
