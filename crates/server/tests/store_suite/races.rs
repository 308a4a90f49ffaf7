//! What happens at the same time.

use std::collections::BTreeSet;

use jotgate_domain::refresh::Outcome;
use jotgate_domain::store::{Lookup, Unique};
use jotgate_domain::throttle::{Limit, Verdict};
use jotgate_domain::{Change, Expect, StoreError, User};

use super::fixture::*;
use super::throttle::{LIMIT, attempt};

/// Runs `count` futures at once and returns what each gave.
pub(super) async fn at_once<'a, T>(
    count: usize,
    mut one: impl FnMut(usize) -> futures::Boxed<'a, T>,
) -> Vec<T> {
    futures::join_all((0..count).map(&mut one).collect()).await
}

/// The little that these tests need of a futures library.
pub(super) mod futures {
    use std::future::{Future, poll_fn};
    use std::pin::Pin;
    use std::task::Poll;

    pub(in crate::store_suite) type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

    pub(super) async fn join_all<T>(mut all: Vec<Boxed<'_, T>>) -> Vec<T> {
        let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
        poll_fn(|context| {
            for (future, done) in all.iter_mut().zip(&mut done) {
                if done.is_none()
                    && let Poll::Ready(value) = future.as_mut().poll(context)
                {
                    *done = Some(value);
                }
            }
            if done.iter().all(Option::is_some) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        done.into_iter().flatten().collect()
    }
}

/// Attack 94.
pub(crate) async fn fifty_refreshes_of_one_token_make_one_successor(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    for round in 0..5_u32 {
        let generation = round + 1;
        let now = after(100 * u64::from(generation));
        let granted = at_once(50, |_| Box::pin(refresh(store, &begun, generation, now))).await;
        assert_eq!(granted.len(), 50);
        for granted in granted {
            assert_eq!(granted.generation, generation + 1);
        }
        assert_eq!(row(store, begun.id).await.unwrap().refresh.generation, generation + 1);
    }
    assert!(actions(store).await.is_empty());
    // And of one that is spent: the session ends once.
    let outcomes = at_once(50, |_| Box::pin(try_refresh(store, &begun, 1, after(9000)))).await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Reused { .. })).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Invalid)).count(), 49);
    assert_eq!(actions(store).await.len(), 1);
    assert_eq!(revoked(store).await.len(), 1);
}

pub(crate) async fn twenty_attempts_count_twenty(store: &DynStore) {
    let limit = Limit { free: 20, ..LIMIT };
    let attempts = at_once(20, |_| {
        Box::pin(store.attempt(jotgate_domain::store::Attempt { limit, ..attempt([5; 32], "alice", T0) }))
    })
    .await;
    assert!(attempts.iter().all(|attempted| attempted.as_ref().unwrap().verdict == Verdict::Granted));
    // Exactly twenty: one more is free of delay no longer.
    let one = async || {
        let attempt = jotgate_domain::store::Attempt { limit, ..attempt([5; 32], "alice", T0) };
        store.attempt(attempt).await.unwrap().verdict
    };
    assert_eq!(one().await, Verdict::Granted);
    assert_eq!(one().await, Verdict::Refused { retry_after: limit.first_delay });
    // With a limit that is passed in the race, no more get through than one after the other.
    let attempts = at_once(20, |_| Box::pin(store.attempt(attempt([6; 32], "alice", T0)))).await;
    let granted = attempts.iter().filter(|one| one.as_ref().unwrap().verdict == Verdict::Granted).count();
    assert_eq!(granted, 4);
}

pub(crate) async fn of_racing_updates_one_wins(store: &DynStore) {
    let (alice, _) = signed_in(store, "alice").await;
    let results = at_once(20, |n| {
        let changed =
            User { version: 2, claims: [("n".to_owned(), serde_json::json!(n))].into(), ..alice.clone() };
        Box::pin(store.apply(vec![Change::UpdateUser(changed)], vec![Expect::User(alice.id, 1)]))
    })
    .await;
    let winner = results.iter().position(Result::is_ok).unwrap();
    assert_eq!(results.iter().filter(|result| **result == Err(StoreError::Conflict)).count(), 19);
    let read = store.user(Lookup::Id(alice.id)).await.unwrap().unwrap();
    assert_eq!((read.version, read.claims.get("n")), (2, Some(&serde_json::json!(winner))));
    // A user disabled while a password was hashed gets no session.
    let late = vec![start(&session(&alice, T0))];
    assert_eq!(store.apply(late, vec![Expect::User(alice.id, 1)]).await, Err(StoreError::Conflict));
}

pub(crate) async fn of_racing_registrations_one_wins(store: &DynStore) {
    let results =
        at_once(20, |_| Box::pin(store.apply(vec![Change::CreateUser(user("alice"))], vec![]))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    let taken = Err(StoreError::Taken(Unique::Username));
    assert_eq!(results.iter().filter(|result| **result == taken).count(), 19);
    assert_eq!(store.users(None, 10).await.unwrap().len(), 1);
}

pub(crate) async fn racing_logins_keep_within_the_limit(store: &DynStore) {
    let alice = user("alice");
    apply(store, [Change::CreateUser(alice.clone())]).await;
    let applied = at_once(30, |n| {
        let session = session(&alice, after(n as u64));
        Box::pin(store.apply(vec![Change::StartSession { session, max_per_user: 5 }], vec![]))
    })
    .await;
    let applied: Vec<_> = applied.into_iter().map(Result::unwrap).collect();
    assert_eq!(applied.iter().map(|one| one.ended).sum::<u32>(), 25);
    let numbers: BTreeSet<u64> = applied.iter().flat_map(|one| one.status.clone()).collect();
    assert_eq!(numbers.len(), 30);
    assert_eq!(store.sessions(Some(alice.id), after(30), 100).await.unwrap().len(), 5);
    assert_eq!(revoked(store).await.len(), 25);
}

pub(crate) async fn a_change_wakes_whoever_waits(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let seen = store.changed(0).await;
    let waits = async |seen| {
        tokio::time::timeout(std::time::Duration::from_secs(5), store.changed(seen)).await.expect("not woken")
    };
    let ((one, two), _) = tokio::join!(async { tokio::join!(waits(seen), waits(seen)) }, async {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        apply(store, [Change::EndSession(begun.id)]).await
    });
    assert!(one > seen && two > seen);
    // Not missed by one who was busy when it came.
    assert!(waits(seen).await > seen);
    assert_eq!(revoked(store).await, [begun.status.unwrap()]);
}
