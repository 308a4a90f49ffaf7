//! The signing keys in memory: opened once, replaced as a whole when the rows or the hour say so.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::aead::NONCE_LEN;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jotgate_domain::Timestamp;
use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::key::{self, KeyChange, Plan, StoredKey};
use jotgate_domain::store::{Change, Store, StoreError};
use jotgate_jose::{Algorithm, KeyError, KeySet, SigningKey};
use serde::Serialize;

use super::{App, Fault};
use crate::config::Config;
use crate::edge::Edge;
use crate::seal::Sealer;

/// `typ` of an access token (RFC 9068 §2.1).
const ACCESS_TOKEN: &str = "at+jwt";
/// Room for an access token of the usual size, so that signing allocates once.
const USUAL_TOKEN: usize = 2048;

/// What signs and what is published, at one moment.
pub struct KeyRing {
    signing: SigningKey,
    /// Signs status lists, which everybody must be able to verify: never symmetric. None: `signing` does.
    signing_lists: Option<SigningKey>,
    /// The JWK Set (RFC 7517 §5): public keys only.
    pub jwks: String,
    /// A strong validator of it (RFC 9110 §8.8.3), with its quotes.
    pub jwks_etag: String,
    /// Every key that tokens are accepted from, symmetric ones included.
    accepted: KeySet,
    rows: Vec<StoredKey>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("signing", &self.signing.kid()).finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Signs these claims as an access token.
    pub(super) fn sign(&self, claims: &impl Serialize) -> Result<String, Fault> {
        sign(&self.signing, ACCESS_TOKEN, claims)
    }

    /// Signs these claims for everybody.
    pub(super) fn sign_list(&self, typ: &str, claims: &impl Serialize) -> Result<String, Fault> {
        sign(self.signing_lists.as_ref().unwrap_or(&self.signing), typ, claims)
    }

    /// State, algorithm, and since when: of a standby since it is published, of another one since it signs.
    pub(super) fn ages(&self, now: Timestamp) -> impl Iterator<Item = (key::State, &str, Timestamp)> {
        self.rows.iter().map(move |row| {
            let since = row.signs_at.filter(|at| *at <= now).unwrap_or(row.published_at);
            (key::state(row, &self.rows, now), row.algorithm.as_str(), since)
        })
    }

    /// Opens the rows that count at `now`.
    fn open(
        rows: Vec<StoredKey>,
        algorithm: Algorithm,
        sealer: &Sealer,
        now: Timestamp,
    ) -> Result<Self, OpenKeyError> {
        let open = |row: &StoredKey| -> Result<SigningKey, OpenKeyError> {
            let jwk =
                sealer.open(&row.kid, &row.sealed).map_err(|_| OpenKeyError::Sealed(row.kid.clone()))?;
            let jwk = std::str::from_utf8(&jwk).map_err(|_| OpenKeyError::Sealed(row.kid.clone()))?;
            SigningKey::from_jwk(jwk).map_err(|_| OpenKeyError::Sealed(row.kid.clone()))
        };
        let signing =
            key::signing_key(&rows, algorithm.name(), now).ok_or(OpenKeyError::NoSigningKey(algorithm))?;
        let signing = open(signing)?;
        let signing_lists = if algorithm.is_symmetric() {
            let row = key::signing_key(&rows, key::list_algorithm(algorithm.name()), now)
                .ok_or(OpenKeyError::NoSigningKey(algorithm))?;
            Some(open(row)?)
        } else {
            None
        };
        let mut accepted = KeySet::new();
        let mut published = KeySet::new();
        for row in key::verifying(&rows, now) {
            let verifying = open(row)?.verifying_key();
            accepted.insert(verifying).map_err(|_| OpenKeyError::Sealed(row.kid.clone()))?;
        }
        for row in key::published(&rows, now) {
            if let Some(key) = accepted.find(&row.kid) {
                published.insert(key.clone()).map_err(|_| OpenKeyError::Sealed(row.kid.clone()))?;
            }
        }
        let jwks = published.to_json();
        let etag = digest(&SHA256, jwks.as_bytes());
        let jwks_etag =
            format!("\"{}\"", URL_SAFE_NO_PAD.encode(etag.as_ref().get(..16).unwrap_or_default()));
        Ok(Self { signing, signing_lists, jwks, jwks_etag, accepted, rows })
    }
}

fn sign(key: &SigningKey, typ: &str, claims: &impl Serialize) -> Result<String, Fault> {
    let mut token = Vec::with_capacity(USUAL_TOKEN);
    key.sign_into(typ, &mut token, |payload| {
        serde_json::to_writer(payload, claims).map_err(|_| KeyError::Rejected)
    })
    .map_err(|error| Fault::Internal(format!("signing failed: {error}")))?;
    String::from_utf8(token).map_err(|_| Fault::Internal("a signed token is ASCII".into()))
}

/// Why the keys cannot be used.
#[derive(Debug)]
pub enum OpenKeyError {
    /// The master key is not the one that this key was sealed with.
    Sealed(String),
    NoSigningKey(Algorithm),
    Store(StoreError),
    Fault(Fault),
}

impl fmt::Display for OpenKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sealed(kid) => write!(
                f,
                "the signing key {kid} in the database does not open with this master key. Put back the \
                 master.key that belongs to this database; nodes that share a database share one master key, in a \
                 copy of the file or with JOTGATE_MASTER_KEY_FILE"
            ),
            Self::NoSigningKey(algorithm) => write!(f, "there is no signing key for {algorithm}"),
            Self::Store(error) => error.fmt(f),
            Self::Fault(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for OpenKeyError {}

impl From<StoreError> for OpenKeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for OpenKeyError {
    fn from(error: Fault) -> Self {
        Self::Fault(error)
    }
}

/// The current [`KeyRing`].
#[derive(Debug)]
pub(super) struct Keys(ArcSwap<KeyRing>);

impl Keys {
    pub(super) fn current(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.0.load()
    }

    /// Brings the rows up to what the rule wants (first start, standby, schedule), and opens them.
    pub(super) async fn prepare(
        store: &dyn Store,
        sealer: &Sealer,
        config: &Config,
        edge: &Edge,
    ) -> Result<Self, OpenKeyError> {
        // Before anything is written: a key that is sealed under another master key than the others would keep
        // every other node from starting.
        if let Some(row) = store.keys().await?.iter().find(|row| sealer.open(&row.kid, &row.sealed).is_err())
        {
            return Err(OpenKeyError::Sealed(row.kid.clone()));
        }
        maintain(store, sealer, config, edge).await?;
        let rows = store.keys().await?;
        Ok(Self(ArcSwap::from_pointee(KeyRing::open(rows, config.token.algorithm, sealer, edge.now())?)))
    }

    pub(super) fn accepted(&self) -> KeySet {
        self.0.load().accepted.clone()
    }
}

/// Creates, schedules and removes keys as [`key::plan`] wants it.
async fn maintain(
    store: &dyn Store,
    sealer: &Sealer,
    config: &Config,
    edge: &Edge,
) -> Result<(), OpenKeyError> {
    let generation = store.setting(key::GENERATION).await?;
    let rows = store.keys().await?;
    let now = edge.now();
    let plan = key::plan(&rows, config.token.algorithm.name(), &config.policy, now);
    if plan.is_empty() {
        return Ok(());
    }
    let event = |action, kid| Event {
        at: now,
        action,
        actor: Actor::System,
        user: None,
        session: None,
        address: String::new(),
        detail: kid,
    };
    match write(store, sealer, edge, plan, generation, event).await {
        // Another node did the same just now.
        Err(OpenKeyError::Store(StoreError::Conflict)) => Ok(()),
        done => done,
    }
}

/// Writes changes of the keys, drawing those that are to be created; `event` makes the audit entry of each.
///
/// # Errors
/// [`StoreError::Conflict`] where the keys changed since `generation` was read.
pub(super) async fn write(
    store: &dyn Store,
    sealer: &Sealer,
    edge: &Edge,
    plan: Vec<KeyChange>,
    generation: Option<String>,
    event: impl Fn(Action, String) -> Event,
) -> Result<(), OpenKeyError> {
    let mut created = Vec::new();
    let mut events = Vec::new();
    for change in &plan {
        match change {
            KeyChange::Create { algorithm, published_at, signs_at } => {
                let row = generate(algorithm, *published_at, *signs_at, sealer, edge)?;
                events.push(event(Action::KeyCreated, row.kid.clone()));
                created.push(row);
            }
            KeyChange::Update(row) => events.push(event(Action::KeyRotated, row.kid.clone())),
            KeyChange::Revoke { kid, .. } => events.push(event(Action::KeyRevoked, kid.clone())),
            KeyChange::Delete { .. } => {}
        }
    }
    let Plan { mut changes, expect } = Plan::new(plan, created, generation);
    changes.extend(events.into_iter().map(Change::Audit));
    store.apply(changes, vec![expect]).await?;
    Ok(())
}

/// A new key, sealed.
fn generate(
    algorithm: &str,
    published_at: Timestamp,
    signs_at: Option<Timestamp>,
    sealer: &Sealer,
    edge: &Edge,
) -> Result<StoredKey, Fault> {
    let failed = |error: KeyError| Fault::Internal(format!("no key could be made: {error}"));
    let known = Algorithm::from_name(algorithm)
        .ok_or_else(|| Fault::Internal(format!("no key could be made for {algorithm}")))?;
    let key = SigningKey::generate(known).map_err(failed)?;
    let jwk = key.to_private_jwk().map_err(failed)?;
    let sealed = sealer
        .seal(key.kid(), jwk.as_bytes(), edge.random::<NONCE_LEN>()?)
        .map_err(|_| Fault::Internal("a key could not be sealed".into()))?;
    Ok(StoredKey {
        kid: key.kid().to_owned(),
        algorithm: algorithm.to_owned(),
        sealed,
        published_at,
        signs_at,
        gone_at: None,
    })
}

impl App {
    /// The keys as they stand.
    #[must_use]
    pub fn keys(&self) -> arc_swap::Guard<Arc<KeyRing>> {
        self.keys.current()
    }

    /// Creates and removes what is due, then takes over what any node wrote.
    pub(super) async fn maintain_keys(&self) -> Result<(), OpenKeyError> {
        maintain(&*self.store, &self.sealer, &self.config, &self.edge).await?;
        self.reload_keys().await
    }

    /// Takes over the rows of the database.
    pub(super) async fn reload_keys(&self) -> Result<(), OpenKeyError> {
        let rows = self.store.keys().await?;
        self.replace_keys(rows)
    }

    /// The hour may have made a standby sign or a retired key go, without any change of the rows.
    pub(super) fn advance_keys(&self) -> Result<(), OpenKeyError> {
        let rows = self.keys.current().rows.clone();
        self.replace_keys(rows)
    }

    fn replace_keys(&self, rows: Vec<StoredKey>) -> Result<(), OpenKeyError> {
        let now = self.now();
        let current = self.keys.current();
        let signing = key::signing_key(&rows, self.config.token.algorithm.name(), now).map(|row| &row.kid);
        let same = signing.is_some_and(|kid| kid == current.signing.kid())
            && key::verifying(&rows, now)
                .iter()
                .map(|row| row.kid.as_str())
                .eq(current.accepted.iter().map(|key| key.kid()));
        if same && rows == current.rows {
            return Ok(());
        }
        let ring = KeyRing::open(rows, self.config.token.algorithm, &self.sealer, now)?;
        // First accepted, then signed with: no token is ever refused by the node that made it.
        self.verifier.set_keys(ring.accepted.clone());
        self.keys.0.store(Arc::new(ring));
        Ok(())
    }
}
