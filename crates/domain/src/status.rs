//! Status entries (draft-ietf-oauth-status-list): the one thing that is ever revoked.
//!
//! Entries are numbered by a counter of the database, so they are unique without retries and never reused.
//! A keyed permutation makes the index of the number: random to look at, so that neighbouring indexes say
//! nothing of who logged in after whom.

use std::fmt;

use aws_lc_rs::hmac;

/// Entries a list; every list has this size from the start, so its length says nothing of its use.
pub const LIST_SIZE: u64 = 1 << 20;

/// An access token's expiry may pass by this before its revocation is forgotten: clock leeway, a repeat inside
/// the grace, a lowered `token.access_ttl`.
pub const REVOKED_MARGIN: std::time::Duration = std::time::Duration::from_secs(120);

/// Half of an index's bits.
const HALF_BITS: u32 = LIST_SIZE.trailing_zeros() / 2;
const HALF_MASK: u64 = (1 << HALF_BITS) - 1;
/// Far more than the four of Luby and Rackoff, since the halves are small.
const ROUNDS: u8 = 10;

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which list; the last segment of its address.
    pub list: u64,
    /// Index in it, below [`LIST_SIZE`].
    pub index: u64,
}

/// The permutation between numbers and indexes: a balanced Feistel network a list, its round function
/// HMAC-SHA256.
pub struct Permutation {
    key: hmac::Key,
}

impl fmt::Debug for Permutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Permutation(…)")
    }
}

impl Permutation {
    /// `key` is [`crate::master::Purpose::Status`]. Another key means other indexes for tokens that are out: it
    /// may only change together with the base of the lists' addresses.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key) }
    }

    /// Where entry `number` stands. Costs ten hashes; for many entries of one list take [`Self::list`].
    #[must_use]
    pub fn position(&self, number: u64) -> Position {
        let list = number / LIST_SIZE;
        Position { list, index: permute(number % LIST_SIZE, |round, half| self.round(list, round, half)) }
    }

    /// The number of the entry that stands there; none past the end of a list or of all numbers.
    #[must_use]
    pub fn number(&self, position: Position) -> Option<u64> {
        if position.index >= LIST_SIZE {
            return None;
        }
        let offset = unpermute(position.index, |round, half| self.round(position.list, round, half));
        position.list.checked_mul(LIST_SIZE)?.checked_add(offset)
    }

    /// The permutation of one list, worked out in advance (0.3 ms, 20 KiB): then an entry costs ten look-ups.
    #[must_use]
    pub fn list(&self, list: u64) -> ListPermutation {
        let table = (0..ROUNDS)
            .flat_map(|round| (0..=HALF_MASK).map(move |half| (round, half)))
            .map(|(round, half)| self.round(list, round, half))
            .collect();
        ListPermutation { list, table }
    }

    fn round(&self, list: u64, round: u8, half: u64) -> u16 {
        // One tag serves sixteen halves, so that a whole table takes few of them.
        let block = half / 16;
        let mut input = [0; 17];
        let (list_bytes, rest) = input.split_at_mut(8);
        list_bytes.copy_from_slice(&list.to_be_bytes());
        let (block_bytes, round_byte) = rest.split_at_mut(8);
        block_bytes.copy_from_slice(&block.to_be_bytes());
        round_byte.fill(round);
        let tag = hmac::sign(&self.key, &input);
        let at = usize::try_from(half % 16).unwrap_or(0) * 2;
        let pair = tag.as_ref().get(at..).and_then(|t| t.first_chunk()).copied().unwrap_or_default();
        u16::from_be_bytes(pair)
    }
}

/// [`Permutation`] for one list.
#[derive(Clone)]
pub struct ListPermutation {
    list: u64,
    table: Box<[u16]>,
}

impl fmt::Debug for ListPermutation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListPermutation").field("list", &self.list).finish_non_exhaustive()
    }
}

impl ListPermutation {
    /// Index of entry `number`; none where it stands in another list.
    #[must_use]
    pub fn index(&self, number: u64) -> Option<u64> {
        (number / LIST_SIZE == self.list).then(|| permute(number % LIST_SIZE, |r, h| self.round(r, h)))
    }

    fn round(&self, round: u8, half: u64) -> u16 {
        let at = (u64::from(round) << HALF_BITS) | half;
        usize::try_from(at).ok().and_then(|at| self.table.get(at)).copied().unwrap_or_default()
    }
}

fn permute(offset: u64, f: impl Fn(u8, u64) -> u16) -> u64 {
    let (mut left, mut right) = (offset >> HALF_BITS, offset & HALF_MASK);
    for round in 0..ROUNDS {
        (left, right) = (right, left ^ (u64::from(f(round, right)) & HALF_MASK));
    }
    (left << HALF_BITS) | right
}

fn unpermute(index: u64, f: impl Fn(u8, u64) -> u16) -> u64 {
    let (mut left, mut right) = (index >> HALF_BITS, index & HALF_MASK);
    for round in (0..ROUNDS).rev() {
        (left, right) = (right ^ (u64::from(f(round, left)) & HALF_MASK), left);
    }
    (left << HALF_BITS) | right
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permutation() -> Permutation {
        Permutation::new(&[3; 32])
    }

    /// Exhaustive over two lists: every index once, the fast form and the slow one alike.
    #[test]
    fn every_entry_has_an_index_of_its_own() {
        for list in [0, 5] {
            let fast = permutation().list(list);
            let mut seen = vec![false; usize::try_from(LIST_SIZE).unwrap()];
            for number in list * LIST_SIZE..(list + 1) * LIST_SIZE {
                let index = fast.index(number).unwrap();
                assert!(
                    !std::mem::replace(&mut seen[usize::try_from(index).unwrap()], true),
                    "{index} twice"
                );
                if number % 997 == 0 {
                    let position = permutation().position(number);
                    assert_eq!(position, Position { list, index });
                    assert_eq!(permutation().number(position), Some(number));
                }
            }
            assert_eq!(fast.index((list + 1) * LIST_SIZE), None);
        }
    }

    #[test]
    fn neighbours_lists_and_keys_look_unrelated() {
        let p = permutation();
        let indexes: Vec<u64> = (0..1000).map(|n| p.position(n).index).collect();
        // Of 1000 random indexes under 2^20, about two would follow each other within 1000.
        let close = indexes.windows(2).filter(|w| w[0].abs_diff(w[1]) < 1000).count();
        assert!(close < 20, "{close}");
        let same =
            |other: &dyn Fn(u64) -> u64| (0..1000).filter(|n| p.position(*n).index == other(*n)).count();
        assert!(same(&|n| p.position(n + LIST_SIZE).index) < 5, "another list");
        assert!(same(&|n| Permutation::new(&[4; 32]).position(n).index) < 5, "another key");
        // Each part of the list gets its share.
        let low = indexes.iter().filter(|i| **i < LIST_SIZE / 2).count();
        assert!((400..600).contains(&low), "{low}");
    }

    /// Tokens that are out name these indexes: the function must never change. Computed by another program.
    #[test]
    fn the_permutation_is_frozen() {
        let at = |n| permutation().position(n);
        assert_eq!(
            [at(0), at(1), at(LIST_SIZE), at(u64::MAX)].map(|p| p.index),
            [94537, 1005597, 967493, 490482]
        );
        assert_eq!(at(u64::MAX).list, u64::MAX / LIST_SIZE);
    }

    #[test]
    fn outside_is_refused() {
        assert_eq!(permutation().number(Position { list: 0, index: LIST_SIZE }), None);
        assert_eq!(permutation().number(Position { list: u64::MAX, index: 0 }), None);
        assert!(permutation().number(permutation().position(u64::MAX)) == Some(u64::MAX));
    }
}
