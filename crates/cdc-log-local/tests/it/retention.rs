//! What is dropped, and what is held back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use cdc_log_local::{Error, LocalLog, LocalLogConfig};
use cdc_model::{Timestamp, Topic};
use cdc_pipeline::port::{LogReader, LogWriter};
use cdc_pipeline::{Classify, Clock, ErrorClass};

use crate::support::{at, batch, config, noise, open, read_from, reopen, writer};

/// Ten records of 1,000 bytes an append, one append a segment.
async fn append(log: &LocalLog, topic: &Topic, appends: std::ops::RangeInclusive<u64>) {
    let mut writer = writer(log).await;
    for sequence in appends {
        writer.append(batch(sequence, noise(topic, sequence, 10, 1_000))).await.unwrap();
    }
}

fn tight(retention_bytes: u64) -> LocalLogConfig {
    let retention_bytes = Some(retention_bytes);
    LocalLogConfig { segment_bytes: 5_000, retention_bytes, ..config() }
}

async fn first(log: &LocalLog, topic: &Topic) -> i64 {
    let topics = log.reader().topics().await.unwrap();
    topics.iter().find(|meta| meta.topic == *topic).unwrap().partitions[0].0.0
}

#[tokio::test]
async fn the_oldest_segments_go_and_stay_gone() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = reopen(dir.path(), tight(35_000)).await;
    append(&log, &topic, 1..=10).await;
    assert_eq!(first(&log, &topic).await, 70);
    let kept = read_from(&mut log.reader(), &topic, 70).await.unwrap();
    assert_eq!(kept.len(), 30);
    drop(log);

    let log = open(dir.path());
    assert_eq!(first(&log, &topic).await, 70);
    assert_eq!(read_from(&mut log.reader(), &topic, 70).await.unwrap(), kept);
    assert_eq!(log.stats().await.unwrap().segments, 3);
    let keyspaces = std::fs::read_dir(dir.path().join("log/store/keyspaces")).unwrap().count();
    assert_eq!(keyspaces, 5, "three segments, ours and the store's own");
}

#[tokio::test]
async fn a_projection_that_starts_on_a_trimmed_log_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = reopen(dir.path(), tight(35_000)).await;
    append(&log, &topic, 1..=10).await;
    let error = log.reader().assign(vec![at(&topic, 0)]).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("OFFSET_OUT_OF_RANGE")));
    assert!(matches!(error, Error::OffsetOutOfRange { first: 70, next: 100, .. }), "{error}");
}

#[tokio::test]
async fn a_reader_overtaken_by_retention_halts() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = reopen(dir.path(), tight(35_000)).await;
    append(&log, &topic, 1..=1).await;
    let mut reader = log.reader();
    reader.assign(vec![at(&topic, 0)]).await.unwrap();
    append(&log, &topic, 2..=10).await;
    let error = reader.poll(1).await.unwrap_err();
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some("OFFSET_OUT_OF_RANGE")));
}

#[tokio::test]
async fn what_a_registered_projection_has_not_applied_is_kept_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let log = reopen(dir.path(), tight(1)).await;
    log.register_projection("warehouse").await.unwrap();
    append(&log, &topic, 1..=6).await;
    assert_eq!(first(&log, &topic).await, 0);

    log.projection_applied("warehouse", vec![at(&topic, 29)]).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 2);
    assert_eq!(first(&log, &topic).await, 20);
    drop(log);

    let log = reopen(dir.path(), tight(1)).await;
    log.register_projection("warehouse").await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 0);
    log.projection_applied("warehouse", vec![at(&topic, 60)]).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 3);
    assert_eq!(first(&log, &topic).await, 50);
}

#[tokio::test]
async fn topics_a_projection_never_reads_do_not_hold_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (topic, other) = (Topic::new("t"), Topic::new("t.dlq"));
    let log = reopen(dir.path(), tight(1)).await;
    log.register_projection("warehouse").await.unwrap();
    append(&log, &other, 1..=1).await;
    append(&log, &topic, 2..=3).await;
    log.projection_applied("warehouse", vec![at(&topic, 20)]).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 0);
    let never = (at(&other, 0).0, LocalLog::NEVER_READ);
    log.projection_applied("warehouse", vec![never]).await.unwrap();
    assert_eq!(log.enforce_retention().await.unwrap(), 2);

    log.forget_projection("warehouse").await.unwrap();
    let error = log.projection_applied("warehouse", Vec::new()).await.unwrap_err();
    assert_eq!(error.code(), Some("UNKNOWN_PROJECTION"));
}

#[tokio::test]
async fn old_segments_go_by_age() {
    let dir = tempfile::tempdir().unwrap();
    let topic = Topic::new("t");
    let seconds = Arc::new(AtomicI64::new(0));
    let now = seconds.clone();
    let clock = Clock::new(move || Timestamp(now.load(Ordering::Relaxed) * 1_000_000));
    let config = LocalLogConfig {
        segment_age: Duration::from_secs(10),
        retention_age: Some(Duration::from_secs(60)),
        clock,
        ..config()
    };
    let log = reopen(dir.path(), config).await;
    append(&log, &topic, 1..=2).await;
    seconds.store(10, Ordering::Relaxed);
    append(&log, &topic, 3..=3).await;
    assert_eq!(log.stats().await.unwrap().segments, 2);
    seconds.store(60, Ordering::Relaxed);
    assert_eq!(log.enforce_retention().await.unwrap(), 0);
    seconds.store(61, Ordering::Relaxed);
    assert_eq!(log.enforce_retention().await.unwrap(), 1);
    assert_eq!(first(&log, &topic).await, 20);
}
