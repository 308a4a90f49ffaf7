//! What the HTTP layer knows of this installation, worked out once.

use std::fmt;
use std::sync::Once;

use aws_lc_rs::hmac;
use ipnet::IpNet;
use jotgate_domain::Timestamp;
use jotgate_domain::access::Rules;

use super::applications::Applications;
use super::cookies::Cookies;
use super::error::ErrorPage;
use super::headers::RequestIds;
use super::metrics::HttpMetrics;
use crate::config::{Config, Mount, Origin};
use crate::edge::Edge;

/// Origins, cookies, proxies: shared by the layers and the extractors.
pub struct Site {
    pub public_url: Origin,
    /// The path below it that is ours, where the server is nested in an application.
    pub mount: Mount,
    /// `public_url` as a browser writes it in `Origin`; while it is loopback, `localhost`, `127.0.0.1` and
    /// `[::1]` on its port are one origin.
    pub(crate) own_origins: Vec<String>,
    /// `cookie.trusted_origins`, likewise.
    pub(crate) trusted_origins: Vec<String>,
    pub cookies: Cookies,
    /// `sso.origins`
    pub(crate) applications: Applications,
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Who may pass to applications behind a proxy.
    pub(crate) access: Rules,
    /// `verify.renew`
    pub(crate) renews: bool,
    /// Where it is off and a proxy asks for it, that is said once.
    pub(crate) told_of_renewal: Once,
    pub(crate) form_key: hmac::Key,
    pub(crate) error_page: RenderError,
    pub(crate) edge: Edge,
    pub(crate) request_ids: RequestIds,
    pub(crate) metrics: HttpMetrics,
    /// When it was made.
    pub(crate) started: Timestamp,
}

/// Renders the page of a refusal as HTML; the text is the request's id, to quote.
pub type RenderError = fn(&ErrorPage, &str, &Mount) -> String;

impl Site {
    /// `past_domains`: every `cookie.domain` used before. `form_key` signs form tokens: the same on every node,
    /// used for nothing else. `error_page` renders what is refused to a person.
    #[must_use]
    pub fn new(
        config: &Config,
        public_url: Origin,
        mount: Mount,
        past_domains: &[String],
        form_key: &[u8; 32],
        error_page: RenderError,
        edge: Edge,
    ) -> Self {
        let own_origins = if is_loopback(&public_url) {
            let on = |host: &str| Origin { host: host.to_owned(), ..public_url.clone() }.to_string();
            LOOPBACK.map(on).to_vec()
        } else {
            vec![public_url.to_string()]
        };
        Self {
            own_origins,
            trusted_origins: config.cookie.trusted_origins.iter().map(ToString::to_string).collect(),
            cookies: Cookies::new(&config.cookie, &public_url, &mount, past_domains),
            applications: Applications::new(config),
            trusted_proxies: config.trusted_proxies.clone(),
            access: Rules::new(config.rules.clone()),
            renews: config.verify_renew,
            told_of_renewal: Once::new(),
            form_key: hmac::Key::new(hmac::HMAC_SHA256, form_key),
            error_page,
            // Without randomness ids are still unique.
            request_ids: RequestIds::new(edge.random().unwrap_or_default()),
            metrics: HttpMetrics::default(),
            started: edge.now(),
            edge,
            public_url,
            mount,
        }
    }

    #[must_use]
    pub fn is_loopback(&self) -> bool {
        is_loopback(&self.public_url)
    }

    /// Whether browsers send our own cookies to this host, at whichever port.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        host == self.public_url.host || (self.is_loopback() && LOOPBACK.contains(&host))
    }
}

/// The hosts that are one while `public_url` is any of them.
pub(crate) const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

fn is_loopback(origin: &Origin) -> bool {
    LOOPBACK.contains(&origin.host.as_str())
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("public_url", &self.public_url).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn site(public_url: &str) -> Site {
        let trusted = |origin| Origin::parse(origin).unwrap();
        let mut config = Config::default();
        config.cookie.trusted_origins =
            ["https://app.example.com", "http://localhost:3000"].map(trusted).to_vec();
        config.trusted_proxies = vec!["10.0.0.0/8".parse().unwrap()];
        let page: RenderError = |page, id, _| format!("<h1>{} {} {id}</h1>", page.status, page.code);
        Site::new(&config, trusted(public_url), Mount::default(), &[], &[7; 32], page, Edge::system())
    }
}
