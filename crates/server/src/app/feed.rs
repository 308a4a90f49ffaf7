//! The revocation log in memory: what the feed and the status lists are served from, with or without a database.
//!
//! Only live entries are in it: one is forgotten when the last token under it has expired, so its size follows
//! the logouts of the last minutes, not the number of users.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use jotgate_domain::Timestamp;
use jotgate_domain::status::{LIST_SIZE, ListPermutation, Permutation, Position};
use tokio::sync::watch;

/// What was revoked, by the names that tokens give it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Status(Position),
    /// A signing key, by its `kid`.
    Key(Arc<str>),
}

/// One entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub what: What,
    pub until: Timestamp,
}

/// Where a follower stands: which process's log, and how far in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Another one at each start: a restored or restarted node's log is another log.
    pub epoch: u64,
    pub at: u64,
}

/// What a follower is given.
#[derive(Debug)]
pub struct Page {
    pub cursor: Cursor,
    /// Forget everything first: the whole live set follows. Its cursor was not one of this log's.
    pub reset: bool,
    pub entries: Vec<Entry>,
}

/// See the module.
#[derive(Debug)]
pub struct Feed {
    epoch: u64,
    log: Mutex<Log>,
    /// Where the log ends.
    end: watch::Sender<u64>,
    /// When the node last heard from its database.
    heard: watch::Sender<Timestamp>,
}

#[derive(Debug, Default)]
struct Log {
    entries: VecDeque<Entry>,
    /// Position of the first of them.
    first: u64,
    known: HashSet<What>,
}

impl Feed {
    pub(super) fn new(epoch: u64, now: Timestamp) -> Self {
        Self { epoch, log: Mutex::default(), end: watch::Sender::new(0), heard: watch::Sender::new(now) }
    }

    /// Adds what is not there yet.
    pub(super) fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        for entry in entries {
            if log.known.insert(entry.what.clone()) {
                log.entries.push_back(entry);
            }
        }
        let end = log.end();
        drop(log);
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    /// Forgets what has expired at `now`, as far as it lies at the beginning.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(entry) = log.entries.pop_front() {
            if entry.until < now {
                log.known.remove(&entry.what);
            } else if matches!(entry.what, What::Key(_)) && log.has_expired_status(now) {
                // A key is told of for a day, and must not keep what was revoked after it: it is told of again.
                log.entries.push_back(entry);
            } else {
                log.entries.push_front(entry);
                break;
            }
            log.first += 1;
        }
        let end = log.end();
        drop(log);
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    pub(super) fn heard(&self, at: Timestamp) {
        self.heard.send_replace(at);
    }

    /// When the node last heard from its database: how fresh whatever it serves is.
    #[must_use]
    pub fn as_of(&self) -> Timestamp {
        *self.heard.borrow()
    }

    /// Where the log ends now.
    #[must_use]
    pub fn end(&self) -> u64 {
        *self.end.borrow()
    }

    /// At most `limit` entries from `since` on; everything that is live where `since` is none, or not of this log.
    #[must_use]
    pub fn page(&self, since: Option<Cursor>, limit: usize) -> Page {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            since.filter(|cursor| cursor.epoch == self.epoch && (log.first..=log.end()).contains(&cursor.at));
        let at = known.map_or(log.first, |cursor| cursor.at);
        let skip = usize::try_from(at - log.first).unwrap_or(usize::MAX);
        let entries: Vec<Entry> = log.entries.iter().skip(skip).take(limit).cloned().collect();
        let end = at + u64::try_from(entries.len()).unwrap_or(0);
        Page {
            cursor: Cursor { epoch: self.epoch, at: end },
            reset: since.is_some() && known.is_none(),
            entries,
        }
    }

    /// Changes whenever the log has grown.
    #[must_use]
    pub fn grown(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// Streams that follow the log.
    #[must_use]
    pub fn followers(&self) -> usize {
        self.end.receiver_count()
    }

    /// Entries in the log.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).entries.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Log {
    /// Whether behind the keys at the beginning there is what can go.
    fn has_expired_status(&self, now: Timestamp) -> bool {
        let first = self.entries.iter().find(|entry| matches!(entry.what, What::Status(_)));
        first.is_some_and(|entry| entry.until < now)
    }

    fn end(&self) -> u64 {
        self.first + u64::try_from(self.entries.len()).unwrap_or(0)
    }
}

/// [`Permutation`] with the tables of the lists in use kept: each is worked out once.
#[derive(Debug)]
pub(super) struct Positions {
    permutation: Permutation,
    lists: ArcSwap<HashMap<u64, Arc<ListPermutation>>>,
}

/// Tables kept; 20 KiB each.
const MOST_LISTS: usize = 64;

impl Positions {
    pub(super) fn new(permutation: Permutation) -> Self {
        Self { permutation, lists: ArcSwap::default() }
    }

    pub(super) fn of(&self, number: u64) -> Position {
        let list = number / LIST_SIZE;
        if let Some(index) = self.lists.load().get(&list).and_then(|table| table.index(number)) {
            return Position { list, index };
        }
        let table = Arc::new(self.permutation.list(list));
        let position = match table.index(number) {
            Some(index) => Position { list, index },
            None => self.permutation.position(number),
        };
        self.lists.rcu(|lists| {
            let mut lists = HashMap::clone(lists);
            if lists.len() >= MOST_LISTS {
                lists.clear();
            }
            lists.insert(list, Arc::clone(&table));
            lists
        });
        position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: u64, until: i64) -> Entry {
        Entry { what: What::Status(Position { list: 0, index }), until: Timestamp::from_secs(until) }
    }

    #[test]
    fn a_follower_misses_nothing_and_gets_nothing_twice() {
        let feed = Feed::new(7, Timestamp::default());
        feed.push([entry(1, 100), entry(2, 100)]);
        let first = feed.page(None, 10);
        assert_eq!((first.reset, first.entries.len()), (false, 2));
        feed.push([entry(2, 100), entry(3, 100)]);
        let second = feed.page(Some(first.cursor), 10);
        assert_eq!((second.reset, second.entries), (false, vec![entry(3, 100)]));
        assert!(feed.page(Some(second.cursor), 10).entries.is_empty());
    }

    #[test]
    fn pages_are_bounded_and_go_on_where_they_ended() {
        let feed = Feed::new(7, Timestamp::default());
        feed.push((0..25).map(|n| entry(n, 100)));
        let mut seen = Vec::new();
        let mut cursor = None;
        loop {
            let page = feed.page(cursor, 10);
            cursor = Some(page.cursor);
            if page.entries.is_empty() {
                break;
            }
            seen.extend(page.entries);
        }
        assert_eq!(seen, (0..25).map(|n| entry(n, 100)).collect::<Vec<_>>());
    }

    #[test]
    fn an_unknown_cursor_gets_a_reset_and_the_whole_live_set() {
        let feed = Feed::new(7, Timestamp::default());
        feed.push([entry(1, 10), entry(2, 100)]);
        let cursor = feed.page(None, 1).cursor;
        for unknown in [Cursor { epoch: 8, ..cursor }, Cursor { at: 99, ..cursor }] {
            let page = feed.page(Some(unknown), 10);
            assert_eq!((page.reset, page.entries.len()), (true, 2));
        }
        feed.forget_expired(Timestamp::from_secs(50));
        assert_eq!(feed.page(None, 10).entries, vec![entry(2, 100)]);
        // Cursor 1 is where the log begins now; what lies before it is gone, and expired.
        assert!(!feed.page(Some(cursor), 10).reset);
        assert!(feed.page(Some(Cursor { at: 0, ..cursor }), 10).reset);
    }

    #[test]
    fn a_revoked_key_keeps_nothing_that_has_expired() {
        let key = |kid: &str| Entry { what: What::Key(kid.into()), until: Timestamp::from_secs(1000) };
        let feed = Feed::new(7, Timestamp::default());
        feed.push([key("a"), key("b"), entry(1, 10), entry(2, 100)]);
        let read = feed.page(None, 10).cursor;
        feed.forget_expired(Timestamp::from_secs(50));
        assert_eq!(feed.page(None, 10).entries, [entry(2, 100), key("a"), key("b")]);
        let again = feed.page(Some(read), 10);
        assert_eq!((again.reset, again.entries), (false, vec![key("a"), key("b")]), "twice is not wrong");
        feed.push([key("a")]);
        feed.forget_expired(Timestamp::from_secs(500));
        assert_eq!(feed.page(None, 10).entries, [key("a"), key("b")]);
        feed.forget_expired(Timestamp::from_secs(1001));
        assert!(feed.is_empty());
    }

    #[tokio::test]
    async fn followers_are_woken() {
        let feed = Feed::new(7, Timestamp::default());
        let mut grown = feed.grown();
        feed.push([entry(1, 10)]);
        assert!(grown.has_changed().unwrap());
        grown.mark_unchanged();
        feed.push([entry(1, 10)]);
        assert!(!grown.has_changed().unwrap(), "nothing new");
    }
}
