//! The batch that is being read while another is applied. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use cdc_model::{ChangeEvent, LogRecord, Offset, Op, TopicId, TopicPartition};
use tokio::time::Instant;

use crate::batch::{BatchLimits, Growth};
use crate::port::{Epoch, Generation, OffsetRange, ParkedRecord, SinkBatch, SinkChange};

/// Keys that have a parked record, so that later ones follow.
pub(super) type ParkedKeys = BTreeSet<(TopicPartition, Bytes)>;

/// One record's fate.
#[derive(Debug)]
enum Item {
    Change(ChangeEvent),
    /// A delete whose row the next change of the partition needs.
    Moved(ChangeEvent),
    /// It could not be decoded; why.
    Invalid(String),
}

/// What was read and not yet applied.
#[derive(Debug, Default)]
pub(super) struct Pending {
    items: Vec<(LogRecord, Item)>,
    ranges: BTreeMap<TopicPartition, (Offset, Offset)>,
    growth: Growth,
    /// Beginnings of key changes that wait for their ends, outside the batch.
    held: BTreeMap<TopicPartition, (LogRecord, ChangeEvent)>,
    /// Where the next batch begins.
    covered: BTreeMap<TopicPartition, Offset>,
}

/// A batch to apply, with the records its changes came from.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) batch: SinkBatch,
    /// The record of each change in `batch`.
    pub(super) records: Vec<LogRecord>,
    /// Which of those are [`Item::Moved`].
    moved: BTreeSet<(TopicPartition, Offset)>,
    /// Partitions whose last record was a parked [`Item::Moved`]: the next one follows it.
    drags: BTreeSet<TopicPartition>,
    /// Records that could not be decoded, which `batch` parks and whose copies must be written.
    pub(super) invalid: Vec<(LogRecord, String)>,
}

impl Pending {
    pub(super) fn push_change(&mut self, record: LogRecord, event: ChangeEvent) {
        self.release(&record.source);
        self.items.push((record, Item::Change(event)));
    }

    /// Holds back the beginning of a key change until its end is read: no batch parts them.
    pub(super) fn push_moved(&mut self, record: LogRecord, event: ChangeEvent) {
        self.release(&record.source);
        self.held.insert(record.source.clone(), (record, event));
    }

    pub(super) fn push_invalid(&mut self, record: LogRecord, reason: String) {
        self.release(&record.source);
        self.items.push((record, Item::Invalid(reason)));
    }

    fn release(&mut self, partition: &TopicPartition) {
        if let Some((record, event)) = self.held.remove(partition) {
            self.items.push((record, Item::Moved(event)));
        }
    }

    /// Says that reading `partition` begins at `offset`.
    pub(super) fn begin(&mut self, partition: TopicPartition, offset: Offset) {
        self.covered.insert(partition, offset);
    }

    /// Extends what the batch covers of `partition` to `next`, or to what is held back of it.
    pub(super) fn cover(&mut self, partition: TopicPartition, next: Offset) {
        let next = self.held.get(&partition).map_or(next, |(record, _)| record.offset);
        let first = self.covered.insert(partition.clone(), next).unwrap_or_default();
        self.ranges.entry(partition).or_insert((first, next)).1 = next;
    }

    /// Drops what was read of `partition`, which is another replica's now.
    pub(super) fn forget(&mut self, partition: &TopicPartition) {
        self.items.retain(|(record, _)| record.source != *partition);
        self.ranges.remove(partition);
        self.held.remove(partition);
        self.covered.remove(partition);
        if self.ranges.is_empty() {
            self.growth = Growth::default();
        }
    }

    pub(super) fn grow(&mut self, bytes: usize, now: Instant) {
        self.growth.add(bytes, !self.items.is_empty(), now);
    }

    pub(super) fn has_room(&self, limits: &BatchLimits) -> bool {
        self.growth.has_room(limits)
    }

    pub(super) fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        self.growth.due(limits)
    }

    /// Takes the batch out: changes of parked keys follow them, and a truncate ends parked keys.
    pub(super) fn take(
        &mut self,
        parked: &mut ParkedKeys,
        topic_ids: &BTreeMap<TopicPartition, TopicId>,
        generation: Generation,
        epoch: Epoch,
    ) -> Prepared {
        let items = std::mem::take(&mut self.items);
        let ranges = std::mem::take(&mut self.ranges);
        self.growth = Growth::default();
        let range = |(source, (first, next)): (TopicPartition, (Offset, Offset))| {
            let topic_id = topic_ids.get(&source).cloned().unwrap_or_else(|| TopicId("".into()));
            OffsetRange { source, topic_id, first, next }
        };
        let ranges = ranges.into_iter().map(range).collect();
        let batch = SinkBatch {
            generation,
            epoch,
            ranges,
            changes: Vec::with_capacity(items.len()),
            park: Vec::new(),
            unpark_below: Vec::new(),
        };
        let records = Vec::with_capacity(items.len());
        let mut prepared = Prepared {
            batch,
            records,
            moved: BTreeSet::new(),
            drags: BTreeSet::new(),
            invalid: Vec::new(),
        };
        for (record, item) in items {
            prepared.push(record, item, parked);
        }
        prepared
    }
}

impl Prepared {
    fn push(&mut self, record: LogRecord, item: Item, parked: &mut ParkedKeys) {
        let is_dragged = self.drags.remove(&record.source);
        match item {
            Item::Invalid(reason) => {
                self.invalid.push((record.clone(), reason.clone()));
                self.park(record, reason, parked);
            }
            Item::Change(event) if event.op == Op::Truncate => {
                self.end_parking(&record, parked);
                self.push_change(record, event);
            }
            Item::Change(_) if is_dragged => {
                self.park(record, "takes columns from a parked row".to_owned(), parked);
            }
            Item::Change(_) if follows(parked, &record) => self.park_follower(record, parked),
            Item::Change(event) => self.push_change(record, event),
            Item::Moved(_) if follows(parked, &record) => {
                self.drags.insert(record.source.clone());
                self.park_follower(record, parked);
            }
            Item::Moved(event) => {
                self.moved.insert((record.source.clone(), record.offset));
                self.push_change(record, event);
            }
        }
    }

    fn push_change(&mut self, record: LogRecord, event: ChangeEvent) {
        let (source, offset) = (record.source.clone(), record.offset);
        self.batch.changes.push(SinkChange { source, offset, event });
        self.records.push(record);
    }

    fn park_follower(&mut self, record: LogRecord, parked: &mut ParkedKeys) {
        self.park(record, "follows a parked record of its key".to_owned(), parked);
    }

    fn park(&mut self, record: LogRecord, reason: String, parked: &mut ParkedKeys) {
        if let Some(key) = &record.key {
            parked.insert((record.source.clone(), key.clone()));
        }
        self.batch.park.push(ParkedRecord { record, reason });
    }

    /// A truncate at `record` makes what was parked of its partition before it obsolete.
    fn end_parking(&mut self, record: &LogRecord, parked: &mut ParkedKeys) {
        if parked.iter().all(|(source, _)| *source != record.source) {
            return;
        }
        parked.retain(|(source, _)| *source != record.source);
        self.batch.park.retain(|p| p.record.source != record.source);
        self.batch.unpark_below.push((record.source.clone(), record.offset));
    }

    /// Takes the change at `index`, which can never be applied, out of the batch and parks it and
    /// what depends on it. Returns the record, or `None` if it has no key to park.
    pub(super) fn park_poisoned(
        &mut self,
        index: usize,
        reason: &str,
        parked: &mut ParkedKeys,
    ) -> Option<LogRecord> {
        let poisoned = self.records.get(index)?.clone();
        poisoned.key.as_ref()?;
        let changes = std::mem::take(&mut self.batch.changes);
        let records = std::mem::take(&mut self.records);
        for (at, (change, record)) in changes.into_iter().zip(records).enumerate() {
            let is_moved = self.moved.contains(&(record.source.clone(), record.offset));
            if at < index {
                self.push_change(record, change.event);
            } else if at == index {
                if is_moved {
                    self.drags.insert(record.source.clone());
                }
                self.park(record, reason.to_owned(), parked);
            } else {
                let event = change.event;
                let item = if is_moved { Item::Moved(event) } else { Item::Change(event) };
                self.push(record, item, parked);
            }
        }
        Some(poisoned)
    }
}

fn follows(parked: &ParkedKeys, record: &LogRecord) -> bool {
    !parked.is_empty()
        && record
            .key
            .as_ref()
            .is_some_and(|key| parked.contains(&(record.source.clone(), key.clone())))
}
