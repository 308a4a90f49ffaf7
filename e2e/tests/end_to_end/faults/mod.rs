//! What goes wrong around the server: disks, signals, crowds. Each test prints a line of the table in
//! `docs/operations.md`: what was sent, what was refused in order, what failed, what was lost.

mod crowd;
mod disk;
mod end;
mod rush;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use e2e::Response;

pub(crate) const PASSWORD: &str = "four unrelated words";

/// What comes of requests under a fault.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    sent: AtomicU64,
    done: AtomicU64,
    refused: AtomicU64,
    cut: AtomicU64,
    failed: AtomicU64,
}

impl Tally {
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
            "| {fault} | {what} | {} | {} | {} | {} | {lost} |",
            self.sent.load(Relaxed),
            self.refused(),
            self.cut(),
            self.failed(),
        );
    }
}

/// What `Retry-After` says.
pub(crate) fn wait(answer: &Response) -> Option<Duration> {
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
