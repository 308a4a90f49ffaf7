//! Plain counters, to be read into whatever metrics a program has.

use std::sync::atomic::{AtomicU64, Ordering};

use jotgate_jose::Error;

use crate::Refusal;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// What happened since the start, as of one moment.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct Metrics {
            /// Accepted from the cache of verified tokens.
            pub cache_hits: u64,
            $($(#[$doc])* pub $name: u64,)*
            /// Refused tokens, in the order of [`Error::ALL`].
            pub refused: [u64; Error::ALL.len()],
        }

        /// The same, counting.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)*
            refused: [Counter; Error::ALL.len()],
        }

        impl Counters {
            pub(crate) fn snapshot(&self, cache_hits: u64) -> Metrics {
                let mut refused = [0; Error::ALL.len()];
                refused.iter_mut().zip(&self.refused).for_each(|(to, from)| *to = from.read());
                Metrics { cache_hits, $($name: self.$name.read(),)* refused }
            }
        }
    };
}

counters! {
    /// Accepted after their signature was verified.
    verified,
    /// Accepted in mode [`Staleness::Accept`](crate::Staleness::Accept) more than a minute after the last news.
    accepted_stale,
    /// Refused because the keys were not known yet.
    refused_not_ready,
    /// Refused because the last news were too old.
    refused_stale,
    /// Times the keys were asked for.
    key_fetches,
    /// Times they came not, or not in a form that can be used.
    key_fetch_failures,
    /// Times the metadata, the feed, or a status list failed, a broken stream included.
    feed_failures,
    /// Streams opened.
    streams,
    /// Pages of the feed read.
    pages,
    /// Revocations heard.
    revocations,
    /// Entries and events of the feed of a kind that this version does not know, passed over.
    unknown_entries,
    /// Times everything was forgotten and learned anew.
    resets,
    /// Status lists read.
    status_lists,
}

impl Metrics {
    /// Tokens refused for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: Error) -> u64 {
        Error::ALL.iter().zip(self.refused).find(|(error, _)| **error == reason).map_or(0, |(_, count)| count)
    }
}

impl Counters {
    pub(crate) fn refused(&self, refusal: Refusal) {
        match refusal {
            Refusal::NotReady => self.refused_not_ready.add(),
            Refusal::Stale => self.refused_stale.add(),
            Refusal::Token(error) => {
                if let Some((_, count)) = Error::ALL.iter().zip(&self.refused).find(|(one, _)| **one == error)
                {
                    count.add();
                }
            }
        }
    }
}

/// One counter.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_counted_under_its_own_name() {
        let counters = Counters::default();
        for error in Error::ALL {
            counters.refused(Refusal::Token(error));
        }
        counters.refused(Refusal::Token(Error::Revoked));
        counters.refused(Refusal::Stale);
        let seen = counters.snapshot(7);
        assert!(
            Error::ALL
                .iter()
                .all(|error| seen.refused_for(*error) == 1 + u64::from(*error == Error::Revoked))
        );
        assert_eq!((seen.cache_hits, seen.refused_stale, seen.refused_not_ready), (7, 1, 0));
    }
}
