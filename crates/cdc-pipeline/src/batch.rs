//! When a batch that is being built goes out, and when it stops growing. Pure.
//!
//! Nothing lingers: while no append is in flight, whatever has arrived goes out at once, and while
//! one is, the next batch grows up to its bound. Latency is that of one append; throughput finds
//! its own batch size. Only a bare position, with no records, waits.

use std::time::Duration;

use tokio::time::Instant;

/// Bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// A batch grows no further once it holds this many bytes, `1..`. It may exceed it by one
    /// piece of the stream. Default 8 MiB.
    pub bytes_max: usize,
    /// How long a batch without records may wait for company. Default 2 s: the source's
    /// acknowledged position lags an idle database by no more.
    pub idle_delay: Duration,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { bytes_max: 8 << 20, idle_delay: Duration::from_secs(2) }
    }
}

/// How far a batch has grown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Growth {
    bytes: usize,
    has_records: bool,
    begun: Option<Instant>,
}

impl Growth {
    /// Counts a piece of `bytes` that arrived at `now`.
    pub fn add(&mut self, bytes: usize, has_records: bool, now: Instant) {
        self.bytes += bytes;
        self.has_records |= has_records;
        self.begun.get_or_insert(now);
    }

    /// Returns whether another piece may be added.
    pub fn has_room(&self, limits: &BatchLimits) -> bool {
        self.bytes < limits.bytes_max
    }

    /// Returns from when on the batch may go out; `None` if it is empty.
    pub fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        let wait = if self.has_records { Duration::ZERO } else { limits.idle_delay };
        self.begun.map(|begun| begun + wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_go_out_at_once_and_bare_positions_wait() {
        let limits = BatchLimits::default();
        let now = Instant::now();
        let mut growth = Growth::default();
        assert_eq!(growth.due(&limits), None);
        growth.add(0, false, now);
        assert_eq!(growth.due(&limits), Some(now + limits.idle_delay));
        growth.add(10, true, now + Duration::from_secs(1));
        assert_eq!(growth.due(&limits), Some(now));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_batch_takes_no_more() {
        let limits = BatchLimits { bytes_max: 100, ..BatchLimits::default() };
        let mut growth = Growth::default();
        growth.add(99, true, Instant::now());
        assert!(growth.has_room(&limits));
        growth.add(1, true, Instant::now());
        assert!(!growth.has_room(&limits));
    }
}
