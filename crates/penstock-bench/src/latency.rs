//! From the commit at the source, by the server's own clock, until a change can be seen: by a
//! read_committed consumer, by a reader of the embedded log, in DuckDB. Beside each run a raw
//! reader of an equal slot, which sees a commit as early as anyone can, and what a commit takes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use cdc_codec::Decoder;
use cdc_model::{LogRecord, Lsn, Offset, Timestamp, Topic};
use cdc_pipeline::Clock;
use cdc_pipeline::port::{
    Decode, DecodeError, Decoded, LogReader, ParkedRecord, SettleBatch, Sink, SinkBatch, SinkKind,
    SinkState,
};
use cdc_registry::Registry;
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
use cdc_source_postgres::pgoutput::{Message, State, decode};
use cdc_source_postgres::wire::{Connection, CopyMessage};
use tokio::task::JoinSet;

use crate::capture::per_row;
use crate::pipeline::{Log, LogKind, Pipeline};
use crate::project::{Projection, check_rows};
use crate::report::{Report, Run, note};
use crate::sent;
use crate::verify;
use crate::world::{RAW_PUBLICATION, World};

/// How much to commit.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Single-row commits a second.
    #[arg(long, default_value_t = 1_000)]
    rate: u64,
    /// For how long.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How often to repeat.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these ends.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kafka,local,duckdb")]
    to: Vec<End>,
}

/// Where a change is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum End {
    Kafka,
    Local,
    Duckdb,
}

impl End {
    fn leg(self) -> &'static str {
        match self {
            Self::Kafka => "Kafka, read_committed",
            Self::Local => "embedded log",
            Self::Duckdb => "DuckDB, by the embedded log",
        }
    }
}

const RAW: &str = "raw reader of a slot";

/// How long after the last commit its change may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Times from commit until seen, in µs; those of the first second are left out.
#[derive(Debug, Clone)]
struct Seen {
    clock: Clock,
    micros: Arc<Mutex<Vec<i64>>>,
}

impl Seen {
    fn new() -> Self {
        Self { clock: Clock::system(), micros: Arc::default() }
    }

    fn note(&self, commits: impl Iterator<Item = Timestamp>) {
        let now = self.clock.now();
        let mut micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        micros.extend(commits.map(|commit| now.0 - commit.0));
    }

    fn count(&self) -> u64 {
        self.micros.lock().unwrap_or_else(PoisonError::into_inner).len() as u64
    }

    fn run(&self, leg: &str, warm: u64) -> Run {
        let micros = self.micros.lock().unwrap_or_else(PoisonError::into_inner);
        summary(leg, micros.iter().skip(usize::try_from(warm).unwrap_or(0)).copied().collect())
    }
}

pub(crate) fn summary(leg: &str, mut micros: Vec<i64>) -> Run {
    micros.sort_unstable();
    let millis = |per_mille: usize| {
        let index = (micros.len() * per_mille / 1_000).min(micros.len().saturating_sub(1));
        micros.get(index).map_or(0.0, |found| *found as f64 / 1e3)
    };
    Run::of(
        leg,
        vec![
            ("p50 ms", millis(500)),
            ("p90 ms", millis(900)),
            ("p99 ms", millis(990)),
            ("max ms", millis(1_000)),
        ],
    )
}

/// Runs the benchmark.
pub(crate) async fn run(args: &Args) -> anyhow::Result<Report> {
    let world = World::start(args.to.contains(&End::Kafka)).await?;
    let Args { rate, seconds, .. } = args;
    let title = format!("latency: {rate} single-row commits/s for {seconds} s, commit until seen");
    let mut report = Report::new(title).compared_with(RAW, "p50 ms");
    for round in 0..args.rounds {
        for end in &args.to {
            measure(&world, args, *end, round, &mut report).await?;
        }
    }
    Ok(report)
}

async fn measure(
    world: &World,
    args: &Args,
    end: End,
    round: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = args.rate * args.seconds;
    note(&format!("{}: {rows} commits", end.leg()));
    let name = format!("latency_{end:?}_{round}").to_lowercase();
    let kind = if end == End::Kafka { LogKind::Kafka } else { LogKind::Local };
    let pipeline = Pipeline::new(world, kind, &name)?;
    let mut capture = pipeline.start();
    capture.until_streaming().await?;
    // The topic exists once a row was written; it is not counted.
    world.client.batch_execute("INSERT INTO bench (id) VALUES (0)").await?;
    capture.until_events(1).await?;

    let (raw_slot, raw, seen) = (format!("{name}_raw"), Seen::new(), Seen::new());
    world.make_slot(&raw_slot).await?;
    let mut watchers = JoinSet::new();
    watchers.spawn(Box::pin(watch_raw(world.options()?, raw_slot.clone(), raw.clone())));
    let registry = pipeline.registry.clone();
    let mut warehouse = None;
    match (&pipeline.log, end) {
        (Log::Local(log), End::Duckdb) => {
            let path = world.dir.path().join(format!("{name}.duckdb"));
            let sink = DuckDbSink::open(path, DuckDbConfig::new(&*name)).await?;
            let query = sink.query_handle();
            let sink = Watched { sink, seen: seen.clone() };
            let mut projection = Projection::start(log, &registry, &name, sink);
            projection.until_events(1).await?;
            seen.micros.lock().unwrap_or_else(PoisonError::into_inner).clear();
            warehouse = Some((projection, query));
        }
        (Log::Local(log), _) => {
            let watch = watch_log(log.reader(), registry, pipeline.topic(), seen.clone());
            watchers.spawn(Box::pin(watch));
        }
        (Log::Kafka(log), _) => {
            let watch = watch_log(log.reader(), registry, pipeline.topic(), seen.clone());
            watchers.spawn(Box::pin(watch));
        }
    }

    let before = world.usage()?;
    let commits = sent::load(world, args.rate, rows).await?;
    wait(&mut watchers, &seen, rows).await?;
    let after = world.usage()?;
    let commits = commits.into_iter().map(i64::from).collect();
    report.add(raw.run(RAW, args.rate));
    report.add(summary("the commit itself", commits));
    let run = seen.run(end.leg(), args.rate);
    let run = run.with("ours and load's µs/row", per_row(after.ours - before.ours, rows));
    report.add(run.with("broker", per_row(after.broker - before.broker, rows)));

    watchers.shutdown().await;
    if let Some((projection, query)) = warehouse {
        projection.stop().await?;
        check_rows(&query, 0, rows + 1).await?;
    }
    capture.stop().await?;
    verify::check(&pipeline.log, &pipeline.topic(), 0, rows + 1).await?;
    world.drop_slot(&name).await?;
    world.drop_slot(&raw_slot).await?;
    world.client.batch_execute("TRUNCATE bench").await?;
    Ok(())
}

/// Waits until everything was seen.
async fn wait(
    watchers: &mut JoinSet<anyhow::Result<()>>,
    seen: &Seen,
    rows: u64,
) -> anyhow::Result<()> {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while seen.count() < rows {
        tokio::select! {
            ended = watchers.join_next() => {
                ended.context("somebody watches")??.context("watching")?;
                bail!("a watcher ended by itself");
            }
            () = tokio::time::sleep_until(deadline) => bail!("{} of {rows} seen", seen.count()),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    Ok(())
}

/// Notes when a commit reaches a client that does nothing else.
async fn watch_raw(
    options: cdc_source_postgres::wire::ConnectOptions,
    slot: String,
    seen: Seen,
) -> anyhow::Result<()> {
    let connection = Connection::connect(&options, true).await?;
    let settings = [("proto_version", "1"), ("publication_names", RAW_PUBLICATION)];
    let (mut reader, mut writer) =
        connection.start_replication(&slot, Lsn::ZERO, &settings).await?;
    let mut state = State::default();
    loop {
        match reader.read().await? {
            CopyMessage::XLogData { data, .. } => {
                if let Message::Begin(begin) = decode(data, &mut state)? {
                    seen.note(std::iter::once(begin.commit_time));
                }
            }
            CopyMessage::Keepalive { wal_end, is_reply_requested: true, .. } => {
                writer.send_status(wal_end, wal_end, wal_end, false).await?;
            }
            CopyMessage::Keepalive { .. } | CopyMessage::Notice { .. } => {}
        }
    }
}

/// Notes when a reader of the log gets each record.
async fn watch_log<R: LogReader>(
    mut reader: R,
    registry: Registry,
    topic: Topic,
    seen: Seen,
) -> anyhow::Result<()> {
    let mut decoder = Decoder::new(Arc::new(registry));
    let topics = reader.topics().await?;
    let meta = topics.iter().find(|meta| meta.topic == topic).context("the topic")?;
    // After the row that made the topic.
    let from = meta.topic_partitions().map(|at| (at, Offset(1))).collect();
    reader.assign(from).await?;
    loop {
        let records = reader.poll(1 << 20).await?.records;
        let mut commits = Vec::with_capacity(records.len());
        for record in &records {
            commits.push(committed_at(&mut decoder, record).await?);
        }
        seen.note(commits.into_iter());
    }
}

async fn committed_at(
    decoder: &mut Decoder<Registry>,
    record: &LogRecord,
) -> anyhow::Result<Timestamp> {
    loop {
        match decoder.decode(record) {
            Ok(Decoded::Change(event)) => return Ok(event.origin.transaction.committed_at),
            Ok(Decoded::Moved(_) | Decoded::Skip) => bail!("not an insert"),
            Err(DecodeError::UnknownSchema(id)) => decoder.learn(id).await?,
            Err(DecodeError::Invalid(error)) => bail!(error),
        }
    }
}

/// A sink that notes when its rows are visible.
struct Watched {
    sink: DuckDbSink,
    seen: Seen,
}

impl Sink for Watched {
    type Error = cdc_sink_duckdb::Error;

    fn kind(&self) -> SinkKind {
        self.sink.kind()
    }

    async fn resume(&mut self) -> Result<SinkState, Self::Error> {
        self.sink.resume().await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Self::Error> {
        self.sink.apply(batch.clone()).await?;
        self.seen.note(batch.changes.iter().map(|c| c.event.origin.transaction.committed_at));
        Ok(())
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Self::Error> {
        self.sink.parked(limit).await
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<(), Self::Error> {
        self.sink.settle(batch).await
    }
}
