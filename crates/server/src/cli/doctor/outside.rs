//! `public_url`, asked as a user's browser or a resource server would: who answers there.

use std::time::Duration;

use http::header::{DATE, LOCATION};
use http::{Request, StatusCode};
use serde_json::Value;

use super::Finding;
use crate::config::{Config, Origin};
use crate::edge::Edge;
use crate::outbound::Client;

/// No question takes longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A clock may be this many seconds off: `Date` is cut to whole ones, and the answer took its time.
const OFF: u64 = 3;
const LONGEST: u64 = 1024 * 1024;

/// `published`: the keys that the database says are published.
pub(super) fn look(config: &Config, edge: &Edge, published: Option<&[String]>) -> Vec<Finding> {
    let url = match &config.public_url {
        Some(url) => url.clone(),
        None if config.listen.port() == 0 => {
            let message = "public_url is not set and listen picks a port: nobody can be asked";
            return vec![Finding::warning("reachability", "public_url", message, "set public_url")];
        }
        None => Origin::of_listener(config.listen, config.tls.is_some()),
    };
    let client = Client::new(PATIENCE);
    // 32 hexadecimal digits are what the server makes itself.
    let random = edge.random().map_or(0, u64::from_ne_bytes);
    let id = format!("doctor-{random:016x}");
    let question = Request::get(format!("{url}/.well-known/openid-configuration"))
        .header("x-request-id", &id)
        .body(())
        .map_err(ureq::Error::from);
    let asked = question.and_then(|question| client.run(question));
    let mut response = match asked {
        Ok(response) => response,
        Err(error) => {
            return vec![Finding::wrong(
                "reachability",
                "public_url",
                format!("{url} cannot be reached from here: {error}"),
                "start the server; let the name lead to it; if it is HTTPS, use a certificate that this machine trusts",
            )];
        }
    };
    let head = |name| response.headers().get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    if response.status() != StatusCode::OK {
        let to = head(LOCATION).map_or_else(String::new, |to| format!(" and leads to {to}"));
        return vec![Finding::wrong(
            "reachability",
            "public_url",
            format!("{url} answers {}{to}", response.status()),
            "have the proxy pass every path on to `listen`, and set public_url to what stands in the address bar",
        )];
    }
    let mut findings = Vec::new();
    findings.extend(head(DATE).and_then(|date| clock(date, edge.now().secs())));
    findings.extend(proxy(config, &url, head(http::HeaderName::from_static("x-request-id")) == Some(&id)));
    let text = response.body_mut().with_config().limit(LONGEST).read_to_string().unwrap_or_default();
    let metadata: Value = serde_json::from_str(&text).unwrap_or_default();
    let issuer = metadata.get("issuer").and_then(Value::as_str);
    if issuer != Some(url.to_string().as_str()) {
        let who =
            issuer.map_or_else(|| "does not say who it is".to_owned(), |who| format!("calls itself {who}"));
        findings.push(Finding::wrong(
            "reachability",
            "public_url",
            format!("whoever answers at {url} {who}"),
            "set public_url alike here and for the server, or let the name lead to it",
        ));
        return findings;
    }
    findings.extend(jwks(&client, &url, published));
    if findings.is_empty() {
        findings
            .push(Finding::good("reachability", format!("{url} answers, with these keys and this clock")));
    }
    findings
}

fn clock(date: &str, now: i64) -> Option<Finding> {
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let off = theirs.abs_diff(now);
    (off > OFF).then(|| {
        Finding::wrong(
            "clock",
            "(this machine)",
            format!("it is {off} s away from that of public_url"),
            "put both right (chronyc tracking, timedatectl): tokens would be refused as expired or not yet valid",
        )
    })
}

/// The server takes a request's id from a proxy that it trusts, and from nobody else.
fn proxy(config: &Config, url: &Origin, id_came_back: bool) -> Option<Finding> {
    let default_port = if url.https { 443 } else { 80 };
    let is_behind_one =
        url.https != config.tls.is_some() || url.port.unwrap_or(default_port) != config.listen.port();
    if !is_behind_one || id_came_back || config.listen.port() == 0 {
        return None;
    }
    Some(if config.trusted_proxies.is_empty() {
        Finding::wrong(
            "proxy",
            "trusted_proxies",
            "requests come through a proxy that is not trusted: to the server they are all from one address",
            "set trusted_proxies to the proxy's address, and have it set X-Forwarded-For",
        )
    } else {
        Finding::warning(
            "proxy",
            "trusted_proxies",
            "the proxy in front is not among those trusted, or gives requests ids of its own",
            "compare trusted_proxies with the addresses in `jotgate audit list`: they must be those of clients",
        )
    })
}

fn jwks(client: &Client, url: &Origin, published: Option<&[String]>) -> Option<Finding> {
    let path = format!("{url}/.well-known/jwks.json");
    let wrong =
        |message: String, fix: &str| Some(Finding::wrong("published keys", "public_url", message, fix));
    let text = client
        .get(&path)
        .and_then(|mut response| response.body_mut().with_config().limit(LONGEST).read_to_string());
    let text = match text {
        Ok(text) => text,
        Err(error) => return wrong(format!("{path}: {error}"), "have the proxy pass every path on"),
    };
    let keys: Value = serde_json::from_str(&text).unwrap_or_default();
    let served: Vec<&str> = keys
        .get("keys")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|key| key.get("kid").and_then(Value::as_str))
        .collect();
    let published = published?;
    let missing = published.iter().find(|kid| !served.contains(&kid.as_str()));
    let other = served.iter().find(|kid| !published.iter().any(|known| known == *kid));
    let fix =
        "the server at public_url uses another database, or a cache in front keeps the set for too long";
    match (missing, other) {
        (Some(kid), _) => wrong(format!("{kid} of the database is not published at {path}"), fix),
        (None, Some(kid)) => wrong(format!("{kid}, published at {path}, is not in the database"), fix),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_clock_that_is_off_is_told_with_its_seconds() {
        let now = 1_795_348_800;
        assert_eq!(clock("Sun, 22 Nov 2026 12:00:02 GMT", now), None);
        let found = clock("Sun, 22 Nov 2026 13:00:00 GMT", now).unwrap();
        assert_eq!(found.level, Level::Wrong);
        assert!(found.message.contains("3600 s"), "{}", found.message);
        assert_eq!(clock("nonsense", now), None);
    }

    #[test]
    fn a_proxy_that_is_not_trusted_is_seen_by_what_does_not_arrive() {
        let url = |text: &str| Origin::parse(text).unwrap();
        let direct = Config::default();
        assert_eq!(proxy(&direct, &url("http://127.0.0.1:8080"), false), None);
        let level = |config: &Config, back| {
            proxy(config, &url("https://auth.example.com"), back).map(|finding| finding.level)
        };
        assert_eq!(level(&direct, false), Some(Level::Wrong));
        assert_eq!(level(&direct, true), None);
        let listed = Config { trusted_proxies: vec!["10.0.0.0/8".parse().unwrap()], ..Config::default() };
        assert_eq!(level(&listed, false), Some(Level::Warning));
    }
}
