//! The port to a store that a projection keeps equal to the source.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{ChangeEvent, LogRecord, Offset, TopicId, TopicPartition};

use crate::error::Classify;

/// Number of a projection's generation, from 1: a rebuild writes to the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u32);

/// Number of the projector that owns a sink; a later one fences those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// Whether several projectors may write to one sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// One at a time writes all of it.
    Exclusive,
    /// Each writes the partitions it was dealt.
    Partitioned,
}

/// How a sink makes rows and offsets move together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Atomicity {
    /// In one transaction.
    Transactional,
    /// Every write is guarded by the event's version, so that repeating it changes nothing.
    VersionGuarded,
}

/// What a sink is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SinkKind {
    /// Who may write.
    pub sharing: Sharing,
    /// How offsets are kept.
    pub atomicity: Atomicity,
}

/// The part of one partition that a batch covers: `first..next`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetRange {
    /// The partition.
    pub source: TopicPartition,
    /// Its topic's identity.
    pub topic_id: TopicId,
    /// First offset covered: what the sink holds as its next offset for this partition, or the
    /// partition's first if it holds none.
    pub first: Offset,
    /// First offset no longer covered; becomes the sink's next offset.
    pub next: Offset,
}

/// A change to apply, and the record it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkChange {
    /// The record's partition.
    pub source: TopicPartition,
    /// The record's offset.
    pub offset: Offset,
    /// The change.
    pub event: ChangeEvent,
}

/// A record set aside because it, or one before it of the same key, can never be applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRecord {
    /// The record, with its original bytes.
    pub record: LogRecord,
    /// Why it was parked; for one that follows a parked key, which offset it follows.
    pub reason: String,
}

/// What to do in one transaction of the sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SinkBatch {
    /// The generation to write to.
    pub generation: Generation,
    /// The writer's epoch, from [`SinkState::epoch`].
    pub epoch: Epoch,
    /// The offsets covered.
    pub ranges: Vec<OffsetRange>,
    /// The changes; of each partition in offset order.
    pub changes: Vec<SinkChange>,
    /// Records to park.
    pub park: Vec<ParkedRecord>,
    /// Partitions whose parked records end here, with the topic truncated up to this offset:
    /// those parked at a lower offset are dropped.
    pub unpark_below: Vec<(TopicPartition, Offset)>,
}

/// What becomes of one parked record.
#[derive(Debug, Clone, PartialEq)]
pub struct Settlement {
    /// The record's partition.
    pub source: TopicPartition,
    /// The record's offset.
    pub offset: Offset,
    /// The change to apply; `None` gives the record up.
    pub change: Option<ChangeEvent>,
}

/// Parked records to settle in one transaction of the sink.
#[derive(Debug, Clone, PartialEq)]
pub struct SettleBatch {
    /// The generation to write to.
    pub generation: Generation,
    /// The writer's epoch, from [`SinkState::epoch`].
    pub epoch: Epoch,
    /// The records; of each partition in offset order.
    pub settlements: Vec<Settlement>,
}

/// What a sink holds when it is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkState {
    /// The live generation.
    pub generation: Generation,
    /// The epoch this opening was given: higher than every one before.
    pub epoch: Epoch,
    /// For each partition ever applied, its topic's identity and the offset to read next. Of
    /// [`Sink::claim`], for those that were claimed.
    pub offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    /// Keys with parked records, as `(partition, raw key bytes)`; of a shared sink, of the
    /// partitions claimed and none else.
    pub parked: Vec<(TopicPartition, Bytes)>,
}

/// An error of a sink.
pub trait SinkError: Classify {
    /// For a poison error, the index in [`SinkBatch::changes`], or [`SettleBatch::settlements`], of
    /// the change that can never be applied.
    fn poisoned(&self) -> Option<usize>;
}

/// A derived store.
///
/// Retrying, parking and dead letters are the project loop's business, not the sink's.
///
/// # Shared sinks
/// A sink of [`Sharing::Partitioned`] has one writer for each partition: the epoch that claimed it
/// last. It keeps that epoch and the next offset in the transaction of the rows, and refuses, with
/// nothing changed,
/// - with [`ErrorClass::Fenced`], a batch or a settlement that touches a partition which another
///   epoch, or none, has claimed last;
/// - with [`ErrorClass::Fatal`], a batch of which a range does not begin exactly at the partition's
///   next offset, below it included.
///
/// Either guard alone keeps a record from being applied twice. Partitions of different writers never
/// wait for each other longer than the store's own locks last.
///
/// [`ErrorClass::Fenced`]: crate::ErrorClass::Fenced
/// [`ErrorClass::Fatal`]: crate::ErrorClass::Fatal
pub trait Sink: Send {
    /// What can go wrong.
    type Error: SinkError;

    /// Says what the sink is.
    fn kind(&self) -> SinkKind;

    /// Opens the sink as its newest writer, fences earlier ones, and returns what it holds. Called
    /// at the start and after every error of [`Sink::apply`].
    ///
    /// A shared sink begins an epoch that has claimed nothing and disturbs nobody; the offsets are
    /// told, of other writers' partitions too, and may be past when they are read.
    ///
    /// # Errors
    /// Transient while the store is away; fatal when it belongs to another pipeline.
    fn resume(&mut self) -> impl Future<Output = Result<SinkState, Self::Error>> + Send;

    /// Makes this epoch the only writer of `partitions`, besides those it has claimed already, and
    /// returns what the sink holds of them: whatever an earlier writer still has under way changes
    /// nothing any more. An exclusive sink needs no claim, and is claimed whole.
    ///
    /// # Errors
    /// As of [`Sink::resume`].
    fn claim(
        &mut self,
        partitions: Vec<TopicPartition>,
    ) -> impl Future<Output = Result<SinkState, Self::Error>> + Send {
        drop(partitions);
        self.resume()
    }

    /// Applies `batch`: `Ok` means that its changes, parked records **and** next offsets are
    /// durable, and that either all of them are or none (or, version-guarded, that applying it
    /// again changes nothing).
    ///
    /// Changes below the offset the sink holds for their partition are ignored; a range that
    /// begins above it is refused. A shared sink refuses one that begins below it too.
    ///
    /// # Errors
    /// After any error the outcome is unknown: the only call allowed next is [`Sink::resume`].
    /// A poison error names the change ([`SinkError::poisoned`]), and nothing was applied.
    ///
    /// # Cancel safety
    /// Not safe: a dropped call counts as an error.
    fn apply(
        &mut self,
        batch: Arc<SinkBatch>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Returns parked records in the order of partition and offset, at most `limit`, and how many
    /// there are; of a shared sink, those of the partitions this epoch has claimed.
    ///
    /// # Errors
    /// As of [`Sink::apply`].
    fn parked(
        &mut self,
        limit: usize,
    ) -> impl Future<Output = Result<(Vec<ParkedRecord>, u64), Self::Error>> + Send;

    /// Settles parked records: `Ok` means that each one that was still parked is so no more, and
    /// that its change, if any, is durable, in order and all at once. A record that is not parked is
    /// passed over together with its change, so that settling again changes nothing. Offsets stay.
    ///
    /// # Errors
    /// As of [`Sink::apply`]; after a poison error nothing was settled.
    fn settle(
        &mut self,
        batch: Arc<SettleBatch>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
