//! A compacted topic of one partition, used as a table: the newest value of each key counts.
//!
//! What stands in the topic, and in whose format, is the caller's business. Here it is read in
//! order, from the first offset held to wherever it ends, and written by one writer at a time.
//!
//! # One writer
//! A writer's producer is transactional, though what it appends could go without: opening one
//! fences every earlier one of the same name, whose next append is then refused by the broker. So
//! between [`CompactedTopic::writer`] and an append that succeeds, nobody of that name has written;
//! who reads to [`CompactedTopic::end`] after opening decides on the newest state. Strangers that
//! write without that name are not kept out: they are seen when they are read back.
//!
//! # Failure
//! After an error of an append its outcome is unknown: open another writer, which settles what was
//! left open, read to the end, and look.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cdc_model::{Headers, LogRecord, Offset, Partition, Placement, Record, Topic, TopicPartition};
use cdc_pipeline::port::{AppendBatch, LogReader as _};
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};

use crate::context::Context;
use crate::offsets::Inspector;
use crate::producer::{Job, Name, Producer};
use crate::topic::{KnownTopic, Purpose, ensure};
use crate::{Error, KafkaConfig, KafkaReader, Result};

/// A compacted topic of one partition.
pub struct CompactedTopic {
    config: Arc<KafkaConfig>,
    topic: Topic,
    /// What it was when it was first seen.
    known: Mutex<BTreeMap<Topic, KnownTopic>>,
    inspector: Arc<Inspector>,
}

impl CompactedTopic {
    /// Names a topic. Does not connect.
    ///
    /// # Errors
    /// Fatal if a setting is unknown, invalid, or carries a guarantee of ours.
    pub fn new(config: KafkaConfig, topic: &str) -> Result<Self> {
        config.check()?;
        let config = Arc::new(config);
        let inspector = Arc::new(Inspector::new(&config));
        Ok(Self { inspector, config, topic: Topic::new(topic), known: Mutex::default() })
    }

    /// Creates the topic if there is none, and checks that it is what it must be. Once it was
    /// seen, it is never created again: a topic that vanished is an error.
    ///
    /// # Errors
    /// Fatal if it has several partitions or is not compacted, or is not the one seen first;
    /// transient while no broker answers.
    pub async fn open(&self) -> Result<()> {
        let recorded = self.known().clone();
        let names = [self.topic.clone()];
        let found = ensure(&self.config, &names, &recorded, Purpose::Position).await?;
        if recorded.is_empty() {
            if let Some(topic) = found.values().find(|topic| topic.partitions != 1) {
                let reason = format!("has {} partitions, and must have one", topic.partitions);
                return Err(Error::TopicUnfit { topic: self.topic.clone(), reason });
            }
            self.check_policy().await?;
            *self.known() = found;
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<Topic, KnownTopic>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refuses a topic that forgets. Who may not ask is only warned.
    async fn check_policy(&self) -> Result<()> {
        let admin: AdminClient<Context> = self
            .config
            .admin()
            .create_with_context(Context::default())
            .map_err(|error| Error::of_property(&error))?;
        let options = AdminOptions::new().request_timeout(Some(self.config.request_timeout));
        let resource = ResourceSpecifier::Topic(self.topic.as_str());
        let described = admin.describe_configs([&resource], &options).await;
        std::thread::spawn(move || drop(admin));
        let policy = described.ok().and_then(|mut described| described.pop()?.ok());
        let policy = policy.and_then(|found| found.get("cleanup.policy")?.value.clone());
        match policy.as_deref() {
            Some("compact") => Ok(()),
            Some(policy) => {
                let reason = format!("has cleanup.policy={policy}, and must have compact");
                Err(Error::TopicUnfit { topic: self.topic.clone(), reason })
            }
            None => {
                let topic = self.topic.as_str();
                tracing::warn!(topic, "cannot find out whether the topic is compacted");
                Ok(())
            }
        }
    }

    /// Returns the offset after the last record.
    ///
    /// # Errors
    /// Transient while the broker is away.
    pub async fn end(&self) -> Result<Offset> {
        Ok(self.range().await?.1)
    }

    async fn range(&self) -> Result<(Offset, Offset)> {
        let (inspector, at) = (Arc::clone(&self.inspector), self.partition());
        let asking = tokio::task::spawn_blocking(move || inspector.ranges(&[at]));
        let ranges = asking.await.unwrap_or(Err(Error::NotOpen { what: "reader" }))?;
        ranges.first().copied().ok_or(Error::NotOpen { what: "reader" })
    }

    fn partition(&self) -> TopicPartition {
        TopicPartition { topic: self.topic.clone(), partition: Partition(0) }
    }

    /// Reads from `offset`, or from the first record held.
    ///
    /// # Errors
    /// Fatal if the offset is not held any more; transient while the broker is away.
    pub async fn reader(&self, offset: Option<Offset>) -> Result<CompactedReader> {
        let offset = match offset {
            Some(offset) => offset,
            None => self.range().await?.0,
        };
        let mut reader = KafkaReader::new(Arc::clone(&self.config));
        reader.assign(vec![(self.partition(), offset)]).await?;
        Ok(CompactedReader { reader, next: offset })
    }

    /// Opens a writer, and fences every earlier one of that name.
    ///
    /// # Errors
    /// Fatal if it may not write; transient while the broker is away.
    pub async fn writer(&self, name: &str) -> Result<CompactedWriter> {
        let name = Name { transactional_id: name.into(), incarnation: "".into() };
        let producer = Producer::start(&self.config, name).await?;
        let partitions = Arc::new([(self.topic.clone(), 1)].into());
        Ok(CompactedWriter { producer, topic: self.topic.clone(), partitions })
    }
}

impl std::fmt::Debug for CompactedTopic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactedTopic").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Reads a compacted topic in order.
#[derive(Debug)]
pub struct CompactedReader {
    reader: KafkaReader,
    next: Offset,
}

impl CompactedReader {
    /// Waits for committed records and returns them. After a transient error it goes on by itself.
    ///
    /// # Errors
    /// Fatal if the topic is gone or does not hold the offset any more.
    pub async fn poll(&mut self) -> Result<Vec<LogRecord>> {
        let fetched = self.reader.poll(usize::MAX).await?;
        if let Some((_, next)) = fetched.next.first() {
            self.next = *next;
        }
        Ok(fetched.records)
    }

    /// Returns the offset after what was read, marks of transactions included.
    pub fn position(&self) -> Offset {
        self.next
    }
}

/// Writes to a compacted topic. After an error it is of no more use.
pub struct CompactedWriter {
    producer: Producer,
    topic: Topic,
    partitions: Arc<BTreeMap<Topic, i32>>,
}

impl CompactedWriter {
    /// Appends keys and values, all of them or none; a key without a value is a tombstone. `Ok`
    /// means that every replica in sync has them.
    ///
    /// # Errors
    /// [`Error::Fenced`] if another writer was opened meanwhile.
    pub async fn append(&self, records: Vec<(Bytes, Option<Bytes>)>) -> Result<()> {
        let record = |(key, value)| Record {
            topic: self.topic.clone(),
            placement: Placement::Fixed,
            key: Some(key),
            value,
            headers: Headers::new(),
            id: None,
        };
        let records = records.into_iter().map(record).collect();
        let batch = Arc::new(AppendBatch { records, update: None });
        let partitions = Arc::clone(&self.partitions);
        self.producer.append(Job { batch, partitions, checkpoint: None }).await
    }
}

impl std::fmt::Debug for CompactedWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CompactedWriter").field("topic", &self.topic).finish_non_exhaustive()
    }
}
