//! OAuth clients: found, unique, in order, deleted with what was granted to them.

use jotgate_domain::client::{Client, ClientId, Proof};
use jotgate_domain::store::Unique;
use jotgate_domain::{Change, Expect, Session, StoreError};

use super::fixture::*;

fn client(id: &str) -> Client {
    Client {
        id: ClientId::parse(id).unwrap(),
        name: "An API".to_owned(),
        proof: Proof::Secret([7; 32]),
        audiences: vec!["https://api.example.com".to_owned()],
        created_at: T0,
    }
}

pub(crate) async fn a_client_reads_back_as_it_was_written(store: &DynStore) {
    let full = Client {
        name: "Ü \"quoted\" \u{1f600}".to_owned(),
        audiences: ["z", "https://a.example/?x=1&y=\"", "ü"].map(str::to_owned).to_vec(),
        ..client("https://app.example/client:1")
    };
    let public = Client { proof: Proof::None, audiences: vec![], ..client("a'b") };
    apply(store, [Change::CreateClient(full.clone()), Change::CreateClient(public.clone())]).await;
    for written in [full, public] {
        assert_eq!(store.client(&written.id).await.unwrap(), Some(written));
    }
    assert_eq!(store.client(&client("A'B").id).await.unwrap(), None, "ids are exact");
}

pub(crate) async fn client_ids_are_unique(store: &DynStore) {
    apply(store, [Change::CreateClient(client("api"))]).await;
    let again = Client { name: "another".to_owned(), ..client("api") };
    let refused = store.apply(vec![Change::CreateClient(again)], vec![]).await;
    assert_eq!(refused, Err(StoreError::Taken(Unique::ClientId)));
    assert_eq!(store.client(&client("api").id).await.unwrap(), Some(client("api")));
    apply(store, [Change::CreateClient(client("API"))]).await;
}

pub(crate) async fn clients_come_in_order_of_id(store: &DynStore) {
    for id in ["b", "a", "B", "ab", "~"] {
        apply(store, [Change::CreateClient(client(id))]).await;
    }
    let ids = async |after: Option<&str>, limit| -> Vec<String> {
        let after = after.map(|id| ClientId::parse(id).unwrap());
        let page = store.clients(after, limit).await.unwrap();
        page.into_iter().map(|client| client.id.to_string()).collect()
    };
    assert_eq!(ids(None, 10).await, ["B", "a", "ab", "b", "~"]);
    assert_eq!(ids(Some("a"), 2).await, ["ab", "b"]);
    assert_eq!(ids(Some("~"), 2).await, Vec::<String>::new());
}

pub(crate) async fn a_deleted_client_takes_its_sessions_along(store: &DynStore) {
    let (user, own) = signed_in(store, "alice").await;
    let granted = |id: &str| Session { client_id: id.to_owned(), ..session(&user, T0) };
    let (first, second, other) = (granted("app"), granted("app"), granted("other"));
    apply(store, [Change::CreateClient(client("app")), Change::CreateClient(client("other"))]).await;
    let applied = apply(store, [start(&first), start(&second), start(&other)]).await;
    let app = client("app").id;
    let delete = || vec![Change::DeleteClient(app.clone())];
    let deleted = store.apply(delete(), vec![Expect::Client(app.clone())]).await.unwrap();
    assert_eq!(deleted.ended, 2);
    let mut numbers = status_numbers(&deleted.revoked);
    numbers.sort_unstable();
    assert_eq!(numbers, applied.status[..2], "with their tokens");
    assert_eq!(store.client(&app).await.unwrap(), None);
    for (session, stays) in [(&first, false), (&second, false), (&other, true), (&own, true)] {
        assert_eq!(row(store, session.id).await.is_some(), stays, "{}", session.client_id);
    }
    assert_eq!(store.apply(delete(), vec![Expect::Client(app.clone())]).await, Err(StoreError::Conflict));
    assert_eq!(apply(store, delete()).await.ended, 0, "nothing twice");
}
