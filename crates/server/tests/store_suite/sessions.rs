//! Sessions: begun, read, displaced, renewed.

use jotgate_domain::audit::Action;
use jotgate_domain::session::RefreshState;
use jotgate_domain::store::AuditQuery;
use jotgate_domain::{Change, Session, StoreError};

use super::fixture::*;

pub(crate) async fn a_session_needs_a_user(store: &DynStore) {
    let nobody = user("nobody");
    assert_eq!(store.apply(vec![start(&session(&nobody, T0))], vec![]).await, Err(StoreError::Conflict));
    let (alice, begun) = signed_in(store, "alice").await;
    // An id or a handle that exists: with fresh ones the caller succeeds.
    let twin = Session { id: begun.id, ..session(&alice, T0) };
    assert_eq!(store.apply(vec![start(&twin)], vec![]).await, Err(StoreError::Conflict));
    let twin = Session { refresh: begun.refresh, ..session(&alice, T0) };
    assert_eq!(store.apply(vec![start(&twin)], vec![]).await, Err(StoreError::Conflict));
    assert_eq!(store.sessions(None, T0, 10).await.unwrap(), [begun]);
}

pub(crate) async fn a_session_is_read_with_its_user_while_it_lives(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let read = Some((begun.clone(), alice));
    let last = begun.idle_until.minus(std::time::Duration::from_millis(1));
    assert_eq!(store.session(begun.id, last).await.unwrap(), read);
    assert_eq!(store.session_by_handle(begun.refresh.handle_hash, last).await.unwrap(), read);
    assert_eq!(store.session(begun.id, begun.idle_until).await.unwrap(), None);
    assert_eq!(store.session_by_handle(begun.refresh.handle_hash, begun.idle_until).await.unwrap(), None);
    assert_eq!(store.session_by_handle(hash(), T0).await.unwrap(), None);
    assert_eq!(store.session(session(&user("x"), T0).id, T0).await.unwrap(), None);
}

pub(crate) async fn sessions_come_newest_use_first(store: &DynStore) {
    let (alice, first) = signed_in(store, "alice").await;
    let (_, theirs) = signed_in(store, "bob").await;
    let mut second = session(&alice, after(5));
    second.status = Some(apply(store, [start(&second)]).await.status[0]);
    assert_eq!(store.sessions(Some(alice.id), after(6), 10).await.unwrap(), [second.clone(), first.clone()]);
    let used = refresh(store, &first, 1, after(20)).await.session;
    assert_eq!(store.sessions(Some(alice.id), after(21), 10).await.unwrap(), [used.clone(), second]);
    assert_eq!(store.sessions(Some(alice.id), after(21), 1).await.unwrap(), std::slice::from_ref(&used));
    assert_eq!(store.sessions(None, after(21), 10).await.unwrap().len(), 3);
    // Only what lives.
    assert_eq!(store.sessions(None, theirs.idle_until.plus(GRACE), 10).await.unwrap(), [used]);
}

pub(crate) async fn the_oldest_sessions_are_displaced(store: &DynStore) {
    let alice = user("alice");
    apply(store, [Change::CreateUser(alice.clone())]).await;
    let (_, theirs) = signed_in(store, "bob").await;
    // One that has ended by itself takes no place.
    let mut begun = vec![Session { idle_until: after(1), ..session(&alice, T0) }];
    for n in 1..=4 {
        begun.push(session(&alice, after(n * 10)));
    }
    let mut numbers = vec![];
    for session in &begun[..4] {
        let applied =
            apply(store, [Change::StartSession { session: session.clone(), max_per_user: 3 }]).await;
        assert_eq!((applied.ended, applied.revoked.len()), (0, 0));
        numbers.extend(applied.status);
    }
    let applied = apply(store, [Change::StartSession { session: begun[4].clone(), max_per_user: 2 }]).await;
    assert_eq!(applied.ended, 2);
    let gone: Vec<u64> = status_numbers(&applied.revoked);
    assert_eq!(gone.len(), 2);
    assert!(gone.contains(&numbers[1]) && gone.contains(&numbers[2]));
    let left: Vec<_> =
        store.sessions(Some(alice.id), after(50), 10).await.unwrap().iter().map(|s| s.id).collect();
    assert_eq!(left, [begun[4].id, begun[3].id]);
    assert!(row(store, theirs.id).await.is_some());
    let told = AuditQuery { action: Some(Action::SessionDisplaced), limit: 10, ..AuditQuery::default() };
    let told = store.audit(told).await.unwrap();
    let mut sessions: Vec<_> = told.iter().map(|entry| entry.event.session.unwrap()).collect();
    sessions.sort_unstable();
    assert_eq!(sessions, [begun[1].id, begun[2].id]);
    assert!(told.iter().all(|entry| entry.event.user == Some(alice.id) && entry.event.at == after(40)));
    // A limit of one leaves the new one.
    let last = session(&alice, after(60));
    let applied = apply(store, [Change::StartSession { session: last.clone(), max_per_user: 1 }]).await;
    assert_eq!(applied.ended, 2);
    assert_eq!(store.sessions(Some(alice.id), after(60), 10).await.unwrap()[0].id, last.id);
}

pub(crate) async fn status_numbers_are_never_reused(store: &DynStore) {
    let alice = user("alice");
    apply(store, [Change::CreateUser(alice.clone())]).await;
    let mut numbers = vec![];
    for n in 0..5 {
        let session = session(&alice, after(n));
        numbers.extend(apply(store, [start(&session)]).await.status);
        apply(store, [Change::EndSession(session.id)]).await;
        store.sweep(T0.plus(MAX).plus(MAX), 0, 100).await.unwrap();
    }
    let two = [session(&alice, T0), session(&alice, T0)];
    numbers.extend(apply(store, [start(&two[0]), start(&two[1])]).await.status);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    assert_eq!(row(store, two[1].id).await.unwrap().status, numbers.last().copied());
}

pub(crate) async fn a_renewed_session_has_new_tokens_only(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let used = refresh(store, &begun, 1, after(60)).await.session;
    let other = session(&alice, T0);
    apply(store, [start(&other)]).await;
    let new = Session {
        refresh: RefreshState::new(hash()),
        access_until: after(100).plus(ACCESS),
        authenticated_at: after(100),
        last_used_at: after(100),
        idle_until: after(100).plus(IDLE),
        ..used.clone()
    };
    let applied = apply(store, [Change::RenewSession(new.clone())]).await;
    assert_eq!(applied.revoked.len(), 1);
    assert_eq!(status_numbers(&applied.revoked), [begun.status.unwrap()]);
    assert_eq!(applied.revoked[0].until, used.access_until.plus(jotgate_domain::status::REVOKED_MARGIN));
    assert_eq!((applied.ended, applied.status.len()), (0, 1));
    let renewed = row(store, begun.id).await.unwrap();
    assert_eq!(renewed, Session { status: Some(applied.status[0]), ..new });
    // Both earlier refresh tokens are strangers now, and do no harm.
    for generation in [1, 2] {
        let outcome = try_refresh(store, &begun, generation, after(200)).await;
        assert!(matches!(outcome, jotgate_domain::refresh::Outcome::Invalid));
    }
    assert_eq!(refresh(store, &renewed, 1, after(200)).await.generation, 2);
    // One that has ended meanwhile is a conflict.
    apply(store, [Change::EndSession(begun.id)]).await;
    assert_eq!(store.apply(vec![Change::RenewSession(renewed)], vec![]).await, Err(StoreError::Conflict));
}
