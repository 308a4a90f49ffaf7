//! The revocation log: every ended session and revoked token is in it, in order.

use jotgate_domain::status::REVOKED_MARGIN;
use jotgate_domain::store::{Applied, Revocable, Revoked};
use jotgate_domain::{Change, Session};

use super::fixture::*;

pub(crate) async fn ending_sessions_revokes_their_entries(store: &DynStore) {
    let (alice, first) = signed_in(store, "alice").await;
    let (_, theirs) = signed_in(store, "bob").await;
    let others = [session(&alice, after(1)), session(&alice, after(2))];
    let numbers = apply(store, [start(&others[0]), start(&others[1])]).await.status;
    let entry = |session: &Session, status| Revoked {
        what: Revocable::Status(status),
        until: session.access_until.plus(REVOKED_MARGIN),
    };

    let applied = apply(store, [Change::EndSession(first.id)]).await;
    let ended = vec![entry(&first, first.status.unwrap())];
    assert_eq!(applied, Applied { revoked: ended.clone(), status: vec![], ended: 1 });
    let page = store.revocations(0).await.unwrap();
    assert_eq!(page.revoked, ended);

    let except = Change::EndSessionsOf { user: alice.id, except: Some(others[1].id) };
    let applied = apply(store, [except.clone()]).await;
    assert_eq!(applied.revoked, [entry(&others[0], numbers[0])]);
    assert_eq!(news(store, page.cursor, &page.revoked).await, applied.revoked);
    assert_eq!(apply(store, [except]).await, Applied::default());
    let all = apply(store, [Change::EndSessionsOf { user: alice.id, except: None }]).await;
    assert_eq!(all.revoked, [entry(&others[1], numbers[1])]);
    assert_eq!(revoked(store).await, [first.status.unwrap(), numbers[0], numbers[1]]);
    assert_eq!(store.sessions(None, after(3), 10).await.unwrap(), [theirs]);
}

pub(crate) async fn ending_what_is_not_there_is_nothing(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    apply(store, [Change::EndSession(begun.id)]).await;
    let changes = [
        Change::EndSession(begun.id),
        Change::EndSessionsOf { user: alice.id, except: None },
        Change::RevokeTokens(begun.id),
        Change::RevokeTokensOf(alice.id),
        Change::DeleteUser(user("nobody").id),
    ];
    assert_eq!(apply(store, changes).await, Applied::default());
    assert_eq!(revoked(store).await.len(), 1);
}

pub(crate) async fn revoked_tokens_leave_the_session(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let applied = apply(store, [Change::RevokeTokens(begun.id), Change::RevokeTokens(begun.id)]).await;
    assert_eq!(applied.ended, 0);
    assert_eq!(applied.revoked.len(), 1);
    assert_eq!(applied.revoked[0].what, Revocable::Status(begun.status.unwrap()));
    assert_eq!(row(store, begun.id).await, Some(Session { status: None, ..begun.clone() }));
    // What has no entry has no tokens to revoke when it ends.
    let applied = apply(store, [Change::EndSession(begun.id)]).await;
    assert_eq!(applied, Applied { ended: 1, ..Applied::default() });
}

pub(crate) async fn all_tokens_of_a_user_are_revoked(store: &DynStore) {
    let (alice, first) = signed_in(store, "alice").await;
    let (_, theirs) = signed_in(store, "bob").await;
    let second = session(&alice, T0);
    apply(store, [start(&second)]).await;
    let applied = apply(store, [Change::RevokeTokensOf(alice.id)]).await;
    assert_eq!((applied.ended, applied.revoked.len()), (0, 2));
    for id in [first.id, second.id] {
        assert_eq!(row(store, id).await.unwrap().status, None);
    }
    assert_eq!(row(store, theirs.id).await.unwrap().status, theirs.status);
    assert_eq!(apply(store, [Change::RevokeTokensOf(alice.id)]).await, Applied::default());
}

pub(crate) async fn the_log_is_read_from_a_position(store: &DynStore) {
    assert_eq!(revoked(store).await, Vec::<u64>::new());
    let mut cursor = store.revocations(0).await.unwrap().cursor;
    let mut known = vec![];
    for name in ["a", "b", "c"] {
        let (_, begun) = signed_in(store, name).await;
        let ended = apply(store, [Change::EndSession(begun.id)]).await.revoked;
        let page = store.revocations(cursor).await.unwrap();
        assert_eq!(news(store, cursor, &known).await, ended);
        known.extend(ended);
        assert_eq!(news(store, page.cursor, &known).await, []);
        cursor = page.cursor;
    }
    // A position stays behind what comes later, also when everything before it was swept.
    store.sweep(T0.plus(MAX), 1000, 1000).await.unwrap();
    assert_eq!(revoked(store).await, Vec::<u64>::new());
    let (_, begun) = signed_in(store, "d").await;
    let ended = apply(store, [Change::EndSession(begun.id)]).await.revoked;
    assert_eq!(news(store, cursor, &known).await, ended);
}

pub(crate) async fn an_unknown_position_reads_everything(store: &DynStore) {
    let (_, begun) = signed_in(store, "alice").await;
    let ended = apply(store, [Change::EndSession(begun.id)]).await.revoked;
    let page = store.revocations(i64::MAX).await.unwrap();
    assert_eq!(page.revoked, ended);
    assert_eq!(news(store, page.cursor, &ended).await, []);
}
