//! What a loop tells about itself while it runs: its state, counters and latencies, shared with
//! whoever shows them. Reading them never disturbs the loop.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use cdc_model::{Lsn, Offset, TableName, Timestamp, TopicPartition};

use crate::retry::Halted;

/// What a loop is doing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// It has not taken up work yet.
    #[default]
    Starting,
    /// Data can flow.
    Running,
    /// Something it needs is away, or another instance leads; it retries.
    Waiting {
        /// What it waits for, in one line.
        reason: String,
    },
    /// An operator holds it.
    Paused,
    /// It stopped and needs a person.
    Halted(Halted),
    /// It was asked to stop, and drained.
    Stopped,
}

/// Numbers of one table since the process started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableCounts {
    /// Rows created.
    pub creates: u64,
    /// Rows updated.
    pub updates: u64,
    /// Rows deleted.
    pub deletes: u64,
    /// Rows read by a snapshot.
    pub reads: u64,
    /// Times it was emptied.
    pub truncates: u64,
}

/// How many partitions a projection's loop has, and how many its topics have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Partitions {
    /// Those that are this replica's share; all, where the store is exclusive.
    pub held: usize,
    /// All of the topics followed.
    pub total: usize,
}

/// What one loop tells.
#[derive(Debug, Default)]
pub struct LoopStats {
    shared: Mutex<Shared>,
    /// Changes taken in.
    pub events: AtomicU64,
    /// Records appended (capture) or read (projection).
    pub records: AtomicU64,
    /// Bytes of those records' keys and values.
    pub bytes: AtomicU64,
    /// Batches appended or applied.
    pub batches: AtomicU64,
    /// Records set aside as dead letters.
    pub dead_letters: AtomicU64,
    /// Keys that have parked records (projections).
    parked_keys: AtomicU64,
    /// Times an operation failed and was tried again.
    pub retries: AtomicU64,
    /// From commit at the source until taken in (received, or read from the log).
    pub intake: Histogram,
    /// From commit at the source until durable here (appended, or applied).
    pub latency: Histogram,
    /// Duration of one append or apply.
    pub write: Histogram,
}

#[derive(Debug, Default)]
struct Shared {
    state: State,
    tables: BTreeMap<TableName, TableCounts>,
    offsets: BTreeMap<TopicPartition, Offset>,
    end_offsets: BTreeMap<TopicPartition, Offset>,
    partitions: Partitions,
    committed_at: Option<Timestamp>,
    written_at: Option<Timestamp>,
    marks: VecDeque<(Lsn, Timestamp)>,
}

/// The newest change of a batch: when and where it was committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) committed_at: Timestamp,
    pub(crate) commit_lsn: Lsn,
}

impl Newest {
    pub(crate) fn of(event: &cdc_model::ChangeEvent) -> Self {
        let transaction = &event.origin.transaction;
        Self { committed_at: transaction.committed_at, commit_lsn: transaction.commit_lsn }
    }
}

/// How many batches back [`LoopStats::reached`] can tell.
const MARKS_MAX: usize = 4_096;

impl LoopStats {
    /// Returns what the loop is doing.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Says what the loop is doing.
    pub fn set_state(&self, state: State) {
        self.lock().state = state;
    }

    /// Returns the numbers of each table.
    pub fn tables(&self) -> BTreeMap<TableName, TableCounts> {
        self.lock().tables.clone()
    }

    /// Returns for each partition the next offset of the sink (projections).
    pub fn offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        self.lock().offsets.clone()
    }

    /// Returns for each partition the high watermark as last seen (projections).
    pub fn end_offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        self.lock().end_offsets.clone()
    }

    /// Returns how many partitions are this loop's (projections).
    pub fn partitions(&self) -> Partitions {
        self.lock().partitions
    }

    pub(crate) fn set_partitions(&self, partitions: Partitions) {
        self.lock().partitions = partitions;
    }

    /// Tells nothing more of a partition that is another replica's now.
    pub(crate) fn forget(&self, partition: &TopicPartition) {
        let mut shared = self.lock();
        shared.offsets.remove(partition);
        shared.end_offsets.remove(partition);
    }

    /// Returns how many offsets lie between the sink and the log's end.
    pub fn lag_records(&self) -> u64 {
        let shared = self.lock();
        let behind = |(partition, end): (&TopicPartition, &Offset)| {
            let next = shared.offsets.get(partition).map_or(0, |offset| offset.0);
            u64::try_from(end.0 - next).unwrap_or(0)
        };
        shared.end_offsets.iter().map(behind).sum()
    }

    /// Returns the commit time of the newest change that is durable here, and when it became so.
    pub fn freshness(&self) -> (Option<Timestamp>, Option<Timestamp>) {
        let shared = self.lock();
        (shared.committed_at, shared.written_at)
    }

    /// Returns how many keys have parked records (projections).
    pub fn parked_keys(&self) -> u64 {
        self.parked_keys.load(Ordering::Relaxed)
    }

    pub(crate) fn set_parked_keys(&self, count: usize) {
        self.parked_keys.store(u64::try_from(count).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn count(&self, counts: BTreeMap<TableName, TableCounts>) {
        let mut shared = self.lock();
        for (table, new) in counts {
            let total = shared.tables.entry(table).or_default();
            total.creates += new.creates;
            total.updates += new.updates;
            total.deletes += new.deletes;
            total.reads += new.reads;
            total.truncates += new.truncates;
        }
    }

    pub(crate) fn took_in(&self, newest: Newest, now: Timestamp) {
        self.intake.record(since(newest.committed_at, now));
    }

    pub(crate) fn wrote(&self, newest: Option<Newest>, now: Timestamp, took: Duration) {
        let mut shared = self.lock();
        if let Some(Newest { committed_at, commit_lsn }) = newest {
            shared.committed_at = Some(committed_at);
            self.latency.record(since(committed_at, now));
            if shared.marks.back().is_none_or(|(last, _)| *last < commit_lsn) {
                shared.marks.push_back((commit_lsn, now));
                if shared.marks.len() > MARKS_MAX {
                    shared.marks.pop_front();
                }
            }
        }
        shared.written_at = Some(now);
        drop(shared);
        self.write.record(took);
        self.batches.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when everything committed up to `lsn` was known to be durable here; `None` if it is
    /// not yet, or if that is more than some thousand batches ago.
    pub fn reached(&self, lsn: Lsn) -> Option<Timestamp> {
        let shared = self.lock();
        let next = shared.marks.partition_point(|(mark, _)| *mark < lsn);
        if next == 0 && shared.marks.len() == MARKS_MAX {
            return None;
        }
        shared.marks.get(next).map(|(_, at)| *at)
    }

    pub(crate) fn set_offset(&self, partition: TopicPartition, offset: Offset) {
        self.lock().offsets.insert(partition, offset);
    }

    pub(crate) fn set_end_offset(&self, partition: TopicPartition, offset: Offset) {
        let mut shared = self.lock();
        let end = shared.end_offsets.entry(partition).or_insert(offset);
        *end = offset.max(*end);
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().expect("invariant: no holder panics")
    }
}

fn since(committed_at: Timestamp, now: Timestamp) -> Duration {
    Duration::from_micros(u64::try_from(now.0 - committed_at.0).unwrap_or(0))
}

/// Durations in buckets of about 19 % width (four to each power of two), from 1 µs to 71 minutes.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; 128],
    sum_micros: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; 128], sum_micros: AtomicU64::new(0) }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).max(1);
        let power = u64::from(micros.ilog2());
        let quarter = if power < 2 { 0 } else { (micros >> (power - 2)) & 3 };
        let index = usize::try_from(power * 4 + quarter).unwrap_or(usize::MAX);
        self.buckets[index.min(127)].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns the counts as they are now; what is counted later is [`Counts::since`].
    pub fn counts(&self) -> Counts {
        Counts(self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)))
    }

    /// Returns how many durations were counted, and their sum.
    pub fn count_and_sum(&self) -> (u64, Duration) {
        let count = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum();
        (count, Duration::from_micros(self.sum_micros.load(Ordering::Relaxed)))
    }

    /// Returns a quantile of everything counted so far, as [`Counts::quantile`] does.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        self.counts().quantile(q)
    }
}

/// A [`Histogram`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts([u64; 128]);

impl Counts {
    /// Returns what was counted between `earlier` and this moment.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut counts = self.0;
        for (count, before) in counts.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        Self(counts)
    }

    /// Returns the upper bound of the bucket that holds the quantile `q` in `0.0..=1.0`, or `None`
    /// if nothing was counted.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a quantile of counts far below 2^52"
    )]
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let total: u64 = self.0.iter().sum();
        let rank = ((total as f64 * q).ceil() as u64).clamp(1, total.max(1));
        let mut seen = 0;
        for (index, count) in (0_u64..).zip(self.0) {
            seen += count;
            if count > 0 && seen >= rank {
                let (power, quarter) = (index / 4, index % 4);
                let upper = if power < 2 { 2 << power } else { (5 + quarter) << (power - 2) };
                return Some(Duration::from_micros(upper));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_a_quarter_of_the_truth() {
        let histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        for micros in 1..=10_000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (q, truth) in [(0.5, 5_000.0), (0.99, 9_900.0), (1.0, 10_000.0), (0.01, 100.0)] {
            let found = histogram.quantile(q).map_or(0.0, |d| d.as_secs_f64() * 1e6);
            assert!((truth..=truth * 1.26).contains(&found), "{q}: {found} for {truth}");
        }
    }

    #[test]
    fn what_is_counted_later_has_quantiles_of_its_own() {
        let histogram = Histogram::default();
        histogram.record(Duration::from_secs(9));
        let earlier = histogram.counts();
        assert_eq!(histogram.counts().since(&earlier).quantile(0.5), None);
        histogram.record(Duration::from_millis(1));
        let found = histogram.counts().since(&earlier).quantile(1.0);
        assert!(found.is_some_and(|found| found < Duration::from_millis(2)), "{found:?}");
    }

    #[test]
    fn a_position_is_reached_with_the_batch_that_covers_it() {
        let stats = LoopStats::default();
        for at in [10, 20, 30] {
            let newest = Newest { committed_at: Timestamp(0), commit_lsn: Lsn(at) };
            let now = Timestamp(i64::try_from(at).unwrap_or_default());
            stats.wrote(Some(newest), now, Duration::ZERO);
        }
        for (lsn, expected) in [(5, Some(10)), (10, Some(10)), (11, Some(20)), (31, None)] {
            assert_eq!(stats.reached(Lsn(lsn)).map(|at| at.0), expected, "{lsn}");
        }
    }
}
