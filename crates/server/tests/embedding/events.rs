//! The audit trail as a stream.

use std::time::Duration;

use futures_util::StreamExt as _;
use jotgate::Events;
use jotgate::app::Operator;
use jotgate::edge::Edge;
use jotgate_domain::audit::Action;
use serde_json::json;
use tokio::time::timeout;

use super::application;
use super::support::{PASSWORD, http_origin};

async fn next(events: &mut Events) -> Action {
    timeout(Duration::from_secs(10), events.next()).await.unwrap().unwrap().event.action
}

#[tokio::test]
async fn every_subscriber_sees_each_entry_once_from_when_it_came() {
    let site = application(http_origin(), |builder| builder).await;
    let credentials = json!({"username": "ada", "password": PASSWORD});
    let mut first = site.server.events().await.unwrap();
    assert_eq!(site.post("/id/auth/register", &credentials).send().await.status, 201);
    assert_eq!(next(&mut first).await, Action::UserRegistered);

    let mut second = site.server.events().await.unwrap();
    site.post("/id/auth/login", &credentials).send().await;
    // What another program does on the same database comes as well.
    let mut config = site.config.clone();
    config.public_url = Some(site.origin.clone());
    let operator = Operator::open(config, Edge::new(site.clock.clone()), false).await.unwrap();
    operator.disable("ada").await.unwrap();
    for events in [&mut first, &mut second] {
        assert_eq!(next(events).await, Action::LoginSucceeded);
        assert_eq!(next(events).await, Action::UserDisabled);
        assert!(timeout(Duration::from_millis(600), events.next()).await.is_err(), "each once");
    }
    // It is a stream like any other.
    let wrong = json!({"username": "eve", "password": PASSWORD});
    for _ in 0..3 {
        site.post("/id/auth/login", &wrong).send().await;
    }
    let failed = timeout(Duration::from_secs(30), second.take(3).collect::<Vec<_>>()).await.unwrap();
    assert!(failed.windows(2).all(|pair| pair[0].id < pair[1].id));
}
