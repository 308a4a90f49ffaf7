//! Throttling of guesses: a leaky bucket whose delays grow, with no lock-out that an attacker can trigger at will.
//!
//! A try is taken *before* the password is hashed, in one step with reading the bucket, so parallel guesses
//! count each; a success clears the bucket. The bucket's key is made from the canonical name, one counter
//! whatever way it is written, and an unknown name has a bucket like any other. A device that the user has
//! signed in from has a bucket of its own, so a stranger's guesses do not keep the user out.

use std::fmt;
use std::time::Duration;

use aws_lc_rs::hmac;

use crate::Timestamp;
use crate::name::Canonical;

/// What is counted; a hash, so that the table holds no names.
pub type BucketKey = [u8; 32];

/// How many tries are free, and how the delay grows after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Tries without delay.
    pub free: u32,
    /// Delay after the first try beyond those; doubles with each further one.
    pub first_delay: Duration,
    /// The delay grows no further than this: nobody is locked out for good.
    pub longest_delay: Duration,
    /// One try is forgiven each time this passes.
    pub forgive_every: Duration,
}

impl Limit {
    /// For one account: fewer than the 100 consecutive failures of NIST SP 800-63B-4 §3.2.2 in any hour.
    pub const ACCOUNT: Self = Self {
        free: 20,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(300),
        forgive_every: Duration::from_secs(300),
    };
    /// For one client address (IPv4, or IPv6 /64), over all accounts: a company behind one address is not kept
    /// out, a list of stolen passwords is not run through.
    pub const ADDRESS: Self = Self {
        free: 500,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(60),
        forgive_every: Duration::from_secs(2),
    };
    /// For mails to one mailbox that nobody signed in has asked for: its owner hears of it, and is not flooded.
    pub const MAIL: Self = Self {
        free: 3,
        first_delay: Duration::from_secs(600),
        longest_delay: Duration::from_secs(86_400),
        forgive_every: Duration::from_secs(3_600),
    };

    /// For the tickets of one session: far more than its applications renew by, and an end to an application that
    /// sends its visitors round by script.
    pub const TICKET: Self = Self {
        free: 60,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(60),
        forgive_every: Duration::from_secs(2),
    };

    /// The delay after a try that is the `over`-th beyond the free ones.
    #[must_use]
    pub fn delay(self, over: u32) -> Duration {
        match over {
            0 => Duration::ZERO,
            n => self
                .first_delay
                .saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX))
                .min(self.longest_delay),
        }
    }
}

/// From this one on, all tries beyond the free ones have the same [`Limit::delay`].
pub const DELAYS_DIFFER: u32 = 33;

/// The state behind a key; absent is the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Tries taken and neither forgiven nor cleared.
    pub tries: u32,
    /// When `tries` was last brought up to date.
    pub counted_at: Timestamp,
    /// No try before this.
    pub blocked_until: Timestamp,
}

/// Whether a try was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Granted,
    /// Come back after this long, never zero; nothing was counted.
    Refused {
        retry_after: Duration,
    },
}

/// Takes one try from `bucket` at `now`: the verdict, and the bucket to write where it was granted.
#[must_use]
pub fn take(bucket: Bucket, limit: Limit, now: Timestamp) -> (Verdict, Bucket) {
    // No delay is that long: the clock went back, and must not keep anybody out until it is there again. Clocks
    // of nodes differ by less than this.
    let went_back = bucket.blocked_until > now.plus(limit.longest_delay.saturating_mul(2));
    if now < bucket.blocked_until && !went_back {
        let retry_after = bucket.blocked_until.since(now).min(limit.longest_delay);
        return (Verdict::Refused { retry_after }, bucket);
    }
    let step = limit.forgive_every.as_millis().max(1);
    let forgiven = u32::try_from(now.since(bucket.counted_at).as_millis() / step).unwrap_or(u32::MAX);
    let left = bucket.tries.saturating_sub(forgiven);
    // Time that did not fill a whole step is kept, unless nothing is left to forgive.
    let counted_at = if left == 0 || bucket.counted_at > now {
        now
    } else {
        bucket.counted_at.plus(limit.forgive_every.saturating_mul(forgiven))
    };
    let tries = left.saturating_add(1);
    let over = tries.saturating_sub(limit.free);
    // A try without delay blocks nobody: not one either that read the clock earlier, here or on another node, and
    // comes to the bucket later.
    let blocked_until = match limit.delay(over) {
        Duration::ZERO => Timestamp::default(),
        delay => now.plus(delay),
    };
    (Verdict::Granted, Bucket { tries, counted_at, blocked_until })
}

/// What a bucket counts.
#[derive(Clone, Copy, Debug)]
pub enum Counted<'a> {
    /// Guesses at an account, known or not, by what was typed.
    Account(&'a Canonical),
    /// Guesses at an account from a device that its user signed in from (the device's id, found authentic).
    KnownDevice(&'a Canonical, &'a [u8]),
    /// Tries from one client address, over all accounts; the text of an IPv4 address or an IPv6 /64.
    Address(&'a str),
}

/// Makes bucket keys: HMAC-SHA256 under a key of the installation, so that the table of buckets tells nobody
/// whose names were tried, not even whoever can guess names.
pub struct BucketKeys(hmac::Key);

impl fmt::Debug for BucketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BucketKeys(…)")
    }
}

impl BucketKeys {
    /// `key` is [`crate::master::Purpose::Throttle`].
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    #[must_use]
    pub fn key(&self, counted: Counted<'_>) -> BucketKey {
        let mut context = hmac::Context::with_key(&self.0);
        // Each part under its length: two different things never read alike.
        let mut part = |bytes: &[u8]| {
            context.update(&u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(bytes);
        };
        match counted {
            Counted::Account(name) => {
                part(b"account");
                part(name.as_str().as_bytes());
            }
            Counted::KnownDevice(name, device) => {
                part(b"device");
                part(name.as_str().as_bytes());
                part(device);
            }
            Counted::Address(address) => {
                part(b"address");
                part(address.as_bytes());
            }
        }
        let mut key = [0; 32];
        key.copy_from_slice(context.sign().as_ref());
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::canonical;

    const LIMIT: Limit = Limit {
        free: 3,
        first_delay: Duration::from_secs(1),
        longest_delay: Duration::from_secs(10),
        forgive_every: Duration::from_secs(60),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_000_000 + secs)
    }

    /// Takes as many tries as are granted at `secs`.
    fn exhaust(mut bucket: Bucket, limit: Limit, secs: i64) -> (u32, Bucket) {
        let mut granted = 0;
        loop {
            match take(bucket, limit, at(secs)) {
                (Verdict::Granted, next) => (granted, bucket) = (granted + 1, next),
                (Verdict::Refused { .. }, next) => {
                    assert_eq!(next, bucket, "a refusal counts nothing");
                    return (granted, bucket);
                }
            }
        }
    }

    #[test]
    fn who_read_the_clock_earlier_and_comes_later_is_not_refused() {
        let (limit, now) = (Limit::ACCOUNT, Timestamp(1_795_000_000_000));
        let mut bucket = Bucket::default();
        for n in 0..limit.free {
            let earlier = now.minus(Duration::from_millis(u64::from(n)));
            let (verdict, after) = take(bucket, limit, earlier);
            assert_eq!(verdict, Verdict::Granted, "{n}");
            bucket = after;
        }
        // The next one is delayed, and those after it.
        bucket = take(bucket, limit, now).1;
        assert_ne!(take(bucket, limit, now.minus(Duration::from_millis(1))).0, Verdict::Granted);
    }

    #[test]
    fn delays_grow_and_stop_growing() {
        let (granted, mut bucket) = exhaust(Bucket::default(), LIMIT, 0);
        assert_eq!(granted, 4, "three free ones, and the first that has a delay after it");
        let mut now = 0;
        for delay in [1, 2, 4, 8, 10, 10, 10] {
            let refused = take(bucket, LIMIT, at(now)).0;
            assert_eq!(refused, Verdict::Refused { retry_after: Duration::from_secs(delay) });
            let just_before = Timestamp(at(now + i64::try_from(delay).unwrap()).0 - 1);
            assert_eq!(
                take(bucket, LIMIT, just_before).0,
                Verdict::Refused { retry_after: Duration::from_millis(1) }
            );
            now += i64::try_from(delay).unwrap();
            let (granted, next) = exhaust(bucket, LIMIT, now);
            assert_eq!(granted, 1, "after {delay} s");
            bucket = next;
        }
    }

    #[test]
    fn tries_are_forgiven_one_by_one() {
        let full = Bucket { tries: 5, counted_at: at(0), blocked_until: at(1) };
        // (seconds later, tries after the next one, counted_at)
        for (secs, tries, counted_at) in [
            (1, 6, 0),
            (59, 6, 0),
            (60, 5, 60),
            (61, 5, 60),
            (179, 4, 120),
            (299, 2, 240),
            (300, 1, 300),
            (301, 1, 301),
            (1_000_000, 1, 1_000_000),
        ] {
            let (verdict, bucket) = take(full, LIMIT, at(secs));
            assert_eq!(verdict, Verdict::Granted);
            assert_eq!((bucket.tries, bucket.counted_at), (tries, at(counted_at)), "after {secs} s");
        }
    }

    /// What an attacker gets in the long run: one try each time one is forgiven.
    #[test]
    fn a_steady_attack_gets_the_rate_of_forgiveness() {
        let mut bucket = Bucket::default();
        let mut granted = 0;
        for secs in 0..86_400 {
            let (n, next) = exhaust(bucket, Limit::ACCOUNT, secs);
            (granted, bucket) = (granted + n, next);
        }
        // 20 free, 288 forgiven in a day, a few while the delay still grows.
        assert!((288..=330).contains(&granted), "{granted}");
        // NIST SP 800-63B-4 §3.2.2: in the worst hour far fewer than 100.
        let (mut hour, mut bucket) = (0, Bucket::default());
        for secs in 0..3600 {
            let (n, next) = exhaust(bucket, Limit::ACCOUNT, secs);
            (hour, bucket) = (hour + n, next);
        }
        assert!(hour < 50, "{hour}");
    }

    /// However long the attack, whoever waits the longest delay gets a try (attack 67).
    #[test]
    fn nobody_is_locked_out_for_good() {
        let mut bucket = Bucket::default();
        let mut now = 0;
        for _ in 0..1000 {
            bucket = exhaust(bucket, LIMIT, now).1;
            now += 10;
            assert_eq!(take(bucket, LIMIT, at(now)).0, Verdict::Granted);
        }
        let flooded = Bucket { tries: u32::MAX, counted_at: at(0), blocked_until: at(10) };
        let (verdict, next) = take(flooded, LIMIT, at(10));
        assert_eq!((verdict, next.tries), (Verdict::Granted, u32::MAX));
        assert_eq!(next.blocked_until, at(20));
    }

    #[test]
    fn a_clock_that_goes_back_keeps_nobody_out() {
        let bucket = Bucket { tries: 9, counted_at: at(1_000_000), blocked_until: at(1_000_010) };
        let (verdict, next) = take(bucket, LIMIT, at(0));
        assert_eq!(verdict, Verdict::Granted);
        assert_eq!((next.tries, next.counted_at, next.blocked_until), (10, at(0), at(10)), "and is counted");
        // Nodes that differ by a little do not open the gate to each other.
        let bucket = Bucket { tries: 9, counted_at: at(2), blocked_until: at(12) };
        assert_eq!(
            take(bucket, LIMIT, at(0)).0,
            Verdict::Refused { retry_after: Duration::from_secs(10) },
            "never longer than the longest delay"
        );
    }

    #[test]
    fn extreme_instants_and_limits_do_not_overflow() {
        let extreme = [i64::MIN, -1, 0, 1, i64::MAX].map(Timestamp);
        let limits = [
            LIMIT,
            Limit {
                free: 0,
                first_delay: Duration::MAX,
                longest_delay: Duration::MAX,
                forgive_every: Duration::ZERO,
            },
            Limit { free: u32::MAX, forgive_every: Duration::MAX, ..LIMIT },
        ];
        for counted_at in extreme {
            for blocked_until in extreme {
                for now in extreme {
                    for tries in [0, 1, 40, u32::MAX] {
                        for limit in limits {
                            let _ = take(Bucket { tries, counted_at, blocked_until }, limit, now);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn bucket_keys() {
        let keys = BucketKeys::new(&[5; 32]);
        let (alice, bob) = (canonical("alice"), canonical("bob"));
        assert_eq!(
            keys.key(Counted::Account(&canonical("ALICE"))),
            keys.key(Counted::Account(&canonical(" ａｌｉｃｅ"))),
            "one counter whatever way the name is written"
        );
        let different = [
            keys.key(Counted::Account(&alice)),
            keys.key(Counted::Account(&bob)),
            keys.key(Counted::Address("alice")),
            keys.key(Counted::KnownDevice(&alice, b"1")),
            keys.key(Counted::KnownDevice(&alice, b"2")),
            keys.key(Counted::KnownDevice(&bob, b"1")),
            keys.key(Counted::KnownDevice(&canonical("alice1"), b"")),
            BucketKeys::new(&[6; 32]).key(Counted::Account(&alice)),
        ];
        let distinct: std::collections::HashSet<_> = different.iter().collect();
        assert_eq!(distinct.len(), different.len());
    }
}
