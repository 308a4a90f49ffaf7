//! What the rule of rotation promises, searched rather than argued ([`jotgate_domain::refresh::decide`]).
//!
//! **An honest client alone is never signed out.** It has one token store shared by several tabs, each of which
//! reads the store when it sends and writes what it is answered when the answer arrives (the last writer wins, as
//! with cookies). Requests and answers are lost, doubled and late; the server is killed between commit and answer
//! (a lost answer) and set back to an older database; its clock shows anything at any time, so do the clocks of
//! two nodes. The condition is that no request is still under way when the client uses the successor of what it
//! carries, which holds where
//!
//! - a tab refreshes an access token's life after it *got* the token, and round trips take less than that life;
//! - or a tab refreshes when the token says it expires, and round trips take less than half of its life (an answer
//!   that was late by almost all of it leaves a token that is due at once, while others are under way);
//! - or tabs refresh whenever they like (each page load), but one at a time under a lock.
//!
//! Tabs that refresh whenever they like, several at once, nearly always get away with it, but by a rare
//! coincidence of late messages around the end of a grace they are signed out, even where nothing is lost.
//!
//! Just beyond each condition the search finds the client signed out, so none can be promised away: a rule that
//! lets a token two generations old live lets a thief live (RFC 9700 §4.14).
//!
//! **Of two holders at most one is left** once each has refreshed twice more outside the grace, whatever tokens
//! the thief kept and in whatever order he uses them.
//!
//! **In lockstep** inside each other's grace two holders stay unseen: the limit, constructed here so that nobody
//! believes it away.
//!
//! `JOTGATE_MODEL_SCENES` raises the number of scenes that each search may visit (default 60,000).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::refresh::{Decision, decide};
use jotgate_domain::session::RefreshState;

/// What a decision does: the row after it and the generation handed out; none where the session ends.
fn outcome(
    row: &RefreshState,
    presented: u32,
    now: Timestamp,
    grace: Duration,
) -> Option<(RefreshState, u32)> {
    match decide(row, presented, now, grace) {
        Decision::Rotate(next) | Decision::Sibling(next) | Decision::WentBack(next) => {
            Some((next, next.generation))
        }
        Decision::Repeat(generation) => Some((*row, generation)),
        Decision::Reused => None,
    }
}

// ---------------------------------------------------------------------------------------------------------------
// The honest client, exhaustively
// ---------------------------------------------------------------------------------------------------------------

/// What is searched. Time is in ticks.
#[derive(Clone, Copy)]
struct World {
    /// A tab refreshes when the access token in the store is this old; 0: whenever it likes.
    due: u8,
    /// Counted from when, for a tab.
    counted_from: From,
    /// From sending to the arrival of the answer; what is older is lost.
    round_trip: u8,
    /// Whether an answer may be lost.
    loses: bool,
    grace: u8,
    clock: Clock,
    tabs: usize,
    /// Requests that nobody waits for any more: doubled by the network, or given up by a tab.
    strays: usize,
    restores: bool,
    /// The search does not follow a row that is further from the oldest number still in use.
    spread: u8,
}

#[derive(Clone, Copy, PartialEq)]
enum From {
    Receipt,
    Minting,
}

/// The server's.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    Forward,
    /// Shows anything at any time.
    Any,
}

/// The row, with generations as small numbers and `rotated_at` as an age.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
struct Row {
    first: u8,
    generation: u8,
    previous: u8,
    /// Ticks since the rotation, no more than the grace; none before the first.
    rotated: Option<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
enum Message {
    /// A tab waits for the answer.
    Request {
        generation: u8,
        age: u8,
    },
    Stray {
        generation: u8,
        age: u8,
    },
    /// `minted`: how old its access token is.
    Answer {
        generation: u8,
        age: u8,
        minted: u8,
    },
}

impl Message {
    fn generation(&mut self) -> &mut u8 {
        match self {
            Self::Request { generation, .. }
            | Self::Stray { generation, .. }
            | Self::Answer { generation, .. } => generation,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Scene {
    row: Row,
    /// An older state of the row that a restore brings back.
    backup: Option<Row>,
    /// What the token store has: a generation, and the age of the access token beside it.
    store: (u8, u8),
    messages: Vec<Message>,
}

impl Scene {
    fn start(world: &World) -> Self {
        Self {
            row: Row { first: 1, generation: 1, previous: 0, rotated: None },
            backup: None,
            store: (1, world.due),
            messages: Vec::new(),
        }
    }

    /// The same scene whatever its numbers were counted from: the search is over those.
    fn normal(mut self) -> Self {
        let mut lowest = self.row.previous.min(self.row.first).min(self.store.0);
        lowest = self.backup.map_or(lowest, |b| lowest.min(b.previous).min(b.first));
        lowest = self.messages.iter_mut().map(|m| *m.generation()).fold(lowest, u8::min);
        let shift = |row: &mut Row| {
            row.first -= lowest;
            row.generation -= lowest;
            row.previous -= lowest;
        };
        shift(&mut self.row);
        self.backup.iter_mut().for_each(shift);
        self.store.0 -= lowest;
        self.messages.iter_mut().for_each(|m| *m.generation() -= lowest);
        self.messages.sort_unstable();
        self
    }

    fn strays(&self) -> usize {
        self.messages.iter().filter(|m| matches!(m, Message::Stray { .. })).count()
    }
}

/// Every row that the server can come to, with what it hands out, when `presented` arrives.
fn served(world: &World, row: Row, presented: u8) -> Result<Vec<(Row, u8)>, ()> {
    let grace = Duration::from_millis(u64::from(world.grace));
    let rotated_at = Timestamp(1_000);
    let state = RefreshState {
        handle_hash: [0; 32],
        generation: u32::from(row.generation),
        previous: u32::from(row.previous),
        first: u32::from(row.first),
        rotated_at: row.rotated.map(|_| rotated_at),
    };
    let ages: &[i64] = match (world.clock, row.rotated) {
        // Long past, just inside the grace, and before the rotation itself.
        (Clock::Any, _) => &[1_000_000, 0, -500],
        (Clock::Forward, age) => &[i64::from(age.unwrap_or(0))],
    };
    let mut all = Vec::new();
    for age in ages {
        let (next, handed) = outcome(&state, presented.into(), Timestamp(1_000 + age), grace).ok_or(())?;
        let small = |n: u32| u8::try_from(n).unwrap();
        let wrote = next != state;
        let next = Row {
            first: small(next.first),
            generation: small(next.generation),
            previous: small(next.previous),
            rotated: if wrote { Some(0) } else { row.rotated },
        };
        if !all.contains(&(next, small(handed))) {
            all.push((next, small(handed)));
        }
    }
    Ok(all)
}

/// All scenes one step on; none where the honest client was taken for a thief.
fn steps(world: &World, scene: &Scene) -> Result<Vec<Scene>, ()> {
    let mut next = Vec::new();
    let mut push = |s: Scene| {
        let s = s.normal();
        if s.row.generation <= world.spread {
            next.push(s);
        }
    };

    // Time passes.
    let mut later = scene.clone();
    later.store.1 = (later.store.1 + 1).min(world.due);
    let age = |row: &mut Row| row.rotated = row.rotated.map(|a| (a + 1).min(world.grace));
    age(&mut later.row);
    later.backup.iter_mut().for_each(age);
    later.messages.retain_mut(|message| match message {
        Message::Request { age, .. } | Message::Stray { age, .. } => {
            *age += 1;
            *age <= world.round_trip
        }
        Message::Answer { age, minted, .. } => {
            *age += 1;
            *minted = (*minted + 1).min(world.due);
            *age <= world.round_trip
        }
    });
    let losses = scene.messages.len() - later.messages.len();
    if world.loses || losses == 0 {
        push(later);
    }

    // A tab reads the store and sends.
    let waiting = scene.messages.len() - scene.strays();
    if scene.store.1 >= world.due && waiting < world.tabs {
        let mut sent = scene.clone();
        sent.messages.push(Message::Request { generation: scene.store.0, age: 0 });
        push(sent);
    }

    for (at, message) in scene.messages.iter().enumerate() {
        let mut without = scene.clone();
        without.messages.remove(at);
        match *message {
            Message::Request { generation, age } => {
                for (row, handed) in served(world, scene.row, generation)? {
                    let mut arrived = without.clone();
                    arrived.row = row;
                    arrived.messages.push(Message::Answer { generation: handed, age, minted: 0 });
                    if scene.strays() < world.strays {
                        // The network had two of it.
                        let mut doubled = arrived.clone();
                        doubled.messages.push(Message::Stray { generation, age });
                        push(doubled);
                    }
                    push(arrived);
                }
                if world.loses && scene.strays() < world.strays {
                    // The tab gave up, the request did not.
                    let mut given_up = without.clone();
                    given_up.messages.push(Message::Stray { generation, age });
                    push(given_up);
                }
            }
            Message::Stray { generation, .. } => {
                for (row, _) in served(world, scene.row, generation)? {
                    push(Scene { row, ..without.clone() });
                }
            }
            Message::Answer { generation, minted, .. } => {
                let old = if world.counted_from == From::Receipt { 0 } else { minted };
                push(Scene { store: (generation, old), ..without.clone() });
            }
        }
        if world.loses {
            // The wire, a closed tab, a server killed after its commit.
            push(without);
        }
    }

    if world.restores {
        push(Scene { backup: Some(scene.row), ..scene.clone() });
        if let Some(row) = scene.backup {
            push(Scene { row, ..scene.clone() });
        }
    }
    Ok(next)
}

/// Every scene that can be reached, breadth first up to `limit` of them: their number, and whether that is all.
/// Where the client is signed out, the shortest way there.
fn search(world: &World, limit: usize) -> Result<(usize, bool), Vec<Scene>> {
    let start = Scene::start(world).normal();
    let mut seen = HashMap::from([(start.clone(), None)]);
    let mut queue = VecDeque::from([start]);
    while let Some(scene) = queue.pop_front() {
        let Ok(steps) = steps(world, &scene) else {
            let mut way = vec![scene];
            while let Some(before) = &seen[&way[0]] {
                way.insert(0, Scene::clone(before));
            }
            return Err(way);
        };
        for next in steps {
            if seen.len() < limit && !seen.contains_key(&next) {
                seen.insert(next.clone(), Some(scene.clone()));
                queue.push_back(next);
            }
        }
    }
    Ok((seen.len(), seen.len() < limit))
}

fn limit() -> usize {
    std::env::var("JOTGATE_MODEL_SCENES").ok().and_then(|l| l.parse().ok()).unwrap_or(60_000)
}

const RECEIPT: World = World {
    due: 3,
    counted_from: From::Receipt,
    round_trip: 2,
    loses: true,
    grace: 1,
    clock: Clock::Any,
    tabs: 2,
    strays: 1,
    restores: false,
    spread: 6,
};
const MINTING: World = World { due: 5, counted_from: From::Minting, ..RECEIPT };
const WHENEVER: World = World { due: 0, ..RECEIPT };

#[test]
fn an_honest_client_alone_is_never_signed_out() {
    let worlds = [
        ("due from receipt", RECEIPT),
        ("due from receipt, 3 tabs", World { tabs: 3, due: 2, round_trip: 1, ..RECEIPT }),
        ("due from receipt, 2 strays", World { strays: 2, due: 2, round_trip: 1, ..RECEIPT }),
        ("due from receipt, restores", World { restores: true, due: 2, round_trip: 1, ..RECEIPT }),
        ("due from minting", MINTING),
        ("due from minting, 3 tabs", World { tabs: 3, due: 3, round_trip: 1, ..MINTING }),
        ("due from minting, 2 strays", World { strays: 2, due: 3, round_trip: 1, ..MINTING }),
        ("due from minting, restores", World { restores: true, due: 3, round_trip: 1, ..MINTING }),
        ("whenever, one at a time", World { tabs: 1, strays: 0, restores: true, ..WHENEVER }),
    ];
    let mut total = 0;
    for (name, world) in worlds {
        match search(&world, limit()) {
            Ok((scenes, complete)) => {
                total += scenes;
                println!("honest client, {name}: {scenes} scenes{}", if complete { ", all" } else { "" });
            }
            Err(way) => {
                way.iter().for_each(|scene| println!("{scene:?}"));
                panic!("honest client, {name}: signed out");
            }
        }
    }
    println!("honest client: {total} scenes");
}

/// The conditions are exact: the search fails one tick further.
#[test]
fn beyond_the_conditions_it_breaks() {
    for (name, world) in [
        ("receipt: a round trip of a whole life", World { round_trip: 3, ..RECEIPT }),
        ("minting: a round trip of half a life", World { due: 4, ..MINTING }),
        ("whenever: two at once", World { strays: 0, ..WHENEVER }),
        (
            "whenever: two at once, nothing lost, a good clock, a long grace",
            World { strays: 0, loses: false, clock: Clock::Forward, grace: 5, ..WHENEVER },
        ),
        ("whenever: one at a time, doubled", World { tabs: 1, ..WHENEVER }),
    ] {
        let way = search(&world, 1_000_000).expect_err(name);
        println!("beyond, {name}: {} steps", way.len());
    }
}

// ---------------------------------------------------------------------------------------------------------------
// Two holders, exhaustively
// ---------------------------------------------------------------------------------------------------------------

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

// ---------------------------------------------------------------------------------------------------------------
// Long runs
// ---------------------------------------------------------------------------------------------------------------

/// xorshift64*: the same runs everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// Milliseconds on every scale up to `most`.
    fn millis(&mut self, most: u64) -> u64 {
        let scale = self.below(u64::from(most.ilog2()) + 1);
        self.below(1 << (scale + 1)).min(most)
    }
}

/// Real durations, five tabs, any number of messages, restores to any earlier row, clocks of several nodes that
/// are off by up to a month and jump.
#[test]
fn long_runs_of_an_honest_client() {
    const LIFE: u64 = 600_000;
    let grace = Duration::from_secs(10);
    let (mut steps, mut rotations, mut siblings, mut repeats, mut backs) = (0, 0, 0, 0, 0);
    for seed in 1..=200_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // One half of the clients counts from the receipt, the other goes by `exp`.
        let from_receipt = seed % 2 == 0;
        let round_trip = if from_receipt { LIFE - 1 } else { LIFE / 2 - 1 };
        let mut row = RefreshState::new([0; 32]);
        let mut history = vec![row];
        let mut now: u64 = 1_800_000_000_000;
        let mut skews = [0_i64; 3];
        let mut store = (1, now - LIFE);
        // (generation, sent at, waited for), and (generation, sent at, minted at) on the way back.
        let mut requests: Vec<(u32, u64, bool)> = Vec::new();
        let mut answers: Vec<(u32, u64, u64)> = Vec::new();
        for _ in 0..1500 {
            steps += 1;
            match random.below(12) {
                0..3 => {
                    let most = if random.one_in(4) { 40 * LIFE } else { LIFE };
                    now += random.millis(most);
                    requests.retain(|(_, sent, _)| now - sent <= round_trip);
                    answers.retain(|(_, sent, _)| now - sent <= round_trip);
                }
                3..6 => {
                    let waiting = requests.iter().filter(|r| r.2).count() + answers.len();
                    if now >= store.1 + LIFE && waiting < 5 {
                        requests.push((store.0, now, true));
                    }
                }
                6..9 if !requests.is_empty() => {
                    let at = usize::try_from(random.below(requests.len() as u64)).unwrap();
                    let (generation, sent, waited_for) = requests[at];
                    if random.one_in(4) {
                        requests[at].2 = false;
                    } else {
                        requests.swap_remove(at);
                    }
                    let skew = skews[usize::try_from(random.below(3)).unwrap()];
                    let clock = Timestamp(i64::try_from(now).unwrap() + skew);
                    match decide(&row, generation, clock, grace) {
                        Decision::Rotate(_) => rotations += 1,
                        Decision::Sibling(_) => siblings += 1,
                        Decision::Repeat(_) => repeats += 1,
                        Decision::WentBack(_) => backs += 1,
                        Decision::Reused => panic!("seed {seed}: {generation} at {row:?}"),
                    }
                    let (next, handed) = outcome(&row, generation, clock, grace).unwrap();
                    row = next;
                    history.push(row);
                    if waited_for && !random.one_in(3) {
                        answers.push((handed, sent, now));
                    }
                }
                9..11 if !answers.is_empty() => {
                    let at = usize::try_from(random.below(answers.len() as u64)).unwrap();
                    let (generation, _, minted) = answers.swap_remove(at);
                    store = (generation, if from_receipt { now } else { minted });
                }
                _ => {
                    let node = usize::try_from(random.below(3)).unwrap();
                    skews[node] = match random.below(3) {
                        0 => 0,
                        1 => i64::try_from(random.millis(30 * 86_400_000)).unwrap(),
                        _ => -i64::try_from(random.millis(30 * 86_400_000)).unwrap(),
                    };
                    if random.one_in(20) {
                        let at = random.below(history.len() as u64);
                        history.truncate(usize::try_from(at).unwrap() + 1);
                        row = history[history.len() - 1];
                    }
                }
            }
        }
    }
    println!(
        "honest client, long runs: {steps} steps, {rotations} rotations, {repeats} repeats, {siblings} siblings, {backs} after restores"
    );
    assert!(rotations > 1000 && siblings > 1000 && repeats > 1000 && backs > 1000);
}

/// Two holders who refresh now and then, never inside each other's grace: how long both live.
#[test]
fn long_runs_with_a_thief() {
    let grace = Duration::from_secs(10);
    let (mut caught, mut latest) = (0, 0);
    for seed in 1..=20_000_u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut row = RefreshState::new([0; 32]);
        let mut now = Timestamp::from_secs(1_800_000_000);
        let mut holder = 1;
        // The session is somewhere in its life.
        for _ in 0..random.below(5) {
            now = now.plus(Duration::from_millis(10_000 + random.millis(3_600_000)));
            let (next, handed) = outcome(&row, holder, now, grace).unwrap();
            row = next;
            if !random.one_in(4) {
                holder = handed;
            }
        }
        let mut thief = vec![holder];
        let mut refreshed = (0, 0);
        loop {
            now = now.plus(Duration::from_millis(10_000 + random.millis(3_600_000)));
            let holders_turn = random.one_in(2);
            let presented = if holders_turn {
                holder
            } else {
                thief[usize::try_from(random.below(thief.len() as u64)).unwrap()]
            };
            let Some((next, handed)) = outcome(&row, presented, now, grace) else { break };
            row = next;
            if holders_turn {
                if !random.one_in(4) {
                    holder = handed;
                    refreshed.0 += 1;
                }
            } else {
                thief.push(handed);
                refreshed.1 += 1;
            }
            if refreshed.0 >= 2 && refreshed.1 >= 2 {
                let lives = |g| outcome(&row, g, now, grace).is_some();
                assert!(!lives(holder) || !thief.iter().any(|g| lives(*g)), "seed {seed}");
            }
        }
        caught += 1;
        latest = latest.max(refreshed.0.min(refreshed.1));
    }
    println!("two holders, long runs: {caught} thefts ended, at the latest after {latest} refreshes of both");
}
