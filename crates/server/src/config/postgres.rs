//! `postgres://…`: what libpq understands, as far as it makes sense here, and with a stricter reading of TLS.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use tokio_postgres::config::Host;

/// A PostgreSQL database, its password included; that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    config: tokio_postgres::Config,
    pub(crate) tls: PostgresTls,
    pub(crate) pool_size: u32,
}

/// How the connection is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PostgresTls {
    /// In clear.
    Disable,
    /// Encrypted where the server offers it; nobody checks whose server it is.
    Prefer,
    /// Encrypted, and the certificate checked, against these roots or the platform's.
    Verify { roots: Option<PathBuf> },
}

/// Where one server of the URL is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PostgresHost {
    Tcp(String, u16),
    /// The path of the socket.
    Unix(PathBuf),
}

/// Connections that a node opens at most, for what is asked of it; one more hears of changes.
const POOL_SIZE: u32 = 16;
const DEFAULT_PORT: u16 = 5432;

const EXPECTED: &str = "postgres://USER:PASSWORD@HOST:PORT/DATABASE (other characters than letters, \
    digits and -._~ in a name or password percent-encoded), with no parameters but sslmode (disable, prefer, \
    require or verify-full), sslrootcert, host, port, connect_timeout, application_name and pool_size";

impl PostgresUrl {
    /// Reads it; an error says nothing of the text, which has a password in it.
    fn parse(text: &str) -> Option<Self> {
        let (base, query) = text.split_once('?').unwrap_or((text, ""));
        let mut mode = "prefer".to_owned();
        let mut roots = None;
        let mut pool_size = POOL_SIZE;
        let mut passed = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, raw) = pair.split_once('=')?;
            let value = percent_decode_str(raw).decode_utf8().ok()?.into_owned();
            match name {
                "sslmode" => mode = value,
                "sslrootcert" => roots = (!value.is_empty()).then(|| PathBuf::from(value)),
                "pool_size" => pool_size = value.parse().ok().filter(|size| (1..=1000).contains(size))?,
                "host" | "port" | "connect_timeout" | "application_name" => passed.push(pair),
                _ => return None,
            }
        }
        let tls = match (mode.as_str(), roots) {
            ("disable", None) => PostgresTls::Disable,
            ("prefer", None) => PostgresTls::Prefer,
            // libpq checks the certificate for `require` only where it has roots; here "require" means it.
            ("require" | "verify-full", roots) => PostgresTls::Verify { roots },
            _ => return None,
        };
        let rebuilt =
            if passed.is_empty() { base.to_owned() } else { format!("{base}?{}", passed.join("&")) };
        let mut config: tokio_postgres::Config = rebuilt.parse().ok()?;
        if config.get_application_name().is_none() {
            config.application_name("jotgate");
        }
        // The connector does it, before the protocol begins.
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        let url = Self { config, tls, pool_size };
        let named = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
        let complete = named(url.config.get_user()) && named(url.config.get_dbname());
        let hosts = url.hosts();
        (complete && !hosts.is_empty()).then_some(url)
    }

    pub(crate) fn config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }

    /// In the order in which they are tried; empty where hosts and ports do not fit.
    pub(crate) fn hosts(&self) -> Vec<PostgresHost> {
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        if ports.len() > 1 && ports.len() != hosts.len() {
            return Vec::new();
        }
        let place = |(n, host): (usize, &Host)| {
            let port = ports.get(n).or(ports.first()).copied().unwrap_or(DEFAULT_PORT);
            match host {
                Host::Tcp(name) if name.is_empty() => None,
                Host::Tcp(name) => Some(PostgresHost::Tcp(name.clone(), port)),
                Host::Unix(folder) => Some(PostgresHost::Unix(folder.join(format!(".s.PGSQL.{port}")))),
            }
        };
        hosts.iter().enumerate().map(place).collect::<Option<_>>().unwrap_or_default()
    }

    pub(crate) fn connect_timeout(&self) -> Option<Duration> {
        self.config.get_connect_timeout().copied()
    }

    /// Whether a stranger on the network between could read or answer in the server's place.
    pub(crate) fn is_exposed(&self) -> bool {
        let remote = |host: &PostgresHost| match host {
            PostgresHost::Tcp(name, _) => {
                name != "localhost"
                    && !name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
            }
            PostgresHost::Unix(_) => false,
        };
        !matches!(self.tls, PostgresTls::Verify { .. }) && self.hosts().iter().any(remote)
    }
}

impl FromStr for PostgresUrl {
    type Err = &'static str;

    /// The error says what is expected, and nothing of the text.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text).ok_or(EXPECTED)
    }
}

impl fmt::Display for PostgresHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name, port) if name.contains(':') => write!(f, "[{name}]:{port}"),
            Self::Tcp(name, port) => write!(f, "{name}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The database without its password: `the database "jotgate" at db.example.com:5432`.
impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database {:?} at ", self.config.get_dbname().unwrap_or_default())?;
        for (n, host) in self.hosts().iter().enumerate() {
            write!(f, "{}{host}", if n > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl")
            .field("place", &self.to_string())
            .field("user", &self.config.get_user())
            .field("tls", &self.tls)
            .field("pool_size", &self.pool_size)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(text: &str) -> Vec<String> {
        PostgresUrl::parse(text).unwrap().hosts().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn urls() {
        let url = PostgresUrl::parse("postgresql://jot:h%40nter2@db.example.com/auth").unwrap();
        assert_eq!(url.to_string(), "the database \"auth\" at db.example.com:5432");
        assert_eq!(url.config.get_password(), Some(&b"h@nter2"[..]));
        assert_eq!((url.tls.clone(), url.pool_size), (PostgresTls::Prefer, 16));
        assert!(!format!("{url:?} {url}").contains("nter2"), "{url:?}");
        assert_eq!(hosts("postgres://u@a:1,b:2/d?sslmode=require"), ["a:1", "b:2"], "one after the other");
        assert_eq!(hosts("postgres://u@[::1]:5433/d"), ["[::1]:5433"]);
        assert_eq!(hosts("postgres://u@/d?host=/run/postgresql"), ["/run/postgresql/.s.PGSQL.5432"]);
        assert_eq!(hosts("postgres://u@%2Frun%2Fpg:6543/d"), ["/run/pg/.s.PGSQL.6543"]);
        let tls = |query: &str| PostgresUrl::parse(&format!("postgres://u@h/d?{query}")).map(|url| url.tls);
        assert_eq!(tls("sslmode=disable"), Some(PostgresTls::Disable));
        assert_eq!(tls("sslmode=require"), Some(PostgresTls::Verify { roots: None }));
        assert_eq!(
            tls("sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"),
            Some(PostgresTls::Verify { roots: Some("/etc/ca.pem".into()) })
        );
        // Nothing that would be taken for a check and is none.
        for bad in [
            "sslmode=verify-ca",
            "sslmode=allow",
            "sslmode=",
            "sslrootcert=/x",
            "sslmode=disable&sslrootcert=/x",
        ] {
            assert_eq!(tls(bad), None, "{bad}");
        }
        for bad in [
            "postgres://",
            "postgres://h/d",
            "postgres://u@h",
            "postgres://u@/d",
            "postgres://u@h/d?password=x",
            "postgres://u@h/d?options=-c%20x",
            "postgres://u@h/d?pool_size=0",
            "postgres://u@h/d?x",
            "postgres://u@h:port/d",
            "mysql://u@h/d",
        ] {
            assert!(PostgresUrl::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn who_could_listen() {
        let exposed = |text: &str| PostgresUrl::parse(text).unwrap().is_exposed();
        for open in
            ["postgres://u@db/d", "postgres://u@10.0.0.1/d?sslmode=disable", "postgres://u@localhost,db/d"]
        {
            assert!(exposed(open), "{open}");
        }
        for safe in [
            "postgres://u@localhost/d",
            "postgres://u@127.0.0.1/d",
            "postgres://u@%2Frun/d",
            "postgres://u@db/d?sslmode=require",
        ] {
            assert!(!exposed(safe), "{safe}");
        }
    }
}
