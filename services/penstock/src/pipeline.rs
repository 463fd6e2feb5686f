//! Builds a pipeline out of the services' libraries and runs it in one process: capture and the
//! projections, on the embedded log or on Kafka.
//!
//! # Identity
//! A pipeline is `<systemid>-<database>-<slot>`; the data directory remembers whose it is, so that
//! a start needs the database only once.
//!
//! # Halts
//! A part that halts stops the pipeline: the others drain, and the halt is what the process ends
//! with. Only a capture that halted on an incompatible schema stays, halted and visible.

mod reach;
mod supervise;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use capture::{Capture, CaptureConfig};
use cdc_codec::Decoder;
use cdc_pipeline::Halted;
use cdc_pipeline::stats::LoopStats;
use cdc_registry::Registry;
use cdc_sink_duckdb::Query;
use cdc_source_postgres::Status;
use projector::{Projector, ProjectorConfig};
use tokio_util::sync::CancellationToken;

pub use cdc_runtime::{AnyReader, Log, LogConfig, PipelineConfig, PipelineId, ReadError};

/// A pipeline that is built: everything opened, nothing running yet.
#[derive(Debug)]
pub struct Pipeline {
    config: PipelineConfig,
    id: PipelineId,
    log: Log,
    registry: Registry,
    capture: Arc<Capture>,
    projector: Arc<Projector>,
}

/// Opens everything a pipeline needs. The source itself is connected to when it runs, unless the
/// data directory is new and the pipeline has no name yet.
///
/// # Errors
/// What could not be opened, why, and what to do.
pub async fn build(config: PipelineConfig) -> anyhow::Result<Arc<Pipeline>> {
    let id = PipelineId::find(&config.source, config.data_dir()).await?;
    if !config.data_dir().join("pipeline").exists() {
        reach::require(&config).await?;
    }
    let log = Log::open(&config.log, &id, &Projector::names(&config.projections)).await?;
    let registry = config.open_registry()?;
    let told = CaptureConfig {
        source: config.source.clone(),
        prefix: config.prefix.clone(),
        format: config.format,
        capture: config.capture,
    };
    let capture = Capture::new(told, id.clone(), log.clone(), registry.clone());
    let told = ProjectorConfig {
        data_dir: config.data_dir().to_owned(),
        prefix: config.prefix.clone(),
        projections: config.projections.clone(),
    };
    let projector = Projector::open(told, id.clone(), log.clone(), registry.clone()).await?;
    let (capture, projector) = (Arc::new(capture), Arc::new(projector));
    Ok(Arc::new(Pipeline { config, id, log, registry, capture, projector }))
}

/// Returns where the warehouse of a data directory is.
pub fn warehouse_path(data_dir: &Path) -> PathBuf {
    Projector::warehouse_path(data_dir)
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

    /// Returns its capture.
    pub fn capture(&self) -> &Arc<Capture> {
        &self.capture
    }

    /// Returns its projections.
    pub fn projector(&self) -> &Arc<Projector> {
        &self.projector
    }

    /// Returns what the source tells about itself.
    pub fn source_status(&self) -> Status {
        self.capture.source_status()
    }

    /// Returns what capture tells about itself.
    pub fn capture_stats(&self) -> &Arc<LoopStats> {
        self.capture.stats()
    }

    /// Returns what the warehouse's projection tells about itself.
    ///
    /// # Panics
    /// If the pipeline has no warehouse.
    pub fn project_stats(&self) -> &Arc<LoopStats> {
        self.projector.stats(projector::DUCKDB.0).expect("a pipeline with a warehouse")
    }

    /// Returns read-only SQL on the warehouse.
    ///
    /// # Panics
    /// If the pipeline has no warehouse.
    pub fn query(&self) -> &Query {
        self.projector.query().expect("a pipeline with a warehouse")
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
        self.projector.decoder()
    }

    /// Runs capture and projections until `shutdown`, then drains: capture first, so that the
    /// projections can take what it appended.
    ///
    /// # Errors
    /// The first halt, once all have stopped.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) -> Result<(), Halted> {
        supervise::run(self, shutdown).await
    }
}
