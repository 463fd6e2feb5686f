//! What every event log keeps. Instantiate with [`crate::log_contract!`].

#![expect(async_fn_in_trait, reason = "fixtures run on the test's own task")]
#![expect(clippy::missing_panics_doc, reason = "a law fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cdc_model::{
    Header, LogRecord, Offset, Partition, Placement, Position, Record, Topic, TopicPartition,
};
use cdc_pipeline::port::{
    AppendBatch, Checkpoint, CheckpointUpdate, LogReader, LogWriter, TopicMeta,
};
use cdc_pipeline::{Classify, ErrorClass};

use crate::fixture::record;

/// Gives the adapters under test. Names (pipelines, topics) are made unique by the fixture, so
/// that one real server can serve a whole suite.
pub trait LogFixture {
    /// The writer under test.
    type Writer: LogWriter;
    /// The reader under test.
    type Reader: LogReader;

    /// Returns a new, unopened writer for `pipeline`; called twice with one name, the second
    /// writer competes with the first.
    async fn writer(&self, pipeline: &str) -> Self::Writer;

    /// Returns a new reader.
    async fn reader(&self) -> Self::Reader;

    /// Returns a topic name for `name`, unused by other tests.
    fn topic(&self, name: &str) -> Topic;
}

/// Makes a test of each law. `$fixture` is an expression of a future of a [`log::LogFixture`].
///
/// [`log::LogFixture`]: crate::contract::log::LogFixture
#[macro_export]
macro_rules! log_contract {
    ($fixture:expr) => {
        $crate::log_contract!(@ $fixture,
            a_new_pipeline_has_no_checkpoint
            records_are_read_back_in_order
            the_checkpoint_moves_with_its_records
            an_append_without_records_moves_the_checkpoint
            pipelines_keep_their_checkpoints_apart
            opening_fences_the_earlier_writer
            after_a_dropped_append_the_sequence_tells
            equal_keys_share_a_partition_and_truncates_reach_all
            keys_values_and_headers_survive_unchanged
            a_reader_starts_at_the_offset_it_was_given
            an_offset_out_of_range_is_refused
            a_poll_that_is_dropped_loses_nothing
            a_waiting_reader_is_woken_by_an_append
            a_large_batch_is_read_in_bounded_pieces
            topics_keep_their_identity);
    };
    (@ $fixture:expr, $($law:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $law() {
            $crate::contract::log::$law(&$fixture.await).await;
        })*
    };
}

/// Longest a law waits for a log, real brokers on a busy machine included.
const PATIENCE: Duration = Duration::from_secs(60);

fn batch(sequence: u64, records: Vec<Record>) -> Arc<AppendBatch> {
    let position = Some(Position(Bytes::from(sequence.to_be_bytes().to_vec())));
    let update = Some(CheckpointUpdate { sequence, position, entries: Vec::new() });
    Arc::new(AppendBatch { records, update })
}

async fn meta<R: LogReader>(reader: &mut R, topic: &Topic) -> TopicMeta {
    let topics = reader.topics().await.expect("lists topics");
    topics.into_iter().find(|meta| meta.topic == *topic).expect("the topic exists")
}

async fn read_all<R: LogReader>(reader: &mut R, topic: &Topic) -> Vec<LogRecord> {
    let meta = meta(reader, topic).await;
    let from = meta.topic_partitions().zip(&meta.partitions).map(|(p, (first, _))| (p, *first));
    reader.assign(from.collect()).await.expect("assigns");
    let mut pending: BTreeMap<TopicPartition, Offset> = meta
        .topic_partitions()
        .zip(&meta.partitions)
        .filter(|(_, (first, end))| first < end)
        .map(|(partition, (_, end))| (partition, *end))
        .collect();
    let mut records = Vec::new();
    while !pending.is_empty() {
        let polled = tokio::time::timeout(PATIENCE, reader.poll(1 << 20)).await;
        let fetched = polled.expect("has more to read").expect("polls");
        records.extend(fetched.records);
        for (partition, next) in fetched.next {
            if pending.get(&partition).is_some_and(|end| *end <= next) {
                pending.remove(&partition);
            }
        }
    }
    records
}

fn values(records: &[LogRecord]) -> Vec<&str> {
    let text = |r: &LogRecord| r.value.clone().map_or("", |v| leak(&v));
    records.iter().map(text).collect()
}

fn leak(value: &Bytes) -> &'static str {
    String::from_utf8(value.to_vec()).expect("test values are text").leak()
}

/// Nothing was appended, so there is nothing to go on from.
pub async fn a_new_pipeline_has_no_checkpoint(log: &impl LogFixture) {
    let mut writer = log.writer("fresh").await;
    assert_eq!(writer.open().await.expect("opens"), None);
}

/// Records of one partition come back in the order they were appended, across appends.
pub async fn records_are_read_back_in_order(log: &impl LogFixture) {
    let topic = log.topic("order");
    let mut writer = log.writer("order").await;
    writer.open().await.expect("opens");
    let first = vec![record(&topic, "k", "1", 0), record(&topic, "k", "2", 1)];
    writer.append(batch(1, first)).await.expect("appends");
    writer.append(batch(2, vec![record(&topic, "k", "3", 2)])).await.expect("appends");

    let records = read_all(&mut log.reader().await, &topic).await;
    assert_eq!(values(&records), ["1", "2", "3"]);
    assert!(records.is_sorted_by(|a, b| a.offset < b.offset), "{records:?}");
    let ids: BTreeSet<_> = records.iter().map(|r| r.header(Record::ID_HEADER)).collect();
    assert_eq!(ids.len(), 3, "each record carries its own identity");
    assert!(ids.iter().all(|id| id.is_some_and(|id| id.contains(&b':'))), "{ids:?}");
}

/// Position and entries are those of the last append; entries not named stay.
pub async fn the_checkpoint_moves_with_its_records(log: &impl LogFixture) {
    let topic = log.topic("checkpoint");
    let mut writer = log.writer("checkpoint").await;
    writer.open().await.expect("opens");
    let position = |n: u8| Some(Position(Bytes::from(vec![n])));
    let set = |key: &str, value: Option<&'static str>| {
        (Arc::from(key), value.map(|v| Bytes::from_static(v.as_bytes())))
    };
    let mut expected = Checkpoint::default();
    for (sequence, position, entries) in [
        (1, position(1), vec![set("a", Some("1")), set("b", Some("2"))]),
        (2, None, vec![set("a", Some("3"))]),
        (3, position(3), vec![set("b", None), set("c", Some(""))]),
    ] {
        let update = CheckpointUpdate { sequence, position, entries };
        expected.apply(&update);
        let records = vec![record(&topic, "k", "v", sequence)];
        let batch = AppendBatch { records, update: Some(update) };
        writer.append(Arc::new(batch)).await.expect("appends");
    }
    drop(writer);
    let mut again = log.writer("checkpoint").await;
    assert_eq!(again.open().await.expect("opens"), Some(expected));
}

/// An idle source's position is durable without a record.
pub async fn an_append_without_records_moves_the_checkpoint(log: &impl LogFixture) {
    let mut writer = log.writer("idle").await;
    writer.open().await.expect("opens");
    writer.append(batch(1, Vec::new())).await.expect("appends");
    let checkpoint = writer.open().await.expect("opens").expect("has a checkpoint");
    assert_eq!(checkpoint.sequence, 1);
}

/// One pipeline's checkpoint is not another's.
pub async fn pipelines_keep_their_checkpoints_apart(log: &impl LogFixture) {
    let (mut a, mut b) = (log.writer("apart-a").await, log.writer("apart-b").await);
    a.open().await.expect("opens");
    b.open().await.expect("opens");
    a.append(batch(1, Vec::new())).await.expect("appends");
    a.append(batch(2, Vec::new())).await.expect("appends");
    b.append(batch(1, Vec::new())).await.expect("appends");
    assert_eq!(a.open().await.expect("opens").map(|c| c.sequence), Some(2));
    assert_eq!(b.open().await.expect("opens").map(|c| c.sequence), Some(1));
}

/// Of two writers of a pipeline, only the one opened last can append, however often the other has.
pub async fn opening_fences_the_earlier_writer(log: &impl LogFixture) {
    for before in 0..=3 {
        let pipeline = format!("fence-{before}");
        let topic = log.topic(&pipeline);
        let mut old = log.writer(&pipeline).await;
        old.open().await.expect("opens");
        for sequence in 1..=before {
            let records = vec![record(&topic, "k", "old", sequence)];
            old.append(batch(sequence, records)).await.expect("appends");
        }
        let mut new = log.writer(&pipeline).await;
        let found = new.open().await.expect("opens").map_or(0, |found| found.sequence);
        assert_eq!(found, before);

        let next = before + 1;
        let refused = old.append(batch(next, vec![record(&topic, "k", "zombie", next)])).await;
        let error = refused.expect_err("the old writer is fenced");
        assert_eq!(error.class(), ErrorClass::Fenced, "after {before} appends: {error}");
        new.append(batch(next, vec![record(&topic, "k", "new", next)])).await.expect("appends");

        let records = read_all(&mut log.reader().await, &topic).await;
        let mut expected = vec!["old"; usize::try_from(before).expect("few")];
        expected.push("new");
        assert_eq!(values(&records), expected);
    }
}

/// After a lost answer, the checkpoint's sequence says whether the records are there.
pub async fn after_a_dropped_append_the_sequence_tells(log: &impl LogFixture) {
    let topic = log.topic("lost");
    let mut writer = log.writer("lost").await;
    writer.open().await.expect("opens");
    writer.append(batch(1, vec![record(&topic, "k", "first", 0)])).await.expect("appends");
    let mut expected = vec!["first"];
    let mut sequence = 1;
    for attempt in 0_u64..4 {
        let next = batch(sequence + 1, vec![record(&topic, "k", "maybe", 1 + attempt)]);
        let patience = Duration::from_micros(300 * attempt);
        let outcome = tokio::time::timeout(patience, writer.append(next)).await;
        if let Ok(outcome) = outcome {
            outcome.expect("appends");
        }
        let stored = writer.open().await.expect("opens").expect("has a checkpoint").sequence;
        assert!(stored == sequence || stored == sequence + 1, "{stored} after {sequence}");
        if stored > sequence {
            expected.push("maybe");
        }
        sequence = stored;
        let records = read_all(&mut log.reader().await, &topic).await;
        assert_eq!(values(&records), expected);
    }
}

/// Keys decide partitions; a truncate goes to every one of them.
pub async fn equal_keys_share_a_partition_and_truncates_reach_all(log: &impl LogFixture) {
    let topic = log.topic("partitions");
    let mut writer = log.writer("partitions").await;
    writer.open().await.expect("opens");
    let mut records = Vec::new();
    for (seq, key) in (0..).zip(["a", "b", "c", "d", "e", "a", "b", "c", "d", "e"]) {
        records.push(record(&topic, key, key, seq));
    }
    let truncate = Record {
        placement: Placement::Every,
        key: None,
        value: Some(Bytes::from_static(b"truncate")),
        ..record(&topic, "", "", 10)
    };
    records.push(truncate);
    writer.append(batch(1, records)).await.expect("appends");

    let mut reader = log.reader().await;
    let count = meta(&mut reader, &topic).await.partitions.len();
    let read = read_all(&mut reader, &topic).await;
    let by_key = |r: &LogRecord| r.key.clone().map(|key| (key, r.source.partition));
    let placed: BTreeSet<(Bytes, Partition)> = read.iter().filter_map(by_key).collect();
    assert_eq!(placed.len(), 5, "{placed:?}");
    for (key, partition) in &placed {
        let count = i32::try_from(count).expect("few partitions");
        assert_eq!(*partition, cdc_pipeline::partition::by_key(key, count));
    }
    assert_eq!(read.iter().filter(|r| r.key.is_none()).count(), count);
}

/// Null, empty and binary are three things, and headers keep their order.
pub async fn keys_values_and_headers_survive_unchanged(log: &impl LogFixture) {
    let topic = log.topic("bytes");
    let mut writer = log.writer("bytes").await;
    writer.open().await.expect("opens");
    let header = |name: &'static str, value: &'static [u8]| Header {
        name: name.into(),
        value: Bytes::from_static(value),
    };
    let base = record(&topic, "", "", 0);
    let records = vec![
        Record {
            key: None,
            value: Some(Bytes::new()),
            placement: Placement::Fixed,
            ..base.clone()
        },
        Record { key: Some(Bytes::new()), value: None, ..base.clone() },
        Record {
            key: Some(Bytes::from_static(&[0, 255, 10])),
            value: Some(Bytes::from(vec![7; 300_000])),
            headers: [header("a", b"1"), header("b", &[0, 255]), header("a", b"")]
                .into_iter()
                .collect(),
            ..base
        },
    ];
    writer.append(batch(1, records.clone())).await.expect("appends");
    let mut read = read_all(&mut log.reader().await, &topic).await;
    for record in &mut read {
        record.headers.retain(|header| header.name != Record::ID_HEADER);
    }
    for expected in records {
        let is_same = |r: &LogRecord| r.key == expected.key && r.value == expected.value;
        let found = read.iter().find(|r| is_same(r)).expect("the record is there");
        assert_eq!(found.headers, expected.headers);
    }
}

/// Reading goes on at any offset, inclusive.
pub async fn a_reader_starts_at_the_offset_it_was_given(log: &impl LogFixture) {
    let topic = log.topic("seek");
    let mut writer = log.writer("seek").await;
    writer.open().await.expect("opens");
    let records = ["0", "1", "2", "3"].into_iter().zip(0..);
    let records = records.map(|(v, seq)| record(&topic, "k", v, seq)).collect();
    writer.append(batch(1, records)).await.expect("appends");

    let mut reader = log.reader().await;
    let all = read_all(&mut reader, &topic).await;
    let third = &all[2];
    reader.assign(vec![(third.source.clone(), third.offset)]).await.expect("assigns");
    let mut read = Vec::new();
    while read.len() < 2 {
        let fetched = tokio::time::timeout(PATIENCE, reader.poll(1)).await;
        read.extend(fetched.expect("has more").expect("polls").records);
    }
    assert_eq!(read, all[2..]);
}

/// An offset the partition does not hold is an error, never another offset.
pub async fn an_offset_out_of_range_is_refused(log: &impl LogFixture) {
    let topic = log.topic("range");
    let mut writer = log.writer("range").await;
    writer.open().await.expect("opens");
    writer.append(batch(1, vec![record(&topic, "k", "v", 0)])).await.expect("appends");
    let mut reader = log.reader().await;
    let partition = read_all(&mut reader, &topic).await[0].source.clone();
    let refused = match reader.assign(vec![(partition, Offset(1_000_000))]).await {
        Err(error) => error,
        Ok(()) => {
            let polled = tokio::time::timeout(PATIENCE, reader.poll(1)).await;
            polled.expect("answers").expect_err("there is no such offset")
        }
    };
    assert_eq!(refused.class(), ErrorClass::Fatal, "{refused}");
}

/// Dropping a poll at any point leaves the next one with everything.
pub async fn a_poll_that_is_dropped_loses_nothing(log: &impl LogFixture) {
    let topic = log.topic("dropped");
    let mut writer = log.writer("dropped").await;
    writer.open().await.expect("opens");
    let records: Vec<_> = (0..200).map(|seq| record(&topic, "k", "v", seq)).collect();
    writer.append(batch(1, records)).await.expect("appends");
    let mut reader = log.reader().await;
    let all = read_all(&mut reader, &topic).await;
    reader.assign(vec![(all[0].source.clone(), all[0].offset)]).await.expect("assigns");
    let mut read = Vec::new();
    let mut patience = Duration::ZERO;
    while read.len() < all.len() {
        assert!(patience < PATIENCE, "read only {} of {}", read.len(), all.len());
        match tokio::time::timeout(patience, reader.poll(500)).await {
            Ok(fetched) => read.extend(fetched.expect("polls").records),
            Err(_) => patience = patience * 2 + Duration::from_micros(50),
        }
    }
    assert_eq!(read, all);
}

/// A reader at the end hears of the next append.
pub async fn a_waiting_reader_is_woken_by_an_append(log: &impl LogFixture) {
    let topic = log.topic("wake");
    let mut writer = log.writer("wake").await;
    writer.open().await.expect("opens");
    writer.append(batch(1, vec![record(&topic, "k", "1", 0)])).await.expect("appends");
    let mut reader = log.reader().await;
    assert_eq!(read_all(&mut reader, &topic).await.len(), 1);
    let appended = async {
        tokio::task::yield_now().await;
        writer.append(batch(2, vec![record(&topic, "k", "2", 1)])).await.expect("appends");
    };
    let polled = async {
        let mut read = Vec::new();
        while read.is_empty() {
            read = reader.poll(1 << 20).await.expect("polls").records;
        }
        read
    };
    let both = async { tokio::join!(polled, appended) };
    let (read, ()) = tokio::time::timeout(PATIENCE, both).await.expect("is woken");
    assert_eq!(values(&read), ["2"]);
}

/// A poll brings about as much as was asked for, not the whole backlog.
pub async fn a_large_batch_is_read_in_bounded_pieces(log: &impl LogFixture) {
    let topic = log.topic("large");
    let mut writer = log.writer("large").await;
    writer.open().await.expect("opens");
    let value = Bytes::from(vec![b'x'; 1_000]);
    let large = |seq| Record { value: Some(value.clone()), ..record(&topic, "k", "", seq) };
    writer.append(batch(1, (0..5_000).map(large).collect())).await.expect("appends");
    let mut reader = log.reader().await;
    let source = meta(&mut reader, &topic).await.topic_partitions().collect::<Vec<_>>();
    let from = source.into_iter().map(|p| (p, Offset(0))).collect();
    reader.assign(from).await.expect("assigns");
    let mut read = 0;
    while read < 5_000 {
        let polled = tokio::time::timeout(PATIENCE, reader.poll(100_000)).await;
        let fetched = polled.expect("has more").expect("polls");
        let bytes: usize =
            fetched.records.iter().filter_map(|r| r.value.as_ref()).map(Bytes::len).sum();
        assert!(bytes <= 1_200_000, "{bytes} bytes in one poll");
        read += fetched.records.len();
    }
    assert_eq!(read, 5_000);
}

/// A topic's identity does not change while it lives, and differs from another's.
pub async fn topics_keep_their_identity(log: &impl LogFixture) {
    let (a, b) = (log.topic("identity-a"), log.topic("identity-b"));
    let mut writer = log.writer("identity").await;
    writer.open().await.expect("opens");
    let records = vec![record(&a, "k", "1", 0), record(&b, "k", "2", 1)];
    writer.append(batch(1, records)).await.expect("appends");
    let mut reader = log.reader().await;
    let (first, other) = (meta(&mut reader, &a).await.id, meta(&mut reader, &b).await.id);
    assert_ne!(first, other);
    writer.append(batch(2, vec![record(&a, "k", "3", 2)])).await.expect("appends");
    assert_eq!(meta(&mut log.reader().await, &a).await.id, first);
}
