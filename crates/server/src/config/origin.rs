//! Origins: parsed strictly, printed canonically.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use url::{Host, Url};

use super::Origin;

impl Origin {
    /// Parses `scheme://host[:port]` and nothing more: no path (not even `/`), user, query or fragment.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or("it has no http:// or https:// in front")?;
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err("its scheme is neither http nor https"),
        };
        if rest.contains('*') {
            return Err("wildcards are not possible: list each origin");
        }
        if rest.contains('@') {
            return Err("it has a user name in it");
        }
        if rest.contains(['/', '?', '#', '\\']) {
            return Err("it has a path: write it without, and without a slash at the end");
        }
        if rest.is_empty() || rest.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err("its host is not a host name");
        }
        let url = Url::parse(text).map_err(|_| "its host or port is not one")?;
        let host = match url.host() {
            Some(Host::Domain(name)) if is_host_name(name) => name.to_owned(),
            Some(Host::Ipv4(ip)) => ip.to_string(),
            Some(Host::Ipv6(ip)) => format!("[{ip}]"),
            _ => return Err("its host is not a host name"),
        };
        if url.port() == Some(0) {
            return Err("port 0 is not an address");
        }
        Ok(Self { https, host, port: url.port() })
    }

    /// The origin that a listener on this address has when nothing else is said.
    #[must_use]
    pub fn of_listener(address: SocketAddr, https: bool) -> Self {
        let host = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let port = Some(address.port()).filter(|&port| port != if https { 443 } else { 80 });
        Self { https, host, port }
    }

    /// Whether only this machine can be meant: `localhost`, names under it (RFC 6761 §6.3), 127.0.0.0/8, `[::1]`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    /// The host, where it is an address and not a name.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => v6.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => self.host.parse().ok(),
        }
    }
}

/// Labels of letters, digits, `-` and `_`, after Punycode; the URL standard lets more through.
fn is_host_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
        })
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.https { "https" } else { "http" }, self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_printed_in_canonical_form() {
        for (text, printed) in [
            ("https://Auth.Example.COM", "https://auth.example.com"),
            ("HTTPS://auth.example.com:443", "https://auth.example.com"),
            ("http://auth.example.com:443", "http://auth.example.com:443"),
            ("http://[0:0::1]:8080", "http://[::1]:8080"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(Origin::parse(text).unwrap().to_string(), printed, "{text}");
        }
    }

    #[test]
    fn what_is_more_or_less_than_an_origin_is_refused() {
        for text in [
            "auth.example.com",
            "https:auth.example.com",
            "ftp://auth.example.com",
            "https://auth.example.com/",
            "https://auth.example.com/login",
            "https://auth.example.com?x",
            "https://auth.example.com#x",
            "https://user@auth.example.com",
            "https://auth.example.com\\x",
            "https://auth.example.com.",
            "https://.example.com",
            "https://auth..example.com",
            "https://*.example.com",
            "https://auth.exa\tmple.com",
            " https://auth.example.com",
            "https://",
            "https://:8080",
            "https://auth.example.com:0",
            "https://auth.example.com:99999",
            "null",
            "*",
        ] {
            assert!(Origin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn loopback_is_told_by_the_host() {
        for (text, loopback) in [
            ("http://localhost:8080", true),
            ("http://app.localhost", true),
            ("http://127.0.0.2", true),
            ("http://[::1]:1", true),
            ("http://localhost.example.com", false),
            ("http://notlocalhost", false),
            ("http://192.168.1.1", false),
        ] {
            assert_eq!(Origin::parse(text).unwrap().is_loopback(), loopback, "{text}");
        }
    }
}
