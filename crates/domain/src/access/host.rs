//! Hosts: one spelling of each, compared label by label.

use std::fmt;
use std::net::Ipv6Addr;

/// A host in normal form: lower case, no port, no dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host(String);

impl Host {
    /// Parses `host[:port]` (RFC 9110 §7.2), also with a dot at the end; answers the port as well.
    ///
    /// Labels are of ASCII letters, digits, `-` and `_`: an international name comes as `xn--…`. None where it is
    /// anything else, such as a list, or a name with a user in front.
    #[must_use]
    pub fn parse(text: &str) -> Option<(Self, Option<u16>)> {
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => Some(digits.parse().ok()?),
            Some(_) => return None,
            None => None,
        };
        if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            return Some((Self(format!("[{}]", address.parse::<Ipv6Addr>().ok()?)), port));
        }
        Some((Self(name(host.strip_suffix('.').unwrap_or(host))?), port))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A host of a rule: `app.example.com`, or `*.example.com` for every name with one label more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    Exact(Host),
    /// What follows the `*.`.
    OneLabelUnder(Host),
}

impl HostPattern {
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if let Some(parent) = text.strip_prefix("*.") {
            return match (Host::parse(parent), parent.contains('.')) {
                (Some((host, None)), true) if !host.0.starts_with('[') && !parent.ends_with('.') => {
                    Ok(Self::OneLabelUnder(host))
                }
                (_, false) => Err("what follows *. has to be a domain of yours, such as example.com"),
                _ => Err("what follows *. is not a host name"),
            };
        }
        if text.contains('*') {
            return Err("a wildcard stands for one whole label in front, as in *.example.com");
        }
        match Host::parse(text) {
            Some((host, None)) if !text.ends_with('.') => Ok(Self::Exact(host)),
            Some((_, Some(_))) => Err("a rule is for every port: write it without"),
            _ => Err("it is not a host name: no scheme, no path, no dot at the end"),
        }
    }

    /// Whether it is this host.
    #[must_use]
    pub fn names(&self, host: &Host) -> bool {
        match self {
            Self::Exact(exact) => exact == host,
            Self::OneLabelUnder(parent) => {
                host.0.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == parent.0)
            }
        }
    }

    #[must_use]
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::OneLabelUnder(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Labels of 1 to 63 characters (RFC 1123 §2.1), in lower case.
fn name(text: &str) -> Option<String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    (text.len() <= 253 && text.split('.').all(label)).then(|| text.to_ascii_lowercase())
}
