//! How long the database takes and how often it fails: around any backend, so that none has to count.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use jotgate_domain::client::{Client, ClientId};
use jotgate_domain::key::StoredKey;
use jotgate_domain::name::Canonical;
use jotgate_domain::sso::Ticket;
use jotgate_domain::store::{
    Applied, Attempt, Attempted, AuditPage, AuditQuery, Change, Connections, Deliveries, DeliveryCount,
    Expect, Lookup, RevocationPage, Store, StoreError,
};
use jotgate_domain::upstream::Identity;
use jotgate_domain::webhook::Delivery;
use jotgate_domain::{Session, SessionId, Timestamp, User, UserId, audit, refresh};

use crate::metrics::{Counter, Histogram, Kind, Text};
use crate::otel;

/// A store that counts what goes through it.
#[derive(Debug)]
pub(crate) struct Measured {
    inner: Arc<dyn Store>,
    stats: Arc<Stats>,
}

macro_rules! operations {
    ($($operation:ident)*) => {
        /// What is counted, by operation.
        #[derive(Debug)]
        pub(crate) struct Stats { $($operation: Operation,)* }

        impl Default for Stats {
            fn default() -> Self {
                Self { $($operation: Operation::new(stringify!($operation)),)* }
            }
        }

        impl Stats {
            fn all(&self) -> impl Iterator<Item = (&'static str, &Operation)> {
                [$(&self.$operation,)*].into_iter().map(|operation| (operation.name, operation))
            }
        }
    };
}

operations! {
    attempt refresh apply user users session session_by_handle sessions client clients identity identities ticket keys
    setting audit deliveries revocations sweep ping
}

#[derive(Debug)]
struct Operation {
    name: &'static str,
    took: Histogram,
    unavailable: Counter,
    corrupt: Counter,
}

impl Operation {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            took: Histogram::default(),
            unavailable: Counter::default(),
            corrupt: Counter::default(),
        }
    }

    async fn measure<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let began = Instant::now();
        let trace = otel::Operation::begin(self.name);
        let result = work.await;
        self.took.observe(began.elapsed());
        let failed = match &result {
            Err(StoreError::Unavailable(_)) => Some(("unavailable", &self.unavailable)),
            Err(StoreError::Corrupt(_)) => Some(("corrupt", &self.corrupt)),
            // The others are answers.
            _ => None,
        };
        trace.end(failed.map(|(kind, _)| kind));
        if let Some((_, counter)) = failed {
            counter.add_one();
        }
        result
    }
}

impl Stats {
    /// `connections`: those of [`Store::connections`].
    pub(crate) fn write(&self, connections: Option<Connections>, text: &mut Text) {
        text.family(
            "jotgate_database_duration_seconds",
            Kind::Histogram,
            "How long the database took, by operation; of a write until it is durable.",
        );
        for (name, operation) in self.all() {
            text.histogram(&[("operation", name)], &operation.took);
        }
        text.family(
            "jotgate_database_errors_total",
            Kind::Counter,
            "Operations that the database failed: it was away or full (unavailable), or holds what cannot be \
             read (corrupt).",
        );
        for (name, operation) in self.all() {
            for (kind, counter) in [("unavailable", &operation.unavailable), ("corrupt", &operation.corrupt)]
            {
                text.sample(&[("operation", name), ("kind", kind)], counter.value());
            }
        }
        if let Some(Connections { busy, idle, most }) = connections {
            text.family(
                "jotgate_database_connections",
                Kind::Gauge,
                "Connections to PostgreSQL: at work, waiting for work, and as many as there may be.",
            );
            for (state, count) in [("busy", busy), ("idle", idle), ("most", most)] {
                text.sample(&[("state", state)], count);
            }
        }
    }
}

impl Measured {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, stats: Arc::default() }
    }

    pub(crate) fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }
}

#[async_trait]
impl Store for Measured {
    async fn attempt(&self, attempt: Attempt) -> Result<Attempted, StoreError> {
        self.stats.attempt.measure(self.inner.attempt(attempt)).await
    }

    async fn refresh(&self, request: refresh::Request) -> Result<refresh::Outcome, StoreError> {
        self.stats.refresh.measure(self.inner.refresh(request)).await
    }

    async fn apply(&self, changes: Vec<Change>, expect: Vec<Expect>) -> Result<Applied, StoreError> {
        self.stats.apply.measure(self.inner.apply(changes, expect)).await
    }

    async fn user(&self, lookup: Lookup) -> Result<Option<User>, StoreError> {
        self.stats.user.measure(self.inner.user(lookup)).await
    }

    async fn users(&self, after: Option<Canonical>, limit: u32) -> Result<Vec<User>, StoreError> {
        self.stats.users.measure(self.inner.users(after, limit)).await
    }

    async fn session(&self, id: SessionId, now: Timestamp) -> Result<Option<(Session, User)>, StoreError> {
        self.stats.session.measure(self.inner.session(id, now)).await
    }

    async fn session_by_handle(
        &self,
        handle_hash: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<(Session, User)>, StoreError> {
        self.stats.session_by_handle.measure(self.inner.session_by_handle(handle_hash, now)).await
    }

    async fn sessions(
        &self,
        user: Option<UserId>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        self.stats.sessions.measure(self.inner.sessions(user, now, limit)).await
    }

    async fn client(&self, id: &ClientId) -> Result<Option<Client>, StoreError> {
        self.stats.client.measure(self.inner.client(id)).await
    }

    async fn clients(&self, after: Option<ClientId>, limit: u32) -> Result<Vec<Client>, StoreError> {
        self.stats.clients.measure(self.inner.clients(after, limit)).await
    }

    async fn ticket(&self, hash: [u8; 32]) -> Result<Option<Ticket>, StoreError> {
        self.stats.ticket.measure(self.inner.ticket(hash)).await
    }

    async fn identity(&self, issuer: &str, subject: &str) -> Result<Option<(Identity, User)>, StoreError> {
        self.stats.identity.measure(self.inner.identity(issuer, subject)).await
    }

    async fn identities(&self, user: UserId) -> Result<Vec<Identity>, StoreError> {
        self.stats.identities.measure(self.inner.identities(user)).await
    }

    async fn keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.stats.keys.measure(self.inner.keys()).await
    }

    async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        self.stats.setting.measure(self.inner.setting(name)).await
    }

    async fn audit(&self, query: AuditQuery) -> Result<Vec<audit::Entry>, StoreError> {
        self.stats.audit.measure(self.inner.audit(query)).await
    }

    async fn audit_since(&self, query: AuditQuery, position: Option<&str>) -> Result<AuditPage, StoreError> {
        self.stats.audit.measure(self.inner.audit_since(query, position)).await
    }

    async fn audit_after(&self, after: i64, limit: u32) -> Result<Vec<audit::Entry>, StoreError> {
        self.stats.audit.measure(self.inner.audit_after(after, limit)).await
    }

    async fn mark(&self) -> Result<String, StoreError> {
        self.stats.setting.measure(self.inner.mark()).await
    }

    async fn deliveries(&self, which: Deliveries, limit: u32) -> Result<Vec<Delivery>, StoreError> {
        self.stats.deliveries.measure(self.inner.deliveries(which, limit)).await
    }

    async fn delivery_counts(&self) -> Result<Vec<DeliveryCount>, StoreError> {
        self.stats.deliveries.measure(self.inner.delivery_counts()).await
    }

    async fn revocations(&self, cursor: i64) -> Result<RevocationPage, StoreError> {
        self.stats.revocations.measure(self.inner.revocations(cursor)).await
    }

    // A wait, not work.
    async fn changed(&self, seen: u64) -> u64 {
        self.inner.changed(seen).await
    }

    async fn sweep(&self, now: Timestamp, keep_audit: u64, batch: u32) -> Result<u64, StoreError> {
        self.stats.sweep.measure(self.inner.sweep(now, keep_audit, batch)).await
    }

    async fn clock(&self) -> Result<Option<Timestamp>, StoreError> {
        self.stats.ping.measure(self.inner.clock()).await
    }

    fn connections(&self) -> Option<Connections> {
        self.inner.connections()
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.stats.ping.measure(self.inner.ping()).await
    }
}
