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

mod long_runs;
mod two_holders;

use std::collections::{HashMap, VecDeque};
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
