//! What is there after the log was closed, in good order or not.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_log_local::LocalLogConfig;
use cdc_model::{Position, Topic};
use cdc_pipeline::port::{AppendBatch, Checkpoint, CheckpointUpdate, LogReader, LogWriter};
use cdc_pipeline::{Classify, Clock, ErrorClass};
use testkit::fixture::record;

use crate::support::{batch, config, noise, open, read_from, reopen, writer};

#[tokio::test]
async fn everything_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let entries = vec![(Arc::from("a"), Some(Bytes::from_static(b"1"))), (Arc::from("b"), None)];
    let position = Some(Position(Bytes::from_static(b"here")));
    let log = open(dir.path());
    let update = Some(CheckpointUpdate { sequence: 1, position: position.clone(), entries });
    let records = noise(&topic, 1, 1_000, 300);
    writer(&log).await.append(Arc::new(AppendBatch { records, update })).await.unwrap();
    let before = read_from(&mut log.reader(), &topic, 0).await.unwrap();
    let topics = log.reader().topics().await.unwrap();
    drop(log);

    let log = open(dir.path());
    assert_eq!(log.reader().topics().await.unwrap(), topics);
    assert_eq!(read_from(&mut log.reader(), &topic, 0).await.unwrap(), before);
    let entries = BTreeMap::from([(Arc::from("a"), Bytes::from_static(b"1"))]);
    let expected = Checkpoint { sequence: 1, position, entries };
    let mut writer = log.writer("p", "incarnation");
    assert_eq!(writer.open().await.unwrap(), Some(expected));
    writer.append(batch(2, noise(&topic, 2, 1, 10))).await.unwrap();
    assert_eq!(read_from(&mut log.reader(), &topic, 1_000).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_dropped_in_the_middle_of_an_append_has_it_whole_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let config = LocalLogConfig { segment_bytes: 20_000, ..config() };
    let mut appended = 0;
    for attempt in 0..20 {
        let log = reopen(dir.path(), config.clone()).await;
        let mut writer = log.writer("p", "incarnation");
        let stored = writer.open().await.unwrap().map_or(0, |checkpoint| checkpoint.sequence);
        assert!(stored == appended || stored == appended + 1, "{stored} after {appended}");
        appended = stored;
        if stored > 0 {
            let read = read_from(&mut log.reader(), &topic, 0).await.unwrap();
            assert_eq!(read.len() as u64, stored * 10);
        }
        let next = batch(stored + 1, noise(&topic, stored + 1, 10, 500));
        let patience = Duration::from_micros(40 * attempt);
        if tokio::time::timeout(patience, writer.append(next)).await.is_ok() {
            appended = stored + 1;
        }
    }
}

#[tokio::test]
async fn a_gap_in_the_sequence_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = open(dir.path());
    let mut writer = writer(&log).await;
    writer.append(batch(1, vec![record(&topic, "k", "1", 0)])).await.unwrap();
    for wrong in [1, 3] {
        let next = batch(wrong, vec![record(&topic, "k", "2", 1)]);
        let error = writer.append(next).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("SEQUENCE_GAP")));
        assert_eq!(writer.open().await.unwrap().unwrap().sequence, 1);
    }
    assert_eq!(read_from(&mut log.reader(), &topic, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_writer_is_opened_before_it_appends_and_after_each_error() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(dir.path());
    let mut writer = log.writer("p", "incarnation");
    let error = writer.append(batch(1, Vec::new())).await.unwrap_err();
    assert_eq!(error.code(), Some("WRITER_NOT_OPEN"));
    writer.open().await.unwrap();
    writer.append(batch(2, Vec::new())).await.unwrap_err();
    let error = writer.append(batch(1, Vec::new())).await.unwrap_err();
    assert_eq!(error.code(), Some("WRITER_NOT_OPEN"));
}

#[tokio::test]
async fn a_nearly_full_disk_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = open(dir.path());
    writer(&log).await.append(batch(1, vec![record(&topic, "k", "1", 0)])).await.unwrap();
    drop(log);

    let config = LocalLogConfig { free_bytes_min: u64::MAX, ..config() };
    let log = reopen(dir.path(), config).await;
    let mut writer = writer(&log).await;
    for _ in 0..2 {
        let error = writer.append(batch(2, vec![record(&topic, "k", "2", 1)])).await.unwrap_err();
        assert_eq!((error.class(), error.code()), (ErrorClass::Transient, Some("DISK_FULL")));
        assert_eq!(writer.open().await.unwrap().unwrap().sequence, 1);
    }
    assert_eq!(read_from(&mut log.reader(), &topic, 0).await.unwrap().len(), 1);
}

#[tokio::test]
async fn records_carry_identity_and_the_time_of_their_append() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let clock = Clock::new(|| cdc_model::Timestamp(1_234_567));
    let log = reopen(dir.path(), LocalLogConfig { clock, ..config() }).await;
    let sent = record(&topic, "k", "1", 7);
    writer(&log).await.append(batch(1, vec![sent.clone()])).await.unwrap();
    let read = read_from(&mut log.reader(), &topic, 0).await.unwrap().remove(0);
    assert_eq!(read.timestamp_ms, 1_234);
    let id = sent.id.map(|id| format!("incarnation:{id}")).unwrap();
    assert_eq!(read.header(cdc_model::Record::ID_HEADER), Some(&Bytes::from(id)));
    assert_eq!((read.key, read.value), (sent.key, sent.value));
}

#[tokio::test]
async fn a_new_log_in_the_same_place_has_other_topics() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let mut ids = Vec::new();
    for _ in 0..2 {
        let log = open(dir.path());
        writer(&log).await.append(batch(1, vec![record(&topic, "k", "1", 0)])).await.unwrap();
        ids.push(log.reader().topics().await.unwrap()[0].id.clone());
        drop(log);
        std::fs::remove_dir_all(dir.path().join("log")).unwrap();
    }
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn stats_count_what_is_held() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (Topic::new("a"), Topic::new("b"));
    let log = open(dir.path());
    let mut records = noise(&a, 1, 100, 1_000);
    records.push(record(&b, "k", "v", 100));
    writer(&log).await.append(batch(1, records)).await.unwrap();
    let stats = log.stats().await.unwrap();
    assert_eq!(stats.records, BTreeMap::from([(a, 100), (b, 1)]));
    assert_eq!(stats.segments, 1);
    assert!((100_000..10_000_000).contains(&stats.disk_bytes), "{}", stats.disk_bytes);
}
