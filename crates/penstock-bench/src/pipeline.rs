//! Capture as the product runs it, on a log of one's choice.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use cdc_codec::{CodecConfig, Encoder};
use cdc_log_kafka::{KafkaConfig, KafkaLog};
use cdc_log_local::{LocalLog, LocalLogConfig};
use cdc_model::Topic;
use cdc_pipeline::capture::{Capture, CaptureConfig};
use cdc_pipeline::port::LogWriter;
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, Halted};
use cdc_registry::Registry;
use cdc_source_postgres::{Config, Phase, PostgresSource, StatusHandle, TablePatterns};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::world::World;

/// How often a running pipeline is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Where a pipeline writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogKind {
    /// Apache Kafka, in transactions.
    Kafka,
    /// The embedded log, with fsync.
    Local,
}

/// An event log that is open.
#[derive(Debug, Clone)]
pub(crate) enum Log {
    Kafka(KafkaLog),
    Local(LocalLog),
}

/// A pipeline's parts, to be run any number of times.
pub(crate) struct Pipeline {
    /// Name of its slot and publication, and first part of its topic.
    pub(crate) name: String,
    pub(crate) log: Log,
    pub(crate) registry: Registry,
    /// Bounds of an append.
    pub(crate) config: CaptureConfig,
    source: Config,
}

/// A pipeline that runs.
pub(crate) struct Running {
    pub(crate) stats: Arc<LoopStats>,
    pub(crate) status: StatusHandle,
    shutdown: CancellationToken,
    task: JoinSet<Result<(), Halted>>,
}

impl Log {
    /// Opens a log: Kafka of `world`, or an embedded one in the folder `name`.
    pub(crate) fn open(world: &World, kind: LogKind, name: &str) -> anyhow::Result<Self> {
        Ok(match kind {
            LogKind::Kafka => {
                let kafka = world.kafka.as_ref().context("Kafka was not started")?;
                Self::Kafka(KafkaLog::new(KafkaConfig::new(kafka.bootstrap()))?)
            }
            LogKind::Local => Self::local(&world.dir.path().join(name))?,
        })
    }

    /// Opens an embedded log in `dir`.
    pub(crate) fn local(dir: &Path) -> anyhow::Result<Self> {
        Ok(Self::Local(LocalLog::open(dir, LocalLogConfig::default())?))
    }
}

impl Pipeline {
    /// Puts a pipeline called `name` together; connects to nothing yet.
    pub(crate) fn new(world: &World, kind: LogKind, name: &str) -> anyhow::Result<Self> {
        let tables = TablePatterns::new("public.bench", |table| &*table.table == "bench");
        Ok(Self {
            name: name.to_owned(),
            log: Log::open(world, kind, name)?,
            registry: Registry::embedded(&world.dir.path().join(format!("{name}-registry")))?,
            config: CaptureConfig::default(),
            source: Config::new(world.options()?, name, name, tables),
        })
    }

    /// Returns the topic of the table.
    pub(crate) fn topic(&self) -> Topic {
        Topic::new(format!("{}.public.bench", self.name))
    }

    /// Starts capture.
    pub(crate) fn start(&self) -> Running {
        match &self.log {
            Log::Kafka(log) => self.start_into(log.writer(&self.name, "bench")),
            Log::Local(log) => self.start_into(log.writer(&self.name, "bench")),
        }
    }

    fn start_into<W: LogWriter + 'static>(&self, writer: W) -> Running {
        let source = PostgresSource::new(self.source.clone());
        let stats: Arc<LoopStats> = Arc::default();
        let shutdown = CancellationToken::new();
        let status = source.status();
        let capture = Capture {
            source,
            writer,
            encoder: Encoder::new(
                CodecConfig::new(&self.name, "postgres"),
                Arc::new(self.registry.clone()),
            ),
            config: self.config,
            clock: Clock::system(),
            stats: stats.clone(),
            hold: cdc_pipeline::Hold::default(),
        };
        let mut task = JoinSet::new();
        task.spawn(Box::pin(capture.run(shutdown.clone())));
        Running { stats, status, shutdown, task }
    }
}

impl Running {
    /// Waits until the log holds `events` events of this run.
    pub(crate) async fn until_events(&mut self, events: u64) -> anyhow::Result<()> {
        while self.stats.events.load(Ordering::Relaxed) < events {
            self.pause().await?;
        }
        let retries = self.stats.retries.load(Ordering::Relaxed);
        if retries > 0 {
            bail!("capture had to try again {retries} times");
        }
        Ok(())
    }

    /// Waits until it follows the source's log.
    pub(crate) async fn until_streaming(&mut self) -> anyhow::Result<()> {
        while self.status.get().phase != Phase::Streaming {
            self.pause().await?;
        }
        Ok(())
    }

    async fn pause(&mut self) -> anyhow::Result<()> {
        tokio::select! {
            ended = self.task.join_next() => {
                ended.context("capture runs")???;
                bail!("capture ended by itself")
            }
            () = tokio::time::sleep(LOOK) => Ok(()),
        }
    }

    /// Stops it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        Ok(self.task.join_next().await.context("capture runs")???)
    }
}
