//! The port to the event log: a transactional writer for capture, a reader for projections.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{LogRecord, Offset, Partition, Position, Record, Topic, TopicId, TopicPartition};

use crate::error::Classify;

/// Names an entry of a checkpoint.
pub type EntryKey = Arc<str>;

/// What a pipeline needs to go on where it was; kept in the log, beside the records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Number of the append that wrote it, from 1, without gaps. Not enough to tell after a lost
    /// answer whether *our* append took effect, for another writer's may have the same number:
    /// compare the whole checkpoint.
    pub sequence: u64,
    /// Where the source stood; `None` until it first had a position.
    pub position: Option<Position>,
    /// What the source remembers besides, each under a key of its own.
    pub entries: BTreeMap<EntryKey, Bytes>,
}

impl Checkpoint {
    /// Applies `update`, as a log does when it is appended.
    pub fn apply(&mut self, update: &CheckpointUpdate) {
        self.sequence = update.sequence;
        if let Some(position) = &update.position {
            self.position = Some(position.clone());
        }
        for (key, value) in &update.entries {
            match value {
                Some(value) => self.entries.insert(key.clone(), value.clone()),
                None => self.entries.remove(key),
            };
        }
    }
}

/// How an append changes the checkpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckpointUpdate {
    /// One more than the sequence of the checkpoint it changes.
    pub sequence: u64,
    /// The new position; `None` leaves it.
    pub position: Option<Position>,
    /// Entries to set, or with `None` to remove. Those not named stay.
    pub entries: Vec<(EntryKey, Option<Bytes>)>,
}

/// Records and the checkpoint that belongs to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendBatch {
    /// What to append, in order. Order holds per partition.
    pub records: Vec<Record>,
    /// The change of the checkpoint. `None` only for writers that keep none (dead letters).
    pub update: Option<CheckpointUpdate>,
}

/// Appends records and checkpoint to the log, atomically; one writer per pipeline.
pub trait LogWriter: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Fences every earlier writer of this pipeline, settles what they left open, and reads the
    /// checkpoint back. `None` if nothing was ever appended.
    ///
    /// # Errors
    /// Transient while the log is away; fatal when what it holds cannot be read.
    fn open(&mut self) -> impl Future<Output = Result<Option<Checkpoint>, Self::Error>> + Send;

    /// Appends `batch`: `Ok` means that records **and** checkpoint are durable and visible to
    /// readers, and that either all of them are or none.
    ///
    /// Topics that do not exist yet are made, explicitly. Partitions follow
    /// [`crate::partition::place`].
    ///
    /// # Errors
    /// After any error the outcome is unknown: the only call allowed next is [`LogWriter::open`],
    /// whose checkpoint, compared whole, tells whether this batch took effect.
    /// [`crate::ErrorClass::Fenced`] when another writer has opened the pipeline.
    ///
    /// # Cancel safety
    /// Not safe: a dropped call counts as an error.
    fn append(
        &mut self,
        batch: Arc<AppendBatch>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// A topic as the log describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicMeta {
    /// Its name.
    pub topic: Topic,
    /// Its identity; another one means that it was deleted and made again.
    pub id: TopicId,
    /// For each partition, by index: the first offset still held and the high watermark (the
    /// first offset not yet readable).
    pub partitions: Vec<(Offset, Offset)>,
}

impl TopicMeta {
    /// Returns its partitions.
    pub fn topic_partitions(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        (0_i32..).zip(&self.partitions).map(|(index, _)| TopicPartition {
            topic: self.topic.clone(),
            partition: Partition(index),
        })
    }
}

/// What a poll brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Committed records; of each partition in offset order.
    pub records: Vec<LogRecord>,
    /// For each partition that moved, the offset to read next. May lie beyond the last record, for
    /// offsets that hold no record (control records, compaction).
    pub next: Vec<(TopicPartition, Offset)>,
}

/// Reads committed records, from any offset. Never commits offsets by itself: sinks keep them.
pub trait LogReader: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Lists the topics that exist now, without the log's internal ones, by name.
    ///
    /// # Errors
    /// Transient while the log is away.
    fn topics(&mut self) -> impl Future<Output = Result<Vec<TopicMeta>, Self::Error>> + Send;

    /// Reads from now on exactly the partitions named, each from its offset.
    ///
    /// # Errors
    /// Fatal if an offset lies outside what its partition holds: never skips to another.
    fn assign(
        &mut self,
        from: Vec<(TopicPartition, Offset)>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits until there are records, or progress without records, and returns up to about
    /// `bytes_max` of them, at least one.
    ///
    /// # Errors
    /// Fatal when records to be read are gone (retention), transient while the log is away.
    ///
    /// # Cancel safety
    /// Safe: a dropped call loses no record.
    fn poll(
        &mut self,
        bytes_max: usize,
    ) -> impl Future<Output = Result<Fetched, Self::Error>> + Send;
}
