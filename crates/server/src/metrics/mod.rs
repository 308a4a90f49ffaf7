//! What is counted, and how it is written for Prometheus.
//!
//! Counting is a relaxed atomic addition where it happens: nothing is collected, formatted or locked on the way
//! of a request. Whoever counts owns its counters (`http`, `app`, the hasher, the store); `http/metrics.rs` reads
//! all of them when it is asked. Labels come from lists of this program only (route patterns, refusal codes,
//! states), never from what a client sends, so the number of series has a bound.

mod histogram;
mod process;
mod text;

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use histogram::Histogram;
pub(crate) use process::write as write_process;
pub(crate) use text::CONTENT_TYPE;
pub(crate) use text::{Kind, Text};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    #[must_use]
    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
