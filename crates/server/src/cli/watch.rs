//! A bar that says how far a step is, drawn from beside the work, for a person at a terminal and nobody else.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::progress::bar;
use crate::app::backup::Progress;

const EVERY: Duration = Duration::from_millis(100);

/// Does `work` while its progress is shown.
pub(super) fn watched<T>(what: &str, work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !io::stderr().is_terminal() {
        return work(&progress);
    }
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let drawing = scope.spawn(|| draw(what, &progress, &over));
        let result = work(&progress);
        over.store(true, Ordering::Release);
        drawing.thread().unpark();
        result
    })
}

fn draw(what: &str, progress: &Progress, over: &AtomicBool) {
    let mut drawn = false;
    loop {
        thread::park_timeout(EVERY);
        if over.load(Ordering::Acquire) {
            break;
        }
        let (done, total) = progress.read();
        if total > 0 {
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}{what}", bar(done, total));
            drawn = true;
        }
    }
    if drawn {
        let _ = write!(io::stderr().lock(), "\r\x1b[K");
    }
}
