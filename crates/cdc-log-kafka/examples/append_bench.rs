//! Measures `append` against a real broker, beside the same records without headers, and `poll`:
//! `append_bench HOST:PORT [RECORDS] [PER_TRANSACTION] [PROPERTY=VALUE …]`, the properties being
//! the producer's.
#![expect(clippy::print_stdout, reason = "prints its measurements")]
#![expect(clippy::unwrap_used, reason = "a measurement that fails has no result")]

use std::sync::Arc;

use bytes::Bytes;
use cdc_log_kafka::{KafkaConfig, KafkaLog};
use cdc_model::{EventId, Headers, Lsn, Offset, Placement, Position, Record, RecordId, Topic};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogReader, LogWriter};
use tokio::time::Instant;

const RECORD_BYTES: usize = 300;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1);
    let servers = args.next().expect("usage: append_bench HOST:PORT [RECORDS] [PER_TRANSACTION]");
    let mut number = |default| args.next().map_or(default, |arg| arg.parse().unwrap());
    let (records, per_transaction) = (number(1_000_000_u64), number(10_000_u64));
    let mut config = KafkaConfig::new(servers);
    for (name, value) in args.filter_map(|arg| arg.split_once('=').map(owned)) {
        config.producer_properties.insert(name, value);
    }
    let log = KafkaLog::new(config).unwrap();
    let run = std::process::id();
    for round in 0..3 {
        for (kind, has_id) in [("with identity", true), ("without", false)] {
            let topic = Topic::new(format!("bench-{run}-{round}-{has_id}"));
            let batches = batches(&topic, records, per_transaction, has_id);
            append(&log, kind, batches, records).await;
            if has_id {
                read(&log, &topic, records).await;
            }
        }
    }
}

fn batches(topic: &Topic, records: u64, per: u64, has_id: bool) -> Vec<Arc<AppendBatch>> {
    let value = |seq: u64| {
        let mut state = seq.wrapping_add(1);
        let mut text = format!("{{\"id\":{seq},\"v\":\"").into_bytes();
        while text.len() < RECORD_BYTES {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.extend_from_slice(format!("{:x} order ", state >> 48).as_bytes());
        }
        text.truncate(RECORD_BYTES);
        Bytes::from(text)
    };
    let record = |seq: u64| Record {
        topic: topic.clone(),
        placement: Placement::ByKey,
        key: Some(Bytes::from(seq.to_be_bytes().to_vec())),
        value: Some(value(seq)),
        headers: Headers::new(),
        id: has_id.then_some(RecordId {
            event: EventId::Streamed { commit_lsn: Lsn(0x16_B374_0000 + seq / 1000), seq },
            sub: 0,
        }),
    };
    (0..records / per)
        .map(|index| {
            let records = (index * per..(index + 1) * per).map(record).collect();
            let position = Some(Position(Bytes::from_static(b"0123456789abcdef")));
            let update = CheckpointUpdate { sequence: index + 1, position, entries: Vec::new() };
            Arc::new(AppendBatch { records, update: Some(update) })
        })
        .collect()
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

async fn append(log: &KafkaLog, kind: &str, batches: Vec<Arc<AppendBatch>>, records: u64) {
    let mut writer = log.writer(&format!("bench-{}", std::process::id()), "7291-shop-penstock");
    writer.open().await.unwrap();
    let (cpu, started) = (cpu_micros(), Instant::now());
    let mut slowest = 0.0_f64;
    for batch in &batches {
        let at = Instant::now();
        writer.append(Arc::clone(batch)).await.unwrap();
        slowest = slowest.max(at.elapsed().as_secs_f64());
    }
    let seconds = started.elapsed().as_secs_f64();
    print(&format!("append {kind}"), records, seconds, cpu_micros() - cpu);
    let mean = seconds / batches.len() as f64 * 1e3;
    println!("    transaction: mean {mean:.2} ms, slowest {:.2} ms", slowest * 1e3);
}

async fn read(log: &KafkaLog, topic: &Topic, records: u64) {
    let mut reader = log.reader();
    let topics = reader.topics().await.unwrap();
    let meta = topics.into_iter().find(|meta| meta.topic == *topic).unwrap();
    let (cpu, started) = (cpu_micros(), Instant::now());
    reader.assign(meta.topic_partitions().map(|at| (at, Offset(0))).collect()).await.unwrap();
    let mut read = 0;
    while read < records {
        read += reader.poll(1 << 20).await.unwrap().records.len() as u64;
    }
    print("poll", records, started.elapsed().as_secs_f64(), cpu_micros() - cpu);
}

fn print(what: &str, records: u64, seconds: f64, cpu: f64) {
    let (rate, cpu) = (records as f64 / seconds, cpu / records as f64);
    println!("{what:<22} {rate:>9.0} records/s {cpu:>6.2} µs of CPU each");
}

/// CPU time of this process, in µs, from the kernel's ticks of 10 ms.
fn cpu_micros() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() * 1e4
}
