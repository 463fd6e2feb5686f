//! A trickle of small batches into the embedded log, and a projection that follows it: does it
//! keep up?

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::Op;
use cdc_pipeline::Clock;
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, LogWriter};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
use tokio::time::{Instant, MissedTickBehavior};

use crate::capture::per_row;
use crate::process;
use crate::project::{Place, Projection, check_rows};
use crate::report::{Report, Run};

/// Time between two appends.
const GAP: Duration = Duration::from_millis(10);

/// Runs the benchmark in `dir`.
pub(crate) async fn run(
    dir: &Path,
    rate: u64,
    seconds: u64,
    rounds: usize,
) -> anyhow::Result<Report> {
    let title =
        format!("project: a trickle of {rate} events/s for {seconds} s, appended every 10 ms");
    let mut report = Report::new(title);
    for round in 0..rounds {
        report.add(round_in(&dir.join(round.to_string()), rate, seconds).await?);
    }
    Ok(report)
}

async fn round_in(dir: &Path, rate: u64, seconds: u64) -> anyhow::Result<Run> {
    std::fs::create_dir_all(dir)?;
    let place = Place::open(dir)?;
    let sink = DuckDbSink::open(dir.join("warehouse.duckdb"), DuckDbConfig::new("trickle")).await?;
    let query = sink.query_handle();
    let mut projection = Projection::start(&place.log, &place.registry, "project", sink);
    let (cpu, started) = (process::own_cpu()?, Instant::now());
    let total = rate * seconds;
    let lags = append(&place, &projection, rate, total).await?;
    let written = started.elapsed();
    projection.until_events(total).await?;
    let behind = started.elapsed().saturating_sub(written);
    let cost = per_row(process::own_cpu()? - cpu, total);
    let stats = projection.stop().await?;
    check_rows(&query, 1, total).await?;
    let millis = |q| stats.latency.quantile(q).map_or(0.0, |found| found.as_secs_f64() * 1e3);
    let half = |lags: &[u64]| lags.iter().copied().max().unwrap_or(0) as f64;
    let (first, second) = lags.split_at(lags.len() / 2);
    Ok(Run::of(
        "trickle",
        vec![
            ("events/s", total as f64 / written.as_secs_f64()),
            ("most behind, first half", half(first)),
            ("second half", half(second)),
            ("ms to the end", behind.as_secs_f64() * 1e3),
            ("apply p50 ms", millis(0.5)),
            ("p99 ms", millis(0.99)),
            ("ours µs/row", cost),
        ],
    ))
}

/// Appends at the rate, and returns how many events the projection was behind at each append.
async fn append(
    place: &Place,
    projection: &Projection,
    rate: u64,
    total: u64,
) -> anyhow::Result<Vec<u64>> {
    let mut batches = place.batches(total).await?;
    let mut writer = place.log.writer("project", "bench");
    writer.open().await?;
    let clock = Clock::system();
    let started = Instant::now();
    let mut ticks = tokio::time::interval(GAP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let (mut made, mut sequence, mut lags) = (0, 0, Vec::new());
    while made < total {
        ticks.tick().await;
        let due = u64::try_from(started.elapsed().as_millis())? * rate / 1_000;
        let changes: Vec<(Op, u64)> =
            (made + 1..=due.clamp(made, total)).map(|id| (Op::Create, id)).collect();
        if changes.is_empty() {
            continue;
        }
        made += changes.len() as u64;
        sequence += 1;
        let records = batches.records(&changes, clock.now())?;
        let update = Some(CheckpointUpdate { sequence, ..CheckpointUpdate::default() });
        writer.append(Arc::new(AppendBatch { records, update })).await?;
        let applied = projection.stats.events.load(std::sync::atomic::Ordering::Relaxed);
        lags.push(made - applied);
    }
    Ok(lags)
}
