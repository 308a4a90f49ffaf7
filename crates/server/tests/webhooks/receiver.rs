//! A receiver that says what the test wants, and what else the tests of webhooks share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderMap, StatusCode};
use jotgate::app::Operator;
use jotgate::config::{Config, Webhook};
use jotgate::edge::Edge;
use jotgate_domain::audit::Action;
use jotgate_domain::store::Deliveries;
use jotgate_domain::webhook::Secret;
use serde_json::Value;

use crate::support::{Site, http_origin};

/// As a message arrived.
#[derive(Clone, Debug)]
pub(crate) struct Got {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) signature: String,
    pub(crate) body: String,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

type Say = dyn Fn(&Got) -> Response + Send + Sync;

/// A receiver on this machine.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    got: Arc<Mutex<Vec<Got>>>,
    say: Arc<Mutex<Arc<Say>>>,
}

impl Receiver {
    pub(crate) async fn new(say: impl Fn(&Got) -> Response + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hooks?key=in-the-address", listener.local_addr().unwrap());
        let receiver = Self { url, got: Arc::default(), say: Arc::new(Mutex::new(Arc::new(say))) };
        let app = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        receiver
    }

    pub(crate) fn says(&self, say: impl Fn(&Got) -> Response + Send + Sync + 'static) {
        *self.say.lock().unwrap() = Arc::new(say);
    }

    pub(crate) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Waits until so many tries have arrived, and a little for one too many.
    pub(crate) async fn tries(&self, count: usize) -> Vec<Got> {
        until(|| self.got().len() >= count, &format!("{count} tries")).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        let got = self.got();
        assert_eq!(got.len(), count, "{got:?}");
        got
    }
}

async fn receive(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> Response {
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/json");
    let got = Got {
        id: header("webhook-id"),
        at: header("webhook-timestamp").parse().unwrap(),
        signature: header("webhook-signature"),
        body,
    };
    receiver.got.lock().unwrap().push(got.clone());
    let say = Arc::clone(&receiver.say.lock().unwrap());
    say(&got)
}

pub(crate) async fn until(mut holds: impl FnMut() -> bool, what: &str) {
    for _ in 0..1500 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never: {what}");
}

pub(crate) fn ok() -> Response {
    StatusCode::NO_CONTENT.into_response()
}

pub(crate) fn status(status: u16) -> Response {
    StatusCode::from_u16(status).unwrap().into_response()
}

pub(crate) fn secret(byte: u8) -> Secret {
    use base64::Engine as _;
    Secret::parse(&format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode([byte; 32]))).unwrap()
}

pub(crate) fn webhook(receiver: &Receiver, events: &[Action]) -> Webhook {
    Webhook {
        url: receiver.url.clone(),
        secrets: vec![secret(1), secret(2)],
        events: Some(events.to_vec()).filter(|events| !events.is_empty()),
    }
}

pub(crate) async fn site(webhooks: BTreeMap<String, Webhook>) -> Site {
    Site::with(http_origin(), |config| config.webhooks = webhooks).await
}

pub(crate) fn named(name: &str, webhook: Webhook) -> BTreeMap<String, Webhook> {
    BTreeMap::from([(name.to_owned(), webhook)])
}

pub(crate) async fn operator(site: &Site) -> Operator {
    let config = Config { public_url: Some(site.origin.clone()), ..site.config.clone() };
    Operator::open(config, Edge::new(site.clock.clone()), false).await.unwrap()
}

/// Of the only webhook: waiting, and dead.
pub(crate) async fn counts(operator: &Operator) -> (u64, u64) {
    let state = operator.webhooks().await.unwrap().remove(0);
    (state.pending, state.dead)
}

pub(crate) async fn settled(operator: &Operator, expected: (u64, u64)) {
    for _ in 0..1500 {
        if counts(operator).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{:?}, not {expected:?}", counts(operator).await);
}

/// Waits until it is written down that the message was sent so often.
pub(crate) async fn tried(site: &Site, id: &str, tries: u32) {
    for _ in 0..1500 {
        let which = Deliveries::One { id: id.to_owned() };
        let found = site.server.app().store.deliveries(which, 1).await.unwrap();
        if found.first().is_some_and(|delivery| delivery.tries == tries) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{id} was not tried {tries} times");
}
