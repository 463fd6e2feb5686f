//! How fast batches are applied: catching up in large ones, and what a small one costs.
//!
//! `cargo run --release -p cdc-sink-duckdb --example apply_bench [DIRECTORY]`
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{
    ChangeEvent, Column, ColumnType, Decimal, Offset, Op, Origin, Partition, ReplicaIdentity, Row,
    TableId, TableName, TableSchema, Text, Timestamp, Topic, TopicId, TopicPartition, Transaction,
    Value,
};
use cdc_pipeline::port::{OffsetRange, Sink as _, SinkBatch, SinkChange, SinkState};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
use tokio::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// A row of about 200 bytes.
fn table() -> Arc<TableSchema> {
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("public", "orders"),
        columns: vec![
            Column::new("id", ColumnType::Int64).not_null(),
            Column::new("customer", ColumnType::Int32),
            Column::new("status", ColumnType::Varchar(Some(20))),
            Column::new("total", ColumnType::Decimal(Some((12, 2)))),
            Column::new("created", ColumnType::TimestampTz(6)),
            Column::new("note", ColumnType::Text),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    })
}

struct Feed {
    table: Arc<TableSchema>,
    origin: Origin,
    source: TopicPartition,
    next: i64,
    note: Text,
}

impl Feed {
    fn event(&self, op: Op, id: i64) -> ChangeEvent {
        let total = Decimal::parse(Text::from(format!("{}.{:02}", self.next % 1000, id % 100)));
        let row = Row::new(vec![
            Value::Int64(id),
            Value::Int32(7),
            Value::text("shipped"),
            total.map_or(Value::Null, Value::Decimal),
            Value::TimestampTz(Timestamp(self.next)),
            Value::Text(self.note.clone()),
        ]);
        let (table, origin) = (Arc::clone(&self.table), self.origin.clone());
        ChangeEvent { table, op, before: None, after: Some(row), origin }
    }

    fn batch(
        &mut self,
        state: &SinkState,
        count: i64,
        event: impl Fn(&Self, i64) -> ChangeEvent,
    ) -> Arc<SinkBatch> {
        let first = self.next;
        let change = |offset| {
            let event = event(self, offset);
            SinkChange { source: self.source.clone(), offset: Offset(offset), event }
        };
        let changes = (first..first + count).map(change).collect();
        self.next += count;
        Arc::new(SinkBatch {
            generation: state.generation,
            epoch: state.epoch,
            ranges: vec![OffsetRange {
                source: self.source.clone(),
                topic_id: TopicId("t".into()),
                first: Offset(first),
                next: Offset(self.next),
            }],
            changes,
            park: Vec::new(),
            unpark_below: Vec::new(),
        })
    }
}

/// Scatters offsets over ids, the same way each time.
fn scattered(offset: i64, ids: i64) -> i64 {
    offset.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64.cast_signed()).rem_euclid(ids)
}

async fn measure(name: &str, sink: &mut DuckDbSink, batches: Vec<Arc<SinkBatch>>) -> Outcome<()> {
    let (count, events) = (batches.len(), batches.iter().map(|b| b.changes.len()).sum::<usize>());
    let mut longest = Duration::ZERO;
    let begin = Instant::now();
    for batch in batches {
        let begin = Instant::now();
        sink.apply(batch).await?;
        longest = longest.max(begin.elapsed());
    }
    let elapsed = begin.elapsed();
    #[expect(clippy::cast_precision_loss, reason = "figures for people")]
    let (rate, each) =
        (events as f64 / elapsed.as_secs_f64(), elapsed.as_secs_f64() * 1e3 / count as f64);
    let longest = longest.as_secs_f64() * 1e3;
    println!("{name:<34} {rate:>9.0} events/s  {each:>8.2} ms/apply  longest {longest:>7.1} ms");
    Ok(())
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let directory =
        std::env::args().nth(1).unwrap_or_else(|| std::env::temp_dir().display().to_string());
    let path = Path::new(&directory).join(format!("apply-bench-{}.duckdb", std::process::id()));
    let mut sink = DuckDbSink::open(&path, DuckDbConfig::new("bench")).await?;
    let state = sink.resume().await?;
    let transaction = Transaction {
        id: 1,
        commit_lsn: cdc_model::Lsn(1),
        previous_commit_lsn: None,
        committed_at: Timestamp(0),
    };
    let mut feed = Feed {
        table: table(),
        origin: Origin {
            transaction: Arc::new(transaction),
            seq: 0,
            lsn: cdc_model::Lsn(1),
            snapshot: None,
        },
        source: TopicPartition { topic: Topic::new("s.public.orders"), partition: Partition(0) },
        next: 0,
        note: Text::from("n".repeat(140)),
    };
    let ids = 1_000_000;
    let insert = |feed: &Feed, offset| feed.event(Op::Create, offset);
    let update = |feed: &Feed, offset| feed.event(Op::Update, scattered(offset, ids));
    for (name, count, size) in [("insert 1,000,000 by 50,000", 20, 50_000)] {
        let batches = (0..count).map(|_| feed.batch(&state, size, insert)).collect();
        measure(name, &mut sink, batches).await?;
    }
    for (name, count, size) in [("update by 10,000", 30, 10_000), ("update by 50,000", 10, 50_000)]
    {
        let batches = (0..count).map(|_| feed.batch(&state, size, update)).collect();
        measure(name, &mut sink, batches).await?;
    }
    for (name, count, size) in
        [("trickle: update by 10", 300, 10), ("trickle: update by 100", 300, 100)]
    {
        let batches = (0..count).map(|_| feed.batch(&state, size, update)).collect();
        measure(name, &mut sink, batches).await?;
    }
    for (name, count, size) in
        [("trickle: insert by 10", 300, 10), ("trickle: insert by 100", 300, 100)]
    {
        let batches = (0..count).map(|_| feed.batch(&state, size, insert)).collect();
        measure(name, &mut sink, batches).await?;
    }
    let size = std::fs::metadata(&path)?.len();
    println!("file: {} MiB", size >> 20);
    drop(sink);
    std::fs::remove_file(&path)?;
    Ok(())
}
