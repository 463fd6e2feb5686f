//! A backlog in the source's log, captured exactly once, beside a raw drain of an equal slot.
//!
//! All slots begin at the same place, before the rows are loaded: each round drains one of them
//! and captures from another. A capture is timed from its start, connecting and checking included.

use anyhow::ensure;
use tokio::time::Instant;

use crate::drain::drain;
use crate::pipeline::{LogKind, Pipeline, Running};
use crate::process;
use crate::report::{RATE, Report, Run, note};
use crate::verify;
use crate::world::{TRANSACTION_ROWS, World};

/// What to capture.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rows; default 1,000,000, or 200,000 with --single.
    #[arg(long)]
    rows: Option<u64>,
    /// Where to.
    #[arg(long, value_enum, default_value = "kafka")]
    log: LogKind,
    /// Each row in a transaction of its own, instead of 1,000.
    #[arg(long)]
    single: bool,
    /// Bound of one append, in MiB of the source's log; else the product's default.
    #[arg(long)]
    append_mib: Option<usize>,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const RAW: &str = "raw drain";

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let rows = args.rows.unwrap_or(if args.single { 200_000 } else { 1_000_000 });
    ensure!(rows > 0 && rows.is_multiple_of(TRANSACTION_ROWS), "--rows takes whole thousands");
    let world = World::start(args.log == LogKind::Kafka).await?;
    set_up(&world, args).await?;
    world.load(rows, args.single).await?;
    let per = if args.single { 1 } else { TRANSACTION_ROWS };
    let title = format!("capture: {rows} rows in transactions of {per}, into {:?}", args.log);
    let mut report = Report::new(title).compared_with(RAW, RATE);
    for round in 0..args.rounds {
        report.add(raw(&world, round, rows).await?);
        report.add(capture(&world, args, round, rows).await?);
    }
    Ok(report)
}

fn name(round: usize) -> String {
    format!("capture{round}")
}

fn raw_name(round: usize) -> String {
    format!("raw{round}")
}

/// Sets each pipeline up on the empty table, up to a durable position, and makes the raw slots.
async fn set_up(world: &World, args: &Args) -> anyhow::Result<()> {
    note("setting the pipelines up");
    let mut running: Vec<Running> = Vec::new();
    let mut pipelines = Vec::new();
    for round in 0..args.rounds {
        let pipeline = Pipeline::new(world, args.log, &name(round))?;
        let mut capture = pipeline.start();
        capture.until_streaming().await?;
        running.push(capture);
        pipelines.push(pipeline);
    }
    // Once this row is in a log, so is all of the set-up before it.
    world.client.batch_execute("INSERT INTO bench (id) VALUES (0)").await?;
    for mut capture in running {
        capture.until_events(1).await?;
        capture.stop().await?;
    }
    for round in 0..args.rounds {
        world.make_slot(&raw_name(round)).await?;
    }
    Ok(())
}

async fn raw(world: &World, round: usize, rows: u64) -> anyhow::Result<Run> {
    let slot = raw_name(round);
    process::forget_peak()?;
    let before = world.usage()?;
    let drained = drain(world, &slot, rows).await?;
    let after = world.usage()?;
    let run = Run::timed(RAW, rows, drained.bytes, drained.seconds)
        .with("ours µs/row", per_row(after.ours - before.ours, rows))
        .with("walsender", per_row(drained.walsender, rows))
        .with("postgres", per_row(after.postgres - before.postgres, rows))
        .with("peak MiB", process::peak_mib()?);
    world.drop_slot(&slot).await?;
    Ok(run)
}

async fn capture(world: &World, args: &Args, round: usize, rows: u64) -> anyhow::Result<Run> {
    let name = name(round);
    let mut pipeline = Pipeline::new(world, args.log, &name)?;
    if let Some(mib) = args.append_mib {
        pipeline.config.limits.bytes_max = mib << 20;
    }
    process::forget_peak()?;
    let before = world.usage()?;
    let started = Instant::now();
    let mut capture = pipeline.start();
    capture.until_streaming().await?;
    let ready = started.elapsed().as_secs_f64();
    capture.until_events(rows).await?;
    let seconds = started.elapsed().as_secs_f64();
    let walsender = process::cpu(world.walsender(&name).await?)?;
    let after = world.usage()?;
    let peak = process::peak_mib()?;
    let stats = capture.stats.clone();
    capture.stop().await?;
    verify::check(&pipeline.log, &pipeline.topic(), 0, rows + 1).await?;
    world.drop_slot(&name).await?;
    let bytes = stats.bytes.load(std::sync::atomic::Ordering::Relaxed);
    let batches = stats.batches.load(std::sync::atomic::Ordering::Relaxed);
    Ok(Run::timed("capture", rows, bytes, seconds)
        .with("ours µs/row", per_row(after.ours - before.ours, rows))
        .with("walsender", per_row(walsender, rows))
        .with("postgres", per_row(after.postgres - before.postgres, rows))
        .with("broker", per_row(after.broker - before.broker, rows))
        .with("peak MiB", peak)
        .with("start s", ready)
        .with("appends", batches as f64))
}

/// Returns µs of CPU per row.
pub(crate) fn per_row(micros: u64, rows: u64) -> f64 {
    micros as f64 / rows as f64
}
