//! Encoding and decoding of a row of about 200 bytes, as Avro: the budget is 1 µs of CPU for both.
//!
//! The row is that of the capture benchmarks: `bench(id bigint primary key, a int, b text of 100
//! characters, c numeric(12,2), d timestamptz, e bool)`.

use std::hint::black_box;
use std::sync::Arc;

use cdc_codec::{CodecConfig, Decoder, Encoder, Format};
use cdc_model::{
    ChangeEvent, Column, ColumnType, Decimal, Header, LogRecord, Lsn, Offset, Op, Origin,
    Partition, Record, ReplicaIdentity, Row, TableId, TableName, TableSchema, Text, Timestamp,
    TopicPartition, Transaction, Value,
};
use cdc_pipeline::port::{Decode, DecodeError, Encode};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use testkit::memory::MemoryRegistry;

const NOW: Timestamp = Timestamp(1_795_251_625_948_634);

fn table() -> Arc<TableSchema> {
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("public", "bench"),
        columns: vec![
            Column::new("id", ColumnType::Int64).not_null(),
            Column::new("a", ColumnType::Int32),
            Column::new("b", ColumnType::Text),
            Column::new("c", ColumnType::Decimal(Some((12, 2)))),
            Column::new("d", ColumnType::TimestampTz(6)),
            Column::new("e", ColumnType::Bool),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    })
}

fn event(table: &Arc<TableSchema>) -> ChangeEvent {
    let transaction = Transaction {
        id: 877,
        commit_lsn: Lsn(37_673_000),
        previous_commit_lsn: Some(Lsn(37_671_696)),
        committed_at: Timestamp(1_795_251_625_862_310),
    };
    let price = Decimal::parse(Text::from("12345.67")).expect("a decimal");
    let row = Row::new(vec![
        Value::Int64(123_456),
        Value::Int32(4242),
        Value::text("x".repeat(100)),
        Value::Decimal(price),
        Value::TimestampTz(Timestamp(1_709_207_490_123_456)),
        Value::Bool(true),
    ]);
    ChangeEvent {
        table: table.clone(),
        op: Op::Create,
        before: None,
        after: Some(row),
        origin: Origin {
            transaction: Arc::new(transaction),
            seq: 3,
            lsn: Lsn(37_672_048),
            snapshot: None,
        },
    }
}

fn logged(record: &Record) -> LogRecord {
    let mut headers = record.headers.clone();
    let id = record.id.expect("a change has an identity");
    headers.push(Header { name: Record::ID_HEADER.into(), value: id.to_string().into() });
    LogRecord {
        source: TopicPartition { topic: record.topic.clone(), partition: Partition(0) },
        offset: Offset(0),
        timestamp_ms: 0,
        key: record.key.clone(),
        value: record.value.clone(),
        headers,
    }
}

fn codec(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let table = table();
    let event = event(&table);
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    for (name, format) in
        [("avro", Format::Avro), ("json", Format::Json), ("json_schema", Format::JsonWithSchema)]
    {
        let registry = Arc::new(MemoryRegistry::default());
        let config = CodecConfig::new("bench", "db").with_format(format);
        let mut encoder = Encoder::new(config, registry.clone());
        runtime.block_on(encoder.prepare(&table)).expect("prepared");
        let mut records = Vec::with_capacity(1024);
        group.bench_function(format!("encode/{name}"), |bencher| {
            bencher.iter(|| {
                if records.len() == 1024 {
                    records.clear();
                }
                encoder.encode(black_box(&event), NOW, &mut records).expect("encoded");
            });
        });
        records.clear();
        encoder.encode(&event, NOW, &mut records).expect("encoded");
        let record = logged(records.last().expect("a record"));
        let mut decoder = Decoder::new(registry);
        while let Err(DecodeError::UnknownSchema(id)) = decoder.decode(&record) {
            runtime.block_on(decoder.learn(id)).expect("learned");
        }
        group.bench_function(format!("decode/{name}"), |bencher| {
            bencher.iter(|| decoder.decode(black_box(&record)).expect("decoded"));
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
