//! The thread that owns a consumer and makes chunks of what it brings.
//!
//! One consumer serves one assignment. Chunks are bounded in bytes and so is the channel they go
//! through, so that a slow reader makes the consumer stop fetching.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cdc_model::{Header, HeaderName, LogRecord, Offset, Record, TopicPartition};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::topic_partition_list::{Offset as At, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::sync::mpsc;

use crate::context::Context;
use crate::{Error, KafkaConfig, Result};

/// About how many bytes a chunk holds.
const CHUNK_BYTES: usize = 1 << 20;
/// How many chunks may wait.
const CHUNKS: usize = 4;
/// How long a poll waits; also how soon an abandoned thread ends.
const POLL: Duration = Duration::from_millis(100);

/// Some records, and how far their partitions were read.
#[derive(Debug, Default)]
pub(crate) struct Chunk {
    pub(crate) records: Vec<LogRecord>,
    pub(crate) next: Vec<(TopicPartition, Offset)>,
    /// Bytes of the records.
    pub(crate) size: usize,
}

/// Starts to read `from`. Ends soon after the receiver is dropped, or with a fatal error.
pub(crate) fn start(
    config: Arc<KafkaConfig>,
    mut from: Vec<(TopicPartition, Offset)>,
) -> Result<mpsc::Receiver<Result<Chunk>>> {
    let (out, chunks) = mpsc::channel(CHUNKS);
    from.sort();
    thread::Builder::new()
        .name("kafka-consumer".to_owned())
        .spawn(move || {
            if let Err(error) = run(&config, from, &out) {
                // Nobody may read any more; then the error concerns nobody.
                drop(out.blocking_send(Err(error)));
            }
        })
        .map_err(|source| Error::Unreachable { servers: "(no thread)".into(), source })?;
    Ok(chunks)
}

fn run(
    config: &KafkaConfig,
    from: Vec<(TopicPartition, Offset)>,
    out: &mpsc::Sender<Result<Chunk>>,
) -> Result<()> {
    let consumer: BaseConsumer<Context> = config
        .reader()
        .create_with_context(Context::default())
        .map_err(|error| Error::of_property(&error))?;
    let mut fetcher = Fetcher { config, consumer: &consumer, at: from, last: 0, failure: None };
    fetcher.assign()?;
    let mut buffer = BytesMut::new();
    let mut is_failing = false;
    while !out.is_closed() {
        match fetcher.chunk(&mut buffer) {
            Ok(chunk) if chunk.next.is_empty() => {}
            Ok(chunk) => {
                is_failing = false;
                if out.blocking_send(Ok(chunk)).is_err() {
                    return Ok(());
                }
            }
            Err(error) if crate::reader::is_transient(&error) => {
                // Told once; the consumer goes on trying by itself.
                if !is_failing && out.blocking_send(Err(error)).is_err() {
                    return Ok(());
                }
                is_failing = true;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

struct Fetcher<'a> {
    config: &'a KafkaConfig,
    consumer: &'a BaseConsumer<Context>,
    /// What is assigned, sorted, and the next offset of each as last told.
    at: Vec<(TopicPartition, Offset)>,
    /// Index of the partition that the last record came from.
    last: usize,
    /// What the consumer told after the records of the last chunk.
    failure: Option<Error>,
}

impl Fetcher<'_> {
    fn assign(&self) -> Result<()> {
        let mut list = TopicPartitionList::with_capacity(self.at.len());
        for (TopicPartition { topic, partition }, offset) in &self.at {
            list.add_partition_offset(topic.as_str(), partition.0, At::Offset(offset.0))
                .map_err(|error| self.failed(&error))?;
        }
        self.consumer.assign(&list).map_err(|error| self.failed(&error))
    }

    /// Waits a little for records and takes those that are there, up to a chunk.
    fn chunk(&mut self, buffer: &mut BytesMut) -> Result<Chunk> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut chunk = Chunk::default();
        let mut wait = POLL;
        while chunk.size < CHUNK_BYTES {
            match self.consumer.poll(wait) {
                Some(Ok(message)) => self.take(&message, buffer, &mut chunk),
                Some(Err(KafkaError::PartitionEOF(_))) => {}
                None => break,
                // Told once by the consumer, so kept until what was taken is delivered.
                Some(Err(error)) => {
                    self.failure = Some(self.failed(&error));
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        self.advance(&mut chunk)?;
        Ok(chunk)
    }

    fn take(&mut self, message: &BorrowedMessage<'_>, buffer: &mut BytesMut, chunk: &mut Chunk) {
        let Some(index) = self.find(message.topic(), message.partition()) else { return };
        self.last = index;
        let size = message.key_len() + message.payload_len();
        buffer.reserve(size.max(if buffer.capacity() < size { CHUNK_BYTES / 4 } else { 0 }));
        let mut copy = |bytes: &[u8]| {
            buffer.extend_from_slice(bytes);
            buffer.split().freeze()
        };
        let key = message.key().map(&mut copy);
        let value = message.payload().map(&mut copy);
        let mut record = LogRecord {
            source: self.at[index].0.clone(),
            offset: Offset(message.offset()),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
            key,
            value,
            headers: smallvec::SmallVec::new(),
        };
        let mut headers_size = 0;
        if let Some(headers) = message.headers() {
            for index in 0..headers.count() {
                let header = headers.get(index);
                let value = header.value.map_or_else(Bytes::new, &mut copy);
                headers_size += header.key.len() + value.len();
                record.headers.push(Header { name: name(header.key), value });
            }
        }
        chunk.size += size + headers_size + size_of::<LogRecord>();
        chunk.records.push(record);
    }

    fn find(&self, topic: &str, partition: i32) -> Option<usize> {
        let is = |(at, _): &(TopicPartition, Offset)| {
            at.partition.0 == partition && at.topic.as_str() == topic
        };
        if self.at.get(self.last).is_some_and(is) {
            return Some(self.last);
        }
        let compare = |(at, _): &(TopicPartition, Offset)| {
            (at.topic.as_str(), at.partition.0).cmp(&(topic, partition))
        };
        self.at.binary_search_by(compare).ok()
    }

    /// Notes which partitions moved, control records included, which no message tells of.
    fn advance(&mut self, chunk: &mut Chunk) -> Result<()> {
        let list = self.consumer.position().map_err(|error| self.failed(&error))?;
        for element in list.elements() {
            let At::Offset(position) = element.offset() else { continue };
            let Some(index) = self.find(element.topic(), element.partition()) else { continue };
            let (partition, next) = &mut self.at[index];
            if next.0 < position {
                *next = Offset(position);
                chunk.next.push((partition.clone(), *next));
            }
        }
        Ok(())
    }

    fn failed(&self, error: &KafkaError) -> Error {
        let code = error.rdkafka_error_code().unwrap_or(Code::Unknown);
        let reason = self.consumer.client().context().last_error().map(|(_, text)| text);
        Error::of_code("reading", &self.config.bootstrap_servers, code, reason)
    }
}

/// Returns a header's name, without allocating for those that every record has.
fn name(name: &str) -> HeaderName {
    if name == Record::ID_HEADER {
        HeaderName::Borrowed(Record::ID_HEADER)
    } else {
        HeaderName::Owned(name.to_owned())
    }
}
