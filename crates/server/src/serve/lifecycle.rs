//! The end of a server, in order: not ready, no new connections, the last answers, gone.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// After SIGTERM, how long connections are still accepted while `/readyz` already says no: a load balancer
/// looks once a second or so, but what it has just sent must be answered.
const DRAIN: Duration = Duration::from_millis(500);

/// What the server is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    Running,
    /// Serves, but does not call itself ready.
    Draining,
    /// Accepts nothing more; requests in flight are finished, streams ended.
    Stopping,
    /// Drops everything.
    Aborting,
}

/// Shared by the listeners, by whoever answers `/readyz`, and by jobs that end with the server.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<watch::Sender<Phase>>);

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Phase::Running)))
    }

    /// What `/readyz` says of the process itself.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.0.borrow() == Phase::Running
    }

    /// Stops without draining.
    pub fn stop(&self) {
        self.advance(Phase::Stopping);
    }

    /// Resolves when the server stops.
    pub async fn stopping(&self) {
        self.reached(Phase::Stopping).await;
    }

    /// Follows SIGTERM (drains, then stops) and SIGINT (stops); the second of either aborts. Runs for ever.
    ///
    /// # Errors
    /// Where the process cannot follow signals.
    pub async fn follow_signals(self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {
                self.advance(Phase::Draining);
                tokio::select! {
                    () = tokio::time::sleep(DRAIN) => {}
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            }
            _ = interrupt.recv() => {}
        }
        self.advance(Phase::Stopping);
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            self.advance(Phase::Aborting);
        }
    }

    pub(super) async fn reached(&self, phase: Phase) {
        let mut phases = self.0.subscribe();
        // The sender is ours, so the wait cannot fail.
        let _ = phases.wait_for(|now| *now >= phase).await;
    }

    /// Phases only ever advance.
    fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let later = phase > *now;
            if later {
                *now = phase;
            }
            later
        });
    }
}
