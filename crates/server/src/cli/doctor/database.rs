//! The database, and the keys in it.

use ipnet::IpNet;
use jotgate_domain::Timestamp;
use jotgate_domain::key::{self, State};
use jotgate_domain::store::AuditQuery;

use super::Finding;
use crate::app::{self, Operator};
use crate::cli::output::{instant, relative};
use crate::config::Config;
use crate::edge::Edge;

/// What is written down may be this much ahead: another node's clock.
const AHEAD: i64 = 5_000;
/// Requests whose addresses say something.
const SOME: usize = 5;

/// What was found, and the keys that are to be published, where that is known.
pub(super) async fn look(config: &Config, edge: &Edge) -> (Vec<Finding>, Option<Vec<String>>) {
    match app::pending_migrations(config).await {
        Err(error) => {
            let fix = "see docs/operations.md, or `jotgate restore` a backup";
            return (vec![Finding::wrong("database", "database_url", error.to_string(), fix)], None);
        }
        Ok(None) => {
            let fix = "start `jotgate serve` once, or name the one that the server uses";
            return (vec![Finding::wrong("database", "database_url", "there is none yet", fix)], None);
        }
        Ok(Some(pending)) if !pending.is_empty() => {
            let message = format!("it is not up to date: {} to come", pending.join(", "));
            let fix = "run `jotgate migrate`, or start the server";
            return (vec![Finding::wrong("database", "database_url", message, fix)], None);
        }
        Ok(Some(_)) => {}
    }
    let operator = match Operator::open(config.clone(), edge.clone(), false).await {
        Ok(operator) => operator,
        Err(error) => {
            let fix = "see docs/operations.md";
            return (vec![Finding::wrong("database", "database_url", error.to_string(), fix)], None);
        }
    };
    let mut findings = vec![Finding::good("database", "it answers, and is up to date")];
    let now = operator.now();
    findings.extend(keys(&operator, config).await);
    let published = operator.keys().await.ok().map(|keys| {
        let rows: Vec<_> = keys.into_iter().map(|(row, _)| row).collect();
        key::published(&rows, now).iter().map(|row| row.kid.clone()).collect()
    });
    findings.extend(trail(&operator, config, now).await);
    findings.extend(webhooks(&operator).await);
    (findings, published)
}

/// Receivers that are gone, messages that were given up, and those that nothing sends any more.
async fn webhooks(operator: &Operator) -> Vec<Finding> {
    const CHECK: &str = "webhooks";
    let states = match operator.webhooks().await {
        Ok(states) if states.is_empty() => return Vec::new(),
        Ok(states) => states,
        Err(error) => {
            let fix = "see docs/operations.md";
            return vec![Finding::wrong(CHECK, "database_url", error.to_string(), fix)];
        }
    };
    let mut findings = Vec::new();
    for state in &states {
        let (name, setting) = (&state.name, format!("webhooks.{}.url", state.name));
        if !state.configured {
            let left = state.pending + state.dead;
            let message = format!("{name} is configured no longer, and {left} messages for it are left");
            let fix = "configure it again to have them sent; or leave them, and they go after two months";
            findings.push(Finding::warning(CHECK, &setting, message, fix));
            continue;
        }
        if let Some(at) = state.gone_at {
            let message =
                format!("the receiver of {name} answered 410 (gone) {}", relative(at, operator.now()));
            let fix = format!(
                "put it right, then `jotgate webhook enable {name}`; or take it out of the configuration"
            );
            findings.push(Finding::wrong(CHECK, &setting, message, fix));
        }
        if state.dead > 0 {
            let message = format!("{name} has {} dead letters", state.dead);
            let fix = format!(
                "see `jotgate webhook dead {name}`, then `jotgate webhook retry --all --webhook {name}`"
            );
            findings.push(Finding::warning(CHECK, &setting, message, fix));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::good(CHECK, "no receiver is gone, and there are no dead letters"));
    }
    findings
}

async fn keys(operator: &Operator, config: &Config) -> Vec<Finding> {
    let keys = match operator.keys().await {
        Ok(keys) => keys,
        Err(error) => {
            return vec![Finding::wrong(
                "signing keys",
                "database_url",
                error.to_string(),
                "restore a backup",
            )];
        }
    };
    if keys.is_empty() {
        let message = "there are none yet: `jotgate serve` makes them";
        return vec![Finding::good("signing keys", message)];
    }
    let setting = match config.master_key {
        crate::config::MasterKeySource::DataDir => "data_dir",
        crate::config::MasterKeySource::File(_) => "master_key_file",
    };
    if let Err(error) = operator.check_master_key().await {
        let fix = "put the master.key of this database in place, with mode 0600; if it is lost for good, see \
                   `jotgate restore --lost-master-key`";
        return vec![Finding::wrong("master key", setting, error.to_string(), fix)];
    }
    let mut findings = vec![Finding::good("master key", "it opens the signing keys")];
    let algorithm = config.token.algorithm.name();
    let with = |state| keys.iter().find(|(row, found)| *found == state && row.algorithm == algorithm);
    let (signing, standby) = (with(State::Signing), with(State::Standby));
    let fix = "the server keeps them up by itself: start it, and read its log";
    match (signing, standby) {
        (Some((signing, _)), Some(_)) => {
            let since = signing.signs_at.unwrap_or(signing.published_at);
            let overdue = since.plus(config.policy.key_rotation).plus(config.policy.jwks_max_age);
            if overdue < operator.now() {
                let message = format!("the one that signs began {}", relative(since, operator.now()));
                findings.push(Finding::warning("signing keys", "key.rotation", message, fix));
            } else {
                findings.push(Finding::good("signing keys", "one signs, one stands by"));
            }
        }
        (Some(_), None) => {
            findings.push(Finding::warning("signing keys", "key.rotation", "none stands by", fix));
        }
        (None, _) => {
            let message = format!("none signs under {algorithm}");
            findings.push(Finding::wrong("signing keys", "token.algorithm", message, fix));
        }
    }
    findings
}

/// What the audit trail says of the clock, and of the proxy.
async fn trail(operator: &Operator, config: &Config, now: Timestamp) -> Vec<Finding> {
    let query = AuditQuery { limit: 100, ..AuditQuery::default() };
    let Ok(entries) = operator.audit(query).await else { return Vec::new() };
    let mut findings = Vec::new();
    if let Some(latest) = entries.iter().map(|entry| entry.event.at).max().filter(|at| at.0 > now.0 + AHEAD) {
        findings.push(Finding::wrong(
            "clock",
            "(this machine)",
            format!("something was written down at {}, which is still to come", instant(latest)),
            "this machine's clock went back, or another node's is ahead: look with chronyc tracking",
        ));
    }
    let addresses: Vec<&str> =
        entries.iter().map(|entry| entry.event.address.as_str()).filter(|text| !text.is_empty()).collect();
    if addresses.len() >= SOME && addresses.iter().all(|text| is_proxy(text, &config.trusted_proxies)) {
        findings.push(Finding::warning(
            "proxy",
            "trusted_proxies",
            format!("the last {} requests all came from the proxy itself", addresses.len()),
            "have the proxy set X-Forwarded-For to the client's address, for throttles and the audit trail",
        ));
    }
    findings
}

fn is_proxy(address: &str, proxies: &[IpNet]) -> bool {
    address.parse::<std::net::IpAddr>().is_ok_and(|address| proxies.iter().any(|net| net.contains(&address)))
}
