//! How old a verifier's knowledge is, and what it does about it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What happens to good tokens while nothing is heard of revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staleness {
    /// They are accepted. What was revoked before stays refused; a later revocation is not seen until its token
    /// expires. [`Metrics::accepted_stale`](crate::Metrics::accepted_stale) counts what passed more than a minute
    /// after the last news.
    Accept,
    /// They are refused with [`Refusal::Stale`](crate::Refusal::Stale) once the last news is older than `after`,
    /// and before the first.
    Refuse {
        /// How old the last news may be, in whole seconds. An issuer says every 5 s that it is alive.
        after: Duration,
    },
}

/// Past this many seconds, accepting counts as accepting while stale.
const QUIET: u64 = 60;

/// When news was last heard, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Freshness {
    /// The instant up to which every revocation is known: when the issuer's node last heard from its database,
    /// as told by the stream, a page, or the oldest status list. None before the first news.
    pub revocations_as_of: Option<u64>,
    /// When the keys were last confirmed. None before the first keys.
    pub keys_as_of: Option<u64>,
}

/// The same, shared: 0 is never.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    revocations: AtomicU64,
    keys: AtomicU64,
}

/// What a freshness means under a mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    Fresh,
    Quiet,
    Stale,
}

impl Heard {
    /// News never get older by hearing them again.
    pub(crate) fn revocations(&self, as_of: u64) {
        self.revocations.fetch_max(as_of, Ordering::AcqRel);
    }

    pub(crate) fn keys(&self, at: u64) {
        self.keys.fetch_max(at, Ordering::AcqRel);
    }

    pub(crate) fn snapshot(&self) -> Freshness {
        let at = |instant: &AtomicU64| Some(instant.load(Ordering::Acquire)).filter(|at| *at != 0);
        Freshness { revocations_as_of: at(&self.revocations), keys_as_of: at(&self.keys) }
    }

    /// `keep_keys`: seconds after which keys that nobody confirmed are not trusted any more.
    pub(crate) fn standing(&self, mode: Staleness, keep_keys: Option<u64>, now: u64) -> Standing {
        let keys = self.keys.load(Ordering::Acquire);
        if keep_keys.is_some_and(|keep| now.saturating_sub(keys) > keep) {
            return Standing::Stale;
        }
        let age = now.saturating_sub(self.revocations.load(Ordering::Acquire));
        match mode {
            Staleness::Refuse { after } if age > after.as_secs() => Standing::Stale,
            Staleness::Accept if age > QUIET => Standing::Quiet,
            Staleness::Accept | Staleness::Refuse { .. } => Standing::Fresh,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_decides_as_the_mode_says() {
        let refuse = Staleness::Refuse { after: Duration::from_secs(30) };
        let heard = Heard::default();
        assert_eq!(heard.standing(refuse, None, 1_000), Standing::Stale, "nothing heard yet");
        assert_eq!(heard.standing(Staleness::Accept, None, 1_000), Standing::Quiet);
        heard.revocations(1_000);
        heard.revocations(900);
        assert_eq!(heard.snapshot().revocations_as_of, Some(1_000), "older news change nothing");
        let rows = [(1_030, Standing::Fresh, Standing::Fresh), (1_031, Standing::Stale, Standing::Fresh)];
        for (now, refusing, accepting) in rows.into_iter().chain([(1_061, Standing::Stale, Standing::Quiet)])
        {
            assert_eq!(heard.standing(refuse, None, now), refusing, "{now}");
            assert_eq!(heard.standing(Staleness::Accept, None, now), accepting, "{now}");
        }
        assert_eq!(
            heard.standing(Staleness::Accept, Some(60), 1_000),
            Standing::Stale,
            "keys never heard of"
        );
        heard.keys(950);
        assert_eq!(heard.standing(Staleness::Accept, Some(60), 1_000), Standing::Fresh);
        assert_eq!(heard.standing(Staleness::Accept, Some(60), 1_011), Standing::Stale);
    }
}
