//! Appends and scans of records of 200 bytes. `cargo bench -p cdc-log-local`
//!
//! `append/N` is one durable append of N records; `scan` reads 200,000 records in polls of 1 MiB.

use std::sync::Arc;

use bytes::Bytes;
use cdc_log_local::{LocalLog, LocalLogConfig, LocalWriter};
use cdc_model::{
    EventId, Headers, Lsn, Offset, Partition, Placement, Record, RecordId, Topic, TopicPartition,
};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogReader, LogWriter};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tokio::runtime::Runtime;

fn records(count: u64) -> Vec<Record> {
    let topic = Topic::new("shop.public.orders");
    let make = |seq: u64| {
        let mut state = seq.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        // Half noise, half zeros: about as compressible as rows are.
        let next = |n: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            if n.is_multiple_of(2) { state.to_le_bytes()[3] } else { 0 }
        };
        let value: Vec<u8> = (0..200).map(next).collect();
        Record {
            topic: topic.clone(),
            placement: Placement::ByKey,
            key: Some(Bytes::copy_from_slice(&seq.to_be_bytes())),
            value: Some(value.into()),
            headers: Headers::new(),
            id: Some(RecordId {
                event: EventId::Streamed { commit_lsn: Lsn(seq / 1_000), seq: seq % 1_000 },
                sub: 0,
            }),
        }
    };
    (0..count).map(make).collect()
}

struct Appender {
    writer: LocalWriter,
    sequence: u64,
}

impl Appender {
    async fn new(log: &LocalLog) -> Self {
        let mut writer = log.writer("bench", "7312-shop-penstock");
        let sequence = writer.open().await.expect("opens").map_or(0, |c| c.sequence);
        Self { writer, sequence }
    }

    async fn append(&mut self, records: Vec<Record>) {
        self.sequence += 1;
        let position = Some(cdc_model::Position(Bytes::from_static(&[7; 24])));
        let update = CheckpointUpdate { sequence: self.sequence, position, entries: Vec::new() };
        let batch = AppendBatch { records, update: Some(update) };
        self.writer.append(Arc::new(batch)).await.expect("appends");
    }
}

fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let mut group = criterion.benchmark_group("append");
    for (count, fsync) in [(1, true), (100, true), (1_000, true), (10_000, true), (10_000, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let config = LocalLogConfig { fsync, ..LocalLogConfig::default() };
        let log = LocalLog::open(dir.path(), config).expect("opens");
        let mut appender = runtime.block_on(Appender::new(&log));
        let records = records(count);
        group.throughput(Throughput::Elements(count)).sample_size(20);
        let name = if fsync { count.to_string() } else { format!("{count} without fsync") };
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || records.clone(),
                |records| runtime.block_on(appender.append(records)),
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

fn scan(criterion: &mut Criterion) {
    const RECORDS: u64 = 200_000;
    let runtime = Runtime::new().expect("a runtime");
    let dir = tempfile::tempdir().expect("a directory");
    let log = LocalLog::open(dir.path(), LocalLogConfig::default()).expect("opens");
    let mut appender = runtime.block_on(Appender::new(&log));
    for _ in 0..RECORDS / 10_000 {
        runtime.block_on(appender.append(records(10_000)));
    }
    let topic = Topic::new("shop.public.orders");
    let from = TopicPartition { topic, partition: Partition(0) };
    let mut reader = log.reader();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(RECORDS)).sample_size(20);
    group.bench_function("scan", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                reader.assign(vec![(from.clone(), Offset(0))]).await.expect("assigns");
                let mut read = 0;
                while read < RECORDS {
                    let fetched = reader.poll(1 << 20).await.expect("polls");
                    read += fetched.records.len() as u64;
                }
            });
        });
    });
    group.finish();
}

criterion_group!(benches, append, scan);
criterion_main!(benches);
