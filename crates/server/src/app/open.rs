//! From a configuration to a running installation.

use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;
use jotgate_domain::master::Purpose;
use jotgate_domain::refresh_token::RefreshKeys;
use jotgate_domain::status::Permutation;
use jotgate_domain::store::{Change, Expect, Store, StoreError};
use jotgate_domain::throttle::{BucketKeys, Limit};
use jotgate_jose::Policy;
use jotgate_verify::Verifier;

use super::addresses::Addresses;
use super::feed::{Feed, Positions};
use super::keys::{Keys, OpenKeyError};
use super::metrics::Counts;
use super::status_list::StatusLists;
use super::upstream::Upstream;
use super::webhooks::Webhooks;
use super::{App, Fault, TRIES};
use crate::config::{Config, DatabaseUrl, Mount, Origin};
use crate::edge::Edge;
use crate::hasher::Hasher;
use crate::hooks::Hooks;
use crate::seal::{MasterKeyError, Sealer, open_master_key};
use crate::store::{self, Measured, Postgres, Sqlite};

/// Id of the key that tags refresh tokens.
const REFRESH_KEY: u8 = 1;
/// What verified tokens may take together, in bytes: some 8,000 of them, so that the next request with one of them
/// costs no signature check. An idle server holds the empty table only, a few hundred KiB.
const VERIFIED_TOKENS: usize = 16 << 20;
/// The setting that holds every `cookie.domain` used before, as a JSON array.
const COOKIE_DOMAINS: &str = "cookie_domains";

/// Why an installation cannot be opened: one sentence for the operator, naming the file and the fix.
#[derive(Debug)]
#[non_exhaustive]
pub enum OpenError {
    DataDir(PathBuf, io::Error),
    Database(store::OpenError),
    Store(StoreError),
    MasterKey(MasterKeyError),
    Keys(OpenKeyError),
    Other(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataDir(path, error) => write!(f, "data_dir {} cannot be used: {error}", path.display()),
            Self::Database(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::MasterKey(error) => error.fmt(f),
            Self::Keys(error) => error.fmt(f),
            Self::Other(error) => f.write_str(error),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<OpenKeyError> for OpenError {
    fn from(error: OpenKeyError) -> Self {
        Self::Keys(error)
    }
}

impl From<Fault> for OpenError {
    fn from(error: Fault) -> Self {
        Self::Other(error.to_string())
    }
}

/// What an application that has the server inside adds to its configuration.
#[derive(Clone, Debug, Default)]
pub struct Embedding {
    pub mount: Mount,
    pub hooks: Hooks,
}

impl App {
    /// Opens the database and the keys, making both on a first start. `issuer` is `public_url`, or what was bound.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is half made.
    pub async fn open(config: Config, issuer: Origin, edge: Edge) -> Result<Self, OpenError> {
        Self::open_in(config, issuer, edge, Embedding::default()).await
    }

    /// The same inside an application.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open_in(
        config: Config,
        issuer: Origin,
        edge: Edge,
        embedding: Embedding,
    ) -> Result<Self, OpenError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&config.data_dir)
            .map_err(|error| OpenError::DataDir(config.data_dir.clone(), error))?;
        let store = open_store(&config, true, edge.now()).await.map_err(OpenError::Database)?;
        Self::with_store_in(config, issuer, edge, store, embedding).await
    }

    /// The same over a store that is open already.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn with_store(
        config: Config,
        issuer: Origin,
        edge: Edge,
        store: Arc<dyn Store>,
    ) -> Result<Self, OpenError> {
        Self::with_store_in(config, issuer, edge, store, Embedding::default()).await
    }

    async fn with_store_in(
        config: Config,
        issuer: Origin,
        edge: Edge,
        store: Arc<dyn Store>,
        Embedding { mount, hooks }: Embedding,
    ) -> Result<Self, OpenError> {
        let store = Measured::new(store);
        let database = store.stats();
        let store: Arc<dyn Store> = Arc::new(store);
        let may_create = store.keys().await?.is_empty();
        let master = open_master_key(&config.master_key, &config.data_dir, may_create, &edge)
            .map_err(OpenError::MasterKey)?;
        let sealer =
            Sealer::new(&master).map_err(|_| OpenError::Other("no key could be derived".to_owned()))?;
        let keys = Keys::prepare(&*store, &sealer, &config, &edge).await?;

        let issuer_text = format!("{issuer}{mount}");
        let audience = match config.token.audience.as_slice() {
            [] => vec![issuer_text.clone()],
            named => named.to_vec(),
        };
        let mut policy = Policy::access_token(&issuer_text, "").any_audience();
        for one in &audience {
            policy = policy.audience(one);
        }
        let verifier = Verifier::new(policy, keys.accepted()).with_cache(VERIFIED_TOKENS);
        let webhooks = Webhooks::open(&*store, &config.webhooks, &edge).await?;
        let hasher = Hasher::start(config.password).map_err(OpenError::Other)?;
        let past_cookie_domains = remember_cookie_domain(&*store, config.cookie.domain.as_deref()).await?;
        let app = Self {
            issuer,
            mount,
            hooks,
            hasher,
            verifier,
            issuer_text,
            audience,
            keys,
            sealer,
            refresh_keys: RefreshKeys::new(REFRESH_KEY, &master.derive(Purpose::Refresh(REFRESH_KEY))),
            positions: Positions::new(Permutation::new(&master.derive(Purpose::Status))),
            feed: Feed::new(u64::from_le_bytes(edge.random().map_err(Fault::from)?), edge.now()),
            status_lists: StatusLists::default(),
            webhooks,
            addresses: Addresses::new(Limit::ADDRESS),
            mails: Addresses::new(Limit::MAIL),
            client_failures: Addresses::new(Limit::ADDRESS),
            tickets: Addresses::new(Limit::TICKET),
            buckets: BucketKeys::new(&master.derive(Purpose::Throttle)),
            counts: Counts::default(),
            database,
            device_key: hmac::Key::new(hmac::HMAC_SHA256, master.derive(Purpose::Devices).as_slice()),
            upstream: Upstream::new(&config, &master.derive(Purpose::Flows)),
            form_secret: master.derive(Purpose::Forms),
            past_cookie_domains,
            edge,
            store,
            config,
        };
        super::roles::revoke_lost_permissions(&*app.store, &app.config.policy, &app.edge).await?;
        // What was revoked before this start is refused from the first request on.
        app.catch_up(0).await?;
        Ok(app)
    }

    /// Every `cookie.domain` that was configured before and is not now: cookies of these scopes are to be cleared.
    #[must_use]
    pub fn past_cookie_domains(&self) -> &[String] {
        &self.past_cookie_domains
    }
}

/// Opens the database that is configured, brought up to date where it has to be. Without `create` an empty PostgreSQL
/// database is an error.
pub(super) async fn open_store(
    config: &Config,
    create: bool,
    now: jotgate_domain::Timestamp,
) -> Result<Arc<dyn Store>, store::OpenError> {
    Ok(match &config.database_url {
        DatabaseUrl::Sqlite(path) => Arc::new(Sqlite::open(&sqlite_path(config, path.as_deref()), now)?),
        DatabaseUrl::Postgres(url) if create => Arc::new(Postgres::open(url, now).await?),
        DatabaseUrl::Postgres(url) => Arc::new(Postgres::open_existing(url, now).await?),
    })
}

/// Migrations that the configured database has not had; none where there is no database. Changes nothing.
///
/// # Errors
/// [`store::OpenError`].
pub async fn pending_migrations(config: &Config) -> Result<Option<Vec<&'static str>>, store::OpenError> {
    match &config.database_url {
        DatabaseUrl::Sqlite(path) => {
            let path = sqlite_path(config, path.as_deref());
            if path.exists() { Sqlite::pending(&path).map(Some) } else { Ok(None) }
        }
        DatabaseUrl::Postgres(url) => Postgres::pending(url).await.map(Some),
    }
}

/// Brings the configured database up to date.
///
/// # Errors
/// [`store::OpenError`].
pub async fn migrate(config: &Config, edge: &Edge) -> Result<(), store::OpenError> {
    open_store(config, true, edge.now()).await.map(drop)
}

pub(super) fn sqlite_path(config: &Config, path: Option<&Path>) -> PathBuf {
    path.map_or_else(|| config.data_dir.join("jotgate.db"), Path::to_owned)
}

/// Adds the configured domain to those remembered; returns the others.
async fn remember_cookie_domain(store: &dyn Store, current: Option<&str>) -> Result<Vec<String>, OpenError> {
    let mut tries = 0;
    let mut known = loop {
        let before = store.setting(COOKIE_DOMAINS).await?;
        let mut known: Vec<String> = match &before {
            Some(json) => serde_json::from_str(json)
                .map_err(|error| StoreError::Corrupt(format!("setting {COOKIE_DOMAINS}: {error}")))?,
            None => Vec::new(),
        };
        let Some(current) = current.filter(|current| !known.iter().any(|domain| domain == current)) else {
            break known;
        };
        known.push(current.to_owned());
        let value = serde_json::Value::from(known.clone()).to_string();
        let put = Change::PutSetting { name: COOKIE_DOMAINS.to_owned(), value };
        let expect = Expect::Setting { name: COOKIE_DOMAINS.to_owned(), value: before };
        match store.apply(vec![put], vec![expect]).await {
            // Another node starts at the same moment.
            Err(StoreError::Conflict) if tries < TRIES => tries += 1,
            done => {
                done?;
                break known;
            }
        }
    };
    known.retain(|domain| Some(domain.as_str()) != current);
    Ok(known)
}
