//! An initial snapshot into each log, beside `COPY … (FORMAT binary)` to nowhere, and beside
//! appends of the same records with no source.

use std::pin::pin;
use std::sync::Arc;

use anyhow::ensure;
use bytes::Bytes;
use cdc_codec::{CodecConfig, Encoder};
use cdc_model::{Op, Record, Timestamp, Topic};
use cdc_pipeline::port::{AppendBatch, CheckpointUpdate, Encode, LogWriter};
use cdc_registry::Registry;
use futures_util::StreamExt;
use tokio::time::Instant;

use crate::capture::per_row;
use crate::pipeline::{Log, LogKind, Pipeline};
use crate::process::{self, Usage};
use crate::report::{RATE, Report, Run};
use crate::rows;
use crate::verify;
use crate::world::World;

/// What to read.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Only into this log; a peak of memory counts only in a first run.
    #[arg(long, value_enum)]
    log: Option<LogKind>,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const COPY: &str = "COPY binary";

/// Records in one append of the runs without a source: what 8 MiB of rows make.
const APPEND_RECORDS: usize = 40_000;

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let world = World::start(true).await?;
    world.load(args.rows, false).await?;
    world.client.batch_execute("VACUUM (FREEZE, ANALYZE) bench").await?;
    let title = format!("snapshot: {} rows", args.rows);
    let mut report = Report::new(title).compared_with(COPY, RATE);
    for round in 0..args.rounds {
        report.add(copy(&world, args.rows).await?);
        let kinds = [LogKind::Kafka, LogKind::Local];
        for kind in kinds.into_iter().filter(|kind| args.log.is_none_or(|only| only == *kind)) {
            report.add(snapshot(&world, kind, round, args.rows).await?);
            report.add(append(&world, kind, round, args.rows).await?);
        }
    }
    Ok(report)
}

async fn copy(world: &World, rows: u64) -> anyhow::Result<Run> {
    process::forget_peak()?;
    let before = world.usage()?;
    let started = Instant::now();
    let out = world.client.copy_out("COPY bench TO STDOUT (FORMAT binary)").await?;
    let (mut out, mut bytes) = (pin!(out), 0);
    while let Some(piece) = out.next().await {
        bytes += piece?.len() as u64;
    }
    let seconds = started.elapsed().as_secs_f64();
    finish(world, Run::timed(COPY, rows, bytes, seconds), before, rows)
}

fn finish(world: &World, run: Run, before: Usage, rows: u64) -> anyhow::Result<Run> {
    let after = world.usage()?;
    Ok(run
        .with("ours µs/row", per_row(after.ours - before.ours, rows))
        .with("postgres", per_row(after.postgres - before.postgres, rows))
        .with("broker", per_row(after.broker - before.broker, rows))
        .with("peak MiB", process::peak_mib()?))
}

async fn snapshot(world: &World, kind: LogKind, round: usize, rows: u64) -> anyhow::Result<Run> {
    let name = format!("snapshot_{kind:?}_{round}").to_lowercase();
    let pipeline = Pipeline::new(world, kind, &name)?;
    process::forget_peak()?;
    let before = world.usage()?;
    let started = Instant::now();
    let mut capture = pipeline.start();
    capture.until_events(rows).await?;
    let seconds = started.elapsed().as_secs_f64();
    let bytes = capture.stats.bytes.load(std::sync::atomic::Ordering::Relaxed);
    let run = Run::timed(format!("snapshot into {kind:?}"), rows, bytes, seconds);
    let run = finish(world, run, before, rows)?;
    capture.until_streaming().await?;
    capture.stop().await?;
    verify::check(&pipeline.log, &pipeline.topic(), 1, rows).await?;
    world.drop_slot(&name).await?;
    Ok(run)
}

async fn append(world: &World, kind: LogKind, round: usize, rows: u64) -> anyhow::Result<Run> {
    let name = format!("append_{kind:?}_{round}").to_lowercase();
    let log = Log::open(world, kind, &name)?;
    let registry = Registry::embedded(&world.dir.path().join(format!("{name}-registry")))?;
    let batches = Batches::new(registry, &name, rows).await?;
    let topic = Topic::new(format!("{name}.public.bench"));
    let leg = format!("appends to {kind:?}");
    let run = match &log {
        Log::Kafka(log) => timed(world, log.writer(&name, "bench"), batches, leg).await?,
        Log::Local(log) => timed(world, log.writer(&name, "bench"), batches, leg).await?,
    };
    verify::check(&log, &topic, 1, rows).await?;
    Ok(run)
}

/// Times the appends alone; records are made between them.
async fn timed<W: LogWriter>(
    world: &World,
    mut writer: W,
    mut batches: Batches,
    leg: String,
) -> anyhow::Result<Run> {
    writer.open().await?;
    process::forget_peak()?;
    let (rows, mut bytes, mut seconds) = (batches.rows, 0, 0.0);
    let mut used = Usage::default();
    let mut sequence = 0;
    while let Some(records) = batches.next()? {
        sequence += 1;
        bytes += records.iter().map(|record| payload(record) as u64).sum::<u64>();
        let update = CheckpointUpdate { sequence, ..CheckpointUpdate::default() };
        let batch = Arc::new(AppendBatch { records, update: Some(update) });
        let before = world.usage()?;
        let started = Instant::now();
        writer.append(batch).await?;
        seconds += started.elapsed().as_secs_f64();
        let after = world.usage()?;
        used.ours += after.ours - before.ours;
        used.broker += after.broker - before.broker;
    }
    ensure!(sequence > 0, "no rows");
    Ok(Run::timed(leg, rows, bytes, seconds)
        .with("ours µs/row", per_row(used.ours, rows))
        .with("broker", per_row(used.broker, rows))
        .with("peak MiB", process::peak_mib()?))
}

fn payload(record: &Record) -> usize {
    record.key.as_ref().map_or(0, Bytes::len) + record.value.as_ref().map_or(0, Bytes::len)
}

/// Records of rows 1 to `rows`, a batch at a time.
pub(crate) struct Batches {
    encoder: Encoder<Registry>,
    table: Arc<cdc_model::TableSchema>,
    rows: u64,
    next: u64,
}

impl Batches {
    /// Prepares records for topics that begin with `prefix`.
    pub(crate) async fn new(registry: Registry, prefix: &str, rows: u64) -> anyhow::Result<Self> {
        let config = CodecConfig::new(prefix, "postgres");
        let mut encoder = Encoder::new(config, Arc::new(registry));
        let table = rows::table();
        encoder.prepare(&table).await?;
        Ok(Self { encoder, table, rows, next: 1 })
    }

    fn next(&mut self) -> anyhow::Result<Option<Vec<Record>>> {
        let events = u64::try_from(APPEND_RECORDS)?.min(self.rows + 1 - self.next);
        if events == 0 {
            return Ok(None);
        }
        let ids: Vec<(Op, u64)> =
            (self.next..self.next + events).map(|i| (Op::Create, i)).collect();
        self.next += events;
        self.records(&ids, Timestamp(1_700_000_000_000_000)).map(Some)
    }

    /// Makes the records of one transaction that changes these rows.
    pub(crate) fn records(
        &mut self,
        changes: &[(Op, u64)],
        at: Timestamp,
    ) -> anyhow::Result<Vec<Record>> {
        let mut records = Vec::with_capacity(changes.len());
        let number = changes.first().map_or(0, |(_, id)| *id);
        let transaction = rows::transaction(number, at);
        for (seq, (op, id)) in (0..).zip(changes) {
            let event = rows::event(&self.table, &transaction, (*op, *id, seq));
            self.encoder.encode(&event, at, &mut records)?;
        }
        Ok(records)
    }
}
