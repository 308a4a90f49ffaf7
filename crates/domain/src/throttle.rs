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
}

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
    /// Come back after this long; nothing was counted.
    Refused {
        retry_after: Duration,
    },
}

/// Takes one try from `bucket` at `now`: the verdict, and the bucket to write where it was granted.
#[must_use]
pub fn take(bucket: Bucket, limit: Limit, now: Timestamp) -> (Verdict, Bucket) {
    // A clock that went back must not block for longer than the longest delay.
    let blocked_until = bucket.blocked_until.min(now.plus(limit.longest_delay));
    if now < blocked_until {
        return (Verdict::Refused { retry_after: blocked_until.since(now) }, bucket);
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
    let delay = match over {
        0 => Duration::ZERO,
        n => limit
            .first_delay
            .saturating_mul(1_u32.checked_shl(n - 1).unwrap_or(u32::MAX))
            .min(limit.longest_delay),
    };
    (Verdict::Granted, Bucket { tries, counted_at, blocked_until: now.plus(delay) })
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
