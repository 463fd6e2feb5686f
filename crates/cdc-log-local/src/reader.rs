//! The reading end: committed records of the partitions assigned, in offset order.
//!
//! # Delivery, ordering, progress
//! A reader never looks beyond the next offsets that were published after an append was durable;
//! what an append has half written is thus never seen. It is woken by that publication.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{LogRecord, Offset, TopicPartition};
use cdc_pipeline::port::{Fetched, LogReader, TopicMeta};
use fjall::Keyspace;
use tokio::sync::watch;

use crate::block::Block;
use crate::error::{Error, Result};
use crate::layout::{self, PartitionNo};
use crate::shared::{Shared, partition_no};
use crate::store::{Store, corrupt, last_block, read_block};

/// Reads a [`crate::LocalLog`].
#[derive(Debug)]
pub struct LocalReader {
    log: Arc<Shared>,
    committed: watch::Receiver<u64>,
    assigned: Vec<Assigned>,
    /// Which of them is asked first by the next poll, so that none starves.
    turn: usize,
}

/// How far one partition has been read.
#[derive(Debug, Clone)]
struct Assigned {
    source: TopicPartition,
    no: PartitionNo,
    next: i64,
    /// The block that `next` lies in, read up to there.
    block: Option<Block>,
}

/// What a poll may read of one partition: part of one segment.
struct Stretch {
    index: usize,
    assigned: Assigned,
    segment: Keyspace,
    end: i64,
}

impl LocalReader {
    pub(crate) fn new(log: Arc<Shared>) -> Self {
        let committed = log.subscribe();
        Self { log, committed, assigned: Vec::new(), turn: 0 }
    }

    /// Returns what there is to read, in the order of this turn.
    fn stretches(&self) -> Result<Vec<Stretch>> {
        self.log.with_store(|store| {
            let count = self.assigned.len();
            let order = (0..count).map(|n| (n + self.turn) % count);
            let stretches = order.map(|index| stretch(store, index, &self.assigned[index]));
            stretches.filter_map(Result::transpose).collect()
        })
    }
}

impl LogReader for LocalReader {
    type Error = Error;

    async fn topics(&mut self) -> Result<Vec<TopicMeta>> {
        let log = self.log.clone();
        log.with_store(|store| {
            let meta = store.topics.iter().map(|(topic, state)| {
                let partitions = (0..).zip(&state.next).map(|(partition, next)| {
                    let first = store.first(PartitionNo { topic: state.no, partition });
                    (Offset(first), Offset(*next))
                });
                let partitions = partitions.collect();
                TopicMeta { topic: topic.clone(), id: log.topic_id(state.no), partitions }
            });
            Ok(meta.collect())
        })
    }

    async fn assign(&mut self, from: Vec<(TopicPartition, Offset)>) -> Result<()> {
        self.assigned = self.log.with_store(|store| {
            let assigned = from.into_iter().map(|(source, Offset(next))| {
                let no = partition_no(store, &source)?;
                let assigned = Assigned { source, no, next, block: None };
                check_range(store, &assigned).map(|_| assigned)
            });
            assigned.collect::<Result<_>>()
        })?;
        self.turn = 0;
        Ok(())
    }

    async fn poll(&mut self, bytes_max: usize) -> Result<Fetched> {
        loop {
            self.committed.borrow_and_update();
            let stretches = self.stretches()?;
            if stretches.is_empty() {
                self.committed.changed().await.map_err(|_| Error::ShuttingDown)?;
                continue;
            }
            let read = move |log: &Shared| read_all(log, stretches, bytes_max.max(1));
            let (records, progress) = self.log.run(read).await?;
            let mut next = Vec::with_capacity(progress.len());
            for (index, assigned) in progress {
                next.push((assigned.source.clone(), Offset(assigned.next)));
                self.assigned[index] = assigned;
                self.turn = index + 1;
            }
            return Ok(Fetched { records, next });
        }
    }
}

/// Returns the partition's next offset, if what is assigned lies within what the partition holds.
fn check_range(store: &Store, assigned: &Assigned) -> Result<i64> {
    let Assigned { source, no, next: offset, .. } = assigned;
    let unknown = || Error::UnknownPartition { partition: source.clone() };
    let topic = store.topics.get(&source.topic).ok_or_else(unknown)?;
    let index = usize::try_from(no.partition).map_err(|_| unknown())?;
    let next = *topic.next.get(index).ok_or_else(unknown)?;
    let first = store.first(*no);
    if (first..=next).contains(offset) {
        return Ok(next);
    }
    let (partition, offset) = (source.clone(), *offset);
    Err(Error::OffsetOutOfRange { partition, offset, first, next })
}

/// Returns what there is to read of a partition in the segment that holds its next record.
fn stretch(store: &Store, index: usize, assigned: &Assigned) -> Result<Option<Stretch>> {
    let end = check_range(store, assigned)?;
    if assigned.next == end {
        return Ok(None);
    }
    let after = store.segments.partition_point(|s| s.start(assigned.no) <= assigned.next);
    let segment = after.checked_sub(1).and_then(|at| store.segments.get(at));
    let segment = segment.expect("invariant: the first segment starts at the first offset");
    let end = store.segments.get(after).map_or(end, |after| after.start(assigned.no));
    let (assigned, segment) = (assigned.clone(), segment.keyspace.clone());
    Ok(Some(Stretch { index, assigned, segment, end }))
}

type Progress = Vec<(usize, Assigned)>;

/// Reads stretch after stretch until there are about `room` bytes.
fn read_all(
    log: &Shared,
    stretches: Vec<Stretch>,
    room: usize,
) -> Result<(Vec<LogRecord>, Progress)> {
    let (mut records, mut progress) = (Vec::new(), Progress::new());
    let mut room = room;
    for mut stretch in stretches {
        if room == 0 {
            break;
        }
        stretch.read(log, &mut room, &mut records)?;
        progress.push((stretch.index, stretch.assigned));
    }
    Ok((records, progress))
}

impl Stretch {
    /// Reads on until the stretch ends or `room` does.
    fn read(&mut self, log: &Shared, room: &mut usize, records: &mut Vec<LogRecord>) -> Result<()> {
        let Self { assigned, segment, end, .. } = self;
        let no = assigned.no;
        if let Some(block) = assigned.block.take() {
            assigned.drain(log, block, room, records)?;
        }
        if *room == 0 || assigned.next >= *end {
            return Ok(());
        }
        let range = layout::block_key(no, assigned.next)..layout::block_key(no, *end);
        let mut blocks = segment.range(range).map(|item| read_block(&log.dir, item)).peekable();
        let is_within = !matches!(blocks.peek(), Some(Ok((first, _))) if *first == assigned.next);
        if is_within && !matches!(blocks.peek(), Some(Err(_))) {
            let found = last_block(&log.dir, segment, no, assigned.next)?;
            assigned.enter(log, found, room, records)?;
        }
        while *room > 0 && assigned.next < *end {
            assigned.enter(log, blocks.next().transpose()?, room, records)?;
        }
        Ok(())
    }
}

impl Assigned {
    /// Reads the block found for `next`, which must hold it.
    fn enter(
        &mut self,
        log: &Shared,
        found: Option<(i64, Block)>,
        room: &mut usize,
        records: &mut Vec<LogRecord>,
    ) -> Result<()> {
        let missing = || corrupt(&log.dir, &format!("{} has no offset {}", self.source, self.next));
        let (first, mut block) = found.ok_or_else(missing)?;
        if first > self.next || first + i64::from(block.remaining()) <= self.next {
            return Err(missing());
        }
        for _ in first..self.next {
            block.skip().ok_or_else(missing)?;
        }
        self.drain(log, block, room, records)
    }

    /// Takes records from a block until it is empty or `room` is.
    fn drain(
        &mut self,
        log: &Shared,
        mut block: Block,
        room: &mut usize,
        records: &mut Vec<LogRecord>,
    ) -> Result<()> {
        let timestamp_ms = block.timestamp_ms();
        while *room > 0 && block.remaining() > 0 {
            let record = block.next();
            let record = record.ok_or_else(|| corrupt(&log.dir, "a block cannot be read"))?;
            let record = LogRecord {
                source: self.source.clone(),
                offset: Offset(self.next),
                timestamp_ms,
                key: record.key,
                value: record.value,
                headers: record.headers,
            };
            *room = room.saturating_sub(size(&record));
            self.next += 1;
            records.push(record);
        }
        self.block = (block.remaining() > 0).then_some(block);
        Ok(())
    }
}

/// What a record carries, in bytes; never nothing.
fn size(record: &LogRecord) -> usize {
    let payload = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers: usize = record.headers.iter().map(|header| header.value.len()).sum();
    1 + headers + payload(&record.key) + payload(&record.value)
}
