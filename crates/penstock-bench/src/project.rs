//! A projection into DuckDB that catches up with a full log, beside reading and decoding the same
//! log to nowhere; or one that follows a trickle.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cdc_codec::Decoder;
use cdc_log_local::{LocalLog, LocalLogConfig};
use cdc_model::{Offset, Op, Timestamp, Topic};
use cdc_pipeline::port::{
    AppendBatch, CheckpointUpdate, Decode, DecodeError, LogReader, LogWriter, Sink,
};
use cdc_pipeline::project::{Project, ProjectConfig};
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, Halted};
use cdc_registry::Registry;
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink, Query};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::capture::per_row;
use crate::process;
use crate::report::{RATE, Report, Run, note};
use crate::snapshot::Batches;
use crate::trickle;

/// What to project.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Events; with --updates every second one updates a row made before.
    #[arg(long, default_value_t = 1_000_000)]
    rows: u64,
    /// Half of the events are updates.
    #[arg(long)]
    updates: bool,
    /// Instead of a full log, a trickle of small batches.
    #[arg(long)]
    trickle: bool,
    /// Events a second of the trickle.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// How long it trickles.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

const READ: &str = "read and decode";
const PREFIX: &str = "project";
const APPEND_EVENTS: u64 = 10_000;

/// How long a query may take.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let dir = tempfile::Builder::new().prefix("penstock-bench-").tempdir()?;
    if args.trickle {
        return trickle::run(dir.path(), args.rate, args.seconds, args.rounds).await;
    }
    note(&format!("writing {} events", args.rows));
    let place = Place::open(dir.path())?;
    let rows = place.fill(args.rows, args.updates).await?;
    let mix = if args.updates { "half of them updates" } else { "all inserts" };
    let title = format!("project: {} events, {mix}, from the embedded log", args.rows);
    let mut report = Report::new(title).compared_with(READ, RATE);
    for round in 0..args.rounds {
        report.add(place.read(args.rows).await?);
        let file = dir.path().join(format!("warehouse{round}.duckdb"));
        report.add(place.catch_up(&file, args.rows, rows).await?);
    }
    Ok(report)
}

/// An embedded log and its registry.
pub(crate) struct Place {
    pub(crate) log: LocalLog,
    pub(crate) registry: Registry,
}

/// A projection that runs.
pub(crate) struct Projection {
    pub(crate) stats: Arc<LoopStats>,
    shutdown: CancellationToken,
    task: JoinSet<Result<(), Halted>>,
}

impl Place {
    /// Opens a log in `dir`.
    pub(crate) fn open(dir: &Path) -> anyhow::Result<Self> {
        let log = LocalLog::open(dir.join("data"), LocalLogConfig::default())?;
        Ok(Self { log, registry: Registry::embedded(&dir.join("registry"))? })
    }

    /// Returns the topic of the rows.
    pub(crate) fn topic() -> Topic {
        Topic::new(format!("{PREFIX}.public.bench"))
    }

    /// Prepares records for the log.
    pub(crate) async fn batches(&self, rows: u64) -> anyhow::Result<Batches> {
        Batches::new(self.registry.clone(), PREFIX, rows).await
    }

    /// Fills the log with `events` events, and returns how many rows they leave.
    async fn fill(&self, events: u64, with_updates: bool) -> anyhow::Result<u64> {
        let mut batches = self.batches(events).await?;
        let mut writer = self.log.writer(PREFIX, "bench");
        writer.open().await?;
        let (mut sequence, mut made, mut rows) = (0, 0, 0);
        while made < events {
            let count = APPEND_EVENTS.min(events - made);
            let changes: Vec<(Op, u64)> = (0..count)
                .map(|index| {
                    if with_updates && index % 2 == 1 {
                        // Somewhere among the rows made so far.
                        return (Op::Update, (made + index).wrapping_mul(7_919) % rows + 1);
                    }
                    rows += 1;
                    (Op::Create, rows)
                })
                .collect();
            made += count;
            sequence += 1;
            let records = batches.records(&changes, Timestamp(1_700_000_000_000_000))?;
            let update = Some(CheckpointUpdate { sequence, ..CheckpointUpdate::default() });
            writer.append(Arc::new(AppendBatch { records, update })).await?;
        }
        Ok(rows)
    }

    async fn read(&self, events: u64) -> anyhow::Result<Run> {
        let mut reader = self.log.reader();
        let mut decoder = Decoder::new(Arc::new(self.registry.clone()));
        let topics = reader.topics().await?;
        let meta = topics.iter().find(|meta| meta.topic == Self::topic()).context("the topic")?;
        process::forget_peak()?;
        let (cpu, started) = (process::own_cpu()?, Instant::now());
        reader.assign(meta.topic_partitions().map(|at| (at, Offset(0))).collect()).await?;
        let (mut seen, mut bytes) = (0, 0);
        while seen < events {
            for record in reader.poll(1 << 20).await?.records {
                bytes += record.value.as_ref().map_or(0, bytes::Bytes::len) as u64;
                while let Err(error) = decoder.decode(&record) {
                    match error {
                        DecodeError::UnknownSchema(id) => decoder.learn(id).await?,
                        DecodeError::Invalid(error) => bail!(error),
                    }
                }
                seen += 1;
            }
        }
        let seconds = started.elapsed().as_secs_f64();
        Ok(Run::timed(READ, events, bytes, seconds)
            .with("ours µs/row", per_row(process::own_cpu()? - cpu, events))
            .with("peak MiB", process::peak_mib()?))
    }

    async fn catch_up(&self, file: &Path, events: u64, rows: u64) -> anyhow::Result<Run> {
        let sink = DuckDbSink::open(file, DuckDbConfig::new(PREFIX)).await?;
        let query = sink.query_handle();
        process::forget_peak()?;
        let (cpu, started) = (process::own_cpu()?, Instant::now());
        let mut projection = Projection::start(&self.log, &self.registry, PREFIX, sink);
        projection.until_events(events).await?;
        let seconds = started.elapsed().as_secs_f64();
        let cost = per_row(process::own_cpu()? - cpu, events);
        let peak = process::peak_mib()?;
        let stats = projection.stop().await?;
        check_rows(&query, 1, rows).await?;
        let bytes = stats.bytes.load(Ordering::Relaxed);
        let batches = stats.batches.load(Ordering::Relaxed);
        Ok(Run::timed("catch-up into DuckDB", events, bytes, seconds)
            .with("ours µs/row", cost)
            .with("peak MiB", peak)
            .with("applies", batches as f64))
    }
}

/// Checks that the warehouse holds rows `first` and following, `rows` of them, each once.
pub(crate) async fn check_rows(query: &Query, first: u64, rows: u64) -> anyhow::Result<()> {
    let sql = "SELECT count(*), count(DISTINCT id), min(id) FROM public_bench";
    let table = query.query(sql, 1, QUERY_LIMIT).await?;
    let found: Vec<&str> =
        table.rows.iter().flatten().map(|value| value.as_deref().unwrap_or("")).collect();
    let (rows, first) = (rows.to_string(), first.to_string());
    ensure!(found == [&*rows, &*rows, &*first], "the warehouse has {found:?} and not {rows} rows");
    Ok(())
}

impl Projection {
    /// Starts a projection of all topics that begin with `prefix`.
    pub(crate) fn start<K: Sink + 'static>(
        log: &LocalLog,
        registry: &Registry,
        prefix: &str,
        sink: K,
    ) -> Self {
        Self::of(log.reader(), log.writer("dead-letters", "bench"), registry, prefix, sink)
    }

    /// The same, from whatever log.
    pub(crate) fn of<R: LogReader + 'static, W: LogWriter + 'static, K: Sink + 'static>(
        reader: R,
        dead_letters: W,
        registry: &Registry,
        prefix: &str,
        sink: K,
    ) -> Self {
        let stats: Arc<LoopStats> = Arc::default();
        let shutdown = CancellationToken::new();
        let prefix = format!("{prefix}.");
        let project = Project {
            reader,
            decoder: Decoder::new(Arc::new(registry.clone())),
            sink,
            dead_letters,
            config: ProjectConfig::new("duckdb", move |topic| topic.as_str().starts_with(&prefix)),
            clock: Clock::system(),
            stats: stats.clone(),
            hold: cdc_pipeline::Hold::default(),
            desk: cdc_pipeline::project::DeskQueue::default(),
        };
        let mut task = JoinSet::new();
        task.spawn(Box::pin(project.run(shutdown.clone())));
        Self { stats, shutdown, task }
    }

    /// Waits until the sink holds `events` events of this run.
    pub(crate) async fn until_events(&mut self, events: u64) -> anyhow::Result<()> {
        while self.stats.events.load(Ordering::Relaxed) < events {
            tokio::select! {
                ended = self.task.join_next() => {
                    ended.context("the projection runs")???;
                    bail!("the projection ended by itself");
                }
                () = tokio::time::sleep(Duration::from_millis(1)) => {}
            }
        }
        let retries = self.stats.retries.load(Ordering::Relaxed);
        ensure!(retries == 0, "the projection had to try again {retries} times");
        Ok(())
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<Arc<LoopStats>> {
        self.shutdown.cancel();
        self.task.join_next().await.context("the projection runs")???;
        Ok(self.stats)
    }
}
