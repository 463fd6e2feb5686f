//! The service: opens and runs projections, and does what an operator says.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cdc_codec::Decoder;
use cdc_control::{TailStream, v1};
use cdc_model::{Lsn, Topic};
use cdc_pipeline::Halted;
use cdc_pipeline::dead_letter::SUFFIX;
use cdc_pipeline::stats::LoopStats;
use cdc_registry::Registry;
use cdc_runtime::{Log, PipelineId};
use cdc_sink_audit::AuditQuery;
use cdc_sink_duckdb::Query;
use cdc_sink_search::Search;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::projection::{DUCKDB, From, Projection, Store};
use crate::sample::Sampler;
use crate::tail;

/// How long an operator's query may run.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// How often the log is told how far projections are, so that it may drop segments.
const RETENTION_INTERVAL: Duration = Duration::from_secs(5);

/// What a projector is told.
#[derive(Debug, Clone)]
pub struct ProjectorConfig {
    /// Where the stores are.
    pub data_dir: PathBuf,
    /// First part of the names of the topics that are followed.
    pub prefix: String,
    /// Which stores.
    pub projections: Vec<cdc_config::Projection>,
}

/// Projections, opened and not running yet.
pub struct Projector {
    config: ProjectorConfig,
    id: PipelineId,
    pub(crate) log: Log,
    registry: Registry,
    pub(crate) projections: Vec<Projection>,
    pub(crate) query: Option<Query>,
    pub(crate) search: Option<Search>,
    pub(crate) audit: Option<AuditQuery>,
    pub(crate) sampler: Sampler,
}

impl Projector {
    /// Returns the names of the projections of a configuration.
    pub fn names(projections: &[cdc_config::Projection]) -> Vec<&'static str> {
        projections.iter().map(|kind| kind.name()).collect()
    }

    /// Opens every store of the pipeline `id`, which reads `log`.
    ///
    /// # Errors
    /// The first store that cannot be opened, and why.
    pub async fn open(
        config: ProjectorConfig,
        id: PipelineId,
        log: Log,
        registry: Registry,
    ) -> Result<Self, Halted> {
        let (mut query, mut search, mut audit) = (None, None, None);
        let mut projections = Vec::new();
        for kind in &config.projections {
            let store = Store::open(*kind, &config.data_dir, &id).await?;
            match &store {
                Store::DuckDb(sink) => query = Some(sink.query_handle()),
                Store::Search(sink) => search = Some(sink.query_handle()),
                Store::Audit(sink) => audit = Some(sink.query_handle()),
            }
            projections.push(Projection::new(store));
        }
        let sampler = Sampler::default();
        Ok(Self { config, id, log, registry, projections, query, search, audit, sampler })
    }

    /// Returns where the warehouse of a data directory is.
    pub fn warehouse_path(data_dir: &Path) -> PathBuf {
        data_dir.join(DUCKDB.1)
    }

    /// Returns read-only SQL on the warehouse, if there is one.
    pub fn query(&self) -> Option<&Query> {
        self.query.as_ref()
    }

    /// Returns full-text search, if there is an index.
    pub fn search(&self) -> Option<&Search> {
        self.search.as_ref()
    }

    /// Returns the audit log, if there is one.
    pub fn audit(&self) -> Option<&AuditQuery> {
        self.audit.as_ref()
    }

    /// Returns what the projection of that name tells about itself.
    pub fn stats(&self, name: &str) -> Option<&Arc<LoopStats>> {
        self.projections.iter().find(|p| p.name == name).map(|p| &p.stats)
    }

    /// Returns whether its projections read a topic.
    pub(crate) fn follows(&self, topic: &Topic) -> bool {
        let rest = topic.as_str().strip_prefix(&self.config.prefix);
        rest.is_some_and(|rest| rest.starts_with('.') && !rest.ends_with(SUFFIX))
    }

    /// Returns a decoder of the log's records.
    pub fn decoder(&self) -> Decoder<Registry> {
        Decoder::new(Arc::new(self.registry.clone()))
    }

    /// Runs every projection until `shutdown`, then drains.
    ///
    /// # Errors
    /// The first halt, once all have ended.
    pub async fn run(self: &Arc<Self>, shutdown: CancellationToken) -> Result<(), Halted> {
        let stopping = shutdown.child_token();
        let finished = CancellationToken::new();
        let mut loops = JoinSet::new();
        for index in 0..self.projections.len() {
            let (this, stop) = (self.clone(), stopping.clone());
            loops.spawn(async move {
                let Self { projections, log, id, registry, config, .. } = &*this;
                let from = From { log, id, registry, prefix: &config.prefix };
                projections[index].run(&from, stop).await
            });
        }
        let work = async {
            let mut outcome = Ok(());
            while let Some(ended) = loops.join_next().await {
                let ended = ended.unwrap_or_else(|error| Err(panicked(&error)));
                if ended.is_err() {
                    stopping.cancel();
                }
                outcome = outcome.and(ended);
            }
            finished.cancel();
            outcome
        };
        let beside = async { tokio::join!(self.sampler.run(self), self.keep_retention()) };
        let (outcome, _) = tokio::join!(work, finished.run_until_cancelled(beside));
        outcome
    }

    async fn keep_retention(&self) {
        let Log::Local(log) = &self.log else { return std::future::pending().await };
        loop {
            tokio::time::sleep(RETENTION_INTERVAL).await;
            let enforced = async {
                for projection in &self.projections {
                    let offsets = projection.stats.offsets().into_iter().collect();
                    log.projection_applied(projection.name, offsets).await?;
                }
                log.enforce_retention().await.map(drop)
            };
            if let Err(error) = enforced.await {
                tracing::warn!(error = %error, "retention is not enforced");
            }
        }
    }

    /// Holds a projection, or lets it go on.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is none of that name.
    pub fn set_paused(&self, name: &str, is_paused: bool) -> Result<(), Status> {
        let hold = &self.find(name)?.hold;
        if is_paused {
            hold.pause();
        } else {
            hold.resume();
        }
        Ok(())
    }

    pub(crate) fn find(&self, name: &str) -> Result<&Projection, Status> {
        let found = self.projections.iter().find(|projection| projection.name == name);
        found.ok_or_else(|| Status::not_found(format!("there is no projection \"{name}\" here")))
    }

    /// Returns when what was committed up to `lsn` was in each projection that has it.
    pub fn trace(&self, lsn: Lsn) -> Vec<v1::TraceRung> {
        let rung = |projection: &Projection| {
            let at_us = projection.stats.reached(lsn)?.0;
            Some(v1::TraceRung { name: projection.name.to_owned(), at_us })
        };
        self.projections.iter().filter_map(rung).collect()
    }

    /// Runs one read-only SELECT on the warehouse.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with the warehouse's words, `UNIMPLEMENTED` if there is none.
    pub async fn ask(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        let Some(query) = &self.query else {
            return Err(Status::unimplemented("this process does not run a warehouse"));
        };
        let rows_max = usize::try_from(request.row_limit).unwrap_or(usize::MAX);
        let found = query.query(&request.sql, rows_max, QUERY_LIMIT).await;
        let table = found.map_err(|error| Status::invalid_argument(error.to_string()))?;
        let column = |c: cdc_sink_duckdb::QueryColumn| v1::Column { name: c.name, r#type: c.ty };
        let row = |cells: Vec<Option<String>>| v1::Row {
            cells: cells.into_iter().map(|text| v1::Cell { text }).collect(),
        };
        Ok(v1::QueryReply {
            columns: table.columns.into_iter().map(column).collect(),
            rows: table.rows.into_iter().map(row).collect(),
            is_cut: table.is_cut,
        })
    }

    /// Searches in full text.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` if the query cannot be read, `UNIMPLEMENTED` if there is no index.
    pub async fn find_text(&self, request: v1::SearchRequest) -> Result<v1::SearchReply, Status> {
        let Some(search) = &self.search else {
            return Err(Status::unimplemented("this process does not run a search projection"));
        };
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let hits = search.search(&request.query, limit).await;
        let hits = hits.map_err(|error| Status::invalid_argument(error.to_string()))?;
        Ok(v1::SearchReply { hits: hits.into_iter().map(hit).collect() })
    }

    /// Follows decoded records.
    ///
    /// # Errors
    /// `NOT_FOUND` if there is no such topic, `UNAVAILABLE` if the log is away.
    pub async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        tail::follow(&self.log, self.decoder(), request).await
    }
}

fn hit(hit: cdc_sink_search::Hit) -> v1::SearchHit {
    let range = |range: std::ops::Range<usize>| {
        let before = |end| hit.snippet.text.get(..end).map_or(0, |text: &str| text.chars().count());
        let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        v1::TextRange { start: number(before(range.start)), end: number(before(range.end)) }
    };
    v1::SearchHit {
        matches: hit.snippet.matches.iter().cloned().map(range).collect(),
        table: hit.table.to_string(),
        key: serde_json::Value::Object(hit.key).to_string(),
        score: f64::from(hit.score),
        snippet: hit.snippet.text.clone(),
        row_json: serde_json::Value::Object(hit.row).to_string(),
    }
}

fn panicked(error: &tokio::task::JoinError) -> Halted {
    Halted {
        code: "PANICKED",
        message: format!("a part of the pipeline failed: {error}"),
        remedy: Some("This is a defect; please report it. A restart goes on.".to_owned()),
    }
}

impl fmt::Debug for Projector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Projector").field("config", &self.config).finish_non_exhaustive()
    }
}
