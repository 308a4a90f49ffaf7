//! Identities at other providers, and what may be used once.

use jotgate_domain::store::Unique;
use jotgate_domain::upstream::Identity;
use jotgate_domain::{Change, IdentityId, StoreError, User};

use super::fixture::*;

fn identity(user: &User, subject: &str) -> Identity {
    Identity {
        id: IdentityId::new(T0, unique()),
        user_id: user.id,
        issuer: "https://issuer.example".to_owned(),
        subject: subject.to_owned(),
        provider: "example".to_owned(),
        label: "Ädä <ada@example.org>".to_owned(),
        created_at: after(1),
    }
}

pub(crate) async fn an_identity_is_found_with_its_user(store: &DynStore) {
    let (alice, bob) = (user("alice"), user("bob"));
    let (first, second, theirs) = (
        identity(&alice, "s-1"),
        Identity { created_at: after(2), ..identity(&alice, "S-1") },
        identity(&bob, "s-2"),
    );
    let linked = [&second, &first, &theirs].map(|one| Change::LinkIdentity(one.clone()));
    let users = [Change::CreateUser(alice.clone()), Change::CreateUser(bob.clone())];
    apply(store, [users.as_slice(), &linked].concat()).await;
    let find = async |issuer, subject| store.identity(issuer, subject).await.unwrap();
    let issuer = first.issuer.as_str();
    assert_eq!(find(issuer, "s-1").await, Some((first.clone(), alice.clone())));
    // To the byte: another spelling is another subject, another issuer another person.
    assert_eq!(find(issuer, "S-1").await, Some((second.clone(), alice.clone())));
    assert_eq!(find(issuer, "s-2").await, Some((theirs.clone(), bob.clone())));
    for (issuer, subject) in [(issuer, "s-3"), (issuer, ""), ("https://issuer.example/", "s-1"), ("", "s-1")]
    {
        assert_eq!(find(issuer, subject).await, None, "{issuer} {subject}");
    }
    assert_eq!(store.identities(alice.id).await.unwrap(), [first.clone(), second.clone()], "oldest first");
    assert_eq!(store.identities(user("x").id).await.unwrap(), []);
    // One's own goes, another's stays, and what is not there is no fault.
    for (id, of) in [(first.id, bob.id), (first.id, alice.id), (first.id, alice.id)] {
        apply(store, [Change::UnlinkIdentity { id, user: of }]).await;
    }
    assert_eq!(store.identities(alice.id).await.unwrap(), [second]);
    apply(store, [Change::DeleteUser(bob.id)]).await;
    assert_eq!(find(issuer, "s-2").await, None, "goes with its user");
    apply(store, [Change::LinkIdentity(Identity { user_id: alice.id, ..theirs })]).await;
}

pub(crate) async fn an_identity_has_one_user(store: &DynStore) {
    let (alice, bob) = (user("alice"), user("bob"));
    apply(store, [alice.clone(), bob.clone()].map(Change::CreateUser)).await;
    apply(store, [Change::LinkIdentity(identity(&alice, "s"))]).await;
    for owner in [&alice, &bob] {
        let again = store.apply(vec![Change::LinkIdentity(identity(owner, "s"))], vec![]).await;
        assert_eq!(again, Err(StoreError::Taken(Unique::Identity)));
    }
    let nobodys = store.apply(vec![Change::LinkIdentity(identity(&user("x"), "t"))], vec![]).await;
    assert_eq!(nobodys, Err(StoreError::Conflict));
}

pub(crate) async fn of_racing_first_sign_ins_one_wins(store: &DynStore) {
    let sign_in = async |n: u32| {
        let new = user(&format!("user-{n}"));
        let begun = session(&new, T0);
        let changes =
            vec![Change::CreateUser(new.clone()), Change::LinkIdentity(identity(&new, "s")), start(&begun)];
        store.apply(changes, vec![]).await
    };
    let results = futures_util::future::join_all((0..10).map(sign_in)).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error, StoreError::Taken(Unique::Identity));
    }
    assert_eq!(store.users(None, 100).await.unwrap().len(), 1);
    assert_eq!(store.sessions(None, T0, 100).await.unwrap().len(), 1);
}

pub(crate) async fn what_is_spent_is_spent_once(store: &DynStore) {
    let id = hash();
    let spend = |id, until| store.apply(vec![Change::Spend { id, until }], vec![]);
    let results = futures_util::future::join_all((0..10).map(|_| spend(id, after(60)))).await;
    assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
    for error in results.into_iter().filter_map(Result::err) {
        assert_eq!(error, StoreError::Taken(Unique::Use));
    }
    spend(hash(), after(120)).await.unwrap();
    // Remembered until it would not be accepted any more.
    store.sweep(after(60), 1000, 100).await.unwrap();
    assert_eq!(spend(id, after(60)).await, Err(StoreError::Taken(Unique::Use)));
    assert_eq!(store.sweep(after(61), 1000, 100).await.unwrap(), 1);
    spend(id, after(180)).await.unwrap();
}
