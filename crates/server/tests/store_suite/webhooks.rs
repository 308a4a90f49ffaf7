//! Messages for webhooks: due in their order, and bounded.

use jotgate_domain::store::{Deliveries, DeliveryCount};
use jotgate_domain::webhook::{DEAD_FOR, Delivery, MOST_DEAD};
use jotgate_domain::{Change, Timestamp};

use super::fixture::*;

fn message(webhook: &str, n: u32, next_at: Timestamp) -> Delivery {
    Delivery {
        id: format!("{webhook}-{n}"),
        webhook: webhook.to_owned(),
        kind: "login.succeeded".to_owned(),
        body: "{\"é\":\"\\u0000 '\"}".to_owned(),
        tries: 0,
        next_at,
        dead_at: None,
        problem: String::new(),
    }
}

async fn due(store: &DynStore, webhook: &str, now: Timestamp) -> Vec<Delivery> {
    store.deliveries(Deliveries::Due { webhook: webhook.to_owned(), now }, 10).await.unwrap()
}

async fn dead(store: &DynStore, webhook: Option<&str>) -> Vec<String> {
    let which = Deliveries::Dead { webhook: webhook.map(str::to_owned) };
    store.deliveries(which, 10).await.unwrap().into_iter().map(|delivery| delivery.id).collect()
}

pub(crate) async fn messages_come_when_they_are_due(store: &DynStore) {
    let (first, second, other) =
        (message("a", 1, after(20)), message("a", 2, after(10)), message("b", 3, after(0)));
    apply(store, [&first, &second, &other].map(|message| Change::PutDelivery(message.clone()))).await;
    assert!(due(store, "a", after(9)).await.is_empty());
    assert_eq!(due(store, "a", after(10)).await, std::slice::from_ref(&second));
    assert_eq!(due(store, "a", after(20)).await, [second.clone(), first.clone()]);

    // Put off, taken, given up.
    let later = Delivery { tries: 1, next_at: after(30), problem: "answered 500".into(), ..second };
    apply(store, [Change::PutDelivery(later.clone()), Change::DeleteDelivery { id: other.id }]).await;
    assert_eq!(due(store, "a", after(29)).await, std::slice::from_ref(&first));
    let given_up = Delivery { tries: 10, dead_at: Some(after(40)), ..first };
    apply(store, [Change::PutDelivery(given_up.clone())]).await;
    assert_eq!(due(store, "a", after(99)).await, [later]);
    assert_eq!(store.deliveries(Deliveries::One { id: given_up.id.clone() }, 1).await.unwrap(), [given_up]);
    assert!(store.deliveries(Deliveries::One { id: "none".into() }, 1).await.unwrap().is_empty());
    assert_eq!(dead(store, None).await, ["a-1"]);
    assert_eq!((dead(store, Some("a")).await.len(), dead(store, Some("b")).await.len()), (1, 0));
    let counts = store.delivery_counts().await.unwrap();
    assert_eq!(counts, [DeliveryCount { webhook: "a".into(), pending: 1, dead: 1 }]);
    assert_eq!(store.mark().await.unwrap(), store.mark().await.unwrap());
}

pub(crate) async fn dead_letters_are_bounded(store: &DynStore) {
    let dead_at = |n: u32| Some(after(u64::from(n)));
    for batch in 0..11 {
        let some = (0..1000)
            .map(|n| batch * 1000 + n)
            .map(|n| Change::PutDelivery(Delivery { dead_at: dead_at(n), ..message("a", n, T0) }));
        apply(store, some.collect::<Vec<_>>()).await;
    }
    apply(store, [Change::PutDelivery(message("waits", 1, T0))]).await;
    let count = async || store.delivery_counts().await.unwrap();
    let mut gone = 0;
    loop {
        match store.sweep(after(11_000), 100, 300).await.unwrap() {
            0 => break,
            some => gone += some,
        }
    }
    assert_eq!((gone, count().await[0].dead), (1000, MOST_DEAD.into()));
    assert_eq!(dead(store, None).await.first().unwrap(), "a-10999", "the newest stay");
    // Each goes when it is a month old; what waits stays, however long.
    assert_eq!(store.sweep(after(1002).plus(DEAD_FOR), 100, 300).await.unwrap(), 2);
    while store.sweep(after(20_001).plus(DEAD_FOR), 100, 5000).await.unwrap() > 0 {}
    assert_eq!(count().await, [DeliveryCount { webhook: "waits".into(), pending: 1, dead: 0 }]);
}
