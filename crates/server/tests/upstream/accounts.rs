//! What is in the database and in the outbox.

use jotgate_domain::name::Email;
use jotgate_domain::store::Lookup;
use jotgate_domain::{Change, User};

use super::support::Site;

pub(crate) async fn user(site: &Site, name: &str) -> Option<User> {
    let name = jotgate_domain::name::canonical(name);
    site.server.app().store.user(Lookup::Name(name)).await.unwrap()
}

/// Makes the user's address a proven one, as an operator does.
pub(crate) async fn prove(site: &Site, name: &str, address: &str) -> User {
    let before = user(site, name).await.unwrap();
    let proven = User {
        email: Some(Email::parse(address).unwrap()),
        email_verified_at: Some(site.server.app().now()),
        version: before.version + 1,
        ..before
    };
    site.server.app().store.apply(vec![Change::UpdateUser(proven.clone())], vec![]).await.unwrap();
    proven
}

pub(crate) async fn audit(site: &Site) -> Vec<String> {
    let query = jotgate_domain::store::AuditQuery { limit: 100, ..Default::default() };
    let entries = site.server.app().store.audit(query).await.unwrap();
    let told = entries.iter().map(|entry| format!("{} {}", entry.event.action.name(), entry.event.detail));
    told.map(|line| line.trim().to_owned()).filter(|line| !line.starts_with("key.")).collect()
}

/// How many mails were written.
pub(crate) fn mails(site: &Site) -> usize {
    std::fs::read_dir(site.dir.path().join("outbox")).map_or(0, Iterator::count)
}
