//! A sample of a stream for people: all of it while little comes, evenly spread while much does.

use std::time::Duration;

use tokio::time::Instant;

/// How much may come at once before anything is left out, as time at the sample's pace.
const BURST: Duration = Duration::from_secs(1);

/// Chooses what is shown, and counts what is not.
#[derive(Debug)]
pub struct Sample {
    /// The pace: one in each slot; zero for all.
    slot: Duration,
    /// The slot that is taken next; what is chosen in advance moves it ahead of the time.
    next: Option<Instant>,
    passed_over: u64,
}

impl Sample {
    /// Chooses at most `per_second_max` a second in the long run, and as many more at once after a
    /// quiet second; all if it is zero.
    pub fn new(per_second_max: u32) -> Self {
        let slot = Duration::from_secs(1).checked_div(per_second_max).unwrap_or_default();
        Self { slot, next: None, passed_over: 0 }
    }

    /// Returns how many were passed over before this one, or none if it is passed over too.
    pub fn take(&mut self, now: Instant) -> Option<u64> {
        let next = self.next.map_or(now, |next| next.max(now));
        if next + self.slot > now + BURST {
            self.passed_over += 1;
            return None;
        }
        self.next = Some(next + self.slot);
        Some(std::mem::take(&mut self.passed_over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_at_once_are_all_shown_and_many_evenly_spread() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut all = Sample::new(0);
        assert_eq!((0..3).filter_map(|_| all.take(start)).collect::<Vec<_>>(), [0, 0, 0]);
        let mut some = Sample::new(20);
        assert_eq!((0..20).filter_map(|_| some.take(start)).sum::<u64>(), 0);
        let taken: Vec<_> = (0..=100).filter_map(|ms| Some((ms, some.take(at(ms))?))).collect();
        assert_eq!(taken, [(50, 50), (100, 49)]);
        assert_eq!((0..30).filter(|_| some.take(at(9_000)).is_some()).count(), 20);
    }
}
