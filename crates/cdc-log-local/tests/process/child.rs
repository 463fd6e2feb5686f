//! What the other process does.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cdc_log_local::{LocalLog, LocalLogConfig};
use cdc_model::{Offset, Position, Record, Topic};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogReader, LogWriter};
use cdc_pipeline::{Classify, ErrorClass};
use testkit::fixture::record;

use crate::report;

pub(crate) const TOPICS: [&str; 2] = ["orders", "customers"];

/// Small segments, so that kills meet their making too.
pub(crate) fn config() -> LocalLogConfig {
    LocalLogConfig { segment_bytes: 100_000, free_bytes_min: 0, ..LocalLogConfig::default() }
}

/// The records of append `sequence`: 1 to 50 of them, of up to 3,000 bytes.
pub(crate) fn records(sequence: u64) -> Vec<Record> {
    let make = |seq: u64| {
        let topic = Topic::new(TOPICS[usize::from(seq.is_multiple_of(3))]);
        let size = usize::try_from(sequence * 31 + seq * 97).expect("is small") % 3_000;
        let mut value = format!("{sequence}:{seq}:").into_bytes();
        value.resize(value.len() + size, b'x');
        Record { value: Some(value.into()), ..record(&topic, "k", "", seq) }
    };
    (0..=sequence % 50).map(make).collect()
}

fn batch(sequence: u64, records: Vec<Record>) -> Arc<AppendBatch> {
    let bytes = Bytes::from(sequence.to_be_bytes().to_vec());
    let entries = vec![("last".into(), Some(bytes.clone()))];
    let update = CheckpointUpdate { sequence, position: Some(Position(bytes)), entries };
    Arc::new(AppendBatch { records, update: Some(update) })
}

/// Reads the values of `topic` from its beginning to its end.
pub(crate) async fn read_all(log: &LocalLog, topic: &Topic) -> Vec<Option<Bytes>> {
    let mut reader = log.reader();
    let topics = reader.topics().await.expect("lists");
    let Some(meta) = topics.into_iter().find(|meta| meta.topic == *topic) else {
        return Vec::new();
    };
    let source = meta.topic_partitions().next().expect("has a partition");
    reader.assign(vec![(source, Offset(0))]).await.expect("assigns");
    let (mut values, mut next) = (Vec::new(), Offset(0));
    while next < meta.partitions[0].1 {
        let fetched = reader.poll(1 << 20).await.expect("polls");
        values.extend(fetched.records.into_iter().map(|record| record.value));
        next = fetched.next[0].1;
    }
    values
}

/// Appends without end, and says so after each `Ok`.
pub(crate) async fn append_for_ever(dir: &Path) {
    let log = LocalLog::open(dir, config()).expect("opens");
    let mut writer = log.writer("p", "i");
    let stored = writer.open().await.expect("opens").map_or(0, |checkpoint| checkpoint.sequence);
    for sequence in stored + 1.. {
        writer.append(batch(sequence, records(sequence))).await.expect("appends");
        report(&sequence.to_string());
    }
}

/// Holds the directory until it is told to let go.
pub(crate) fn hold(dir: &Path) {
    let log = LocalLog::open(dir, config()).expect("opens");
    report("held");
    std::io::stdin().read_to_end(&mut Vec::new()).expect("waits");
    drop(log);
}

/// Fills the file system that `dir` is, frees some of it, and goes on.
pub(crate) async fn fill(dir: &Path) {
    let ballast = dir.join("ballast");
    fs::write(&ballast, vec![1; 8 << 20]).expect("fits");
    let topic = Topic::new("t");
    let log = LocalLog::open(dir.join("data"), config()).expect("opens");
    let mut writer = log.writer("p", "i");
    let mut sequence = writer.open().await.expect("opens").map_or(0, |c| c.sequence);
    let (mut errors, mut values) = (0, Vec::new());
    while sequence < 400 {
        let records = noise(&topic, sequence + 1);
        let appended = writer.append(batch(sequence + 1, records.clone())).await;
        let Err(error) = appended else {
            sequence += 1;
            values.extend(records.into_iter().map(|record| record.value));
            continue;
        };
        errors += 1;
        assert_ne!(error.class(), ErrorClass::Fatal, "{error:?}");
        let is_seen = error.code() == Some("DISK_FULL");
        report(&format!("append {} refused: {error} ({:?})", sequence + 1, error.code()));
        assert!(is_seen || errors > 1, "{error:?}");
        assert_eq!(read_all(&log, &topic).await, values, "nothing is half visible");
        if ballast.exists() {
            fs::remove_file(&ballast).expect("is removed");
        } else {
            break;
        }
        let stored = writer.open().await.expect("opens, for there is room now");
        let stored = stored.expect("was appended to").sequence;
        assert!(stored == sequence || stored == sequence + 1, "{stored} after {sequence}");
        if stored > sequence {
            values.extend(records.into_iter().map(|record| record.value));
        }
        sequence = stored;
        assert_eq!(read_all(&log, &topic).await, values, "what was answered is there");
    }
    assert_eq!(errors, 2, "the disk was full twice");
    report(&format!("{sequence} appends of 100 kB, full twice"));
}

/// One record of 100 kB that does not compress.
fn noise(topic: &Topic, sequence: u64) -> Vec<Record> {
    let mut state = sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let value: Vec<u8> = std::iter::repeat_with(next).take(100_000).collect();
    vec![Record { value: Some(value.into()), ..record(topic, "k", "", sequence) }]
}
