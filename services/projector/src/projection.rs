//! One projection: its store, its loop, and its handles.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use cdc_codec::Decoder;
use cdc_model::Topic;
use cdc_pipeline::port::{LogReader, LogWriter, Sink};
use cdc_pipeline::project::{Desk, DeskQueue, Project, ProjectConfig, desk};
use cdc_pipeline::stats::LoopStats;
use cdc_pipeline::{Classify, Clock, Halted, Hold};
use cdc_registry::Registry;
use cdc_runtime::{Log, PipelineId};
use cdc_sink_audit::{AuditConfig, AuditSink};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
use cdc_sink_search::{SearchConfig, SearchSink};
use tokio_util::sync::CancellationToken;

/// Name of the warehouse, and its file in the data directory.
pub const DUCKDB: (&str, &str) = ("duckdb", "warehouse.duckdb");

/// Name of the full-text index, and its directory.
pub const SEARCH: (&str, &str) = ("search", "search");

/// Name of the audit log, and its directory.
pub const AUDIT: (&str, &str) = ("audit", "audit");

/// A projection that is open.
#[derive(Debug)]
pub(crate) struct Projection {
    pub(crate) name: &'static str,
    pub(crate) stats: Arc<LoopStats>,
    pub(crate) hold: Hold,
    pub(crate) desk: Desk,
    /// Taken when it runs.
    parts: Mutex<Option<(Store, DeskQueue)>>,
}

/// A store that is open.
#[derive(Debug)]
pub(crate) enum Store {
    DuckDb(DuckDbSink),
    Search(SearchSink),
    Audit(AuditSink),
}

impl Store {
    pub(crate) async fn open(
        kind: cdc_config::Projection,
        data_dir: &Path,
        id: &PipelineId,
    ) -> Result<Self, Halted> {
        let id = id.as_str();
        Ok(match kind {
            cdc_config::Projection::DuckDb => {
                let path = data_dir.join(DUCKDB.1);
                Self::DuckDb(opened(DuckDbSink::open(&path, DuckDbConfig::new(id)).await)?)
            }
            cdc_config::Projection::Search => {
                let path = data_dir.join(SEARCH.1);
                Self::Search(opened(SearchSink::open(&path, SearchConfig::new(id)).await)?)
            }
            cdc_config::Projection::Audit => {
                let path = data_dir.join(AUDIT.1);
                Self::Audit(opened(AuditSink::open(&path, AuditConfig::new(id)).await)?)
            }
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Self::DuckDb(_) => DUCKDB.0,
            Self::Search(_) => SEARCH.0,
            Self::Audit(_) => AUDIT.0,
        }
    }
}

fn opened<T, E: Classify>(outcome: Result<T, E>) -> Result<T, Halted> {
    outcome.map_err(|error| Halted::new(&error))
}

impl Projection {
    pub(crate) fn new(store: Store) -> Self {
        let (desk, queue) = desk();
        Self {
            name: store.name(),
            stats: Arc::default(),
            hold: Hold::default(),
            desk,
            parts: Mutex::new(Some((store, queue))),
        }
    }

    /// Runs it until `shutdown`, then drains. Runs once.
    pub(crate) async fn run(
        &self,
        from: &From<'_>,
        shutdown: CancellationToken,
    ) -> Result<(), Halted> {
        let From { log, id, registry, prefix } = from;
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some((store, desk)) = parts else { return Ok(()) };
        let writer = format!("{}-{}-dlq", id.as_str(), self.name);
        let incarnation = id.incarnation();
        let prefix = format!("{prefix}.");
        let config =
            ProjectConfig::new(self.name, move |topic: &Topic| topic.as_str().starts_with(&prefix));
        let decoder = Decoder::new(Arc::new(Registry::clone(registry)));
        let run = Run { projection: self, config, decoder, desk, shutdown };
        match log {
            Log::Local(log) => {
                run.over(store, log.reader(), log.writer(&writer, &incarnation)).await
            }
            Log::Kafka(log, _) => {
                run.over(store, log.reader(), log.writer(&writer, &incarnation)).await
            }
        }
    }
}

/// What projections read.
pub(crate) struct From<'a> {
    pub(crate) log: &'a Log,
    pub(crate) id: &'a PipelineId,
    pub(crate) registry: &'a Registry,
    /// First part of the names of the topics that are followed.
    pub(crate) prefix: &'a str,
}

struct Run<'a> {
    projection: &'a Projection,
    config: ProjectConfig,
    decoder: Decoder<Registry>,
    desk: DeskQueue,
    shutdown: CancellationToken,
}

impl Run<'_> {
    async fn over<R: LogReader, L: LogWriter>(
        self,
        store: Store,
        reader: R,
        letters: L,
    ) -> Result<(), Halted> {
        match store {
            Store::DuckDb(sink) => Box::pin(self.into(sink, reader, letters)).await,
            Store::Search(sink) => Box::pin(self.into(sink, reader, letters)).await,
            Store::Audit(sink) => Box::pin(self.into(sink, reader, letters)).await,
        }
    }

    async fn into<K: Sink, R: LogReader, L: LogWriter>(
        self,
        sink: K,
        reader: R,
        dead_letters: L,
    ) -> Result<(), Halted> {
        let project = Project {
            reader,
            decoder: self.decoder,
            sink,
            dead_letters,
            config: self.config,
            clock: Clock::system(),
            stats: self.projection.stats.clone(),
            hold: self.projection.hold.clone(),
            desk: self.desk,
        };
        project.run(self.shutdown).await
    }
}
