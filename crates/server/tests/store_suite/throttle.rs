//! Throttles: counted in one step with the reading of the user.

use std::time::Duration;

use jotgate_domain::Change;
use jotgate_domain::store::{Attempt, Lookup};
use jotgate_domain::throttle::{BucketKey, Limit, Verdict};

use super::fixture::*;

pub(crate) const LIMIT: Limit = Limit {
    free: 3,
    first_delay: Duration::from_secs(1),
    longest_delay: Duration::from_secs(300),
    forgive_every: Duration::from_secs(60),
};

pub(crate) fn attempt(bucket: BucketKey, name: &str, now: jotgate_domain::Timestamp) -> Attempt {
    Attempt { bucket, limit: LIMIT, lookup: Lookup::Name(user(name).username.canonical()), now }
}

pub(crate) async fn tries_are_counted_and_delayed(store: &DynStore) {
    let alice = user("alice");
    apply(store, [Change::CreateUser(alice.clone())]).await;
    let try_at = async |bucket, now| {
        let attempted = store.attempt(attempt(bucket, "alice", now)).await.unwrap();
        assert_eq!(attempted.user.as_ref(), Some(&alice));
        attempted.verdict
    };
    for _ in 0..4 {
        assert_eq!(try_at([1; 32], T0).await, Verdict::Granted);
    }
    let refused = Verdict::Refused { retry_after: Duration::from_secs(1) };
    for _ in 0..10 {
        assert_eq!(try_at([1; 32], T0).await, refused);
    }
    assert_eq!(try_at([2; 32], T0).await, Verdict::Granted);
    // Refused tries were not counted: the fifth counts five.
    assert_eq!(try_at([1; 32], after(1)).await, Verdict::Granted);
    assert_eq!(try_at([1; 32], after(1)).await, Verdict::Refused { retry_after: Duration::from_secs(2) });
    // All is forgiven in time.
    for _ in 0..4 {
        assert_eq!(try_at([1; 32], after(3600)).await, Verdict::Granted);
    }
    assert_eq!(try_at([1; 32], after(3600)).await, refused);
}

pub(crate) async fn a_cleared_bucket_is_as_new(store: &DynStore) {
    let spend = async || {
        let mut granted = 0;
        while store.attempt(attempt([1; 32], "alice", T0)).await.unwrap().verdict == Verdict::Granted {
            granted += 1;
        }
        granted
    };
    assert_eq!(spend().await, 4);
    assert_eq!(spend().await, 0);
    apply(store, [Change::ClearThrottle([2; 32])]).await;
    assert_eq!(spend().await, 0);
    apply(store, [Change::ClearThrottle([1; 32])]).await;
    assert_eq!(spend().await, 4);
}

pub(crate) async fn an_unknown_name_is_counted_like_any_other(store: &DynStore) {
    for n in 0..5 {
        let attempted = store.attempt(attempt([9; 32], "nobody", T0)).await.unwrap();
        assert_eq!(attempted.user, None);
        assert_eq!(attempted.verdict == Verdict::Granted, n < 4);
    }
}
