//! Builds a pipeline out of its adapters and runs it: capture and the DuckDB projection, on the
//! embedded log or on Kafka. The only place that names concrete adapters.
//!
//! ```text
//! PostgresSource → capture loop → LocalLog | KafkaLog → project loop → DuckDB
//!                        └── Registry (embedded | REST) ──┘
//! ```
//!
//! # Identity
//! A pipeline is `<systemid>-<database>-<slot>`; the data directory remembers whose it is, so that
//! a start needs the database only once.
//!
//! # Halts
//! A loop that halts stops the pipeline: the other drains, and the halt is what the process ends
//! with. Only a capture that halted on an incompatible schema stays, halted and visible, and starts
//! again once the schema is accepted.

mod identity;
mod log;
mod supervise;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use cdc_codec::{CodecConfig, Decoder, Encoder, Format};
use cdc_pipeline::capture::{Capture, CaptureConfig};
use cdc_pipeline::port::{LogReader, LogWriter};
use cdc_pipeline::project::{Project, ProjectConfig};
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, Halted};
use cdc_registry::{Registry, RestConfig};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink, Query};
use cdc_source_postgres::{PostgresSource, Status, StatusHandle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use identity::PipelineId;
pub use log::{AnyReader, Log, ReadError};

/// Name of the DuckDB projection.
pub const PROJECTION: &str = "duckdb";

/// What a pipeline is made of.
#[derive(Debug, Clone)]
pub struct PipelineConfig {
    /// The source's settings.
    pub source: cdc_source_postgres::Config,
    /// Directory of everything that is kept on this machine; see `docs/data-dir.md`.
    pub data_dir: PathBuf,
    /// First part of topic names.
    pub prefix: String,
    /// How records are written.
    pub format: Format,
    /// Kafka's bootstrap servers; `None` is the embedded log.
    pub kafka: Option<cdc_log_kafka::KafkaConfig>,
    /// A Confluent-compatible registry; `None` is the embedded one.
    pub registry: Option<RestConfig>,
    /// Settings of embedded log segments and retention.
    pub local_log: cdc_log_local::LocalLogConfig,
    /// Bounds and retries of capture.
    pub capture: CaptureConfig,
}

impl PipelineConfig {
    /// Makes the settings of a pipeline with everything embedded in `data_dir`.
    pub fn embedded(
        source: cdc_source_postgres::Config,
        data_dir: &Path,
        prefix: impl Into<String>,
    ) -> Self {
        Self {
            source,
            data_dir: data_dir.to_owned(),
            prefix: prefix.into(),
            format: Format::Avro,
            kafka: None,
            registry: None,
            local_log: cdc_log_local::LocalLogConfig::default(),
            capture: CaptureConfig::default(),
        }
    }
}

/// A pipeline that is built: everything opened, nothing running yet.
#[derive(Debug)]
pub struct Pipeline {
    config: PipelineConfig,
    id: PipelineId,
    log: Log,
    registry: Registry,
    sink: Mutex<Option<DuckDbSink>>,
    query: Query,
    source_status: Mutex<StatusHandle>,
    capture_stats: Arc<LoopStats>,
    project_stats: Arc<LoopStats>,
    accepted: watch::Sender<u64>,
}

/// Opens everything a pipeline needs. The source itself is connected to when it runs, unless the
/// data directory is new and the pipeline has no name yet.
///
/// # Errors
/// What could not be opened, why, and what to do.
pub async fn build(config: PipelineConfig) -> anyhow::Result<Arc<Pipeline>> {
    let id = PipelineId::find(&config.source, &config.data_dir).await?;
    let log = Log::open(&config, &id).await?;
    let registry = open_registry(&config)?;
    let path = warehouse_path(&config.data_dir);
    let sink = DuckDbSink::open(&path, DuckDbConfig::new(id.as_str())).await?;
    let query = sink.query_handle();
    let status = PostgresSource::new(config.source.clone()).status();
    Ok(Arc::new(Pipeline {
        config,
        id,
        log,
        registry,
        sink: Mutex::new(Some(sink)),
        query,
        source_status: Mutex::new(status),
        capture_stats: Arc::default(),
        project_stats: Arc::default(),
        accepted: watch::Sender::new(0),
    }))
}

/// Returns where the warehouse of a data directory is.
pub fn warehouse_path(data_dir: &Path) -> PathBuf {
    data_dir.join("warehouse.duckdb")
}

fn open_registry(config: &PipelineConfig) -> anyhow::Result<Registry> {
    Ok(match &config.registry {
        Some(rest) => Registry::rest(rest.clone())?,
        None => Registry::embedded(&config.data_dir.join("registry"))?,
    })
}

impl Pipeline {
    /// Returns its identity.
    pub fn id(&self) -> &PipelineId {
        &self.id
    }

    /// Returns its settings.
    pub fn config(&self) -> &PipelineConfig {
        &self.config
    }

    /// Returns what the source tells about itself.
    pub fn source_status(&self) -> Status {
        self.source_status.lock().unwrap_or_else(PoisonError::into_inner).get()
    }

    /// Returns what capture tells about itself.
    pub fn capture_stats(&self) -> &Arc<LoopStats> {
        &self.capture_stats
    }

    /// Returns what the projection tells about itself.
    pub fn project_stats(&self) -> &Arc<LoopStats> {
        &self.project_stats
    }

    /// Returns read-only SQL on the projection.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// Returns the schema registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the event log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Returns a decoder of its records.
    pub fn decoder(&self) -> Decoder<Registry> {
        Decoder::new(Arc::new(self.registry.clone()))
    }

    /// Says that a schema was accepted: a capture that halted on one starts again.
    pub fn schema_accepted(&self) {
        self.accepted.send_modify(|count| *count += 1);
    }

    /// Runs capture and projection until `shutdown`, then drains: capture first, so that the
    /// projection can take what it appended.
    ///
    /// # Errors
    /// The first halt, once both have stopped.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), Halted> {
        supervise::run(self, shutdown).await
    }

    async fn capture(&self, shutdown: CancellationToken) -> Result<(), Halted> {
        let (id, incarnation) = (self.id.as_str(), self.id.incarnation());
        match &self.log {
            Log::Local(log) => {
                Box::pin(self.capture_into(log.writer(id, &incarnation), shutdown)).await
            }
            Log::Kafka(log, _) => {
                Box::pin(self.capture_into(log.writer(id, &incarnation), shutdown)).await
            }
        }
    }

    async fn capture_into<W: LogWriter>(
        &self,
        writer: W,
        shutdown: CancellationToken,
    ) -> Result<(), Halted> {
        let source = PostgresSource::new(self.config.source.clone());
        *self.source_status.lock().unwrap_or_else(PoisonError::into_inner) = source.status();
        let database = self.config.source.connect.database.clone();
        let codec = CodecConfig::new(&self.config.prefix, database).with_format(self.config.format);
        let capture = Capture {
            source,
            writer,
            encoder: Encoder::new(codec, Arc::new(self.registry.clone())),
            config: self.config.capture,
            clock: Clock::system(),
            stats: self.capture_stats.clone(),
        };
        capture.run(shutdown).await
    }

    async fn project(&self, shutdown: CancellationToken) -> Result<(), Halted> {
        let writer = format!("{}-{PROJECTION}-dlq", self.id.as_str());
        let incarnation = self.id.incarnation();
        match &self.log {
            Log::Local(log) => {
                self.project_from(log.reader(), log.writer(&writer, &incarnation), shutdown).await
            }
            Log::Kafka(log, _) => {
                self.project_from(log.reader(), log.writer(&writer, &incarnation), shutdown).await
            }
        }
    }

    async fn project_from<R: LogReader, L: LogWriter>(
        &self,
        reader: R,
        dead_letters: L,
        shutdown: CancellationToken,
    ) -> Result<(), Halted> {
        let sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(sink) = sink else { return Ok(()) };
        let prefix = format!("{}.", self.config.prefix);
        let config =
            ProjectConfig::new(PROJECTION, move |topic| topic.as_str().starts_with(&prefix));
        let project = Project {
            reader,
            decoder: self.decoder(),
            sink,
            dead_letters,
            config,
            clock: Clock::system(),
            stats: self.project_stats.clone(),
        };
        project.run(shutdown).await
    }
}
