//! The verifier of one issuer: policy, keys, revocations, and the cache of verified tokens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jotgate_jose::{Error, KeySet, Policy, Verified, insecure_kid};

use crate::cache::{Cache, Token};
use crate::freshness::{Freshness, Heard, Staleness, Standing};
use crate::metrics::{Counters, Metrics};
use crate::revocations::Sets;
use crate::{Refusal, Revocations};

/// Verifies access tokens of one issuer in memory. Sharing it is cheap; nothing on the way of a token waits for
/// a lock.
#[derive(Debug)]
pub struct Verifier {
    policy: Policy,
    keys: ArcSwap<KeySet>,
    /// Grows after each change of `keys`.
    generation: AtomicU64,
    revocations: Revocations,
    cache: Option<Cache>,
    staleness: Staleness,
    /// Seconds for which keys are trusted that nobody confirmed; none: for ever.
    keep_keys: Option<u64>,
    heard: Heard,
    counters: Counters,
}

impl Verifier {
    /// With keys, no cache, and [`Staleness::Accept`]: for a caller that brings keys and revocations itself.
    #[must_use]
    pub fn new(policy: Policy, keys: KeySet) -> Self {
        Self {
            policy,
            keys: ArcSwap::from_pointee(keys),
            generation: AtomicU64::new(0),
            revocations: Revocations::new(),
            cache: None,
            staleness: Staleness::Accept,
            keep_keys: None,
            heard: Heard::default(),
            counters: Counters::default(),
        }
    }

    /// Keeps verified tokens, of `bytes` together, for [`Verifier::check`]; 0 keeps none. A token with its claims
    /// takes some 2 KiB.
    #[must_use]
    pub fn with_cache(mut self, bytes: usize) -> Self {
        self.cache = (bytes > 0).then(|| Cache::new(bytes));
        self
    }

    /// What happens while nothing is heard, see [`Verifier::heard`].
    #[must_use]
    pub fn with_staleness(mut self, staleness: Staleness) -> Self {
        self.staleness = staleness;
        self
    }

    /// Refuses as stale when the keys were not confirmed ([`Verifier::confirm_keys`]) for this long.
    #[must_use]
    pub fn with_keys_kept_for(mut self, time: Duration) -> Self {
        self.keep_keys = Some(time.as_secs());
        self
    }

    /// Replaces the keys, and forgets the tokens verified with the old ones.
    pub fn set_keys(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
        self.generation.fetch_add(1, Ordering::AcqRel);
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// The keys in use.
    #[must_use]
    pub fn keys(&self) -> Arc<KeySet> {
        self.keys.load_full()
    }

    /// Notes that the issuer published the keys in use at `now` (seconds since the epoch).
    pub fn confirm_keys(&self, now: u64) {
        self.heard.keys(now);
    }

    /// What is refused although its signature holds.
    #[must_use]
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// Notes that [`Verifier::revocations`] has every revocation up to `as_of` (seconds since the epoch).
    pub fn heard(&self, as_of: u64) {
        self.heard.revocations(as_of);
    }

    /// How old this verifier's knowledge is.
    #[must_use]
    pub fn freshness(&self) -> Freshness {
        self.heard.snapshot()
    }

    /// What happened so far.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.counters.snapshot(self.cache.as_ref().map_or(0, Cache::hits))
    }

    /// What a token must say.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Verifies an access token at `now` (seconds since the epoch): form, type, key, signature, issuer, audience,
    /// times (RFC 9068 §4), and that neither its status entry nor its key is revoked. Looks at neither the cache
    /// nor the freshness.
    ///
    /// # Errors
    /// [`Error`], whose code is the contract's.
    pub fn verify(&self, token: &str, now: u64) -> Result<Verified<'static>, Error> {
        self.verify_by(jotgate_jose::verify, token, now)
    }

    fn verify_by(&self, verify: Verify, token: &str, now: u64) -> Result<Verified<'static>, Error> {
        match verify(&self.keys.load(), &self.policy, token, now) {
            Ok(verified) if names_revoked(&self.revocations.sets(), &verified) => Err(Error::Revoked),
            // The same answer before and after the key leaves the set; and nobody asks for keys on account of one that
            // is known to be bad.
            Err(Error::UnknownKey) if self.names_revoked_key(token) => Err(Error::Revoked),
            result => result,
        }
    }

    /// What a request needs: [`Verifier::verify`], from the cache where the token is in it, and only while this
    /// verifier knows enough.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check(&self, token: &str, now: u64) -> Result<Token, Refusal> {
        self.check_uncounted(token, now).inspect_err(|refusal| self.counters.refused(*refusal))
    }

    pub(crate) fn check_uncounted(&self, token: &str, now: u64) -> Result<Token, Refusal> {
        // Before the keys: what is verified with newer keys than that may go unused, never the other way.
        let generation = self.generation.load(Ordering::Acquire);
        let token = match self.find(token, generation, now)? {
            Some(token) => token,
            None => self.check_anew(token, generation, now)?,
        };
        match self.heard.standing(self.staleness, self.keep_keys, now) {
            Standing::Fresh => {}
            Standing::Quiet => self.counters.accepted_stale.add(),
            Standing::Stale => return Err(Refusal::Stale),
        }
        Ok(token)
    }

    /// The token out of the cache, checked again.
    fn find(&self, token: &str, generation: u64, now: u64) -> Result<Option<Token>, Error> {
        let Some(cache) = &self.cache else { return Ok(None) };
        // Loaded first: what is read after such a load waits for it, so everything of the token would.
        let revoked = self.revocations.sets();
        let found = cache.find(token, generation, |verified| {
            verified.recheck(&self.policy, now)?;
            if names_revoked(&revoked, verified) { Err(Error::Revoked) } else { Ok(()) }
        })?;
        if let Some(token) = &found {
            cache.hit(token);
        }
        Ok(found)
    }

    fn check_anew(&self, text: &str, generation: u64, now: u64) -> Result<Token, Refusal> {
        let verified =
            self.verify_by(jotgate_jose::verify_and_keep, text, now).map_err(|error| match error {
                Error::UnknownKey if self.keys.load().is_empty() => Refusal::NotReady,
                error => Refusal::Token(error),
            })?;
        self.counters.verified.add();
        let token = Token::new(verified, generation);
        if let Some(cache) = &self.cache {
            cache.insert(token.clone());
        }
        Ok(token)
    }

    fn names_revoked_key(&self, token: &str) -> bool {
        let revoked = self.revocations.sets();
        revoked.has_keys()
            && insecure_kid(token).is_ok_and(|kid| kid.is_some_and(|kid| revoked.contains_key(&kid)))
    }

    /// Forgets the revocations of which no token is left at `now`, but no key that would be trusted again.
    #[cfg(feature = "follow")]
    pub(crate) fn forget_expired(&self, now: u64) {
        let keys = self.keys.load();
        let in_use = |kid: &str| keys.iter().any(|key| key.kid() == kid);
        self.revocations.forget_expired_but(i64::try_from(now).unwrap_or(i64::MAX), in_use);
    }

    /// Changes whenever the keys do.
    #[cfg(feature = "follow")]
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    #[cfg(feature = "follow")]
    pub(crate) fn counters(&self) -> &Counters {
        &self.counters
    }

    pub(crate) fn has_cached(&self, token: &str) -> bool {
        let generation = self.generation.load(Ordering::Acquire);
        let found = self.cache.as_ref().map(|cache| cache.find(token, generation, |_| Ok(())));
        matches!(found, Some(Ok(Some(_))))
    }
}

/// [`jotgate_jose::verify`] or its like.
type Verify = fn(&KeySet, &Policy, &str, u64) -> Result<Verified<'static>, Error>;

fn names_revoked(revoked: &Sets, verified: &Verified<'_>) -> bool {
    revoked.contains_key(verified.kid())
        || verified.claims().status().is_some_and(|entry| revoked.contains(entry.uri, entry.idx))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{START, Sample};

    const LIST: &str = "https://login.example/auth/status/0";

    #[test]
    fn a_hit_is_as_strict_as_a_first_look() {
        let sample = Sample::new();
        let verifier = sample.verifier().with_cache(1 << 20);
        let (token, other) = (sample.token(1), sample.token(2));
        for _ in 0..3 {
            assert_eq!(verifier.check(&token, START).unwrap().claims().sub(), Some("user-1"));
            verifier.check(&other, START).unwrap();
        }
        assert_eq!((verifier.metrics().verified, verifier.metrics().cache_hits), (2, 4));
        assert_eq!(verifier.check(&token, START + 600).unwrap_err().code(), "expired");
        assert_eq!(verifier.check(&token, START - 61).unwrap_err().code(), "not_yet_valid");
        verifier.revocations().insert(LIST, 1, i64::MAX);
        assert_eq!(verifier.check(&token, START).unwrap_err().code(), "revoked");
        verifier.check(&other, START).unwrap();
        verifier.revocations().insert_key(sample.keys().iter().next().unwrap().kid(), i64::MAX);
        assert_eq!(verifier.check(&other, START).unwrap_err().code(), "revoked");
        assert_eq!(verifier.metrics().refused_for(Error::Revoked), 2);
    }

    #[test]
    fn refused_tokens_do_not_get_in() {
        let sample = Sample::new();
        let verifier = sample.verifier().with_cache(1 << 20);
        verifier.revocations().insert(LIST, 1, i64::MAX);
        let (revoked, expired) = (sample.token(1), sample.token(2));
        let forged = Sample::new().token(3);
        for (token, now) in [(&revoked, START), (&expired, START + 600), (&forged, START)] {
            verifier.check(token, now).unwrap_err();
            assert!(!verifier.has_cached(token));
        }
    }

    #[test]
    fn other_keys_forget_what_the_old_ones_verified() {
        let sample = Sample::new();
        let verifier = sample.verifier().with_cache(1 << 20);
        let token = sample.token(1);
        verifier.check(&token, START).unwrap();
        verifier.set_keys(Sample::new().keys());
        assert_eq!(verifier.check(&token, START).unwrap_err(), Error::UnknownKey.into());
        verifier.set_keys(KeySet::new());
        assert_eq!(verifier.check(&token, START).unwrap_err(), Refusal::NotReady);
        verifier.set_keys(sample.keys());
        verifier.check(&token, START).unwrap();
        assert_eq!(verifier.metrics().cache_hits, 0);
    }

    #[test]
    fn a_revoked_key_is_named_as_such_before_and_after_it_leaves_the_set() {
        let sample = Sample::new();
        let verifier = sample.verifier().with_cache(1 << 20);
        let kid = sample.keys().iter().next().unwrap().kid().to_owned();
        let token = sample.token(1);
        verifier.check(&token, START).unwrap();
        verifier.revocations().insert_key(&kid, 100);
        assert_eq!(verifier.check(&token, START).unwrap_err(), Error::Revoked.into());
        verifier.set_keys(Sample::new().keys());
        assert_eq!(verifier.check(&token, START).unwrap_err(), Error::Revoked.into());
        assert_eq!(verifier.check(&Sample::new().token(1), START).unwrap_err(), Error::UnknownKey.into());
    }

    #[test]
    #[cfg(feature = "follow")]
    fn a_revoked_key_stays_revoked_while_a_stale_set_has_it() {
        let sample = Sample::new();
        let verifier = sample.verifier();
        let kid = sample.keys().iter().next().unwrap().kid().to_owned();
        verifier.revocations().insert_key(&kid, 100);
        verifier.revocations().insert_key("other", 100);
        verifier.forget_expired(START);
        assert_eq!(verifier.check(&sample.token(1), START).unwrap_err(), Error::Revoked.into());
        assert!(!verifier.revocations().contains_key("other"));
        verifier.set_keys(Sample::new().keys());
        verifier.forget_expired(START);
        assert!(!verifier.revocations().sets().has_keys());
    }

    #[test]
    fn too_long_without_news_is_refused_or_counted() {
        let sample = Sample::new();
        let token = sample.token(1);
        let refuse = Staleness::Refuse { after: Duration::from_secs(30) };
        let verifier = sample.verifier().with_cache(1 << 20).with_staleness(refuse);
        assert_eq!(verifier.check(&token, START).unwrap_err(), Refusal::Stale);
        verifier.heard(START);
        verifier.check(&token, START + 30).unwrap();
        assert_eq!(verifier.check(&token, START + 31).unwrap_err(), Refusal::Stale);
        assert_eq!(verifier.freshness().revocations_as_of, Some(START));
        let accepting = sample.verifier();
        accepting.check(&token, START).unwrap();
        assert_eq!(accepting.metrics().accepted_stale, 1);
        // a42: keys that nobody confirms are trusted for a stated time, then nothing is.
        let keeping = sample.verifier().with_keys_kept_for(Duration::from_secs(60));
        keeping.confirm_keys(START);
        keeping.check(&token, START + 60).unwrap();
        assert_eq!(keeping.check(&token, START + 61).unwrap_err(), Refusal::Stale);
    }

    #[test]
    fn a28_a_maximum_age_holds_on_hits_too() {
        let sample = Sample::new();
        let verifier = Verifier::new(sample.policy().max_age(100), sample.keys()).with_cache(1 << 20);
        let token = sample.token(1);
        verifier.check(&token, START + 100).unwrap();
        assert_eq!(verifier.check(&token, START + 101).unwrap_err().code(), "too_old");
    }
}
