//! How long things take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: from what an answer from memory takes to what nobody waits for.
const BOUNDS: [u64; 14] = [
    100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    10_000_000,
];

/// Durations, counted by size. Two relaxed additions an observation.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// Not cumulative; the last one takes what is beyond every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(crate) fn observe(&self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.buckets.get(BOUNDS.partition_point(|bound| *bound < us)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Observations so far.
    #[must_use]
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    /// Each bound in seconds with the number of observations not beyond it; the last one, of all, has none.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (Option<f64>, u64)> {
        let bounds = BOUNDS.iter().map(|us| Some(Duration::from_micros(*us).as_secs_f64()));
        let mut seen = 0;
        bounds.chain([None]).zip(&self.buckets).map(move |(bound, bucket)| {
            seen += bucket.load(Ordering::Relaxed);
            (bound, seen)
        })
    }

    pub(super) fn sum_seconds(&self) -> f64 {
        Duration::from_micros(self.sum_us.load(Ordering::Relaxed)).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_is_in_every_bucket_that_is_not_below_it() {
        let histogram = Histogram::default();
        for us in [0, 100, 101, 10_000_000, 10_000_001] {
            histogram.observe(Duration::from_micros(us));
        }
        let seen: Vec<u64> = histogram.cumulative().map(|(_, seen)| seen).collect();
        assert_eq!(seen, [2, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 4, 5]);
        assert_eq!(histogram.count(), 5);
        assert!((histogram.sum_seconds() - 20.000_202).abs() < 1e-9);
    }
}
