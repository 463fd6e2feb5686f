//! The service: runs the loop, and does what an operator says.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cdc_codec::{CodecConfig, Encoder, Format};
use cdc_control::v1;
use cdc_model::Lsn;
use cdc_pipeline::port::{LogWriter, SchemaRegistry, Subject};
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Clock, Halted, Hold, capture};
use cdc_registry::Registry;
use cdc_runtime::{Log, PipelineId};
use cdc_source_postgres::{PostgresSource, Status, StatusHandle};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::status::Sampler;

/// The name by which capture is paused and resumed.
pub const TARGET: &str = "capture";

/// Halts that accepting the schema lifts.
const SCHEMA_HALTS: [&str; 2] = ["SCHEMA_INCOMPATIBLE", "SCHEMA_SEMANTIC"];

/// What capture is told.
#[derive(Debug, Clone)]
pub struct CaptureConfig {
    /// The source's settings.
    pub source: cdc_source_postgres::Config,
    /// First part of topic names.
    pub prefix: String,
    /// How records are written.
    pub format: Format,
    /// Bounds and retries.
    pub capture: capture::CaptureConfig,
}

/// Capture, opened and not running yet.
pub struct Capture {
    pub(crate) config: CaptureConfig,
    id: PipelineId,
    log: Log,
    registry: Registry,
    source_status: Mutex<StatusHandle>,
    pub(crate) stats: Arc<LoopStats>,
    hold: Hold,
    accepted: watch::Sender<u64>,
    pub(crate) sampler: Sampler,
}

impl Capture {
    /// Makes capture of the pipeline `id` into `log`. The source is connected to when it runs.
    pub fn new(config: CaptureConfig, id: PipelineId, log: Log, registry: Registry) -> Self {
        let status = PostgresSource::new(config.source.clone()).status();
        Self {
            config,
            id,
            log,
            registry,
            source_status: Mutex::new(status),
            stats: Arc::default(),
            hold: Hold::default(),
            accepted: watch::Sender::new(0),
            sampler: Sampler::default(),
        }
    }

    /// Returns whose changes these are.
    pub fn id(&self) -> &PipelineId {
        &self.id
    }

    /// Returns its settings.
    pub fn config(&self) -> &CaptureConfig {
        &self.config
    }

    /// Returns what the loop tells about itself.
    pub fn stats(&self) -> &Arc<LoopStats> {
        &self.stats
    }

    /// Returns what the source tells about itself.
    pub fn source_status(&self) -> Status {
        self.source_status.lock().unwrap_or_else(PoisonError::into_inner).get()
    }

    /// Returns what holds the loop.
    pub fn hold(&self) -> &Hold {
        &self.hold
    }

    /// Runs until `shutdown`, then drains.
    ///
    /// # Errors
    /// The halt that ended it. After one on a schema it waits for the schema to be accepted.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Halted> {
        let finished = CancellationToken::new();
        let sample = finished.run_until_cancelled(self.sampler.run(self));
        let work = async {
            let outcome = self.keep_capturing(shutdown).await;
            finished.cancel();
            outcome
        };
        let (outcome, _) = tokio::join!(work, sample);
        outcome
    }

    async fn keep_capturing(&self, shutdown: CancellationToken) -> Result<(), Halted> {
        loop {
            let mut accepted = self.accepted.subscribe();
            let captured = Box::pin(self.capture(shutdown.clone())).await;
            let Err(halted) = captured else { return Ok(()) };
            if !SCHEMA_HALTS.contains(&halted.code) {
                return Err(halted);
            }
            tokio::select! {
                changed = accepted.changed() => if changed.is_err() { return Err(halted) },
                () = shutdown.cancelled() => return Err(halted),
            }
        }
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
        let capture = capture::Capture {
            source,
            writer,
            encoder: Encoder::new(codec, Arc::new(self.registry.clone())),
            config: self.config.capture,
            clock: Clock::system(),
            stats: self.stats.clone(),
            hold: self.hold.clone(),
        };
        capture.run(shutdown).await
    }

    /// Returns when what was committed up to `lsn` was in the log.
    pub fn trace(&self, lsn: Lsn) -> Option<v1::TraceRung> {
        let at = self.stats.reached(lsn)?;
        Some(v1::TraceRung { name: "appended".to_owned(), at_us: at.0 })
    }

    /// Accepts the schema that was refused last under a subject; a capture that halted on it starts
    /// again.
    ///
    /// # Errors
    /// `NOT_FOUND` if none was refused.
    pub async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, tonic::Status> {
        let subject = Subject::new(request.subject.as_str());
        let refused = self.registry.refused().into_iter().find(|o| o.subject == subject);
        let failed = |error: cdc_registry::Error| tonic::Status::internal(error.to_string());
        let Some(id) = self.registry.accept_refused(&subject).await.map_err(failed)? else {
            let text = format!("no schema was refused under \"{subject}\"");
            return Err(tonic::Status::not_found(text));
        };
        let latest = self.registry.latest(&subject).await.map_err(failed)?;
        self.accepted.send_modify(|count| *count += 1);
        Ok(v1::AcceptSchemaReply {
            id: id.0,
            version: latest.map_or(0, |latest| latest.version.0),
            diff: refused.map_or_else(String::new, |objection| objection.changes.join("\n")),
        })
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").field("id", &self.id).finish_non_exhaustive()
    }
}
