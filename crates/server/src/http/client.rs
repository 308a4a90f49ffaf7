//! Where a request comes from. What a client says of its own address is believed only from a trusted proxy.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr};

use axum::extract::FromRequestParts;
use http::header::{FORWARDED, HeaderMap, HeaderName, USER_AGENT};
use http::request::Parts;
use ipnet::IpNet;

use super::Arrival;
use crate::app::Visitor;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Longest user agent that is kept, in characters.
const USER_AGENT_LENGTH: usize = 256;

/// The other end of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// IPv4-mapped addresses are IPv4. None where the server runs inside another that does not say.
    pub address: Option<IpAddr>,
    /// Whether the connection itself comes from one of `trusted_proxies`.
    pub through_proxy: bool,
}

impl Client {
    /// `peer` is the other end of the connection. From a trusted one, `X-Forwarded-For` (else `Forwarded`, RFC
    /// 7239) is read from the right: trusted addresses are passed over, and the first that is not is the client.
    ///
    /// A proxy sets one of the two headers and lets the other through as the client wrote it; where both are
    /// there and differ, neither is believed.
    #[must_use]
    pub fn of(peer: Option<IpAddr>, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
        let Some(peer) = peer.map(|p| p.to_canonical()) else { return Self::default() };
        let is_trusted = |address: IpAddr| trusted.iter().any(|net| net.contains(&address));
        if trusted.is_empty() || !is_trusted(peer) {
            return Self { address: Some(peer), through_proxy: false };
        }
        let follow = |name: &HeaderName, hop: fn(&str) -> Option<IpAddr>| {
            headers.contains_key(name).then(|| {
                let mut client = peer;
                for field in headers.get_all(name).iter().rev() {
                    // An element that cannot be read ends what is known.
                    let Ok(field) = field.to_str() else { return client };
                    for element in elements(field).into_iter().rev() {
                        if element.trim().is_empty() {
                            continue;
                        }
                        let Some(address) = hop(element) else { return client };
                        client = address.to_canonical();
                        if !is_trusted(client) {
                            return client;
                        }
                    }
                }
                client
            })
        };
        let address = match (follow(&X_FORWARDED_FOR, plain_hop), follow(&FORWARDED, forwarded_hop)) {
            (Some(a), Some(b)) if a != b => peer,
            (Some(a), _) | (None, Some(a)) => a,
            (None, None) => peer,
        };
        Self { address: Some(address), through_proxy: true }
    }

    /// As the front layer found it.
    pub(super) fn of_parts(parts: &Parts) -> Self {
        parts.extensions.get::<Arrival>().map(|arrival| arrival.client).unwrap_or_default()
    }

    /// What throttles, the device list and the audit trail keep of it.
    #[must_use]
    pub fn visitor(&self, headers: &HeaderMap) -> Visitor {
        Visitor {
            address: self.address.map(|a| a.to_string()).unwrap_or_default(),
            network: self.address.map(network).unwrap_or_default(),
            user_agent: headers
                .get(USER_AGENT)
                .map(|v| clean(&String::from_utf8_lossy(v.as_bytes()), USER_AGENT_LENGTH))
                .unwrap_or_default(),
        }
    }
}

/// As the front layer found it.
impl<S: Sync> FromRequestParts<S> for Visitor {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Client::of_parts(parts).visitor(&parts.headers))
    }
}

/// What a throttle counts: an IPv4 address, or the /64 of an IPv6 one, since a household has all of it.
fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let prefix = Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX));
            format!("{prefix}/64")
        }
    }
}

/// Text that a stranger wrote, fit for one line of a log or a cell of a page: no control characters, no
/// terminal escapes, nothing that turns or hides text; at most `most` characters.
#[must_use]
pub fn clean(text: &str, most: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(most));
    let mut chars = text.chars().peekable();
    let mut count = 0;
    while let Some(c) = chars.next() {
        if c == '\u{1b}' {
            // A terminal sequence: ESC [ parameters, one final letter.
            if chars.next_if_eq(&'[').is_some() {
                while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
                chars.next_if(|c| matches!(c, '@'..='~'));
            }
            continue;
        }
        if is_treacherous(c) {
            continue;
        }
        if count == most {
            break;
        }
        cleaned.push(c);
        count += 1;
    }
    cleaned
}

/// Controls, line and paragraph separators, direction marks and overrides, and characters without width.
#[must_use]
pub(crate) const fn is_treacherous(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

/// The elements of a list field (RFC 9110 §5.6.1), split at commas outside quotes.
fn elements(field: &str) -> Vec<&str> {
    split(field, ',')
}

fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (position, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ if c == at && !quoted => {
                parts.extend(text.get(start..position));
                start = position + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

/// `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:5678`.
fn plain_hop(element: &str) -> Option<IpAddr> {
    let element = element.trim();
    if let Ok(address) = element.parse::<IpAddr>() {
        return Some(address);
    }
    if let Some(rest) = element.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        let port = port.strip_prefix(':').unwrap_or(port);
        let digits = port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit());
        return digits.then(|| address.parse::<Ipv6Addr>().ok().map(IpAddr::V6))?;
    }
    element.parse::<std::net::SocketAddrV4>().ok().map(|a| IpAddr::V4(*a.ip()))
}

/// `for=` of one `Forwarded` element (RFC 7239 §4); none for `unknown` and obfuscated names.
fn forwarded_hop(element: &str) -> Option<IpAddr> {
    let mut node = None;
    for pair in split(element, ';') {
        let (name, value) = pair.trim().split_once('=')?;
        if name.eq_ignore_ascii_case("for") && node.replace(value).is_some() {
            return None;
        }
    }
    plain_hop(node?.trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, headers: &[(&'static str, &str)]) -> (String, bool) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "2001:db8:1::/48"].map(|n| n.parse().unwrap()).into();
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        let client = Client::of(Some(peer.parse().unwrap()), &map, &trusted);
        (client.visitor(&map).network, client.through_proxy)
    }

    #[test]
    fn a64_a65_only_a_trusted_proxy_is_believed_and_only_its_suffix() {
        let xff = "x-forwarded-for";
        let fwd = "forwarded";
        type Row<'a> = (&'a str, &'a [(&'static str, &'a str)], &'a str, bool);
        let table: &[Row<'_>] = &[
            ("203.0.113.9", &[], "203.0.113.9", false),
            ("203.0.113.9", &[(xff, "1.2.3.4")], "203.0.113.9", false),
            ("203.0.113.9", &[(fwd, "for=1.2.3.4")], "203.0.113.9", false),
            ("10.0.0.1", &[], "10.0.0.1", true),
            ("10.0.0.1", &[(xff, "1.2.3.4")], "1.2.3.4", true),
            ("::ffff:10.0.0.1", &[(xff, "::ffff:1.2.3.4")], "1.2.3.4", true),
            ("::ffff:203.0.113.9", &[(xff, "1.2.3.4")], "203.0.113.9", false),
            // The leftmost may say anything.
            ("10.0.0.1", &[(xff, "9.9.9.9, 1.2.3.4")], "1.2.3.4", true),
            ("10.0.0.1", &[(xff, "9.9.9.9, 1.2.3.4, 10.1.1.1, 10.2.2.2")], "1.2.3.4", true),
            ("10.0.0.1", &[(xff, "9.9.9.9"), (xff, "1.2.3.4"), (xff, "10.1.1.1")], "1.2.3.4", true),
            ("10.0.0.1", &[(xff, "10.1.1.1, 10.2.2.2")], "10.1.1.1", true),
            ("10.0.0.1", &[(xff, "9.9.9.9, junk, 10.2.2.2")], "10.2.2.2", true),
            ("10.0.0.1", &[(xff, "9.9.9.9, ${jndi:ldap://x}")], "10.0.0.1", true),
            ("10.0.0.1", &[(xff, "1.2.3.4:5678")], "1.2.3.4", true),
            ("10.0.0.1", &[(xff, "1.2.3.4,")], "1.2.3.4", true),
            ("10.0.0.1", &[(xff, "")], "10.0.0.1", true),
            // One bucket, however it is written, for all of a /64.
            ("10.0.0.1", &[(xff, "2001:DB8:0:2::1")], "2001:db8:0:2::/64", true),
            ("10.0.0.1", &[(xff, "2001:0db8:0000:0002:0000:0000:0000:0001")], "2001:db8:0:2::/64", true),
            ("10.0.0.1", &[(xff, "[2001:db8:0:2:ffff::9]:443")], "2001:db8:0:2::/64", true),
            ("2001:db8:1::5", &[(xff, "1.2.3.4")], "1.2.3.4", true),
            // RFC 7239.
            ("10.0.0.1", &[(fwd, "for=1.2.3.4;proto=https;by=10.0.0.1")], "1.2.3.4", true),
            ("10.0.0.1", &[(fwd, "For=\"[2001:db8:0:2::1]:4711\"")], "2001:db8:0:2::/64", true),
            ("10.0.0.1", &[(fwd, "for=9.9.9.9, for=1.2.3.4;host=\"a,b\", for=10.9.9.9")], "1.2.3.4", true),
            ("10.0.0.1", &[(fwd, "for=1.2.3.4, for=unknown")], "10.0.0.1", true),
            ("10.0.0.1", &[(fwd, "for=1.2.3.4, for=_hidden, for=10.2.2.2")], "10.2.2.2", true),
            ("10.0.0.1", &[(fwd, "for=1.2.3.4;for=9.9.9.9")], "10.0.0.1", true),
            ("10.0.0.1", &[(fwd, "for=\"1.2.3.4")], "1.2.3.4", true),
            // One of the two was written by the client, and nobody knows which.
            ("10.0.0.1", &[(xff, "1.2.3.4"), (fwd, "for=9.9.9.9")], "10.0.0.1", true),
            ("10.0.0.1", &[(xff, "1.2.3.4"), (fwd, "for=1.2.3.4")], "1.2.3.4", true),
        ];
        for (peer, headers, network, through_proxy) in table {
            assert_eq!(client(peer, headers), ((*network).to_owned(), *through_proxy), "{peer} {headers:?}");
        }
    }

    #[test]
    fn without_a_connection_nothing_is_known_and_nothing_believed() {
        let mut headers = HeaderMap::new();
        headers.append(X_FORWARDED_FOR, "1.2.3.4".parse().unwrap());
        assert_eq!(Client::of(None, &headers, &["0.0.0.0/0".parse().unwrap()]), Client::default());
    }

    #[test]
    fn a204_user_agents_are_one_clean_bounded_line() {
        let table = [
            ("Mozilla/5.0 (X11)", "Mozilla/5.0 (X11)"),
            ("a\r\nb\tc", "abc"),
            ("\u{1b}[31;1mred\u{1b}[0m \u{1b}]0;t\u{7}", "red ]0;t"),
            ("a\u{2028}b\u{202e}c\u{2066}d\u{200b}e\u{feff}", "abcde"),
            ("${jndi:ldap://x}", "${jndi:ldap://x}"),
            ("\u{9b}31m", "31m"),
            ("日本", "日本"),
        ];
        for (dirty, expected) in table {
            assert_eq!(clean(dirty, 256), expected, "{dirty:?}");
        }
        assert_eq!(clean(&"é".repeat(1_000_000), 256).chars().count(), 256);
        assert_eq!(clean(&"\u{1b}[".repeat(1000), 256), "");
    }
}
