//! Rates and recent latencies, from counters that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use cdc_pipeline::stats::{Counts, Histogram};
use tokio::time::Instant;

/// How often who shows figures looks at them.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// Rates are means over this long.
const RATE_WINDOW: Duration = Duration::from_secs(5);

/// Latencies are of this long.
const LATENCY_WINDOW: Duration = Duration::from_secs(60);

/// Looks at latencies are this far apart.
const LATENCY_STEP: Duration = Duration::from_secs(5);

/// A counter's growth per second.
#[derive(Debug, Clone, Default)]
pub struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes the counter.
    pub fn push(&mut self, now: Instant, count: u64) {
        self.0.push_back((now, count));
        while self.0.front().is_some_and(|(at, _)| now.duration_since(*at) > RATE_WINDOW) {
            self.0.pop_front();
        }
    }

    /// Returns the mean over the last seconds; 0 with fewer than two looks.
    #[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
    pub fn per_second(&self) -> f64 {
        let (Some((since, first)), Some((until, last))) = (self.0.front(), self.0.back()) else {
            return 0.0;
        };
        let elapsed = until.duration_since(*since).as_secs_f64();
        if elapsed > 0.0 { last.saturating_sub(*first) as f64 / elapsed } else { 0.0 }
    }
}

/// Latencies of the last minute. In a minute without any, those of all time.
#[derive(Debug, Clone, Default)]
pub struct Recent {
    looks: VecDeque<(Instant, Counts)>,
    newest: Option<Counts>,
}

impl Recent {
    /// Notes the histogram.
    pub fn push(&mut self, now: Instant, histogram: &Histogram) {
        let counts = histogram.counts();
        self.newest = Some(counts);
        let is_due =
            self.looks.back().is_none_or(|(at, _)| now.duration_since(*at) >= LATENCY_STEP);
        if is_due {
            self.looks.push_back((now, counts));
        }
        while self.looks.front().is_some_and(|(at, _)| now.duration_since(*at) > LATENCY_WINDOW) {
            self.looks.pop_front();
        }
    }

    /// Returns a quantile in milliseconds.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let newest = self.newest?;
        let recent = self.looks.front().and_then(|(_, first)| newest.since(first).quantile(q));
        recent.or_else(|| newest.quantile(q)).map(|duration| duration.as_secs_f64() * 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_of_long_ago_are_forgotten_once_there_are_newer_ones() {
        let (histogram, mut recent) = (Histogram::default(), Recent::default());
        let start = Instant::now();
        recent.push(start, &histogram);
        histogram.record(Duration::from_secs(8));
        recent.push(start + Duration::from_secs(1), &histogram);
        assert!(recent.quantile_ms(0.5).is_some_and(|ms| ms >= 8_000.0));
        for second in 2..120 {
            histogram.record(Duration::from_millis(1));
            recent.push(start + Duration::from_secs(second), &histogram);
        }
        assert!(recent.quantile_ms(1.0).is_some_and(|ms| ms < 2.0));
    }
}
