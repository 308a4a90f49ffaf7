//! What the use cases count, and what they know that operators want to watch.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{App, Fault, Grant, LoginError, RefreshError, UpstreamError};
use crate::metrics::{Counter, Kind, Text};

/// Logins and refreshes by how they ended.
#[derive(Debug, Default)]
pub(super) struct Counts {
    logins: Outcomes<7>,
    refreshes: Outcomes<5>,
    renewals: Outcomes<2>,
}

const LOGINS: [&str; 7] =
    ["granted", "invalid_credentials", "refused", "throttled", "busy", "unavailable", "internal"];

const RENEWALS: [&str; 2] = ["verify", "sso"];

/// What made an access token for a session whose refresh token stayed as it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Renewed {
    /// A proxy's question about a request to our own host.
    Verify,
    /// A ticket of an application that the session was signed in at before.
    Sso,
}

const REFRESHES: [&str; 5] = ["granted", "invalid", "reused", "unavailable", "internal"];

#[derive(Debug)]
struct Outcomes<const N: usize>([Counter; N]);

impl<const N: usize> Default for Outcomes<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counter::default()))
    }
}

impl<const N: usize> Outcomes<N> {
    fn count(&self, names: &[&str; N], name: &str) {
        let place = names.iter().zip(&self.0).find(|(known, _)| **known == name);
        debug_assert!(place.is_some(), "{name} has no counter");
        if let Some((_, counter)) = place {
            counter.add_one();
        }
    }

    fn write(&self, text: &mut Text, label: &str, names: &[&str; N]) {
        for (name, counter) in names.iter().zip(&self.0) {
            text.sample(&[(label, name)], counter.value());
        }
    }
}

impl Counts {
    pub(super) fn login(&self, result: &Result<Grant, LoginError>) {
        let outcome = match result {
            Ok(_) => "granted",
            Err(LoginError::InvalidCredentials) => "invalid_credentials",
            Err(LoginError::PasswordTooLong | LoginError::TooLarge(_)) => "refused",
            Err(LoginError::Fault(Fault::Throttled { .. })) => "throttled",
            Err(LoginError::Fault(Fault::Busy { .. })) => "busy",
            Err(LoginError::Fault(Fault::Unavailable(_))) => "unavailable",
            Err(LoginError::Fault(Fault::Internal(_))) => "internal",
        };
        self.logins.count(&LOGINS, outcome);
    }

    pub(super) fn upstream(&self, result: Result<(), &UpstreamError>) {
        let outcome = match result {
            Ok(()) => "granted",
            Err(UpstreamError::Code(_) | UpstreamError::Token(_)) => "invalid_credentials",
            Err(UpstreamError::Fault(Fault::Throttled { .. })) => "throttled",
            Err(UpstreamError::Fault(Fault::Busy { .. })) => "busy",
            Err(UpstreamError::Away(_) | UpstreamError::Fault(Fault::Unavailable(_))) => "unavailable",
            Err(UpstreamError::Fault(Fault::Internal(_))) => "internal",
            Err(_) => "refused",
        };
        self.logins.count(&LOGINS, outcome);
    }

    pub(super) fn refresh(&self, result: &Result<Grant, RefreshError>) {
        let outcome = match result {
            Ok(_) => "granted",
            Err(RefreshError::Invalid) => "invalid",
            Err(RefreshError::Reused) => "reused",
            Err(RefreshError::Fault(Fault::Internal(_))) => "internal",
            Err(RefreshError::Fault(_)) => "unavailable",
        };
        self.refreshes.count(&REFRESHES, outcome);
    }

    pub(super) fn renewed(&self, by: Renewed) {
        let by = match by {
            Renewed::Verify => "verify",
            Renewed::Sso => "sso",
        };
        self.renewals.count(&RENEWALS, by);
    }
}

impl App {
    /// Everything but what HTTP and the process count themselves.
    pub(crate) fn write_metrics(&self, text: &mut Text) {
        text.family("jotgate_logins_total", Kind::Counter, "Logins by how they ended.");
        self.counts.logins.write(text, "outcome", &LOGINS);
        text.family("jotgate_refreshes_total", Kind::Counter, "Refreshes by how they ended.");
        self.counts.refreshes.write(text, "outcome", &REFRESHES);
        text.family(
            "jotgate_renewals_total",
            Kind::Counter,
            "Access tokens made for a session whose refresh token stayed as it was, by what asked.",
        );
        self.counts.renewals.write(text, "by", &RENEWALS);
        self.write_hasher(text);
        self.write_revocation(text);
        self.write_keys(text);
        self.webhooks.write_metrics(text);
        self.database.write(self.store.connections(), text);
    }

    fn write_hasher(&self, text: &mut Text) {
        let load = self.hasher.load();
        let stats = self.hasher.stats();
        let gauge = Kind::Gauge;
        text.single("jotgate_hash_threads", gauge, "Threads that hash passwords.", load.threads);
        text.single("jotgate_hash_queue_length", gauge, "Passwords that wait for a thread.", load.waiting);
        text.single("jotgate_hash_running", gauge, "Passwords that are being hashed.", load.running);
        text.family("jotgate_hash_wait_seconds", Kind::Histogram, "How long passwords waited for a thread.");
        text.histogram(&[], &stats.wait);
        text.family("jotgate_hash_duration_seconds", Kind::Histogram, "How long hashes took.");
        text.histogram(&[], &stats.hash);
        text.single(
            "jotgate_hash_refused_total",
            Kind::Counter,
            "Passwords that were not hashed, since the queue was too long.",
            stats.refused.value(),
        );
    }

    fn write_revocation(&self, text: &mut Text) {
        let gauge = Kind::Gauge;
        text.single("jotgate_feed_followers", gauge, "Streams that follow the feed.", self.feed.followers());
        text.single(
            "jotgate_revocations_live",
            gauge,
            "Revoked status entries that are told and refused until the last token under them has expired.",
            self.feed.len(),
        );
        let lag = self.now().since(self.feed.as_of());
        text.single(
            "jotgate_revocation_lag_seconds",
            gauge,
            "How long ago the database was last heard: how old what the feed and the lists say may be.",
            lag.as_secs_f64(),
        );
    }

    fn write_keys(&self, text: &mut Text) {
        let now = self.now();
        let ring = self.keys();
        // Of each state and algorithm how many, and the age of the oldest.
        let mut ages: BTreeMap<(&str, &str), (usize, Duration)> = BTreeMap::new();
        for (state, algorithm, since) in ring.ages(now) {
            let (count, oldest) = ages.entry((state.name(), algorithm)).or_default();
            *count += 1;
            *oldest = now.since(since).max(*oldest);
        }
        text.family("jotgate_signing_keys", Kind::Gauge, "Signing keys by state and algorithm.");
        for ((state, algorithm), (count, _)) in &ages {
            text.sample(&[("state", state), ("algorithm", algorithm)], count);
        }
        text.family(
            "jotgate_signing_key_age_seconds",
            Kind::Gauge,
            "Age of the oldest: of a standby since it was published, of another one since it began to sign.",
        );
        for ((state, algorithm), (_, oldest)) in &ages {
            text.sample(&[("state", state), ("algorithm", algorithm)], oldest.as_secs());
        }
    }
}
