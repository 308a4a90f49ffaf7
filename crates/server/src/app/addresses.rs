//! Throttles that are per node and in memory, by the same rule as the accounts' in the database: of client
//! addresses, of the mails to one mailbox, and of the tickets of one session.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jotgate_domain::Timestamp;
use jotgate_domain::throttle::{self, Bucket, Limit, Verdict};

/// Addresses that are remembered at most; 100 bytes each.
const MOST: usize = 100_000;

#[derive(Debug)]
pub(super) struct Addresses {
    limit: Limit,
    buckets: Mutex<HashMap<String, Bucket>>,
}

impl Addresses {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, buckets: Mutex::default() }
    }

    /// Takes a try for this network, mailbox or session.
    pub(super) fn take(&self, address: &str, now: Timestamp) -> Verdict {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST && !buckets.contains_key(address) {
            make_room(&mut buckets, self.limit, now);
        }
        let bucket = buckets.get(address).copied().unwrap_or_default();
        let (verdict, bucket) = throttle::take(bucket, self.limit, now);
        buckets.insert(address.to_owned(), bucket);
        verdict
    }

    /// Gives a try back: it was not a guess.
    pub(super) fn give_back(&self, address: &str) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(address) {
            bucket.tries = bucket.tries.saturating_sub(1);
            if bucket.tries < self.limit.free {
                bucket.blocked_until = Timestamp::default();
            }
        }
    }
}

/// Forgets who has been forgiven, and where that is nobody, those with the fewest tries.
fn make_room(buckets: &mut HashMap<String, Bucket>, limit: Limit, now: Timestamp) {
    let step = limit.forgive_every.as_millis().max(1);
    let left = |bucket: &Bucket| {
        let forgiven = now.since(bucket.counted_at).as_millis() / step;
        u128::from(bucket.tries).saturating_sub(forgiven)
    };
    buckets.retain(|_, bucket| left(bucket) > 0);
    let mut fewest = 1;
    while buckets.len() >= MOST {
        buckets.retain(|_, bucket| left(bucket) > fewest);
        fewest *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_secs(1_000_000);

    #[test]
    fn a63_an_address_that_guesses_is_stopped_and_no_other() {
        let addresses = Addresses::new(Limit::ADDRESS);
        let granted = (0..1_000).filter(|_| addresses.take("a", NOW) == Verdict::Granted).count();
        assert_eq!(granted, Limit::ADDRESS.free as usize + 1);
        assert_eq!(addresses.take("b", NOW), Verdict::Granted);
    }

    #[test]
    fn tries_that_were_no_guesses_do_not_count() {
        let addresses = Addresses::new(Limit::ADDRESS);
        for _ in 0..10_000 {
            assert_eq!(addresses.take("a", NOW), Verdict::Granted);
            addresses.give_back("a");
        }
    }

    #[test]
    fn a206_memory_is_bounded_and_the_worst_are_remembered() {
        let addresses = Addresses::new(Limit::ADDRESS);
        for _ in 0..1_000 {
            addresses.take("worst", NOW);
        }
        for n in 0..MOST + 1_000 {
            addresses.take(&format!("n{n}"), NOW);
        }
        assert!(addresses.buckets.lock().unwrap().len() <= MOST);
        assert!(matches!(addresses.take("worst", NOW), Verdict::Refused { .. }));
    }
}
