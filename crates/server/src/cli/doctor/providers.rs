//! Whom users may sign in with: whether each answers, and says of itself what can be used.

use super::Finding;
use crate::app::upstream::examine;
use crate::config::Config;
use crate::edge::Edge;

pub(super) async fn look(config: &Config, edge: &Edge) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (name, provider) in &config.providers {
        findings.push(match examine(name, provider, edge.now()).await {
            Ok(()) => Finding::good("provider", format!("{name} answers, with keys that can be used")),
            Err(why) => Finding::wrong(
                "provider",
                &format!("providers.{name}.issuer"),
                format!("nobody can sign in with {name}: {why}"),
                "write the issuer as the provider does, and let this machine reach it",
            ),
        });
    }
    findings
}
