//! The configuration, typed: nothing below re-checks it.
//!
//! [`load`] makes a [`Config`] of flags, environment, file and defaults, all passed in as values; the table of
//! keys in [`keys`] is the only list of what can be set, and the reference in `docs/` is printed from it.

pub mod keys;
mod load;
mod mount;
mod origin;
mod parse;
mod postgres;
mod providers;
pub mod reference;
mod rules;
mod webhooks;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use jotgate_domain::access::Rule;
use jotgate_domain::config::Policy;
use jotgate_jose::Algorithm;

pub use load::{File, Flag, Input, Invalid, Loaded, Problem, Setting, Source, load};
pub use mount::Mount;
pub use postgres::PostgresUrl;
pub(crate) use postgres::{PostgresHost, PostgresTls};
pub(crate) use providers::is_issuer;
pub use providers::{Provider, Secret};
pub use webhooks::Webhook;

/// All of it; field names are the keys of `jotgate.toml`.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: SocketAddr,
    /// The issuer, and the origin that cookies and links belong to: `scheme://host[:port]`, no path.
    /// None: made of the address that was bound.
    pub public_url: Option<Origin>,
    pub allow_insecure_http: bool,
    pub ops: Ops,
    pub data_dir: PathBuf,
    pub database_url: DatabaseUrl,
    pub token: Token,
    pub cookie: Cookie,
    /// `sso.origins`: applications on other root domains.
    pub applications: Vec<Origin>,
    /// `verify.renew`: a session cookie is good for an access cookie at `/auth/verify?renew=1`.
    pub verify_renew: bool,
    pub password: PasswordHash,
    /// None: where `public_url` is loopback.
    pub registration_enabled: Option<bool>,
    /// Whom users may sign in with, by name.
    pub providers: BTreeMap<String, Provider>,
    pub tls: Option<Tls>,
    /// Only these may set `Forwarded` and `X-Forwarded-*`.
    pub trusted_proxies: Vec<IpNet>,
    pub master_key: MasterKeySource,
    pub log: Log,
    /// By name.
    pub webhooks: BTreeMap<String, Webhook>,
    /// Who may pass to applications behind a proxy, by the rule's name.
    pub rules: BTreeMap<String, Rule>,
    /// Lifetimes, limits, permissions.
    pub policy: Policy,
}

/// An origin in canonical form (RFC 6454 §6.2): lower-case scheme and host, no default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    pub https: bool,
    pub host: String,
    /// Never the scheme's default.
    pub port: Option<u16>,
}

/// Where health, metrics and administration are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ops {
    /// On the main listener only while `public_url` is loopback.
    Auto,
    Main,
    Own(SocketAddr),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// None: `DATA_DIR/jotgate.db`.
    Sqlite(Option<PathBuf>),
    Postgres(Box<PostgresUrl>),
}

impl DatabaseUrl {
    const EXPECTED: &str = "sqlite://PATH, such as sqlite:///var/lib/jotgate/jotgate.db, or \
                                postgres://USER:PASSWORD@HOST/DATABASE";
}

impl FromStr for DatabaseUrl {
    type Err = String;

    /// The error says what is expected, and nothing of the text, which may have a password in it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(DatabaseUrl::Postgres(Box::new(text.parse()?)));
        }
        let path = text.strip_prefix("sqlite://").ok_or(Self::EXPECTED)?;
        // SQLite itself would read these as something other than a file name.
        if path.is_empty() || path == "/" || path.starts_with(':') || path.contains(['?', '#', '\0']) {
            return Err(Self::EXPECTED.to_owned());
        }
        Ok(DatabaseUrl::Sqlite(Some(PathBuf::from(path))))
    }
}

#[derive(Clone, Debug)]
pub struct Token {
    /// Empty: the issuer.
    pub audience: Vec<String>,
    pub algorithm: Algorithm,
}

#[derive(Clone, Debug)]
pub struct Cookie {
    pub name: String,
    /// Without the leading dot.
    pub domain: Option<String>,
    pub same_site: SameSite,
    pub trusted_origins: Vec<Origin>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SameSite {
    Lax,
    Strict,
}

/// Parameters of argon2id (RFC 9106).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordHash {
    pub memory_kib: u32,
    pub iterations: u32,
    pub parallelism: u32,
}

/// PEM files.
#[derive(Clone, Debug)]
pub struct Tls {
    pub cert: PathBuf,
    pub key: PathBuf,
}

#[derive(Clone)]
pub enum MasterKeySource {
    /// `DATA_DIR/master.key`, made on first start.
    DataDir,
    /// `JOTGATE_MASTER_KEY_FILE`.
    File(PathBuf),
}

#[derive(Clone, Debug)]
pub struct Log {
    /// As in `tracing_subscriber::EnvFilter`.
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text where standard error is a terminal, else JSON.
    Auto,
    Json,
    Text,
}

impl Default for Config {
    /// What holds where nothing is set.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            public_url: None,
            allow_insecure_http: false,
            ops: Ops::Auto,
            data_dir: PathBuf::from("./jotgate-data"),
            database_url: DatabaseUrl::Sqlite(None),
            token: Token { audience: Vec::new(), algorithm: Algorithm::Es256 },
            cookie: Cookie {
                name: "jwt".to_owned(),
                domain: None,
                same_site: SameSite::Lax,
                trusted_origins: Vec::new(),
            },
            applications: Vec::new(),
            verify_renew: false,
            password: PasswordHash::default(),
            registration_enabled: None,
            providers: BTreeMap::new(),
            tls: None,
            trusted_proxies: Vec::new(),
            master_key: MasterKeySource::DataDir,
            log: Log { filter: "info".to_owned(), format: LogFormat::Auto },
            webhooks: BTreeMap::new(),
            rules: BTreeMap::new(),
            policy: Policy::default(),
        }
    }
}

impl Default for PasswordHash {
    /// The first choice of OWASP's password storage advice.
    fn default() -> Self {
        Self { memory_kib: 19_456, iterations: 2, parallelism: 1 }
    }
}

impl std::fmt::Debug for MasterKeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::DataDir => f.write_str("DataDir"),
            Self::File(path) => write!(f, "File({})", path.display()),
        }
    }
}
