//! How long applies take: `cargo run -p cdc-sink-search --example apply_latency [DIR]`.
#![expect(clippy::print_stdout, reason = "an example prints")]
#![expect(clippy::unwrap_used, reason = "an example may panic")]

use std::sync::Arc;
use std::time::Duration;

use cdc_model::{Offset, TopicId};
use cdc_pipeline::port::{OffsetRange, Sink as _, SinkBatch, SinkChange};
use cdc_sink_search::{SearchConfig, SearchSink};
use testkit::fixture::{insert, origin, partition, table};
use tokio::time::Instant;

const KEYS: i64 = 50_000;

#[tokio::main]
async fn main() {
    let temporary = tempfile::tempdir().unwrap();
    let dir = std::env::args().nth(1).map_or(temporary.path().to_owned(), Into::into);
    let mut sink = SearchSink::open(dir, SearchConfig::new("latency")).await.unwrap();
    let state = sink.resume().await.unwrap();
    let mut next = 0;
    for (size, count) in [(1_i64, 200_usize), (100, 200), (1_000, 100), (10_000, 10), (1, 200)] {
        let mut times = Vec::new();
        for _ in 0..count {
            let source = partition("s.public.t");
            let change = |n: i64| SinkChange {
                source: source.clone(),
                offset: Offset(n),
                event: insert(
                    &table("t"),
                    origin(1, 0),
                    n % KEYS,
                    format!("order {n} was shipped to customer {} by truck {}", n % 997, n % 13),
                ),
            };
            let batch = SinkBatch {
                generation: state.generation,
                epoch: state.epoch,
                ranges: vec![OffsetRange {
                    source: source.clone(),
                    topic_id: TopicId("id".into()),
                    first: Offset(next),
                    next: Offset(next + size),
                }],
                changes: (next..next + size).map(change).collect(),
                park: Vec::new(),
                unpark_below: Vec::new(),
            };
            next += size;
            let since = Instant::now();
            sink.apply(Arc::new(batch)).await.unwrap();
            times.push(since.elapsed());
        }
        times.sort();
        let at = |percent: usize| times[(times.len() - 1) * percent / 100];
        let total: Duration = times.iter().sum();
        let rate = f64::from(i32::try_from(size * count as i64).unwrap()) / total.as_secs_f64();
        println!(
            "{size:>6} rows: p50 {:?}, p99 {:?}, max {:?}, {rate:.0} rows/s",
            at(50),
            at(99),
            at(100)
        );
    }
}
