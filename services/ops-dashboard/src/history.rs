//! What the numbers were: the last five minutes, hour and day, in memory, bounded in points.
//!
//! Every range is a table of times and columns of equal length; a number that was not known, or not
//! fresh, is a gap and stays one. The wider ranges keep the largest of a bucket for lags and
//! latencies, since a peak is what matters in them, and the mean for rates.

use std::collections::{BTreeMap, VecDeque};

/// Columns in all; a pipeline has about five per projection.
const COLUMNS_MAX: usize = 512;

/// One moment's numbers by name.
pub(crate) type Sample = BTreeMap<String, f64>;

/// How far back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Range {
    #[default]
    FiveMinutes,
    Hour,
    Day,
}

impl Range {
    pub(crate) const ALL: [Self; 3] = [Self::FiveMinutes, Self::Hour, Self::Day];

    /// Returns its name in an address.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::Hour => "1h",
            Self::Day => "24h",
        }
    }

    /// Returns its name on the page.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5 min",
            Self::Hour => "1 h",
            Self::Day => "24 h",
        }
    }

    /// Reads its name; what is no name is five minutes.
    pub(crate) fn parse(word: &str) -> Self {
        Self::ALL.into_iter().find(|range| range.word() == word).unwrap_or_default()
    }

    /// Returns how long it is.
    pub(crate) fn span_ms(self) -> i64 {
        match self {
            Self::FiveMinutes => 300_000,
            Self::Hour => 3_600_000,
            Self::Day => 86_400_000,
        }
    }

    fn step_ms(self) -> i64 {
        match self {
            Self::FiveMinutes => 1_000,
            Self::Hour => 10_000,
            Self::Day => 300_000,
        }
    }
}

/// All ranges.
#[derive(Debug)]
pub(crate) struct History {
    tracks: [Track; 3],
}

impl Default for History {
    fn default() -> Self {
        Self { tracks: Range::ALL.map(Track::new) }
    }
}

impl History {
    /// Adds a moment, later than those before.
    pub(crate) fn push(&mut self, at_ms: i64, sample: &Sample) {
        for track in &mut self.tracks {
            track.push(at_ms, sample);
        }
    }

    /// Returns the times, in ms, and the columns of those names that are known.
    pub(crate) fn columns(&self, range: Range, names: &[String]) -> Columns {
        let track = self.track(range);
        let times = track.times.iter().copied().collect();
        let column = |name: &String| {
            let column = track.columns.get(name)?;
            Some((name.clone(), column.iter().copied().collect()))
        };
        Columns { times, values: names.iter().filter_map(column).collect() }
    }

    /// Returns the known points of a column as `(seconds, value)`, oldest first.
    pub(crate) fn points(&self, range: Range, name: &str) -> Vec<(f64, f64)> {
        let track = self.track(range);
        let Some(column) = track.columns.get(name) else { return Vec::new() };
        let times = track.times.iter().map(|ms| crate::format::real_signed(*ms) / 1e3);
        times.zip(column).filter_map(|(time, value)| Some((time, (*value)?))).collect()
    }

    fn track(&self, range: Range) -> &Track {
        let [minutes, hour, day] = &self.tracks;
        match range {
            Range::FiveMinutes => minutes,
            Range::Hour => hour,
            Range::Day => day,
        }
    }
}

/// Times and the columns beside them.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    pub(crate) times: Vec<i64>,
    pub(crate) values: BTreeMap<String, Vec<Option<f64>>>,
}

#[derive(Debug)]
struct Track {
    range: Range,
    times: VecDeque<i64>,
    columns: BTreeMap<String, VecDeque<Option<f64>>>,
    /// How many samples the last bucket has of each column.
    in_last: BTreeMap<String, u32>,
}

impl Track {
    fn new(range: Range) -> Self {
        let (times, columns) = (VecDeque::new(), BTreeMap::new());
        Self { range, times, columns, in_last: BTreeMap::new() }
    }

    fn push(&mut self, at_ms: i64, sample: &Sample) {
        let bucket = at_ms - at_ms.rem_euclid(self.range.step_ms());
        if self.times.back().is_none_or(|last| *last < bucket) {
            self.begin(bucket);
        }
        for (name, value) in sample.iter().filter(|(_, value)| value.is_finite()) {
            self.add(name, *value);
        }
    }

    fn begin(&mut self, bucket: i64) {
        self.times.push_back(bucket);
        self.in_last.clear();
        for column in self.columns.values_mut() {
            column.push_back(None);
        }
        let oldest = bucket - self.range.span_ms();
        while self.times.front().is_some_and(|first| *first <= oldest) {
            self.times.pop_front();
            for column in self.columns.values_mut() {
                column.pop_front();
            }
        }
        self.columns.retain(|_, column| column.iter().any(Option::is_some));
    }

    fn add(&mut self, name: &str, value: f64) {
        if !self.columns.contains_key(name) {
            if self.columns.len() >= COLUMNS_MAX {
                return;
            }
            self.columns.insert(name.to_owned(), vec![None; self.times.len()].into());
        }
        let before = self.in_last.entry(name.to_owned()).or_default();
        let Some(last) = self.columns.get_mut(name).and_then(VecDeque::back_mut) else { return };
        *last = Some(match *last {
            None => value,
            Some(mean) if is_rate(name) => mean + (value - mean) / f64::from(*before + 1),
            Some(largest) => largest.max(value),
        });
        *before += 1;
    }
}

fn is_rate(name: &str) -> bool {
    name.ends_with("per_second")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pairs: &[(&str, f64)]) -> Sample {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
    }

    fn column(history: &History, range: Range, name: &str) -> Vec<Option<f64>> {
        history.columns(range, &[name.to_owned()]).values.remove(name).unwrap_or_default()
    }

    #[test]
    fn what_was_not_known_is_a_gap() {
        let mut history = History::default();
        history.push(0, &sample(&[("a", 1.0)]));
        history.push(1_000, &sample(&[]));
        history.push(2_000, &sample(&[("a", 3.0), ("b", 7.0)]));
        assert_eq!(column(&history, Range::FiveMinutes, "a"), [Some(1.0), None, Some(3.0)]);
        assert_eq!(column(&history, Range::FiveMinutes, "b"), [None, None, Some(7.0)]);
    }

    #[test]
    fn a_bucket_keeps_the_mean_of_rates_and_the_peak_of_lags() {
        let mut history = History::default();
        for (at, value) in [(0, 1.0), (1_000, 9.0), (2_000, 2.0)] {
            history.push(at, &sample(&[("events_per_second", value), ("lag", value)]));
        }
        assert_eq!(column(&history, Range::Hour, "events_per_second"), [Some(4.0)]);
        assert_eq!(column(&history, Range::Hour, "lag"), [Some(9.0)]);
    }

    #[test]
    fn points_and_columns_are_bounded() {
        let mut history = History::default();
        for second in 0..1_000 {
            history.push(second * 1_000, &sample(&[(&format!("c{second}"), 1.0), ("a", 1.0)]));
        }
        assert_eq!(history.columns(Range::FiveMinutes, &[]).times.len(), 300);
        assert_eq!(column(&history, Range::FiveMinutes, "a").len(), 300);
        assert!(history.tracks.iter().all(|track| track.columns.len() <= COLUMNS_MAX));
    }
}
