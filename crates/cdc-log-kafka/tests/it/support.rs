//! What these tests share: a broker, names of their own, small batches, a whole read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cdc_log_kafka::{KafkaConfig, KafkaLog, KafkaReader};
use cdc_model::{LogRecord, Offset, Position, Record, Topic, TopicPartition};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogReader};
use testkit::fixture::record;
use testkit::server::kafka::Kafka;

/// Longest a test waits for anything, on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// Returns a name that no other test uses.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn config(kafka: &Kafka) -> KafkaConfig {
    KafkaConfig::new(kafka.bootstrap())
}

pub(crate) fn log(kafka: &Kafka) -> KafkaLog {
    KafkaLog::new(config(kafka)).unwrap()
}

pub(crate) fn update(sequence: u64) -> CheckpointUpdate {
    let position = Some(Position(Bytes::from(sequence.to_be_bytes().to_vec())));
    CheckpointUpdate { sequence, position, entries: Vec::new() }
}

pub(crate) fn batch(sequence: u64, records: Vec<Record>) -> Arc<AppendBatch> {
    Arc::new(AppendBatch { records, update: Some(update(sequence)) })
}

/// A batch of one record whose value is `sequence`.
pub(crate) fn numbered(topic: &Topic, sequence: u64) -> Arc<AppendBatch> {
    let value = Some(Bytes::from(sequence.to_string()));
    batch(sequence, vec![Record { value, ..record(topic, "k", "", sequence) }])
}

pub(crate) fn text(record: &LogRecord) -> String {
    String::from_utf8(record.value.clone().unwrap_or_default().to_vec()).unwrap()
}

/// Reads all that `topic` holds now.
pub(crate) async fn read_all(reader: &mut KafkaReader, topic: &Topic) -> Vec<LogRecord> {
    let topics = reader.topics().await.unwrap();
    let meta = topics.into_iter().find(|meta| meta.topic == *topic).expect("the topic exists");
    let ends: Vec<(TopicPartition, Offset, Offset)> = meta
        .topic_partitions()
        .zip(&meta.partitions)
        .map(|(at, (first, end))| (at, *first, *end))
        .collect();
    let from = ends.iter().map(|(at, first, _)| (at.clone(), *first)).collect();
    reader.assign(from).await.unwrap();
    let mut open: Vec<_> = ends.into_iter().filter(|(_, first, end)| first < end).collect();
    let mut records = Vec::new();
    while !open.is_empty() {
        let polled = tokio::time::timeout(PATIENCE, reader.poll(1 << 20)).await;
        let fetched = polled.expect("there is more to read").unwrap();
        records.extend(fetched.records);
        for (at, next) in fetched.next {
            open.retain(|(open, _, end)| *open != at || next < *end);
        }
    }
    records
}

pub(crate) async fn texts(log: &KafkaLog, topic: &Topic) -> Vec<String> {
    read_all(&mut log.reader(), topic).await.iter().map(text).collect()
}
