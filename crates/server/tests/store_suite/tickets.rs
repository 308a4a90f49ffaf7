//! Tickets: once, whoever comes for them at the same time.

use jotgate_domain::sso::{self, TICKET_TTL, Ticket};
use jotgate_domain::{Change, Expect, Session, StoreError};

use super::fixture::*;
use super::races::at_once;

fn ticket(session: &Session) -> Ticket {
    Ticket {
        hash: hash(),
        session: session.id,
        origin: "https://shop.other.test".to_owned(),
        binding: [9; 32],
        expires_at: T0.plus(TICKET_TTL),
    }
}

pub(crate) async fn a_ticket_is_taken_once(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let given = ticket(&begun);
    let (changes, expect) = sso::give(given.clone());
    store.apply(changes, expect).await.unwrap();
    assert_eq!(store.ticket(given.hash).await.unwrap(), Some(given.clone()));
    assert_eq!(store.ticket(hash()).await.unwrap(), None);
    let take = || store.apply(vec![Change::TakeTicket(given.hash)], vec![Expect::Ticket(given.hash)]);
    take().await.unwrap();
    assert_eq!(store.ticket(given.hash).await.unwrap(), None);
    assert_eq!(take().await, Err(StoreError::Conflict));
    // A session that has ended gets none.
    apply(store, [Change::EndSession(begun.id)]).await;
    let (changes, expect) = sso::give(ticket(&begun));
    assert_eq!(store.apply(changes, expect).await, Err(StoreError::Conflict));
}

pub(crate) async fn of_racing_redemptions_one_wins(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    for _ in 0..5 {
        let given = ticket(&begun);
        apply(store, [Change::PutTicket(given.clone())]).await;
        let policy = jotgate_domain::config::Policy::default();
        let results = at_once(20, |_| {
            let (changes, expect) = sso::redeem(&given, &alice, false, &policy, T0, String::new());
            Box::pin(store.apply(changes, expect))
        })
        .await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        assert_eq!(results.iter().filter(|result| **result == Err(StoreError::Conflict)).count(), 19);
    }
    assert_eq!(actions(store).await.len(), 5);
}

/// A token outlives what the row knew of: its revocation must not be forgotten before it.
pub(crate) async fn extended_tokens_are_remembered_as_long_as_they_live(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let later = begun.access_until.plus(ACCESS);
    let extend = |access_until| Change::ExtendTokens { session: begun.id, access_until };
    assert_eq!(apply(store, [extend(later)]).await.status, [begun.status.unwrap()]);
    // Never shortened.
    apply(store, [extend(T0)]).await;
    assert_eq!(row(store, begun.id).await.unwrap().access_until, later);
    // After its tokens were revoked it takes a fresh entry.
    let revoked = apply(store, [Change::RevokeTokensOf(alice.id)]).await.revoked;
    assert!(revoked[0].until > later);
    let fresh = apply(store, [extend(later)]).await.status;
    assert_ne!(fresh, [begun.status.unwrap()]);
    assert_eq!(row(store, begun.id).await.unwrap().status, Some(fresh[0]));
    apply(store, [Change::EndSession(begun.id)]).await;
    assert_eq!(store.apply(vec![extend(later)], vec![]).await, Err(StoreError::Conflict));
}

pub(crate) async fn the_sweeper_takes_expired_tickets(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let given: Vec<Ticket> = (0..5).map(|_| ticket(&begun)).collect();
    apply(store, given.iter().cloned().map(Change::PutTicket).collect::<Vec<_>>()).await;
    assert_eq!(store.sweep(after(59), 100, 100).await.unwrap(), 0);
    assert_eq!(store.sweep(after(60), 100, 3).await.unwrap(), 3);
    assert_eq!(store.sweep(after(60), 100, 3).await.unwrap(), 2);
    for ticket in given {
        assert_eq!(store.ticket(ticket.hash).await.unwrap(), None);
    }
}
