//! The numbers that rules depend on, as the operator set them.

use std::collections::BTreeMap;
use std::time::Duration;

/// Lifetimes, limits and permissions; every field is a key of the configuration with the same meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// `token.access_ttl`
    pub access_ttl: Duration,
    /// `session.idle_ttl`
    pub idle_ttl: Duration,
    /// `session.max_ttl`
    pub max_ttl: Duration,
    /// `session.max_per_user`
    pub max_per_user: u32,
    /// `refresh.grace`
    pub grace: Duration,
    /// `jwks.max_age`
    pub jwks_max_age: Duration,
    /// `status_list.ttl`: the longest that a verifier which polls goes by a list
    pub status_list_ttl: Duration,
    /// `key.rotation`
    pub key_rotation: Duration,
    /// `password.min_length`, in Unicode scalar values after NFC
    pub password_min_length: usize,
    /// `roles.NAME.permissions`
    pub permissions: BTreeMap<String, Vec<String>>,
}

impl Default for Policy {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        Self {
            access_ttl: Duration::from_secs(600),
            idle_ttl: Duration::from_secs(14 * DAY),
            max_ttl: Duration::from_secs(90 * DAY),
            max_per_user: 100,
            grace: Duration::from_secs(10),
            jwks_max_age: Duration::from_secs(300),
            status_list_ttl: Duration::from_secs(30),
            key_rotation: Duration::from_secs(90 * DAY),
            password_min_length: 8,
            permissions: BTreeMap::new(),
        }
    }
}
