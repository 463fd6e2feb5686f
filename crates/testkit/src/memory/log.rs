//! An event log in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use cdc_model::{Header, LogRecord, Offset, Partition, Record, Topic, TopicId, TopicPartition};
use cdc_pipeline::partition::place;
use cdc_pipeline::port::{AppendBatch, Checkpoint, Fetched, LogReader, LogWriter, TopicMeta};
use cdc_pipeline::{Classify, ErrorClass};
use tokio::sync::Notify;

/// What can go wrong in a [`MemoryLog`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another writer has opened the pipeline.
    #[error("another writer has opened pipeline \"{0}\"")]
    Fenced(String),
    /// The append does not follow the checkpoint.
    #[error("append {got} does not follow {stored}")]
    SequenceGap {
        /// The checkpoint's sequence.
        stored: u64,
        /// The batch's.
        got: u64,
    },
    /// There is nothing to read at this offset.
    #[error("offset {offset} of {partition} is out of range")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        offset: i64,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fenced(_) => ErrorClass::Fenced,
            Self::SequenceGap { .. } | Self::OffsetOutOfRange { .. } => ErrorClass::Fatal,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    topics: BTreeMap<Topic, Vec<Vec<LogRecord>>>,
    pipelines: BTreeMap<String, Pipeline>,
    appends: u64,
}

#[derive(Debug, Default)]
struct Pipeline {
    epoch: u64,
    checkpoint: Option<Checkpoint>,
}

/// The log's durable part; clones share it.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    state: Arc<Mutex<State>>,
    appended: Arc<Notify>,
    partitions: usize,
}

impl MemoryLog {
    /// Makes an empty log whose topics have `partitions` partitions each.
    pub fn new(partitions: usize) -> Self {
        Self { state: Arc::default(), appended: Arc::default(), partitions }
    }

    /// Returns a writer for `pipeline`.
    pub fn writer(&self, pipeline: &str) -> MemoryWriter {
        MemoryWriter { log: self.clone(), pipeline: pipeline.to_owned(), epoch: 0 }
    }

    /// Returns a reader of nothing yet.
    pub fn reader(&self) -> MemoryReader {
        MemoryReader { log: self.clone(), positions: BTreeMap::new() }
    }

    /// Returns the checkpoint of `pipeline` as it is now.
    pub fn checkpoint(&self, pipeline: &str) -> Option<Checkpoint> {
        self.lock().pipelines.get(pipeline).and_then(|pipeline| pipeline.checkpoint.clone())
    }

    /// Returns every record of every partition, in offset order.
    pub fn records(&self) -> BTreeMap<TopicPartition, Vec<LogRecord>> {
        let state = self.lock();
        let partitions = state.topics.iter().flat_map(|(topic, partitions)| {
            (0..).zip(partitions).map(|(index, records)| {
                let partition = Partition(index);
                (TopicPartition { topic: topic.clone(), partition }, records.clone())
            })
        });
        partitions.collect()
    }

    /// Returns every partition of every topic.
    pub fn topic_partitions(&self) -> Vec<TopicPartition> {
        let state = self.lock();
        let partitions = state.topics.iter().flat_map(|(topic, partitions)| {
            let of =
                |(index, _)| TopicPartition { topic: topic.clone(), partition: Partition(index) };
            (0..).zip(partitions).map(of)
        });
        partitions.collect()
    }

    /// Returns how many appends took effect.
    pub fn appends(&self) -> u64 {
        self.lock().appends
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }
}

impl State {
    fn append(&mut self, record: &Record, partitions: usize) {
        let topic = self.topics.entry(record.topic.clone());
        let topic = topic.or_insert_with(|| vec![Vec::new(); partitions]);
        let count = i32::try_from(topic.len()).expect("invariant: few partitions");
        for index in place(record, count) {
            let records = &mut topic[usize::try_from(index).expect("invariant: not negative")];
            let mut headers = record.headers.clone();
            if let Some(id) = record.id {
                let value = Bytes::from(format!("memory:{id}"));
                headers.push(Header { name: Record::ID_HEADER.into(), value });
            }
            records.push(LogRecord {
                source: TopicPartition { topic: record.topic.clone(), partition: Partition(index) },
                offset: Offset(i64::try_from(records.len()).expect("invariant: fits memory")),
                timestamp_ms: 0,
                key: record.key.clone(),
                value: record.value.clone(),
                headers,
            });
        }
    }
}

/// Writes a pipeline's records.
#[derive(Debug)]
pub struct MemoryWriter {
    log: MemoryLog,
    pipeline: String,
    epoch: u64,
}

impl LogWriter for MemoryWriter {
    type Error = Error;

    async fn open(&mut self) -> Result<Option<Checkpoint>, Error> {
        tokio::task::yield_now().await;
        let mut state = self.log.lock();
        let pipeline = state.pipelines.entry(self.pipeline.clone()).or_default();
        pipeline.epoch += 1;
        self.epoch = pipeline.epoch;
        Ok(pipeline.checkpoint.clone())
    }

    async fn append(&mut self, batch: Arc<AppendBatch>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        {
            let mut state = self.log.lock();
            let pipeline = state.pipelines.entry(self.pipeline.clone()).or_default();
            if pipeline.epoch != self.epoch {
                return Err(Error::Fenced(self.pipeline.clone()));
            }
            if let Some(update) = &batch.update {
                let stored = pipeline.checkpoint.as_ref().map_or(0, |c| c.sequence);
                if update.sequence != stored + 1 {
                    return Err(Error::SequenceGap { stored, got: update.sequence });
                }
                pipeline.checkpoint.get_or_insert_default().apply(update);
            }
            state.appends += 1;
            for record in &batch.records {
                state.append(record, self.log.partitions);
            }
        }
        self.log.appended.notify_waiters();
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Reads committed records.
#[derive(Debug)]
pub struct MemoryReader {
    log: MemoryLog,
    positions: BTreeMap<TopicPartition, i64>,
}

impl MemoryReader {
    fn fetch(&mut self, bytes_max: usize) -> Fetched {
        let state = self.log.lock();
        let mut fetched = Fetched::default();
        let mut room = bytes_max;
        for (source, position) in &mut self.positions {
            let Some(records) = state.topics.get(&source.topic) else { continue };
            let index = usize::try_from(source.partition.0).expect("invariant: checked by assign");
            let first = usize::try_from(*position).expect("invariant: checked by assign");
            let before = fetched.records.len();
            for record in &records[index][first..] {
                if room == 0 {
                    break;
                }
                let size = record.value.as_ref().map_or(0, Bytes::len) + 1;
                room = room.saturating_sub(size);
                fetched.records.push(record.clone());
            }
            let read = fetched.records.len() - before;
            if read > 0 {
                *position += i64::try_from(read).expect("invariant: fits memory");
                fetched.next.push((source.clone(), Offset(*position)));
            }
        }
        fetched
    }
}

impl LogReader for MemoryReader {
    type Error = Error;

    async fn topics(&mut self) -> Result<Vec<TopicMeta>, Error> {
        tokio::task::yield_now().await;
        let state = self.log.lock();
        let meta = |(topic, partitions): (&Topic, &Vec<Vec<LogRecord>>)| {
            let end = |records: &Vec<LogRecord>| {
                Offset(i64::try_from(records.len()).expect("invariant: fits memory"))
            };
            TopicMeta {
                topic: topic.clone(),
                id: TopicId(format!("memory-{topic}").into()),
                partitions: partitions.iter().map(|p| (Offset(0), end(p))).collect(),
            }
        };
        Ok(state.topics.iter().map(meta).collect())
    }

    async fn assign(&mut self, from: Vec<(TopicPartition, Offset)>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        let state = self.log.lock();
        for (partition, offset) in &from {
            let end = state.topics.get(&partition.topic).and_then(|partitions| {
                partitions.get(usize::try_from(partition.partition.0).ok()?)
            });
            let end = end.map_or(-1, |records| i64::try_from(records.len()).unwrap_or(i64::MAX));
            if !(0..=end).contains(&offset.0) {
                let partition = partition.clone();
                return Err(Error::OffsetOutOfRange { partition, offset: offset.0 });
            }
        }
        drop(state);
        self.positions = from.into_iter().map(|(source, offset)| (source, offset.0)).collect();
        Ok(())
    }

    async fn poll(&mut self, bytes_max: usize) -> Result<Fetched, Error> {
        loop {
            let log = self.log.clone();
            let appended = log.appended.notified();
            tokio::pin!(appended);
            appended.as_mut().enable();
            let fetched = self.fetch(bytes_max.max(1));
            if !fetched.next.is_empty() {
                return Ok(fetched);
            }
            appended.await;
        }
    }
}
