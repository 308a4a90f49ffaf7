//! What is revoked, as bits: one bit array a status list, so a check costs one load however many entries there
//! are, takes no lock, and inserting copies nothing.
//!
//! An index is never given twice, so a bit never has to be cleared; a list is dropped as a whole once the last
//! token that can be under it has expired.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::{ArcSwap, Guard};
use foldhash::fast::RandomState;

/// The largest index that is believed: a list of 2^24 bits takes 2 MiB.
pub const MAX_INDEX: u64 = (1 << 24) - 1;

/// The set of revoked status entries and keys. Cheap to share; reading never waits for writing.
#[derive(Debug, Default)]
pub struct Revocations {
    sets: ArcSwap<Sets>,
    /// Held while anything is written, never while reading: what comes while its list is forgotten would be lost.
    writing: Mutex<()>,
}

/// One state of it, in which bits may still be set.
#[derive(Debug, Default, Clone)]
pub(crate) struct Sets {
    lists: HashMap<Box<str>, Arc<List>, RandomState>,
    kids: HashMap<Box<str>, i64, RandomState>,
}

/// The bits of one list, in blocks that exist once a bit in them is set.
#[derive(Debug)]
struct List {
    blocks: [OnceLock<Box<Block>>; BLOCKS],
    /// Past this (seconds since the epoch) no token under the list is unexpired.
    until: AtomicI64,
}

/// 2^16 bits: 8 KiB.
type Block = [AtomicU64; BLOCK_BITS / 64];
const BLOCK_BITS: usize = 1 << 16;
const BLOCKS: usize = (MAX_INDEX as usize + 1) / BLOCK_BITS;

impl Revocations {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether entry `idx` of the list at `uri` is revoked.
    #[must_use]
    pub fn contains(&self, uri: &str, idx: u64) -> bool {
        self.sets().contains(uri, idx)
    }

    /// Whether every token of this key is revoked.
    #[must_use]
    pub fn contains_key(&self, kid: &str) -> bool {
        self.sets().contains_key(kid)
    }

    /// The state of now, to be asked more than one thing.
    pub(crate) fn sets(&self) -> Guard<Arc<Sets>> {
        self.sets.load()
    }

    /// How many lists there is anything of.
    #[cfg(feature = "follow")]
    pub(crate) fn lists(&self) -> usize {
        self.sets().lists.len()
    }

    /// The list at `uri` as a status list of `entries` one-bit entries has it, revoked ones as 1: entry 0 is the
    /// lowest bit of the first byte (draft-ietf-oauth-status-list).
    #[must_use]
    pub fn bits(&self, uri: &str, entries: usize) -> Vec<u8> {
        let mut bytes = vec![0; entries.div_ceil(8)];
        let sets = self.sets();
        let Some(list) = sets.lists.get(uri) else { return bytes };
        for (block, part) in list.blocks.iter().zip(bytes.chunks_mut(BLOCK_BITS / 8)) {
            let Some(block) = block.get() else { continue };
            for (word, eight) in block.iter().zip(part.chunks_mut(8)) {
                let word = word.load(Ordering::Acquire).to_le_bytes();
                eight.iter_mut().zip(word).for_each(|(byte, value)| *byte = value);
            }
        }
        bytes
    }

    /// Revokes an entry. `until` (seconds since the epoch) is when its last token will have expired.
    /// An index above [`MAX_INDEX`] is not believed, and ignored: no token that this program accepts has one.
    pub fn insert(&self, uri: &str, idx: u64, until: i64) {
        if idx > MAX_INDEX {
            return;
        }
        let writing = self.write();
        let known = self.sets().lists.get(uri).map(Arc::clone);
        let list = known.unwrap_or_else(|| {
            self.replace(&writing, |sets| Arc::clone(sets.lists.entry(uri.into()).or_default()))
        });
        list.until.fetch_max(until, Ordering::AcqRel);
        list.set(idx);
    }

    /// Revokes every token of a key, until `until`.
    pub fn insert_key(&self, kid: &str, until: i64) {
        self.replace(&self.write(), |sets| {
            let known = sets.kids.entry(kid.into()).or_insert(until);
            *known = until.max(*known);
        });
    }

    /// Becomes what `other` is: each check sees either all of the old set or all of the new one.
    pub fn replace_with(&self, other: Self) {
        let _writing = self.write();
        self.sets.store(other.sets.into_inner());
    }

    /// Forgets the lists and keys of which no token is left at `now` (seconds since the epoch).
    pub fn forget_expired(&self, now: i64) {
        self.forget_expired_but(now, |_| false);
    }

    /// The same, but no key that `keep` names.
    pub(crate) fn forget_expired_but(&self, now: i64, keep: impl Fn(&str) -> bool) {
        let writing = self.write();
        let stays = |list: &List| list.until.load(Ordering::Acquire) >= now;
        let key_stays = |kid: &str, until: i64| until >= now || keep(kid);
        let sets = self.sets();
        if sets.lists.values().all(|list| stays(list))
            && sets.kids.iter().all(|(kid, until)| key_stays(kid, *until))
        {
            return;
        }
        self.replace(&writing, |sets| {
            sets.lists.retain(|_, list| stays(list));
            sets.kids.retain(|kid, until| key_stays(kid, *until));
        });
    }

    fn write(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replace<T>(&self, _: &MutexGuard<'_, ()>, change: impl FnOnce(&mut Sets) -> T) -> T {
        let mut sets = Sets::clone(&self.sets());
        let changed = change(&mut sets);
        self.sets.store(Arc::new(sets));
        changed
    }
}

impl Sets {
    pub(crate) fn contains(&self, uri: &str, idx: u64) -> bool {
        self.lists.get(uri).is_some_and(|list| list.has(idx))
    }

    pub(crate) fn contains_key(&self, kid: &str) -> bool {
        !self.kids.is_empty() && self.kids.contains_key(kid)
    }

    /// Whether any key is revoked.
    pub(crate) fn has_keys(&self) -> bool {
        !self.kids.is_empty()
    }
}

impl Default for List {
    fn default() -> Self {
        Self { blocks: [const { OnceLock::new() }; BLOCKS], until: AtomicI64::new(i64::MIN) }
    }
}

impl List {
    fn has(&self, idx: u64) -> bool {
        let (block, word, bit) = place(idx);
        let word = self.blocks.get(block).and_then(OnceLock::get).and_then(|words| words.get(word));
        word.is_some_and(|word| word.load(Ordering::Acquire) & bit != 0)
    }

    fn set(&self, idx: u64) {
        let (block, word, bit) = place(idx);
        let Some(block) = self.blocks.get(block) else { return };
        let words = block.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BLOCK_BITS / 64]));
        if let Some(word) = words.get(word) {
            word.fetch_or(bit, Ordering::AcqRel);
        }
    }
}

/// (block, word in it, bit in that).
fn place(idx: u64) -> (usize, usize, u64) {
    let idx = usize::try_from(idx).unwrap_or(usize::MAX);
    (idx / BLOCK_BITS, idx % BLOCK_BITS / 64, 1 << (idx % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "https://a.example/auth/status/1";

    #[test]
    fn exactly_what_was_inserted_is_revoked() {
        let set = Revocations::new();
        let revoked = [0, 1, 63, 64, 65_535, 65_536, 1 << 20, MAX_INDEX];
        for idx in revoked {
            assert!(!set.contains(A, idx));
            set.insert(A, idx, 100);
            assert!(set.contains(A, idx));
            assert!(!set.contains("https://b.example/auth/status/1", idx), "another list");
        }
        for idx in (0..200_000).chain([(1 << 20) - 1, MAX_INDEX - 1, MAX_INDEX + 1, u64::MAX]) {
            assert_eq!(set.contains(A, idx), revoked.contains(&idx), "{idx}");
        }
        set.insert(A, u64::MAX, 100);
        assert!(!set.contains(A, u64::MAX), "an index that no list has is not believed");
    }

    #[test]
    fn the_bits_of_a_list_are_those_that_are_set() {
        let set = Revocations::new();
        let revoked = [0, 9, 63, 64, 65_536, 200_000];
        for idx in revoked {
            set.insert(A, idx, 100);
        }
        let bits = set.bits(A, 1 << 20);
        assert_eq!(bits.len(), 1 << 17);
        for idx in 0..1_u64 << 20 {
            let byte = bits[usize::try_from(idx / 8).unwrap()];
            assert_eq!(byte >> (idx % 8) & 1 == 1, revoked.contains(&idx), "{idx}");
        }
        assert!(set.bits("https://none.example", 16).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_list_is_forgotten_when_its_last_entry_has_expired() {
        let set = Revocations::new();
        set.insert(A, 1, 100);
        set.insert(A, 2, 50);
        set.insert_key("k", 100);
        set.forget_expired(100);
        assert!(set.contains(A, 1) && set.contains(A, 2) && set.contains_key("k"));
        set.forget_expired(101);
        assert!(!set.contains(A, 1) && !set.contains_key("k"));
    }

    #[test]
    fn replacing_forgets_what_is_not_in_the_new_set() {
        let (set, other) = (Revocations::new(), Revocations::new());
        set.insert(A, 1, 100);
        set.insert_key("old", 100);
        other.insert(A, 2, 100);
        other.insert_key("new", 100);
        set.replace_with(other);
        assert!(!set.contains(A, 1) && set.contains(A, 2));
        assert!(!set.contains_key("old") && set.contains_key("new"));
        set.insert(A, 3, 100);
        assert!(set.contains(A, 2) && set.contains(A, 3));
    }

    #[test]
    fn what_comes_while_its_list_is_forgotten_is_kept() {
        const ROUNDS: i64 = 3_000;
        let set = Revocations::new();
        // That many, so that forgetting takes a while.
        for n in 0..1_000 {
            set.insert(&format!("https://{n}.example"), 0, i64::MAX);
        }
        let (turn, mut lost) = (AtomicI64::new(0), Vec::new());
        let wait_for = |at: i64| {
            while turn.load(Ordering::Acquire) < at {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for round in 1..=ROUNDS {
                    wait_for(round * 3 - 2);
                    turn.fetch_add(1, Ordering::AcqRel);
                    set.forget_expired(round * 10);
                    turn.fetch_add(1, Ordering::AcqRel);
                }
            });
            for round in 1..=ROUNDS {
                let idx = u64::try_from(round).unwrap();
                // All of the list has expired by the time that the other thread forgets by.
                set.insert(A, 0, round * 10 - 1);
                turn.fetch_add(1, Ordering::AcqRel);
                wait_for(round * 3 - 1);
                for _ in 0..round % 100 * 20 {
                    std::hint::spin_loop();
                }
                set.insert(A, idx, round * 10 + 5);
                wait_for(round * 3);
                if !set.contains(A, idx) {
                    lost.push(round);
                }
            }
        });
        assert!(lost.is_empty(), "{} of {ROUNDS} lost: {:?} …", lost.len(), lost.first());
    }

    #[test]
    fn parallel_inserts_lose_nothing() {
        let set = Revocations::new();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let set = &set;
                scope.spawn(move || {
                    for n in 0..4_000 {
                        set.insert(A, (n * 8 + thread) * 97 % (1 << 20), 100);
                        if n % 500 == 0 {
                            set.insert(&format!("https://{thread}.example"), n, 100);
                        }
                    }
                });
            }
        });
        for n in 0..32_000_u64 {
            assert!(set.contains(A, n * 97 % (1 << 20)), "{n}");
        }
        assert!((0..8).all(|thread| set.contains(&format!("https://{thread}.example"), 3_500)));
    }
}
