//! Tokens whose signature held, by their whole text, so that the next request with one costs no cryptography.
//!
//! A set-associative table: a token's place follows from a keyed hash of its end, where its signature is; its whole
//! text is compared. Reading takes no lock. Only tokens that were accepted get in, so nobody can fill it with
//! forgeries, nor, without the issuer's key, choose where a token lands.

use std::fmt;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use arc_swap::{ArcSwapOption, Guard};
use foldhash::fast::RandomState;
use jotgate_jose::{Algorithm, Claims, Error, Verified};

/// A token that was accepted: who came, and what they may do. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Token(Arc<Entry>);

struct Entry {
    /// With its text, which stands where its claims are: one place in memory to wait for.
    verified: Verified<'static>,
    /// Of the keys that it was verified with.
    generation: u64,
}

/// Without the text: it is a credential, and `Debug` ends in logs.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.verified.fmt(f)
    }
}

impl Token {
    /// `verified` has its text: [`jotgate_jose::verify_and_keep`].
    pub(crate) fn new(verified: Verified<'static>, generation: u64) -> Self {
        Self(Arc::new(Entry { verified, generation }))
    }

    /// Its claims.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        self.0.verified.claims()
    }

    /// The `kid` of the key that verified it.
    #[must_use]
    pub fn kid(&self) -> &str {
        self.0.verified.kid()
    }

    /// The algorithm of that key.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.0.verified.algorithm()
    }

    fn text(&self) -> &str {
        self.0.verified.token().unwrap_or_default()
    }

    /// What it takes in memory, about: room for the claims is made by the length of their encoded form.
    fn size(&self) -> usize {
        size_of::<Entry>() + self.text().len() * 2 + self.kid().len() + OVERHEAD
    }
}

/// Counts of an `Arc` and the allocator's share of two allocations, in bytes.
const OVERHEAD: usize = 48;
/// Places a set.
const WAYS: usize = 8;
/// Bytes of capacity a place: tokens take more, so that few sets are ever full.
const BYTES_A_PLACE: usize = 512;
/// The part of a token that its place follows from: its last bytes, in which every algorithm has its signature.
const HASHED: usize = 40;
/// Hits are counted in so many places, so that threads do not contend for one.
const COUNTERS: usize = 16;

#[derive(Debug)]
pub(crate) struct Cache {
    sets: Box<[Set]>,
    hasher: RandomState,
    /// Bytes.
    capacity: usize,
    used: AtomicUsize,
    /// Where the next thing to be thrown out is looked for.
    hand: AtomicUsize,
    hits: [Hits; COUNTERS],
}

/// Two cache lines, which the processor fetches together.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Set([Way; WAYS]);

#[derive(Debug, Default)]
struct Way {
    /// The hash of the token beside it, or of one that was or will be there: a hint, never trusted.
    tag: AtomicU64,
    token: ArcSwapOption<Entry>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Hits(AtomicU64);

impl Cache {
    /// For tokens of `capacity` bytes together; its table takes a few percent more.
    pub(crate) fn new(capacity: usize) -> Self {
        let sets = (capacity / (BYTES_A_PLACE * WAYS)).next_power_of_two();
        Self {
            sets: (0..sets).map(|_| Set::default()).collect(),
            hasher: RandomState::default(),
            capacity,
            used: AtomicUsize::new(0),
            hand: AtomicUsize::new(0),
            hits: Default::default(),
        }
    }

    /// The token of this text, if it is here and was verified with the keys of `generation`, and `accept` takes it;
    /// what `accept` says against it.
    pub(crate) fn find(
        &self,
        text: &str,
        generation: u64,
        accept: impl FnOnce(&Verified<'static>) -> Result<(), Error>,
    ) -> Result<Option<Token>, Error> {
        let hash = self.hash(text);
        let tagged = |way: &&Way| way.tag.load(Ordering::Acquire) == hash;
        let Some(way) = self.set(hash).and_then(|set| set.0.iter().find(tagged)) else { return Ok(None) };
        let token = way.token.load();
        let Some(entry) = token.as_ref() else { return Ok(None) };
        if entry.generation != generation || entry.verified.token() != Some(text) {
            return Ok(None);
        }
        // Asked before the token is counted: counting writes, and nothing is read ahead of that.
        accept(&entry.verified)?;
        Ok(Guard::into_inner(token).map(Token))
    }

    pub(crate) fn hit(&self, token: &Token) {
        // Another token, another counter, mostly.
        let place = Arc::as_ptr(&token.0).addr() / 64 % COUNTERS;
        if let Some(Hits(count)) = self.hits.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.iter().map(|Hits(count)| count.load(Ordering::Relaxed)).sum()
    }

    /// Puts a token in, and what is in its way out.
    pub(crate) fn insert(&self, token: Token) {
        // One token must not empty the table for itself.
        if token.size() > self.capacity / 8 {
            return;
        }
        let (hash, generation) = (self.hash(token.text()), token.0.generation);
        let Some(set) = self.set(hash) else { return };
        let Some(way) = set.0.iter().min_by_key(|way| way.worth(hash, generation)) else { return };
        way.tag.store(hash, Ordering::Release);
        self.swap(way, Some(token));
        self.make_room();
    }

    /// Forgets all tokens.
    pub(crate) fn clear(&self) {
        for way in self.sets.iter().flat_map(|set| &set.0) {
            self.swap(way, None);
        }
    }

    /// Whoever takes a token out counts it out, so the sum stays right whatever threads do.
    fn swap(&self, way: &Way, token: Option<Token>) {
        self.used.fetch_add(token.as_ref().map_or(0, Token::size), Ordering::AcqRel);
        let old = way.token.swap(token.map(|token| token.0));
        self.used.fetch_sub(old.map_or(0, |old| Token(old).size()), Ordering::AcqRel);
    }

    fn make_room(&self) {
        for _ in 0..self.sets.len() {
            if self.used.load(Ordering::Acquire) <= self.capacity {
                return;
            }
            let hand = self.hand.fetch_add(1, Ordering::Relaxed) & (self.sets.len() - 1);
            let Some(set) = self.sets.get(hand) else { return };
            let soonest = set.0.iter().filter(|way| way.token.load().is_some());
            if let Some(way) = soonest.min_by_key(|way| way.worth(0, 0)) {
                self.swap(way, None);
            }
        }
    }

    fn hash(&self, text: &str) -> u64 {
        let bytes = text.as_bytes();
        let end = bytes.get(bytes.len().saturating_sub(HASHED)..).unwrap_or(bytes);
        self.hasher.hash_one(end)
    }

    fn set(&self, hash: u64) -> Option<&Set> {
        // Neighbouring bits of the hash: the tag has all of them.
        self.sets.get(usize::try_from(hash >> 32).unwrap_or(0) & (self.sets.len() - 1))
    }

    #[cfg(test)]
    fn used(&self) -> usize {
        self.used.load(Ordering::Acquire)
    }
}

impl Way {
    /// What is lost by overwriting it: itself nothing, an empty place little, an outdated token no more, any other
    /// as long as it lives.
    fn worth(&self, hash: u64, generation: u64) -> u64 {
        let token = self.token.load();
        let Some(entry) = token.as_ref() else { return 1 };
        if self.tag.load(Ordering::Acquire) == hash {
            return 0;
        }
        if generation > entry.generation { 2 } else { 3 + entry.verified.claims().exp().unwrap_or(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    #[test]
    fn whole_text_and_generation_decide() {
        let sample = Sample::new();
        let cache = Cache::new(1 << 20);
        let token = sample.token(1);
        let find = |text: &str, generation| cache.find(text, generation, |_| Ok(())).unwrap();
        assert!(find(&token, 0).is_none());
        cache.insert(Token::new(sample.kept(&token), 0));
        assert_eq!(find(&token, 0).unwrap().claims().sub(), Some("user-1"));
        assert!(find(&token, 1).is_none(), "other keys");
        assert_eq!(cache.find(&token, 0, |_| Err(Error::Revoked)).unwrap_err(), Error::Revoked);
        // The same end, so the same place; another beginning.
        let forged = token.replacen("ey", "eX", 1);
        assert_eq!(cache.hash(&forged), cache.hash(&token));
        assert!(find(&forged, 0).is_none());
        cache.clear();
        assert!(find(&token, 0).is_none());
        assert_eq!(cache.used(), 0);
    }

    #[test]
    fn bytes_stay_under_the_capacity_and_counted_to_the_last() {
        let sample = Sample::new();
        let cache = Cache::new(64 << 10);
        let tokens: Vec<_> = (0..200).map(|n| sample.token(n)).collect();
        std::thread::scope(|scope| {
            for part in tokens.chunks(50) {
                let (cache, sample) = (&cache, &sample);
                scope.spawn(move || {
                    for token in part.iter().chain(part) {
                        cache.insert(Token::new(sample.kept(token), 0));
                    }
                });
            }
        });
        assert!(cache.used() <= 64 << 10, "{}", cache.used());
        let found = |token: &String| cache.find(token, 0, |_| Ok(())).unwrap().is_some();
        let kept = tokens.iter().filter(|token| found(token)).count();
        assert!((20..64).contains(&kept), "{kept}");
        cache.clear();
        assert_eq!(cache.used(), 0);
    }

    #[test]
    fn one_huge_token_does_not_get_in() {
        let sample = Sample::new();
        let cache = Cache::new(4096);
        let token = sample.token(1);
        cache.insert(Token::new(sample.kept(&token), 0));
        assert_eq!(cache.used(), 0);
    }
}
