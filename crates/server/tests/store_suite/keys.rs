//! Keys, settings, and the audit trail.

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::key::StoredKey;
use jotgate_domain::store::{AuditQuery, Revocable, Revoked};
use jotgate_domain::{Change, Expect, SessionId, StoreError};

use super::fixture::*;

pub(crate) async fn settings_and_keys_are_replaced(store: &DynStore) {
    let key = |kid: &str, signs_at| StoredKey {
        kid: kid.to_owned(),
        algorithm: "EdDSA".to_owned(),
        sealed: vec![0, 1, 255],
        published_at: T0,
        signs_at,
        gone_at: None,
    };
    apply(store, [Change::PutKey(key("a", Some(T0))), Change::PutKey(key("b", None))]).await;
    apply(store, [Change::PutKey(key("b", Some(after(9))))]).await;
    let mut keys = store.keys().await.unwrap();
    keys.sort_by(|a, b| a.kid.cmp(&b.kid));
    assert_eq!(keys, [key("a", Some(T0)), key("b", Some(after(9)))]);
    apply(store, [Change::DeleteKey { kid: "a".into() }, Change::DeleteKey { kid: "none".into() }]).await;
    assert_eq!(store.keys().await.unwrap(), [key("b", Some(after(9)))]);

    assert_eq!(store.setting("x").await.unwrap(), None);
    for value in ["1", "2"] {
        apply(store, [Change::PutSetting { name: "x".into(), value: value.into() }]).await;
        assert_eq!(store.setting("x").await.unwrap().as_deref(), Some(value));
    }
    let put = async |expected: Option<&str>| {
        let expect = Expect::Setting { name: "x".into(), value: expected.map(str::to_owned) };
        store.apply(vec![Change::PutSetting { name: "x".into(), value: "3".into() }], vec![expect]).await
    };
    assert_eq!(put(None).await, Err(StoreError::Conflict));
    assert_eq!(put(Some("1")).await, Err(StoreError::Conflict));
    assert!(put(Some("2")).await.is_ok());
    assert_eq!(store.setting("x").await.unwrap().as_deref(), Some("3"));
    let absent = Expect::Setting { name: "y".into(), value: None };
    assert!(store.apply(vec![], vec![absent]).await.is_ok());
}

pub(crate) async fn a_revoked_key_is_in_the_log(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let key = |kid: &str, until| Revoked { what: Revocable::Key(kid.to_owned()), until };
    let applied = apply(store, [Change::RevokeKey { kid: "a".into(), until: after(5) }]).await;
    assert_eq!(applied.revoked, [key("a", after(5))]);
    let first = store.revocations(0).await.unwrap();
    assert_eq!(first.revoked, [key("a", after(5))]);
    apply(store, [Change::EndSession(begun.id), Change::RevokeKey { kid: "b".into(), until: after(9) }])
        .await;
    let rest = store.revocations(first.cursor).await.unwrap().revoked;
    assert!(rest.contains(&key("b", after(9))) && rest.len() >= 2, "{rest:?}");
    store.sweep(after(7), 10, 10).await.unwrap();
    let left = store.revocations(0).await.unwrap().revoked;
    assert!(!left.contains(&key("a", after(5))) && left.contains(&key("b", after(9))), "{left:?}");
}

pub(crate) async fn the_audit_trail_reads_in_order(store: &DynStore) {
    let alice = user("alice");
    let event = |n: u64, action, actor, user| Event {
        at: after(n),
        action,
        actor,
        user,
        session: Some(SessionId::new(T0, [3; 10])),
        address: "2001:db8::1".to_owned(),
        detail: format!("no. {n}"),
    };
    let events = [
        event(1, Action::LoginFailed, Actor::Anonymous, None),
        event(2, Action::LoginSucceeded, Actor::User(alice.id), Some(alice.id)),
        event(3, Action::UserDisabled, Actor::Operator, Some(alice.id)),
        Event { session: None, ..event(4, Action::KeyRotated, Actor::System, None) },
        event(5, Action::LoginFailed, Actor::Anonymous, Some(alice.id)),
    ];
    let mut positions = Vec::new();
    for event in &events {
        let nothing = store.audit_since(AuditQuery::default(), None).await.unwrap();
        assert!(nothing.entries.is_empty());
        positions.push(nothing.position);
        apply(store, [Change::Audit(event.clone())]).await;
    }
    let read = async |query: AuditQuery| -> Vec<Event> {
        let entries = store.audit(query).await.unwrap();
        assert!(entries.is_sorted_by_key(|entry| entry.id));
        entries.into_iter().map(|entry| entry.event).collect()
    };
    let all = AuditQuery { limit: 100, ..AuditQuery::default() };
    assert_eq!(read(all.clone()).await, events);
    assert_eq!(read(AuditQuery { limit: 2, ..all.clone() }).await, events[3..]);
    // By number, the oldest first.
    let entries = store.audit(all.clone()).await.unwrap();
    assert_eq!(store.audit_after(0, 2).await.unwrap(), entries[..2]);
    assert_eq!(store.audit_after(entries[1].id, 100).await.unwrap(), entries[2..]);
    // From a position on in pages of two, which may be asked for again; what comes meanwhile is in the last.
    let since = async |query: &AuditQuery, mut position: String| -> Vec<Event> {
        let mut read = Vec::new();
        loop {
            let page = store.audit_since(query.clone(), Some(&position)).await.unwrap();
            assert!(page.entries.len() <= query.limit as usize);
            assert!(page.entries.is_sorted_by_key(|entry| entry.id));
            if page.entries.is_empty() {
                return read;
            }
            read.extend(page.entries.into_iter().map(|entry| entry.event));
            position = page.position;
        }
    };
    let two = AuditQuery { limit: 2, ..all.clone() };
    for (n, position) in positions.iter().enumerate() {
        assert_eq!(since(&two, position.clone()).await, events[n..], "{n}");
        assert_eq!(since(&all, position.clone()).await, events[n..], "{n}");
    }
    let of_alice = AuditQuery { user: Some(alice.id), ..all.clone() };
    assert_eq!(read(of_alice.clone()).await, [&events[1..3], &events[4..]].concat());
    let third = &positions[2];
    assert_eq!(since(&of_alice, third.clone()).await, [&events[2..3], &events[4..]].concat());
    let failed = AuditQuery { action: Some(Action::LoginFailed), ..all };
    assert_eq!(read(failed.clone()).await, [events[0].clone(), events[4].clone()]);
    assert_eq!(since(&failed, third.clone()).await, events[4..]);
    let both = AuditQuery { action: Some(Action::LoginFailed), ..of_alice };
    assert_eq!(read(both).await, events[4..]);
}
