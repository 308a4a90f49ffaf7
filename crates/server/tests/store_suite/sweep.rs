//! The sweeper takes what no rule asks for, and nothing else.

use std::time::Duration;

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::store::AuditQuery;
use jotgate_domain::throttle::Verdict;
use jotgate_domain::{Change, Session};

use super::fixture::*;
use super::throttle::attempt;

pub(crate) async fn the_sweeper_takes_what_has_ended(store: &DynStore) {
    let (alice, lives) = signed_in(store, "alice").await;
    let idle = Session { idle_until: after(500), ..session(&alice, T0) };
    let expired = Session { expires_at: after(500), ..session(&alice, T0) };
    let ended = session(&alice, T0);
    apply(store, [start(&idle), start(&expired), start(&ended), Change::EndSession(ended.id)]).await;
    for _ in 0..5 {
        store.attempt(attempt([1; 32], "alice", T0)).await.unwrap();
    }
    // Nothing is due.
    assert_eq!(store.sweep(T0, 100, 100).await.unwrap(), 0);
    assert_eq!(revoked(store).await.len(), 1);
    let blocked = store.attempt(attempt([1; 32], "alice", T0)).await.unwrap();
    assert_ne!(blocked.verdict, Verdict::Granted);
    // Two sessions; the throttle, all of whose tries are forgiven; then the entry of the log.
    assert_eq!(store.sweep(after(500), 100, 100).await.unwrap(), 3);
    for id in [idle.id, expired.id] {
        assert_eq!(row(store, id).await, None);
    }
    assert_eq!(revoked(store).await.len(), 1);
    assert_eq!(store.sweep(after(721), 100, 100).await.unwrap(), 1);
    assert!(revoked(store).await.is_empty());
    assert_eq!(store.sweep(after(721), 100, 100).await.unwrap(), 0);
    assert_eq!(row(store, lives.id).await, Some(lives.clone()));
    // A session that ended by itself needs no entry: its tokens ended before.
    assert_eq!(store.sweep(lives.expires_at, 100, 100).await.unwrap(), 1);
    assert!(revoked(store).await.is_empty());
}

pub(crate) async fn the_sweeper_puts_off_what_was_used(store: &DynStore) {
    let (alice, used) = signed_in(store, "alice").await;
    let mut idle = vec![];
    for n in 0..9 {
        idle.push(session(&alice, after(n)));
    }
    apply(store, idle.iter().map(start).collect::<Vec<_>>()).await;
    let half = T0.plus(Duration::from_secs(7 * 24 * 3600));
    let used = refresh(store, &used, 1, half).await.session;
    // In batches smaller than what is due, and beyond the one in use that comes first.
    let due = after(10).plus(IDLE);
    let mut gone = vec![];
    loop {
        match store.sweep(due, 100, 4).await.unwrap() {
            0 => break,
            n => gone.push(n),
        }
    }
    assert_eq!(gone.iter().sum::<u64>(), 9);
    assert!(gone.iter().all(|n| *n <= 4), "{gone:?}");
    assert_eq!(store.sessions(None, due, 100).await.unwrap(), std::slice::from_ref(&used));
    assert_eq!(store.sweep(used.idle_until.minus(GRACE), 100, 4).await.unwrap(), 0);
    assert_eq!(store.sweep(used.idle_until, 100, 4).await.unwrap(), 1);
    assert_eq!(row(store, used.id).await, None);
}

pub(crate) async fn the_audit_trail_is_bounded(store: &DynStore) {
    for n in 0..20 {
        let event = Event {
            at: after(n),
            action: Action::LoginFailed,
            actor: Actor::Anonymous,
            user: None,
            session: None,
            address: String::new(),
            detail: n.to_string(),
        };
        apply(store, [Change::Audit(event)]).await;
    }
    let details = async || -> Vec<String> {
        let all = store.audit(AuditQuery { limit: 100, ..AuditQuery::default() }).await.unwrap();
        all.into_iter().map(|entry| entry.event.detail).collect()
    };
    assert_eq!(store.sweep(T0, 20, 100).await.unwrap(), 0);
    assert_eq!(store.sweep(T0, 5, 10).await.unwrap(), 10);
    assert_eq!(store.sweep(T0, 5, 10).await.unwrap(), 5);
    assert_eq!(store.sweep(T0, 5, 10).await.unwrap(), 0);
    assert_eq!(details().await, ["15", "16", "17", "18", "19"]);
    let newest = store.audit(AuditQuery { limit: 1, ..AuditQuery::default() }).await.unwrap()[0].id;
    let position = store.audit_since(AuditQuery::default(), None).await.unwrap().position;
    // Ids go on growing when all are gone.
    store.sweep(T0, 0, 100).await.unwrap();
    assert!(details().await.is_empty());
    let (_, begun) = signed_in(store, "alice").await;
    refresh(store, &begun, 5, T0).await;
    let query = AuditQuery { limit: 9, ..AuditQuery::default() };
    let all = store.audit_since(query, Some(&position)).await.unwrap().entries;
    assert_eq!(all.len(), 1);
    assert!(all[0].id > newest);
}
