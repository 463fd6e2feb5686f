//! A log in a directory that goes away with the test, and batches to fill it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_log_local::{Error, LocalLog, LocalLogConfig, LocalReader, LocalWriter};
use cdc_model::{LogRecord, Offset, Partition, Position, Record, Topic, TopicPartition};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogReader, LogWriter};
use testkit::fixture::record;

/// Longest a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Settings that do not depend on the machine's free space.
pub(crate) fn config() -> LocalLogConfig {
    LocalLogConfig { free_bytes_min: 0, ..LocalLogConfig::default() }
}

pub(crate) fn open(dir: &Path) -> LocalLog {
    LocalLog::open(dir, config()).expect("opens")
}

/// Opens the log as soon as work that outlived its future has let go of it.
pub(crate) async fn reopen(dir: &Path, config: LocalLogConfig) -> LocalLog {
    let opened = async {
        loop {
            match LocalLog::open(dir, config.clone()) {
                Err(Error::Locked { .. }) => tokio::task::yield_now().await,
                opened => return opened.expect("opens"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, opened).await.expect("is released")
}

pub(crate) async fn writer(log: &LocalLog) -> LocalWriter {
    let mut writer = log.writer("p", "incarnation");
    writer.open().await.expect("opens");
    writer
}

pub(crate) fn batch(sequence: u64, records: Vec<Record>) -> Arc<AppendBatch> {
    let position = Some(Position(Bytes::from(sequence.to_be_bytes().to_vec())));
    let update = Some(CheckpointUpdate { sequence, position, entries: Vec::new() });
    Arc::new(AppendBatch { records, update })
}

/// `count` records of `size` bytes that do not compress, the same for the same `sequence`.
pub(crate) fn noise(topic: &Topic, sequence: u64, count: u64, size: usize) -> Vec<Record> {
    let mut state = sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut byte = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let make = |seq| {
        let value: Vec<u8> = (0..size).map(|_| byte()).collect();
        Record { value: Some(value.into()), ..record(topic, "k", "", seq) }
    };
    (0..count).map(make).collect()
}

pub(crate) fn at(topic: &Topic, offset: i64) -> (TopicPartition, Offset) {
    (TopicPartition { topic: topic.clone(), partition: Partition(0) }, Offset(offset))
}

/// Reads partition 0 of `topic` from `offset` to its end.
pub(crate) async fn read_from(
    reader: &mut LocalReader,
    topic: &Topic,
    offset: i64,
) -> Result<Vec<LogRecord>, Error> {
    let topics = reader.topics().await?;
    let meta = topics.into_iter().find(|meta| meta.topic == *topic).expect("exists");
    let end = meta.partitions[0].1;
    reader.assign(vec![at(topic, offset)]).await?;
    let mut records = Vec::new();
    let mut next = Offset(offset);
    while next < end {
        let polled = tokio::time::timeout(PATIENCE, reader.poll(1 << 20)).await;
        let fetched = polled.expect("has more to read")?;
        records.extend(fetched.records);
        next = fetched.next[0].1;
    }
    Ok(records)
}
