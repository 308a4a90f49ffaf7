//! Two holders of one token, exhaustively.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::session::RefreshState;

use super::{RECEIPT, Row, limit, outcome, served};

/// A session, its honest holder, and a thief with copies of some of its tokens.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Theft {
    row: Row,
    backup: Option<Row>,
    holder: u8,
    /// A bit for each generation that the thief has.
    thief: u32,
    /// How often each refreshed outside the grace since the last copy, restore, or meeting inside a grace.
    refreshed: (u8, u8),
}

impl Theft {
    fn normal(mut self) -> Self {
        let oldest = |row: &Row| row.previous.min(row.first);
        let alive = oldest(&self.row).min(self.backup.as_ref().map_or(u8::MAX, oldest));
        // What no row can honour any more makes no difference.
        self.thief &= u32::MAX << alive;
        let lowest = alive.min(self.holder).min(u8::try_from(self.thief.trailing_zeros()).unwrap());
        let shift = |row: &mut Row| {
            row.first -= lowest;
            row.generation -= lowest;
            row.previous -= lowest;
        };
        shift(&mut self.row);
        self.backup.iter_mut().for_each(shift);
        self.holder -= lowest;
        self.thief >>= lowest;
        self
    }

    fn thief_tokens(&self) -> impl Iterator<Item = u8> {
        let thief = self.thief;
        (0..32).filter(move |g| thief & (1 << g) != 0)
    }

    fn both_left(&self) -> bool {
        let honoured = |generation| served(&RECEIPT, self.row, generation).is_ok();
        honoured(self.holder) && self.thief_tokens().any(honoured)
    }
}

/// All that can happen next; what ends the session is left out, since then nobody is left.
fn theft_steps(theft: &Theft, spread: u8, restores: bool) -> Vec<Theft> {
    // Without restores he may keep all that he ever had, and use any of it.
    let kept = if restores { 0 } else { theft.thief };
    let mut next = vec![Theft { thief: kept | (1 << theft.holder), refreshed: (0, 0), ..theft.clone() }];
    if restores {
        next.push(Theft { backup: Some(theft.row), ..theft.clone() });
        next.extend(theft.backup.map(|row| Theft { row, refreshed: (0, 0), ..theft.clone() }));
    }
    let more = |n: u8| (n + 1).min(2);
    for (row, handed) in served(&RECEIPT, theft.row, theft.holder).unwrap_or_default() {
        let mut refreshed = theft.refreshed;
        if row != theft.row {
            refreshed.0 = more(refreshed.0);
        }
        // Handed what the thief has: they start over.
        if handed != theft.holder && theft.thief & (1 << handed) != 0 {
            refreshed = (0, 0);
        }
        next.push(Theft { row, holder: handed, refreshed, ..theft.clone() });
        // The same with the answer lost.
        next.push(Theft { row, ..theft.clone() });
    }
    for presented in theft.thief_tokens() {
        for (row, handed) in served(&RECEIPT, theft.row, presented).unwrap_or_default() {
            let mut refreshed = theft.refreshed;
            if row != theft.row {
                refreshed.1 = more(refreshed.1);
            }
            if handed != presented && handed == theft.holder {
                refreshed = (0, 0);
            }
            next.push(Theft { row, thief: kept | (1 << handed), refreshed, ..theft.clone() });
        }
    }
    next.into_iter().map(Theft::normal).filter(|t| t.row.generation <= spread).collect()
}

#[test]
fn of_two_holders_one_is_left() {
    for (restores, spread) in [(false, 9), (true, 6)] {
        let row = Row { first: 1, generation: 1, previous: 0, rotated: None };
        let start = Theft { row, backup: None, holder: 1, thief: 0, refreshed: (0, 0) };
        let mut seen = HashSet::from([start.clone()]);
        let mut queue = VecDeque::from([start]);
        let (mut ripe, mut once) = (0, 0);
        while let Some(theft) = queue.pop_front() {
            match theft.refreshed {
                (2, 2) => {
                    ripe += 1;
                    assert!(!theft.both_left(), "{theft:?}");
                }
                // One does not suffice, so the promise says two.
                (1.., 1..) if theft.both_left() => once += 1,
                _ => {}
            }
            for next in theft_steps(&theft, spread, restores) {
                if seen.len() < limit() && seen.insert(next.clone()) {
                    queue.push_back(next);
                }
            }
        }
        println!(
            "two holders{}: {} scenes{}, {ripe} after two refreshes each, {once} with both left after one",
            if restores { ", restores" } else { "" },
            seen.len(),
            if seen.len() < limit() { ", all" } else { "" },
        );
        assert!(ripe > 0 && once > 0);
    }
}

/// The limit. Nothing but proof of possession ends this; a repeat from elsewhere is in the audit trail.
#[test]
fn lockstep_inside_the_grace_is_not_seen() {
    let grace = Duration::from_secs(10);
    let mut row = RefreshState::new([0; 32]);
    let mut now = Timestamp::from_secs(1_800_000_000);
    let (mut holder, mut thief) = (1, 1);
    for _ in 0..1000 {
        now = now.plus(Duration::from_secs(600));
        (row, holder) = outcome(&row, holder, now, grace).unwrap();
        (row, thief) = outcome(&row, thief, now.plus(Duration::from_secs(9)), grace).unwrap();
        assert_eq!(holder, thief);
    }
    // One second too late, once, and it is over by the second refresh after it.
    now = now.plus(Duration::from_secs(600));
    (row, holder) = outcome(&row, holder, now, grace).unwrap();
    (row, thief) = outcome(&row, thief, now.plus(Duration::from_secs(10)), grace).unwrap();
    assert_ne!(holder, thief);
    now = now.plus(Duration::from_secs(600));
    (row, _) = outcome(&row, holder, now, grace).unwrap();
    assert!(outcome(&row, thief, now.plus(Duration::from_secs(10)), grace).is_none());
}
