//! The real database, with somebody else's change coming in between at one exact moment.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use jotgate::app::App;
use jotgate::config::Config;
use jotgate::edge::Edge;
use jotgate::store::Sqlite;
use jotgate_domain::client::{Client, ClientId};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::Canonical;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::{
    Applied, Attempt, Attempted, AuditPage, AuditQuery, Connections, Deliveries, DeliveryCount, Lookup,
    RevocationPage, Store,
};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Change, Expect, Session, SessionId, StoreError, Timestamp, User, audit, refresh};
use tempfile::TempDir;

use crate::support::{Fixed, Site, config, http_origin};

/// A point in a use case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// A try was taken and the user read; the hash is next.
    AfterAttempt,
    /// The decision was made; its changes are not written yet.
    BeforeApply,
    /// Whoever asks was told to be signed in.
    AfterSession,
    BeforeRefresh,
}

type Interference = Box<dyn FnOnce(Arc<Sqlite>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send>;

pub(crate) struct Meddler {
    real: Arc<Sqlite>,
    armed: Mutex<Vec<(Moment, Interference)>>,
}

impl fmt::Debug for Meddler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Meddler")
    }
}

impl Meddler {
    /// A site over a meddled database.
    pub(crate) async fn site(change: impl FnOnce(&mut Config)) -> (Site, Arc<Self>) {
        let dir = Arc::new(TempDir::new().unwrap());
        let mut config = config(&dir);
        config.registration_enabled = Some(true);
        change(&mut config);
        let clock = Fixed::new();
        let edge = Edge::new(clock.clone());
        let real = Arc::new(Sqlite::open(&dir.path().join("jotgate.db"), edge.now()).unwrap());
        let meddler = Arc::new(Self { real, armed: Mutex::default() });
        let store: Arc<dyn Store> = Arc::clone(&meddler) as Arc<dyn Store>;
        let app = App::with_store(config.clone(), http_origin(), edge, store).await.unwrap();
        (Site::over(app, dir, config, http_origin(), clock), meddler)
    }

    /// At the next `moment`, once.
    pub(crate) fn at<F>(&self, moment: Moment, interfere: impl FnOnce(Arc<Sqlite>) -> F + Send + 'static)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let boxed: Interference = Box::new(|store| Box::pin(interfere(store)));
        self.armed.lock().unwrap().insert(0, (moment, boxed));
    }

    /// Whether everything armed has happened.
    pub(crate) fn is_done(&self) -> bool {
        self.armed.lock().unwrap().is_empty()
    }

    async fn reach(&self, moment: Moment) {
        let due = {
            let mut armed = self.armed.lock().unwrap();
            let at = armed.iter().rposition(|(at, _)| *at == moment);
            at.map(|at| armed.remove(at).1)
        };
        if let Some(interfere) = due {
            interfere(Arc::clone(&self.real)).await;
        }
    }
}

#[async_trait]
impl Store for Meddler {
    async fn attempt(&self, attempt: Attempt) -> Result<Attempted, StoreError> {
        let attempted = self.real.attempt(attempt).await;
        self.reach(Moment::AfterAttempt).await;
        attempted
    }

    async fn refresh(&self, request: refresh::Request) -> Result<refresh::Outcome, StoreError> {
        self.reach(Moment::BeforeRefresh).await;
        self.real.refresh(request).await
    }

    async fn apply(&self, changes: Vec<Change>, expect: Vec<Expect>) -> Result<Applied, StoreError> {
        self.reach(Moment::BeforeApply).await;
        self.real.apply(changes, expect).await
    }

    async fn user(&self, lookup: Lookup) -> Result<Option<User>, StoreError> {
        self.real.user(lookup).await
    }

    async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.real.users(after, limit).await
    }

    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.real.session(id, now).await;
        self.reach(Moment::AfterSession).await;
        found
    }

    async fn session_by_handle(
        &self,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError> {
        let found = self.real.session_by_handle(handle_hash, now).await;
        self.reach(Moment::AfterSession).await;
        found
    }

    async fn sessions(
        &self,
        user: Option<jotgate_domain::UserId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        self.real.sessions(user, now, limit).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        self.real.client(id).await
    }

    async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, StoreError> {
        self.real.clients(after, limit).await
    }

    async fn ticket(&self, hash: [u8; 32]) -> Result<Option<Ticket>, StoreError> {
        self.real.ticket(hash).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<(Identity, User)>, StoreError> {
        self.real.identity(issuer, subject).await
    }

    async fn identities(&self, user: jotgate_domain::UserId) -> Result<Vec<Identity>, StoreError> {
        self.real.identities(user).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.real.keys().await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.real.setting(name).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<audit::Entry>, StoreError> {
        self.real.audit(query).await
    }

    async fn audit_since(&self, query: AuditQuery, position: Option<&str>) -> Result<AuditPage, StoreError> {
        self.real.audit_since(query, position).await
    }

    async fn audit_after(&self, after: i64, limit: u32) -> Result<Vec<audit::Entry>, StoreError> {
        self.real.audit_after(after, limit).await
    }

    async fn mark(&self) -> Result<String, StoreError> {
        self.real.mark().await
    }

    async fn deliveries(&self, which: Deliveries, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.real.deliveries(which, limit).await
    }

    async fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, StoreError> {
        self.real.delivery_counts().await
    }

    async fn revocations(&self, cursor: i64) -> Result<RevocationPage, StoreError> {
        self.real.revocations(cursor).await
    }

    async fn changed(&self, seen: u64) -> u64 {
        self.real.changed(seen).await
    }

    async fn sweep(&self, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, StoreError> {
        self.real.sweep(now, keep_audit, batch).await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.real.clock().await
    }

    fn connections(&self) -> Option<Connections> {
        self.real.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.real.ping().await
    }
}
