//! What goes wrong around the server: disks, signals, crowds. Each test prints a line of the table in
//! `docs/operations.md`: what was sent, what was refused in order, what failed, what was lost.

mod crowd;
mod disk;
mod end;
mod postgres;
mod rush;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use e2e::{Request, Response};

pub(crate) const PASSWORD: &str = "four unrelated words";

/// Why there is no answer of the kind that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missed {
    Refused,
    Cut,
}

/// What comes of requests under a fault.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    failed: AtomicU64,
    /// How long the longest took, answered or not.
    longest_ms: AtomicU64,
}

impl Tally {
    /// Sends a request and counts what comes of it; the answer that was asked for.
    pub(crate) fn ask(&self, request: Request<'_>, expected: u16) -> Result<Response, Missed> {
        let asked = Instant::now();
        let answer = request.try_send();
        let took = u64::try_from(asked.elapsed().as_millis()).unwrap();
        self.longest_ms.fetch_max(took, Relaxed);
        let done = self.count(answer.as_ref().map_err(|lost| *lost), expected);
        match answer {
            Ok(answer) if done => Ok(answer),
            Ok(_) => Err(Missed::Refused),
            Err(_) => Err(Missed::Cut),
        }
    }

    pub(crate) fn longest(&self) -> Duration {
        Duration::from_millis(self.longest_ms.load(Relaxed))
    }

    /// Counts an answer; true where it is what was asked for.
    pub(crate) fn count(&self, answer: Result<&Response, e2e::Lost>, expected: u16) -> bool {
        self.sent.fetch_add(1, Relaxed);
        match answer {
            Ok(answer) if answer.status == expected => {
                self.done.fetch_add(1, Relaxed);
                return true;
            }
            // Refused in order: the client knows that nothing was done, and when to come back.
            Ok(answer) if answer.status == 503 && wait(answer).is_some() => {
                self.refused.fetch_add(1, Relaxed);
            }
            Ok(answer) => {
                println!("failed: {} {}", answer.status, answer.text());
                self.failed.fetch_add(1, Relaxed);
            }
            Err(_) => {
                self.cut.fetch_add(1, Relaxed);
            }
        }
        false
    }

    pub(crate) fn done(&self) -> u64 {
        self.done.load(Relaxed)
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn cut(&self) -> u64 {
        self.cut.load(Relaxed)
    }

    /// The line of the table. `lost`: what was acknowledged and is not there.
    pub(crate) fn print(&self, fault: &str, what: &str, lost: u64) {
        println!(
            "| {fault} | {what} | {} | {} | {} | {} | {lost} | {:.1} s |",
            self.sent.load(Relaxed),
            self.refused(),
            self.cut(),
            self.failed(),
            self.longest().as_secs_f64(),
        );
    }
}

/// What `Retry-After` says.
fn wait(answer: &Response) -> Option<Duration> {
    answer.header("retry-after")?.parse().ok().map(Duration::from_secs)
}

/// Waits for what will come, on a busy machine too.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it did not come: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
