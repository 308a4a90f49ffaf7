//! What has to hold between keys, one row a rule. A rule that names a key which could not be read is not asked.

use std::time::Duration;

use jotgate_domain::access::Rules;

use super::parse::print_duration;
use super::{Config, DatabaseUrl, Ops, Origin};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The server does not start.
    Refuse,
    /// It starts, and says so loudly.
    Warn,
}

pub(super) struct Rule {
    /// What it reads; the first is the key that is told to be wrong.
    pub(super) keys: &'static [&'static str],
    pub(super) severity: Severity,
    /// What is wrong and what to do, as a sentence without its full stop.
    pub(super) broken: fn(&Config) -> Option<String>,
}

const fn refuse(keys: &'static [&'static str], broken: fn(&Config) -> Option<String>) -> Rule {
    Rule { keys, severity: Severity::Refuse, broken }
}

const fn warn(keys: &'static [&'static str], broken: fn(&Config) -> Option<String>) -> Rule {
    Rule { keys, severity: Severity::Warn, broken }
}

pub(super) static RULES: &[Rule] = &[
    refuse(&["webhooks.NAME.url", "webhooks.NAME.secret"], |config| {
        let (name, _) = config.webhooks.iter().find(|(_, webhook)| webhook.url.is_empty())?;
        Some(format!("the webhook {name} has no address: set webhooks.{name}.url"))
    }),
    refuse(&["webhooks.NAME.secret", "webhooks.NAME.url"], |config| {
        let (name, _) = config.webhooks.iter().find(|(_, webhook)| webhook.secrets.is_empty())?;
        Some(format!(
            "the webhook {name} has no secret to sign with: set webhooks.{name}.secret, as `echo whsec_$(openssl rand -base64 32)` makes one"
        ))
    }),
    refuse(&["tls.cert", "tls.key"], |config| {
        let tls = config.tls.as_ref()?;
        if tls.cert.as_os_str().is_empty() {
            return Some("tls.key is set without tls.cert: HTTPS needs both".to_owned());
        }
        tls.key.as_os_str().is_empty().then(|| "tls.cert is set without tls.key: HTTPS needs both".to_owned())
    }),
    refuse(&["public_url", "listen"], |config| {
        (config.public_url.is_none() && config.listen.ip().is_unspecified()).then(|| {
            format!(
                "listen is {}, every address of this machine, so the address that users see cannot be told: set public_url, such as https://auth.example.com",
                config.listen
            )
        })
    }),
    refuse(&["public_url", "allow_insecure_http", "tls.cert", "listen"], |config| {
        let origin = origin(config)?;
        (!origin.https && !origin.is_loopback() && !config.allow_insecure_http).then(|| {
            format!(
                "{origin} would send passwords and cookies in clear: use https:// (behind a proxy, or with tls.cert and tls.key), or set allow_insecure_http = true on a network that you trust"
            )
        })
    }),
    refuse(&["public_url", "tls.cert"], |config| {
        let url = config.public_url.as_ref()?;
        (!url.https && config.tls.is_some())
            .then(|| format!("{url} is http://, but with tls.cert the server speaks HTTPS: write https://"))
    }),
    refuse(&["cookie.domain", "public_url", "listen"], cookie_domain),
    refuse(&["cookie.trusted_origins", "allow_insecure_http"], |config| {
        let clear = |origin: &&Origin| !origin.https && !origin.is_loopback();
        let origin = config.cookie.trusted_origins.iter().find(clear)?;
        (!config.allow_insecure_http).then(|| {
            format!(
                "{origin} is not encrypted: whoever is on its network could act for every user; use https://"
            )
        })
    }),
    refuse(&["sso.origins", "public_url", "cookie.domain", "listen"], applications),
    refuse(&["session.idle_ttl", "session.max_ttl"], |config| {
        let policy = &config.policy;
        (policy.idle_ttl > policy.max_ttl).then(|| {
            format!(
                "{} is longer than session.max_ttl, {}: a session cannot be idle for longer than it lives",
                print_duration(policy.idle_ttl),
                print_duration(policy.max_ttl)
            )
        })
    }),
    refuse(&["key.rotation", "jwks.max_age"], |config| {
        let policy = &config.policy;
        let least = policy.jwks_max_age.saturating_mul(2);
        (policy.key_rotation < least).then(|| {
            format!(
                "{} is less than twice jwks.max_age, {}: a key has to be known everywhere before it signs",
                print_duration(policy.key_rotation),
                print_duration(least)
            )
        })
    }),
    refuse(&["ops.listen", "listen"], |config| match config.ops {
        Ops::Own(address) => (address == config.listen && address.port() != 0).then(|| {
            format!("{address} is also where the main listener is: choose another port, or write `main`")
        }),
        Ops::Auto | Ops::Main => None,
    }),
    refuse(&["password.hash", "public_url", "listen"], |config| {
        let hash = config.password;
        let cost = u64::from(hash.memory_kib) * u64::from(hash.iterations);
        let weak = hash.memory_kib < LEAST_MEMORY || cost < LEAST_COST;
        (weak && !is_loopback(config)).then(|| {
            format!(
                "m={},t={} is too cheap to guess against: at least m=7168,t=5 or m=19456,t=2",
                hash.memory_kib, hash.iterations
            )
        })
    }),
    refuse(&ACCESS_RULES, |config| Rules::new(config.rules.clone()).problem()),
    warn(&["rules.NAME.host", "trusted_proxies"], |config| {
        (!config.rules.is_empty() && config.trusted_proxies.is_empty()).then(|| {
            "there are rules, but trusted_proxies is empty: nobody is believed about the request that is asked for, so all are refused".to_owned()
        })
    }),
    warn(&["allow_insecure_http", "public_url", "listen"], |config| {
        let origin = origin(config)?;
        (config.allow_insecure_http && !origin.https && !origin.is_loopback())
            .then(|| format!("{origin} is not encrypted: whoever is on the network can read passwords and take over sessions"))
    }),
    warn(&["trusted_proxies", "public_url", "tls.cert"], |config| {
        let behind_proxy = config.public_url.as_ref().is_some_and(|url| url.https) && config.tls.is_none();
        (behind_proxy && config.trusted_proxies.is_empty()).then(|| {
            "public_url is https:// and the server speaks http, so there is a proxy, but it is not listed: all clients share one address, and so one limit on failed logins".to_owned()
        })
    }),
    warn(&["trusted_proxies"], |config| {
        config
            .trusted_proxies
            .iter()
            .find(|net| net.prefix_len() == 0)
            .map(|net| format!("{net} is everyone: any client can claim any address"))
    }),
    warn(&["ops.listen", "public_url", "listen"], |config| {
        match config.ops {
        Ops::Main => (!is_loopback(config))
            .then(|| "`main` puts health, metrics and administration where everyone reaches them".to_owned()),
        Ops::Own(address) => (!address.ip().is_loopback()).then(|| {
            format!("{address} can be reached from other machines, without encryption: keep it to a network that you trust")
        }),
        Ops::Auto => None,
    }
    }),
    warn(&["database_url"], |config| {
        match &config.database_url {
        DatabaseUrl::Postgres(url) if url.is_exposed() => Some(
            "PostgreSQL is on another machine, and nothing checks that it is the right one: add sslmode=verify-full, with sslrootcert=FILE where its certificate is from an authority of your own".to_owned(),
        ),
        _ => None,
    }
    }),
    warn(&["token.access_ttl"], |config| {
        let ttl = config.policy.access_ttl;
        (ttl > HOUR).then(|| {
            format!("{} is long: an application that does not follow revocations accepts a stolen token until it ends", print_duration(ttl))
        })
    }),
    warn(&["session.idle_ttl", "token.access_ttl"], |config| {
        let policy = &config.policy;
        (policy.idle_ttl < policy.access_ttl).then(|| {
            format!(
                "{} is shorter than token.access_ttl, {}: no access token lives longer than an unused session",
                print_duration(policy.idle_ttl),
                print_duration(policy.access_ttl)
            )
        })
    }),
    warn(&["log.filter", "public_url", "listen"], |config| {
        let filter = config.log.filter.to_ascii_lowercase();
        ((filter.contains("debug") || filter.contains("trace")) && !is_loopback(config)).then(|| {
            format!(
                "`{}` logs more than production needs: slower, and more about each user than you may keep",
                config.log.filter
            )
        })
    }),
    warn(&["password.hash", "public_url", "listen"], |config| {
        let hash = config.password;
        let cost = u64::from(hash.memory_kib) * u64::from(hash.iterations);
        ((hash.memory_kib < LEAST_MEMORY || cost < LEAST_COST) && is_loopback(config)).then(|| {
            "the hash is too cheap to guess against; it is accepted only because public_url is loopback"
                .to_owned()
        })
    }),
    warn(&["registration.enabled", "public_url", "listen"], |config| {
        (config.registration_enabled == Some(true) && !is_loopback(config))
            .then(|| "anyone who reaches the server can make an account".to_owned())
    }),
];

/// Where any of these could not be read, the rule it belongs to is not whole.
const ACCESS_RULES: [&str; 7] = [
    "rules.NAME.host",
    "rules.NAME.path",
    "rules.NAME.methods",
    "rules.NAME.access",
    "rules.NAME.role",
    "rules.NAME.scope",
    "rules.NAME.max_age",
];

const HOUR: Duration = Duration::from_secs(3600);
/// KiB; below it no number of passes makes up for the memory that an attacker saves.
const LEAST_MEMORY: u32 = 7_168;
/// KiB × passes: the cheapest of the settings that OWASP calls equal (m=7168, t=5).
const LEAST_COST: u64 = 35_840;

/// The origin, as far as it can be told before the port is bound.
fn origin(config: &Config) -> Option<Origin> {
    match &config.public_url {
        Some(origin) => Some(origin.clone()),
        None if config.listen.ip().is_unspecified() => None,
        None => Some(Origin::of_listener(config.listen, config.tls.is_some())),
    }
}

fn is_loopback(config: &Config) -> bool {
    origin(config).is_some_and(|origin| origin.is_loopback())
}

/// What needs no ticket, and what a ticket cannot serve.
fn applications(config: &Config) -> Option<String> {
    let own = origin(config);
    config.applications.iter().find_map(|application| {
        let host = &application.host;
        let under = |domain: &String| {
            host.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if !application.https && !application.is_loopback() {
            Some(format!(
                "{application} is not encrypted: whoever is on its network could take over its visitors; use https://"
            ))
        } else if own.as_ref().is_some_and(|own| own.host == *host) {
            Some(format!(
                "{application} is on the host of public_url: cookies do not tell ports apart, so what is set for the one replaces that of the other; an application there needs no entry"
            ))
        } else {
            let domain = config.cookie.domain.as_ref().filter(|domain| under(domain))?;
            Some(format!("{application} is under cookie.domain, .{domain}: its cookie gets there by itself"))
        }
    })
}

/// A domain that strangers share with us would give them the cookie; a browser would refuse it, silently.
fn cookie_domain(config: &Config) -> Option<String> {
    let domain = config.cookie.domain.as_deref()?;
    if domain == "localhost" {
        return Some(
            "browsers keep no cookie for .localhost: to try single sign-on on one machine, use names such as auth.app.localhost with cookie.domain = \".app.localhost\"".to_owned(),
        );
    }
    // An unknown top-level name is a suffix by the list's default rule.
    if psl::suffix_str(domain).is_none_or(|suffix| suffix == domain) {
        return Some(format!(
            ".{domain} is a public suffix: strangers have domains under it, and browsers keep no cookie for it; use your own, such as .example.{domain}"
        ));
    }
    let origin = origin(config)?;
    if let Some(ip) = origin.ip() {
        return Some(format!(
            "a cookie cannot have a domain where the issuer is an address, {ip}: set public_url to a host under .{domain}"
        ));
    }
    let under = origin.host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    (!under).then(|| {
        format!(
            ".{domain} is not a parent of {}, the host of public_url: browsers would refuse the cookie",
            origin.host
        )
    })
}
