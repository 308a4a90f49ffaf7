//! Values as they were written, and what they are read as. Every refusal says what was expected.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::{DatabaseUrl, Ops, Origin, PasswordHash};

/// A value in one of its three forms. The environment and flags know text only.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Bool(bool),
    List(Vec<String>),
    /// Something that no key takes (a float, a date, a list of numbers), as it is called.
    Other(&'static str),
}

/// What was expected, as the rest of the sentence "expected …".
pub(super) type Expected = String;

impl Value {
    /// For messages and `config show`: as it would be written in the file.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Text(text) => shown(text),
            Self::Integer(number) => number.to_string(),
            Self::Bool(value) => value.to_string(),
            Self::List(items) => {
                format!("[{}]", items.iter().map(|item| shown(item)).collect::<Vec<_>>().join(", "))
            }
            Self::Other(kind) => (*kind).to_owned(),
        }
    }

    pub(super) fn text(&self, expected: &str) -> Result<&str, Expected> {
        match self {
            Self::Text(text) => Ok(text),
            _ => Err(expected.to_owned()),
        }
    }

    /// A list in the file; in the environment and in flags, items with commas between them.
    pub(super) fn list(&self) -> Result<Vec<String>, Expected> {
        match self {
            Self::List(items) => Ok(items.clone()),
            Self::Text(text) => Ok(split(text)),
            _ => Err("a string, or a list of strings".to_owned()),
        }
    }

    pub(super) fn bool(&self) -> Result<bool, Expected> {
        match self {
            Self::Bool(value) => Ok(*value),
            Self::Text(text) if text == "true" => Ok(true),
            Self::Text(text) if text == "false" => Ok(false),
            _ => Err("true or false".to_owned()),
        }
    }

    pub(super) fn number(&self, least: u32, most: u32) -> Result<u32, Expected> {
        let number = match self {
            Self::Integer(number) => u32::try_from(*number).ok(),
            Self::Text(text) => digits(text),
            _ => None,
        };
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| format!("a whole number from {least} to {most}"))
    }

    pub(super) fn duration(&self, least: Duration, most: Duration) -> Result<Duration, Expected> {
        let duration = match self {
            Self::Text(text) => duration(text),
            _ => None,
        };
        duration.filter(|duration| (least..=most).contains(duration)).ok_or_else(|| {
            format!(
                "a duration such as 10m or 14d (units s, m, h, d), from {} to {}",
                print_duration(least),
                print_duration(most)
            )
        })
    }

    /// One of the names; gives its value.
    pub(super) fn choice<T: Copy>(&self, names: &[(&str, T)]) -> Result<T, Expected> {
        let text = self.text("");
        names
            .iter()
            .find(|(name, _)| text.as_ref().is_ok_and(|text| text == name))
            .map(|(_, value)| *value)
            .ok_or_else(|| {
                let names: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
                format!("one of {}", names.join(", "))
            })
    }

    pub(super) fn path(&self) -> Result<PathBuf, Expected> {
        self.text("a path").map(PathBuf::from)
    }

    /// `HOST:PORT` with an address or `localhost` as host, or `:PORT` for this machine only.
    pub(super) fn address(&self) -> Result<SocketAddr, Expected> {
        const EXPECTED: &str = "an address with a port, such as 127.0.0.1:8080, [::]:8080 or localhost:0";
        let text = self.text(EXPECTED)?;
        let local = text.strip_prefix("localhost:").or_else(|| text.strip_prefix(':'));
        match local {
            Some(port) => digits(port)
                .and_then(|port| u16::try_from(port).ok())
                .map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
            None => text.parse().ok(),
        }
        .ok_or_else(|| EXPECTED.to_owned())
    }

    pub(super) fn ops(&self) -> Result<Ops, Expected> {
        match self {
            Self::Text(text) if text == "main" => Ok(Ops::Main),
            _ => self.address().map(Ops::Own).map_err(|expected| format!("`main`, or {expected}")),
        }
    }

    pub(super) fn origin(&self) -> Result<Origin, Expected> {
        const EXPECTED: &str = "an origin without a path, such as https://auth.example.com";
        Origin::parse(self.text(EXPECTED)?).map_err(|why| format!("{EXPECTED} ({why})"))
    }

    /// Exact origins; none twice.
    pub(super) fn origins(&self) -> Result<Vec<Origin>, Expected> {
        let mut origins = Vec::new();
        for item in self.list()? {
            let origin = Origin::parse(&item).map_err(|why| {
                format!("exact origins such as https://app.example.com (in {}: {why})", shown(&item))
            })?;
            if !origins.contains(&origin) {
                origins.push(origin);
            }
        }
        Ok(origins)
    }

    /// Addresses and networks.
    pub(super) fn networks(&self) -> Result<Vec<IpNet>, Expected> {
        self.list()?
            .iter()
            .map(|item| {
                item.parse::<IpNet>()
                    .map(|net| net.trunc())
                    .or_else(|_| item.parse::<IpAddr>().map(IpNet::from))
                    .map_err(|_| {
                        format!(
                            "addresses or networks such as 10.0.0.7 or 10.0.0.0/8 ({} is neither)",
                            shown(item)
                        )
                    })
            })
            .collect()
    }

    /// A host name without the leading dot, in lower case and Punycode.
    pub(super) fn domain(&self) -> Result<String, Expected> {
        const EXPECTED: &str = "a domain such as .example.com";
        let text = self.text(EXPECTED)?;
        let name = text.strip_prefix('.').unwrap_or(text);
        match Origin::parse(&format!("https://{name}")) {
            Ok(origin) if origin.port.is_none() && origin.ip().is_none() && !origin.host.contains(':') => {
                Ok(origin.host)
            }
            _ => Err(EXPECTED.to_owned()),
        }
    }

    /// A cookie's name: a token (RFC 6265 §4.1.1), without the prefixes that the server adds by itself.
    pub(super) fn cookie_name(&self) -> Result<String, Expected> {
        const EXPECTED: &str = "1 to 64 of A-Z a-z 0-9 - _ . without the prefix __Host- or __Secure-, which is added where it applies";
        let text = self.text(EXPECTED)?;
        let lower = text.to_ascii_lowercase();
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && !lower.starts_with("__");
        if fits { Ok(text.to_owned()) } else { Err(EXPECTED.to_owned()) }
    }

    pub(super) fn database_url(&self) -> Result<DatabaseUrl, Expected> {
        self.text(DatabaseUrl::EXPECTED)?.parse()
    }

    /// `argon2id`, alone or with any of `m=` (KiB), `t=`, `p=` after it.
    pub(super) fn password_hash(&self) -> Result<PasswordHash, Expected> {
        const EXPECTED: &str = "argon2id, or argon2id,m=19456,t=2,p=1 with m (KiB) from 8 to 262144 and at least 8 × p, t and p from 1 to 16, m × t at most 2097152";
        let mut parts = self.text(EXPECTED)?.split([',', ' ', '$']).filter(|part| !part.is_empty());
        if parts.next() != Some("argon2id") {
            return Err(EXPECTED.to_owned());
        }
        let mut hash = PasswordHash::default();
        for part in parts {
            let (name, number) = part.split_once('=').ok_or(EXPECTED)?;
            let number = digits(number).ok_or(EXPECTED)?;
            match name {
                "m" => hash.memory_kib = number,
                "t" => hash.iterations = number,
                "p" => hash.parallelism = number,
                _ => return Err(EXPECTED.to_owned()),
            }
        }
        // Beyond this a login costs seconds; the hasher refuses to verify it.
        let work = u64::from(hash.memory_kib) * u64::from(hash.iterations);
        let fits = (8..=262_144).contains(&hash.memory_kib)
            && work <= 2_097_152
            && (1..=16).contains(&hash.iterations)
            && (1..=16).contains(&hash.parallelism)
            && hash.memory_kib >= 8 * hash.parallelism;
        if fits { Ok(hash) } else { Err(EXPECTED.to_owned()) }
    }
}

/// Quoted, with control characters escaped: a value can come from anywhere and ends up on a terminal.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let cut: String = text.chars().take(LONGEST).collect();
    let dots = if cut.len() < text.len() { "…" } else { "" };
    format!("{cut:?}{dots}")
}

/// Items with commas between them; white space around them and empty ones do not count.
fn split(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
}

/// Digits only: no sign, no white space, which `parse` would partly let through.
fn digits(text: &str) -> Option<u32> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

const UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// `90s`, `10m`, `1h30m`, `14d`; each unit at most once, larger ones first.
fn duration(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    let mut units = UNITS.iter();
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(end)?;
        let (unit, size) = units.find(|(unit, _)| tail.starts_with(unit))?;
        let number: u64 = number.parse().ok()?;
        seconds = seconds.checked_add(number.checked_mul(*size)?)?;
        rest = tail.strip_prefix(unit)?;
    }
    if text.is_empty() { None } else { Some(Duration::from_secs(seconds)) }
}

/// As [`duration`] reads it; whole seconds.
#[must_use]
pub(super) fn print_duration(duration: Duration) -> String {
    let mut seconds = duration.as_secs();
    if seconds == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in UNITS {
        if seconds >= size {
            text.push_str(&format!("{}{unit}", seconds / size));
            seconds %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    #[test]
    fn durations() {
        for (text, seconds) in
            [("0s", 0), ("10m", 600), ("14d", 1_209_600), ("1h30m", 5_400), ("90s", 90), ("1d1s", 86_401)]
        {
            assert_eq!(duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "10",
            "m",
            "10x",
            "-1m",
            "+1m",
            "1.5h",
            "10 m",
            "10m ",
            "30m1h",
            "1m1m",
            "99999999999999999999d",
            "٣m",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        for seconds in [0, 1, 59, 60, 61, 3_600, 5_400, 86_399, 86_400, 7_776_000] {
            let there = Duration::from_secs(seconds);
            assert_eq!(duration(&print_duration(there)), Some(there));
        }
    }

    #[test]
    fn addresses() {
        for (written, read) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("[::]:0", "[::]:0"),
            ("localhost:80", "127.0.0.1:80"),
            (":0", "127.0.0.1:0"),
        ] {
            assert_eq!(text(written).address().unwrap().to_string(), read);
        }
        for bad in ["", "8080", "127.0.0.1", "localhost", ":+80", ":65536", "example.com:80", "localhost: 80"]
        {
            assert!(text(bad).address().is_err(), "{bad}");
        }
    }

    #[test]
    fn password_hashes() {
        let default = PasswordHash::default();
        assert_eq!(text("argon2id").password_hash(), Ok(default));
        assert_eq!(text("argon2id,m=19456,t=2,p=1").password_hash(), Ok(default));
        assert_eq!(text("argon2id$m=19456,t=2,p=1").password_hash(), Ok(default));
        assert_eq!(text("argon2id t=3").password_hash(), Ok(PasswordHash { iterations: 3, ..default }));
        for bad in [
            "",
            "argon2i",
            "bcrypt",
            "argon2id,m=4",
            "argon2id,m=4194304,t=1000",
            "argon2id,m=524288,t=1",
            "argon2id,m=262144,t=9",
            "argon2id,x=1",
            "argon2id,m",
            "argon2id,m=16,p=4",
        ] {
            assert!(text(bad).password_hash().is_err(), "{bad}");
        }
    }

    #[test]
    fn domains_and_cookie_names() {
        assert_eq!(text(".Example.com").domain().unwrap(), "example.com");
        assert_eq!(text("bücher.example").domain().unwrap(), "xn--bcher-kva.example");
        for bad in [
            "",
            ".",
            "..example.com",
            "example.com/",
            "example.com:80",
            "10.0.0.1",
            "a b",
            "*.example.com",
            "example.com.",
        ] {
            assert!(text(bad).domain().is_err(), "{bad}");
        }
        assert!(text("jwt").cookie_name().is_ok());
        for bad in ["", "__Host-jwt", "__secure-x", "a b", "a;b", "a=b", "ü"] {
            assert!(text(bad).cookie_name().is_err(), "{bad}");
        }
    }

    #[test]
    fn databases() {
        assert_eq!(
            text("sqlite:///var/lib/x.db").database_url(),
            Ok(DatabaseUrl::Sqlite(Some(PathBuf::from("/var/lib/x.db"))))
        );
        for bad in [
            "",
            "sqlite://",
            "sqlite://:memory:",
            "sqlite://x?mode=ro",
            "postgres://h/d",
            "mysql://u@h/d",
            "/var/lib/x.db",
        ] {
            assert!(text(bad).database_url().is_err(), "{bad}");
        }
    }

    #[test]
    fn lists_and_networks() {
        assert_eq!(text("a, b,,c ").list().unwrap(), ["a", "b", "c"]);
        let nets = text("10.0.0.7,fd00::1/8").networks().unwrap();
        assert_eq!(nets.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.7/32", "fd00::/8"]);
        assert!(text("proxy.example.com").networks().is_err());
        assert!(text("https://*.example.com").origins().is_err());
    }

    #[test]
    fn what_is_shown_is_harmless_on_a_terminal() {
        assert_eq!(shown("a\x1b[2J\nb"), "\"a\\u{1b}[2J\\nb\"");
        assert!(shown(&"x".repeat(10_000)).len() < 300);
    }
}
