//! Every row of the rotation table against the real rows (see `jotgate_domain::refresh`).

use std::time::Duration;

use jotgate_domain::audit::{Action, Actor};
use jotgate_domain::refresh::{Outcome, Request};
use jotgate_domain::session::RefreshState;
use jotgate_domain::status::REVOKED_MARGIN;
use jotgate_domain::store::{AuditQuery, Revocable, Revoked};
use jotgate_domain::{Change, Session, Timestamp, User};

use super::fixture::*;

pub(crate) async fn row_1_a_fresh_token_rotates(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    // At once after the login too: no rotation, no grace.
    let mut now = T0;
    let mut expected = begun.refresh;
    for generation in 1..=5 {
        let granted = refresh(store, &begun, generation, now).await;
        assert_eq!(granted.generation, generation + 1);
        assert_eq!(granted.user, alice);
        expected = RefreshState {
            generation: generation + 1,
            previous: generation,
            first: generation + 1,
            rotated_at: Some(now),
            ..expected
        };
        assert_eq!(granted.session.refresh, expected);
        assert_eq!(row(store, begun.id).await, Some(granted.session));
        now = now.plus(GRACE);
    }
    assert!(actions(store).await.is_empty());
}

pub(crate) async fn row_2_inside_the_grace_it_repeats(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let rotated = refresh(store, &begun, 1, after(100)).await.session;
    for seconds in [100, 105, 109] {
        let granted = refresh(store, &begun, 2, after(seconds)).await;
        assert_eq!(granted.generation, 2);
        assert_eq!(granted.session, rotated);
    }
    // A clock that went back counts as inside it.
    assert_eq!(refresh(store, &begun, 2, after(50)).await.generation, 2);
    assert_eq!(row(store, begun.id).await, Some(rotated));
    assert_eq!(refresh(store, &begun, 2, after(110)).await.generation, 3);
    assert!(actions(store).await.is_empty());
}

pub(crate) async fn row_3_the_spent_one_converges_inside_the_grace(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let rotated = refresh(store, &begun, 1, after(100)).await.session;
    for seconds in [100, 104, 109] {
        assert_eq!(refresh(store, &begun, 1, after(seconds)).await.generation, 2);
    }
    assert_eq!(row(store, begun.id).await, Some(rotated));
    assert!(actions(store).await.is_empty());
}

pub(crate) async fn row_4_a_lost_answer_gets_a_sibling(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    refresh(store, &begun, 1, after(100)).await;
    let granted = refresh(store, &begun, 1, after(110)).await;
    assert_eq!(granted.generation, 3);
    let state = granted.session.refresh;
    assert_eq!((state.generation, state.previous, state.first), (3, 1, 2));
    assert_eq!(state.rotated_at, Some(after(110)));
    assert_eq!(row(store, begun.id).await, Some(granted.session));
    let told = store.audit(AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.action, Action::RefreshSibling);
    assert_eq!(told[0].event.actor, Actor::User(alice.id));
    assert_eq!(told[0].event.session, Some(begun.id));
    assert_eq!(told[0].event.address, "192.0.2.1");
}

pub(crate) async fn row_4_any_sibling_may_be_used_once(store: &DynStore) {
    for used in [2, 3, 4] {
        let (_, begun) = signed_in(store, &format!("user-{used}")).await;
        // 2, 3 and 4 were minted from 1.
        for n in 0..3 {
            assert_eq!(refresh(store, &begun, 1, after(100 + 10 * n)).await.generation, 2 + n as u32);
        }
        let granted = refresh(store, &begun, used, after(200)).await;
        assert_eq!((granted.generation, granted.session.refresh.first), (5, 5));
        // The one that was used converges; the others are spent.
        assert_eq!(refresh(store, &begun, used, after(205)).await.generation, 5);
        let spent = if used == 2 { 3 } else { 2 };
        assert!(matches!(try_refresh(store, &begun, spent, after(205)).await, Outcome::Reused { .. }));
    }
}

pub(crate) async fn row_5_a_database_that_went_back_catches_up(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let granted = refresh(store, &begun, 7, after(1)).await;
    assert_eq!(granted.generation, 8);
    let state = granted.session.refresh;
    assert_eq!((state.generation, state.previous, state.first), (8, 7, 8));
    assert_eq!(row(store, begun.id).await, Some(granted.session));
    assert_eq!(actions(store).await, [Action::DatabaseWentBack]);
}

pub(crate) async fn row_6_a_spent_token_ends_the_session(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let (_, theirs) = signed_in(store, "bob").await;
    refresh(store, &begun, 1, after(100)).await;
    let last = refresh(store, &begun, 2, after(110)).await.session;
    // Two generations old, however recent (attack 96).
    let Outcome::Reused { session, revoked: entries } = try_refresh(store, &begun, 1, after(110)).await
    else {
        panic!("a spent token was accepted");
    };
    assert_eq!(*session, last);
    let entry = Revoked {
        what: Revocable::Status(begun.status.unwrap()),
        until: last.access_until.plus(REVOKED_MARGIN),
    };
    assert_eq!(entries, std::slice::from_ref(&entry));
    assert_eq!(store.revocations(0).await.unwrap().revoked, [entry]);
    assert_eq!(row(store, begun.id).await, None);
    for generation in 0..5 {
        assert!(matches!(try_refresh(store, &begun, generation, after(111)).await, Outcome::Invalid));
    }
    let told =
        store.audit(AuditQuery { user: Some(alice.id), limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.action, Action::RefreshReused);
    assert_eq!(told[0].event.session, Some(begun.id));
    assert!(row(store, theirs.id).await.is_some());
}

pub(crate) async fn a_refresh_is_refused_without_a_trace(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let refused = async |request: Request| {
        assert!(matches!(store.refresh(request).await.unwrap(), Outcome::Invalid));
        assert_eq!(row(store, begun.id).await, Some(begun.clone()));
    };
    let good = request(&begun, 1, after(1));
    refused(Request { handle_hash: hash(), ..good.clone() }).await;
    // Another client's token is not harmed by it, spent or not (attack 102).
    refused(Request { client_id: "other".into(), ..good.clone() }).await;
    refused(Request { client_id: "other".into(), generation: 0, ..good.clone() }).await;
    refused(Request { now: begun.idle_until, ..good.clone() }).await;
    refused(Request { now: begun.expires_at, ..good.clone() }).await;
    let disabled = User { disabled_at: Some(T0), version: 2, ..alice.clone() };
    apply(store, [Change::UpdateUser(disabled.clone())]).await;
    refused(good.clone()).await;
    refused(Request { generation: 0, ..good.clone() }).await;
    assert!(actions(store).await.is_empty());
    assert!(revoked(store).await.is_empty());
    apply(store, [Change::UpdateUser(User { disabled_at: None, version: 3, ..disabled })]).await;
    assert!(matches!(store.refresh(good.clone()).await.unwrap(), Outcome::Granted(_)));
    apply(store, [Change::DeleteUser(alice.id)]).await;
    assert!(matches!(store.refresh(good).await.unwrap(), Outcome::Invalid));
}

pub(crate) async fn a_refresh_moves_the_ends(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let first = refresh(store, &begun, 1, after(100)).await.session;
    assert_eq!(first.last_used_at, after(100));
    assert_eq!(first.idle_until, after(100).plus(IDLE));
    assert_eq!(first.access_until, after(100).plus(ACCESS));
    assert_eq!((first.expires_at, first.created_at), (begun.expires_at, begun.created_at));
    assert_eq!(first.status, begun.status);
    // A lowered lifetime of access tokens: the older ones live longer.
    let lowered = Request { access_until: after(120), ..request(&begun, 2, after(110)) };
    let Outcome::Granted(second) = store.refresh(lowered).await.unwrap() else { panic!("refused") };
    assert_eq!(second.session.access_until, first.access_until);
    // Never beyond the absolute end (attack 105), though it is used all the time.
    let mut now = after(200);
    let mut generation = 3;
    while now < begun.expires_at {
        let granted = refresh(store, &begun, generation, now).await;
        assert_eq!(granted.session.idle_until, now.plus(IDLE).min(begun.expires_at));
        generation = granted.generation;
        now = now.plus(Duration::from_secs(13 * 24 * 3600));
    }
    let last = begun.expires_at.minus(Duration::from_millis(1));
    let granted = refresh(store, &begun, generation, last).await;
    assert_eq!(granted.session.idle_until, begun.expires_at);
    assert!(matches!(
        try_refresh(store, &begun, granted.generation, begun.expires_at).await,
        Outcome::Invalid
    ));
}

pub(crate) async fn a_refresh_takes_a_fresh_entry_after_a_revocation(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let far = Request { access_until: after(9000), ..request(&begun, 1, after(10)) };
    store.refresh(far).await.unwrap();
    apply(store, [Change::RevokeTokens(begun.id)]).await;
    let granted = refresh(store, &begun, 2, after(100)).await;
    assert!(granted.session.status.unwrap() > begun.status.unwrap());
    // Nothing else was signed under the new one.
    assert_eq!(granted.session.access_until, after(100).plus(ACCESS));
    assert_eq!(row(store, begun.id).await, Some(granted.session.clone()));
    let next = refresh(store, &begun, 3, after(200)).await;
    assert_eq!(next.session.status, granted.session.status);
}

pub(crate) async fn a_repeat_takes_a_fresh_entry_too(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let rotated = refresh(store, &begun, 1, after(100)).await.session;
    apply(store, [Change::RevokeTokens(begun.id)]).await;
    let granted = refresh(store, &begun, 2, after(101)).await;
    assert_eq!(granted.generation, 2);
    assert!(granted.session.status.unwrap() > begun.status.unwrap());
    assert_eq!(granted.session.access_until, after(101).plus(ACCESS));
    assert_eq!(granted.session.refresh, rotated.refresh);
    assert_eq!(row(store, begun.id).await, Some(granted.session.clone()));
    let ended = apply(store, [Change::EndSession(begun.id)]).await;
    assert_eq!(status_numbers(&ended.revoked), [granted.session.status.unwrap()]);
}

pub(crate) async fn a_repeat_from_elsewhere_is_told_once(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let from = async |generation, seconds, address: &str, agent: &str| {
        let request = Request {
            address: address.into(),
            user_agent: agent.into(),
            ..request(&begun, generation, after(seconds))
        };
        match store.refresh(request).await.unwrap() {
            Outcome::Granted(granted) => granted,
            other => panic!("{other:?}"),
        }
    };
    // A rotation from elsewhere is what travelling looks like.
    from(1, 100, "198.51.100.7", "Firefox").await;
    assert!(actions(store).await.is_empty());
    from(1, 101, "198.51.100.7", "Firefox").await;
    assert!(actions(store).await.is_empty());
    // A repeat from where the session began is elsewhere now.
    from(1, 102, "192.0.2.1", "Firefox").await;
    let told = store.audit(AuditQuery { limit: 9, ..AuditQuery::default() }).await.unwrap();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].event.action, Action::RefreshRepeatedElsewhere);
    assert_eq!(told[0].event.address, "192.0.2.1");
    assert!(told[0].event.detail.contains("198.51.100.7"), "{}", told[0].event.detail);
    for n in 0..5 {
        from(2, 103 + n, "203.0.113.9", "curl").await;
    }
    assert_eq!(actions(store).await.len(), 1);
    // The next rotation begins anew; another agent at the same address counts as well.
    from(2, 200, "198.51.100.7", "Firefox").await;
    from(2, 201, "198.51.100.7", "Firefox").await;
    assert_eq!(actions(store).await.len(), 1);
    from(3, 202, "198.51.100.7", "curl").await;
    assert_eq!(actions(store).await, [Action::RefreshRepeatedElsewhere; 2]);
    // What it is compared with does not show in the session itself.
    let read: Session = row(store, begun.id).await.unwrap();
    assert_eq!((read.address.as_str(), read.user_agent.as_str()), ("192.0.2.1", "Firefox"));
    assert_eq!(read.refresh.rotated_at, Some(Timestamp(after(200).0)));
}
