//! The use cases: each is one path to one decision, called by the JSON API, by the hosted pages and by the
//! command line alike. No HTTP and no SQL here.

mod addresses;
pub mod backup;
mod clients;
pub mod feed;
mod grant;
mod introspect;
mod jobs;
mod keys;
mod login;
mod mail;
mod metrics;
mod open;
mod operator;
mod password;
mod refresh;
mod register;
mod revoke;
mod roles;
mod sessions;
mod sso;
mod status_list;
pub mod transfer;
pub(crate) mod upstream;
mod webhooks;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jotgate_domain::refresh_token::RefreshKeys;
use jotgate_domain::store::{Applied, Change, Expect, Store, StoreError};
use jotgate_domain::throttle::BucketKeys;
use jotgate_domain::{Session, Timestamp, User};
use jotgate_verify::Verifier;
use zeroize::Zeroizing;

pub use clients::{Authenticated, ClientAuthError, ClientCredential};
pub use grant::{Grant, Signed};
pub use introspect::Introspected;
pub use keys::KeyRing;
pub use login::{Delivery, LoginError, LoginForm};
pub use open::{Embedding, OpenError, migrate, pending_migrations};
pub use operator::{Done, NewClient, NewUser, Operator, OperatorError};
pub use password::ChangePasswordError;
pub use refresh::{Holder, RefreshError};
pub use register::{RegisterError, RegisterForm};
pub use revoke::RevokeError;
pub use sso::RedeemError;
pub use status_list::StatusList;
pub use upstream::{Back, Begun, CameBack, CodeForm, Handover, Offered, UpstreamError};
pub use webhooks::WebhookState;

use crate::config::{Config, Mount, Origin};
use crate::edge::{Edge, NoRandomness};
use crate::hasher::{Busy, Hasher};
use crate::hooks::Hooks;
use crate::seal::Sealer;
use crate::store;

/// A decision is made again at most this often when what it was made on changed meanwhile.
const TRIES: u32 = 3;

/// The running installation.
#[derive(Debug)]
pub struct App {
    pub config: Config,
    /// The origin of the issuer and of every link: never taken from a request.
    pub issuer: Origin,
    /// The path below it, where the server is nested in an application.
    pub mount: Mount,
    /// What the application around it asked to be told, and asked.
    pub(crate) hooks: Hooks,
    pub edge: Edge,
    pub store: Arc<dyn Store>,
    pub hasher: Hasher,
    /// Verifies this server's own access tokens as any resource server would, without the database.
    pub verifier: Verifier,
    issuer_text: String,
    audience: Vec<String>,
    keys: keys::Keys,
    sealer: Sealer,
    refresh_keys: RefreshKeys,
    positions: feed::Positions,
    /// What other programs follow to refuse what was revoked.
    pub feed: feed::Feed,
    status_lists: status_list::StatusLists,
    webhooks: webhooks::Webhooks,
    addresses: addresses::Addresses,
    mails: addresses::Addresses,
    /// Failed authentications of OAuth clients, by address.
    client_failures: addresses::Addresses,
    /// By session.
    tickets: addresses::Addresses,
    past_cookie_domains: Vec<String>,
    buckets: BucketKeys,
    counts: metrics::Counts,
    database: Arc<store::Stats>,
    device_key: aws_lc_rs::hmac::Key,
    upstream: upstream::Upstream,
    /// For the form token of the hosted pages.
    form_secret: Zeroizing<[u8; 32]>,
}

/// Who is asking, as far as the connection tells: for throttles, the device list and the audit trail.
#[derive(Clone, Debug, Default)]
pub struct Visitor {
    /// Canonical text of the client's address; empty for the operator's own program.
    pub address: String,
    /// What the throttle counts: the address, of IPv6 its /64.
    pub network: String,
    /// Cleaned and cut.
    pub user_agent: String,
}

/// What can go wrong in any use case without being anybody's mistake. The text is for the log only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Too many tries; 429.
    Throttled { retry_after: Duration },
    /// No capacity to hash; 503.
    Busy { retry_after: Duration },
    /// The database is away, full, or the row is too contended; 503.
    Unavailable(String),
    /// 500.
    Internal(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Throttled { retry_after } => write!(f, "throttled for {} s", retry_after.as_secs()),
            Self::Busy { retry_after } => write!(f, "no capacity for {} s", retry_after.as_secs()),
            Self::Unavailable(why) | Self::Internal(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Fault {}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Corrupt(_) | StoreError::Taken(_) => Self::Internal(error.to_string()),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<Busy> for Fault {
    fn from(busy: Busy) -> Self {
        Self::Busy { retry_after: busy.retry_after }
    }
}

impl From<NoRandomness> for Fault {
    fn from(error: NoRandomness) -> Self {
        Self::Internal(error.to_string())
    }
}

impl App {
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.edge.now()
    }

    /// `iss`, byte for byte (RFC 8414 §2).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer_text
    }

    #[must_use]
    pub fn registration_enabled(&self) -> bool {
        self.config.registration_enabled.unwrap_or_else(|| self.issuer.is_loopback())
    }

    /// Secret behind the hosted pages' form tokens.
    #[must_use]
    pub fn form_secret(&self) -> &[u8; 32] {
        &self.form_secret
    }

    /// Applies changes; what they revoke is refused by this node before the caller hears of it.
    pub(crate) async fn apply(
        &self,
        changes: Vec<Change>,
        expect: Vec<Expect>,
    ) -> Result<Applied, StoreError> {
        let applied = self.store.apply(changes, expect).await?;
        self.revoked(&applied.revoked);
        Ok(applied)
    }

    /// The address of a status list.
    pub(crate) fn status_uri(&self, list: u64) -> String {
        format!("{}/auth/status/{list}", self.issuer_text)
    }
}

/// A session as its cookie or refresh token shows it, with its user.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub session: Session,
    pub user: User,
}
