//! Users: found, unique, versioned, deleted.

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::name::RoleName;
use jotgate_domain::store::{Lookup, Unique};
use jotgate_domain::{Change, Expect, StoreError, User};
use serde_json::json;

use super::fixture::*;

pub(crate) async fn a_user_is_found_by_id_name_and_email(store: &DynStore) {
    let alice = proven("Alice@Example.org", user("Alice"));
    let bob = user("bob");
    apply(store, [Change::CreateUser(alice.clone()), Change::CreateUser(bob.clone())]).await;
    let by = async |lookup| store.user(lookup).await.unwrap();
    assert_eq!(by(Lookup::Id(alice.id)).await, Some(alice.clone()));
    assert_eq!(by(Lookup::Name(alice.username.canonical())).await, Some(alice.clone()));
    assert_eq!(by(Lookup::Email(alice.email.as_ref().unwrap().canonical())).await, Some(alice));
    assert_eq!(by(Lookup::Name(bob.username.canonical())).await, Some(bob));
    assert_eq!(by(Lookup::Id(user("x").id)).await, None);
    assert_eq!(by(Lookup::Name(user("carol").username.canonical())).await, None);
    assert_eq!(by(Lookup::Email(email("bob@example.org").unwrap().canonical())).await, None);
}

pub(crate) async fn a_user_reads_back_as_it_was_written(store: &DynStore) {
    let full = User {
        email: email("full@example.org"),
        email_verified_at: Some(after(1)),
        password_changed_at: Some(after(2)),
        roles: ["z", "a:b.c_d-e", "m"].map(|role| RoleName::from_stored(role.to_owned())).to_vec(),
        claims: [
            ("team".to_owned(), json!({"n": [1, 2.5, null, "ü\u{1f600}"]})),
            ("vip".to_owned(), json!(true)),
        ]
        .into(),
        disabled_at: Some(after(3)),
        version: 7,
        ..user("Füll Name")
    };
    let empty = User { password_hash: None, password_changed_at: None, roles: vec![], ..user("empty") };
    apply(store, [Change::CreateUser(full.clone()), Change::CreateUser(empty.clone())]).await;
    for written in [full, empty] {
        assert_eq!(store.user(Lookup::Id(written.id)).await.unwrap(), Some(written));
    }
}

pub(crate) async fn names_and_addresses_are_unique(store: &DynStore) {
    let alice = proven("a@example.org", user("alice"));
    let bob = user("bob");
    apply(store, [Change::CreateUser(alice.clone()), Change::CreateUser(bob.clone())]).await;
    let refused = async |change| store.apply(vec![change], vec![]).await.unwrap_err();
    let other = User { username: user("ALICE").username, ..user("x") };
    assert_eq!(refused(Change::CreateUser(other)).await, StoreError::Taken(Unique::Username));
    let other = proven("A@EXAMPLE.org", user("carol"));
    assert_eq!(refused(Change::CreateUser(other)).await, StoreError::Taken(Unique::Email));
    let renamed = User { username: alice.username.clone(), version: 2, ..bob.clone() };
    assert_eq!(refused(Change::UpdateUser(renamed)).await, StoreError::Taken(Unique::Username));
    let moved = User { version: 2, ..proven("a@example.org", bob.clone()) };
    assert_eq!(refused(Change::UpdateUser(moved)).await, StoreError::Taken(Unique::Email));
    // The same id again is no name that somebody has.
    let twin = User { username: user("twin").username, email: None, ..alice.clone() };
    assert_eq!(refused(Change::CreateUser(twin)).await, StoreError::Conflict);
    assert_eq!(store.users(None, 10).await.unwrap(), [alice, bob]);
}

/// A stranger who types somebody's address takes nothing from them, before or after they prove it.
pub(crate) async fn an_unproven_address_is_nobodys(store: &DynStore) {
    let squatter = User { email: email("a@example.org"), ..user("squatter") };
    let owner = User { email: email("a@example.org"), ..user("owner") };
    apply(store, [Change::CreateUser(squatter.clone()), Change::CreateUser(owner.clone())]).await;
    let lookup = Lookup::Email(email("a@example.org").unwrap().canonical());
    assert_eq!(store.user(lookup.clone()).await.unwrap(), None);
    let owner = User { version: 2, ..proven("a@example.org", owner) };
    apply(store, [Change::UpdateUser(owner.clone())]).await;
    assert_eq!(store.user(lookup.clone()).await.unwrap(), Some(owner));
    let late = User { version: 2, ..proven("a@example.org", squatter) };
    let refused = store.apply(vec![Change::UpdateUser(late)], vec![]).await.unwrap_err();
    assert_eq!(refused, StoreError::Taken(Unique::Email));
}

pub(crate) async fn a_user_without_address_is_no_obstacle(store: &DynStore) {
    for name in ["a", "b", "c"] {
        apply(store, [Change::CreateUser(user(name))]).await;
    }
    assert_eq!(store.users(None, 10).await.unwrap().len(), 3);
}

pub(crate) async fn an_update_needs_the_version_it_was_decided_on(store: &DynStore) {
    let first = user("alice");
    apply(store, [Change::CreateUser(first.clone())]).await;
    let second = User { roles: vec![], version: 2, ..first.clone() };
    let update = |user: &User, decided_on| {
        store.apply(vec![Change::UpdateUser(user.clone())], vec![Expect::User(user.id, decided_on)])
    };
    update(&second, 1).await.unwrap();
    // Decided on what is no longer so: with the expectation, and by the version in the change itself.
    let late = User { disabled_at: Some(T0), version: 2, ..first.clone() };
    assert_eq!(update(&late, 1).await, Err(StoreError::Conflict));
    assert_eq!(store.apply(vec![Change::UpdateUser(late)], vec![]).await, Err(StoreError::Conflict));
    let skipping = User { version: 4, ..second.clone() };
    assert_eq!(update(&skipping, 2).await, Err(StoreError::Conflict));
    assert_eq!(update(&User { version: 2, ..user("nobody") }, 1).await, Err(StoreError::Conflict));
    assert_eq!(store.user(Lookup::Id(first.id)).await.unwrap(), Some(second));
}

pub(crate) async fn a_failed_list_of_changes_leaves_nothing(store: &DynStore) {
    let (alice, begun) = signed_in(store, "alice").await;
    let seen = store.revocations(0).await.unwrap();
    let event = Event {
        at: T0,
        action: Action::LoggedOut,
        actor: Actor::User(alice.id),
        user: Some(alice.id),
        session: None,
        address: String::new(),
        detail: String::new(),
    };
    let changes = vec![
        Change::Audit(event),
        Change::PutSetting { name: "a".into(), value: "b".into() },
        Change::EndSession(begun.id),
        start(&session(&alice, T0)),
        Change::CreateUser(user("bob")),
        Change::CreateUser(user("alice")),
    ];
    assert_eq!(store.apply(changes.clone(), vec![]).await, Err(StoreError::Taken(Unique::Username)));
    let unmet = vec![Expect::User(alice.id, 1), Expect::Session(session(&alice, T0).id)];
    assert_eq!(store.apply(changes[..5].to_vec(), unmet).await, Err(StoreError::Conflict));
    assert_eq!(store.users(None, 10).await.unwrap(), std::slice::from_ref(&alice));
    assert_eq!(store.sessions(None, T0, 10).await.unwrap(), std::slice::from_ref(&begun));
    assert_eq!(store.setting("a").await.unwrap(), None);
    assert!(actions(store).await.is_empty());
    assert_eq!(store.revocations(seen.cursor).await.unwrap().revoked, []);
    // And the same list without its fault is applied whole.
    let met = vec![Expect::User(alice.id, 1), Expect::Session(begun.id)];
    let applied = store.apply(changes[..5].to_vec(), met).await.unwrap();
    assert_eq!((applied.ended, applied.revoked.len(), applied.status.len()), (1, 1, 1));
    assert_eq!(store.users(None, 10).await.unwrap().len(), 2);
}

pub(crate) async fn a_deleted_user_takes_their_sessions_along(store: &DynStore) {
    let (alice, first) = signed_in(store, "alice").await;
    let second = session(&alice, T0);
    let number = apply(store, [start(&second)]).await.status[0];
    let (bob, theirs) = signed_in(store, "bob").await;
    let applied = apply(store, [Change::DeleteUser(alice.id)]).await;
    assert_eq!(applied.ended, 2);
    let mut numbers: Vec<u64> = status_numbers(&applied.revoked);
    numbers.sort_unstable();
    assert_eq!(numbers, [first.status.unwrap(), number]);
    assert_eq!(store.user(Lookup::Id(alice.id)).await.unwrap(), None);
    assert_eq!(row(store, first.id).await, None);
    assert_eq!(store.sessions(None, T0, 10).await.unwrap(), [theirs]);
    assert_eq!(store.users(None, 10).await.unwrap(), [bob]);
    // The name is free again.
    apply(store, [Change::CreateUser(user("alice"))]).await;
}

pub(crate) async fn users_come_in_order_of_name(store: &DynStore) {
    for name in ["delta", "Alpha", "charlie", "bravo"] {
        apply(store, [Change::CreateUser(user(name))]).await;
    }
    let names = async |after, limit| -> Vec<String> {
        let users = store.users(after, limit).await.unwrap();
        users.iter().map(|user| user.username.as_str().to_owned()).collect()
    };
    assert_eq!(names(None, 3).await, ["Alpha", "bravo", "charlie"]);
    assert_eq!(names(Some(user("Charlie").username.canonical()), 3).await, ["delta"]);
    assert_eq!(names(None, 0).await, Vec::<String>::new());
}
