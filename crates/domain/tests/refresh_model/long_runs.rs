//! Long runs at random, in real durations.

use std::time::Duration;

use jotgate_domain::Timestamp;
use jotgate_domain::refresh::{Decision, decide};
use jotgate_domain::session::RefreshState;

use super::outcome;

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
