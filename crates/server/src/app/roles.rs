//! Permissions come from the configuration, so they change between two starts: what a role no longer permits, the
//! tokens that are out must not say any longer.

use std::collections::BTreeMap;

use jotgate_domain::audit::{Action, Actor, Event};
use jotgate_domain::config::Policy;
use jotgate_domain::store::{Change, Store, StoreError};
use jotgate_domain::token::loses_permissions;

use super::OpenError;
use crate::edge::Edge;

/// The setting that holds what each role permitted at the last start, as a JSON object.
const PERMISSIONS: &str = "roles.permissions";
/// Users read at once.
const PAGE: u32 = 1000;
/// Users in one transaction.
const BATCH: usize = 100;
/// Users after which the log says how far it is.
const TELL_EVERY: usize = 100_000;

/// Revokes the tokens of every user who may do less than at the last start.
pub(super) async fn revoke_lost_permissions(
    store: &dyn Store,
    policy: &Policy,
    edge: &Edge,
) -> Result<(), OpenError> {
    let before: BTreeMap<String, Vec<String>> = match store.setting(PERMISSIONS).await? {
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| StoreError::Corrupt(format!("setting {PERMISSIONS}: {error}")))?,
        None => BTreeMap::new(),
    };
    if before == policy.permissions {
        return Ok(());
    }
    let lost: Vec<&String> = before
        .iter()
        .filter(|(role, permits)| {
            let still = policy.permissions.get(*role);
            permits.iter().any(|one| still.is_none_or(|still| !still.contains(one)))
        })
        .map(|(role, _)| role)
        .collect();
    let mut changes = Vec::new();
    if !lost.is_empty() {
        let (mut after, mut seen) = (None, 0_usize);
        loop {
            let users = store.users(after.take(), PAGE).await?;
            let hit = users.iter().filter(|user| loses_permissions(user, &before, policy));
            let revoke: Vec<Change> = hit.map(|user| Change::RevokeTokensOf(user.id)).collect();
            for batch in revoke.chunks(BATCH) {
                store.apply(batch.to_vec(), Vec::new()).await?;
            }
            let Some(last) = users.last() else { break };
            after = Some(last.username.canonical());
            if seen / TELL_EVERY != (seen + users.len()) / TELL_EVERY {
                tracing::info!(users = seen + users.len(), "revoking what roles no longer permit");
            }
            seen += users.len();
        }
        changes.extend(lost.into_iter().map(|role| {
            Change::Audit(Event {
                at: edge.now(),
                action: Action::RoleReduced,
                actor: Actor::System,
                user: None,
                session: None,
                address: String::new(),
                detail: role.clone(),
            })
        }));
    }
    // Last: a start that is broken off begins again.
    let value = serde_json::to_string(&policy.permissions)
        .map_err(|error| OpenError::Other(format!("roles cannot be written: {error}")))?;
    changes.push(Change::PutSetting { name: PERMISSIONS.to_owned(), value });
    store.apply(changes, Vec::new()).await?;
    Ok(())
}
