//! The reading half: committed records of the partitions assigned, from the offsets given.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{LogRecord, Offset, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{Fetched, LogReader, TopicMeta};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::code::{Kind, kind};
use crate::describe::{Described, describe};
use crate::fetch::{self, Chunk};
use crate::offsets::{Inspector, check, partitions};
use crate::topic::is_internal;
use crate::{Error, KafkaConfig, Result};

/// Reads committed records. Made by [`crate::KafkaLog::reader`].
pub struct KafkaReader {
    config: Arc<KafkaConfig>,
    inspector: Arc<Inspector>,
    session: Option<Session>,
}

/// From one `assign` to the next.
struct Session {
    chunks: mpsc::Receiver<Result<Chunk>>,
    /// What a poll did not take of the last chunk.
    rest: Option<Chunk>,
    /// The next offset of each partition, as told to the caller.
    at: BTreeMap<TopicPartition, Offset>,
    /// What the consumer said of an offset or a topic that may be gone, until it is known which.
    doubt: Option<Error>,
    /// The consumer's thread has ended with an error; the next poll starts another.
    has_ended: bool,
}

impl KafkaReader {
    pub(crate) fn new(config: Arc<KafkaConfig>) -> Self {
        Self { inspector: Arc::new(Inspector::new(&config)), config, session: None }
    }

    async fn ranges(&self, of: Vec<TopicPartition>) -> Result<Vec<(Offset, Offset)>> {
        let inspector = Arc::clone(&self.inspector);
        let asking = tokio::task::spawn_blocking(move || inspector.ranges(&of));
        asking.await.unwrap_or(Err(Error::NotOpen { what: "reader" }))
    }

    /// Lists topics, unless one of them is coming or going just now.
    async fn list(&self) -> Result<Vec<TopicMeta>> {
        let cluster = describe(&self.config, None).await?;
        let mut found: Vec<(Topic, TopicId, i32)> = Vec::new();
        for (topic, described) in cluster.topics {
            if let Described::Found { id, partitions, is_internal: false } = described
                && !is_internal(&self.config.prefix, topic.as_str())
            {
                found.push((topic, id, partitions));
            }
        }
        let all = found.iter().flat_map(|(topic, _, count)| partitions(topic, *count)).collect();
        let mut ranges = self.ranges(all).await?.into_iter();
        let meta = |(topic, id, count)| {
            let count = usize::try_from(count).unwrap_or(0);
            TopicMeta { topic, id, partitions: ranges.by_ref().take(count).collect() }
        };
        Ok(found.into_iter().map(meta).collect())
    }

    async fn check(&self, from: &[(TopicPartition, Offset)]) -> Result<()> {
        let mut names: Vec<&str> = from.iter().map(|(at, _)| at.topic.as_str()).collect();
        names.dedup();
        let cluster = describe(&self.config, Some(&names)).await?;
        for (TopicPartition { topic, partition }, _) in from {
            match cluster.topics.get(topic) {
                Some(Described::Found { partitions, .. }) if partition.0 < *partitions => {}
                Some(Described::Refused(code)) => {
                    let reason = Some(format!("topic \"{topic}\""));
                    let servers = &self.config.bootstrap_servers;
                    return Err(Error::of_code("describing", servers, *code, reason));
                }
                _ => return Err(Error::TopicMissing { topic: topic.clone() }),
            }
        }
        let ranges = self.ranges(from.iter().map(|(at, _)| at.clone()).collect()).await?;
        check(from, &ranges)
    }
}

impl LogReader for KafkaReader {
    type Error = Error;

    async fn topics(&mut self) -> Result<Vec<TopicMeta>> {
        let deadline = Instant::now() + SETTLING;
        loop {
            match self.list().await {
                Err(error) if is_settling(&error) && Instant::now() < deadline => pause().await,
                outcome => return outcome,
            }
        }
    }

    async fn assign(&mut self, from: Vec<(TopicPartition, Offset)>) -> Result<()> {
        self.session = None;
        if from.is_empty() {
            return Ok(());
        }
        let deadline = Instant::now() + SETTLING;
        loop {
            match self.check(&from).await {
                Err(error) if is_settling(&error) && Instant::now() < deadline => pause().await,
                outcome => break outcome?,
            }
        }
        let at = from.iter().cloned().collect();
        let chunks = fetch::start(Arc::clone(&self.config), from)?;
        self.session = Some(Session { chunks, rest: None, at, doubt: None, has_ended: false });
        Ok(())
    }

    async fn poll(&mut self, bytes_max: usize) -> Result<Fetched> {
        let Some(session) = &mut self.session else { return std::future::pending().await };
        if let Some(chunk) = session.rest.take() {
            return Ok(session.take(chunk, bytes_max));
        }
        if session.has_ended {
            session.chunks = fetch::start(Arc::clone(&self.config), session.at())?;
            session.has_ended = false;
        }
        if session.doubt.is_none() {
            match session.chunks.recv().await {
                Some(Ok(chunk)) => return Ok(session.take(chunk, bytes_max)),
                Some(Err(error)) if is_transient(&error) => return Err(error),
                Some(Err(error)) => session.doubt = Some(error),
                None => session.doubt = Some(Error::NotOpen { what: "reader" }),
            }
        }
        // Which partition it is, and what it holds now, is asked before the error is told.
        let at = session.at();
        let outcome = self.check(&at).await;
        let doubt = self.session.as_mut().and_then(|session| {
            session.has_ended = true;
            session.doubt.take()
        });
        Err(outcome.err().or(doubt).unwrap_or(Error::NotOpen { what: "reader" }))
    }
}

/// Whether the consumer goes on by itself. Not so where a topic is unknown: it would wait for ever.
pub(crate) fn is_transient(error: &Error) -> bool {
    match error {
        Error::Failed { source: Code::UnknownTopicOrPartition | Code::UnknownTopic, .. } => false,
        Error::Failed { source, .. } => kind(*source) == Kind::Transient,
        _ => false,
    }
}

/// How long a topic may take to get a leader, or to be gone everywhere.
const SETTLING: Duration = Duration::from_secs(5);

/// Whether the error may come of a topic that was created or deleted a moment ago.
fn is_settling(error: &Error) -> bool {
    matches!(error, Error::Failed { source, .. } if kind(*source) == Kind::Transient)
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(20)).await;
}

impl Session {
    fn at(&self) -> Vec<(TopicPartition, Offset)> {
        self.at.iter().map(|(at, offset)| (at.clone(), *offset)).collect()
    }

    /// Takes about `bytes_max` of `chunk`, at least one record, and keeps the rest.
    fn take(&mut self, mut chunk: Chunk, bytes_max: usize) -> Fetched {
        let fetched = if chunk.size <= bytes_max {
            Fetched { records: chunk.records, next: chunk.next }
        } else {
            let mut size = 0;
            let is_within = |record: &LogRecord| {
                size += bytes(record);
                size <= bytes_max
            };
            let count = chunk.records.iter().map(is_within).take_while(|is| *is).count();
            let rest = chunk.records.split_off(count.max(1).min(chunk.records.len()));
            let records = std::mem::replace(&mut chunk.records, rest);
            let next = if chunk.records.is_empty() {
                std::mem::take(&mut chunk.next)
            } else {
                chunk.size = chunk.records.iter().map(bytes).sum();
                let next = next_of(&records);
                self.rest = Some(chunk);
                next
            };
            Fetched { records, next }
        };
        self.at.extend(fetched.next.iter().cloned());
        fetched
    }
}

/// The offsets after the last record of each partition.
fn next_of(records: &[LogRecord]) -> Vec<(TopicPartition, Offset)> {
    let mut next = BTreeMap::new();
    for record in records {
        next.insert(&record.source, Offset(record.offset.0 + 1));
    }
    next.into_iter().map(|(at, offset)| (at.clone(), offset)).collect()
}

fn bytes(record: &LogRecord) -> usize {
    let headers: usize = record.headers.iter().map(|h| h.name.len() + h.value.len()).sum();
    let payload = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(0, bytes::Bytes::len);
    size_of::<LogRecord>() + headers + payload(&record.key) + payload(&record.value)
}

impl fmt::Debug for KafkaReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaReader")
            .field("is_assigned", &self.session.is_some())
            .finish_non_exhaustive()
    }
}
