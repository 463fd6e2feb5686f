//! A running pipeline, as its operator sees it: what it tells over the control socket, and what it
//! is told.

mod progress;
mod sample;
mod status;
mod tail;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_control::v1;
use cdc_control::{Control, TailStream};
use cdc_pipeline::port::{SchemaRegistry, Subject};
use cdc_pipeline::{Clock, Halted};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::pipeline::Pipeline;

pub use sample::Sampler;

/// How long an operator's query may run.
const QUERY_LIMIT: Duration = Duration::from_secs(60);

/// A pipeline that runs, with its sampler.
#[derive(Debug)]
pub struct Running {
    pipeline: Arc<Pipeline>,
    sampler: Sampler,
    started: Instant,
    clock: Clock,
    shutdown: CancellationToken,
}

impl Running {
    /// Makes the operator's side of `pipeline`; `shutdown` is what `stop` cancels.
    pub fn new(pipeline: Arc<Pipeline>, shutdown: CancellationToken) -> Arc<Self> {
        let sampler = Sampler::new(pipeline.clone());
        let started = Instant::now();
        Arc::new(Self { pipeline, sampler, started, clock: Clock::system(), shutdown })
    }

    /// Runs the pipeline, its sampler and its control socket until `shutdown` or a halt.
    ///
    /// # Errors
    /// The halt.
    pub async fn run(self: &Arc<Self>) -> Result<(), Halted> {
        let finished = CancellationToken::new();
        let socket = self.socket();
        let serve = async {
            let served = cdc_control::serve(self.clone(), &socket, finished.clone()).await;
            if let Err(error) = served {
                tracing::error!(error = %error, "the control socket is not served");
            }
        };
        let sample = async {
            let both = async { tokio::join!(self.sampler.run(), progress::log(self)) };
            finished.run_until_cancelled(both).await;
        };
        let pipeline = async {
            let outcome = self.pipeline.clone().run(self.shutdown.clone()).await;
            finished.cancel();
            outcome
        };
        let (outcome, (), ()) = tokio::join!(pipeline, serve, sample);
        outcome
    }

    /// Returns the path of its control socket.
    pub fn socket(&self) -> PathBuf {
        self.pipeline.config().data_dir.join(cdc_control::SOCKET)
    }

    /// Returns the pipeline.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Tells one moment of everything.
    pub fn status(&self) -> v1::StatusReply {
        status::reply(self)
    }

    /// Returns why data does not flow, if it does not.
    pub fn obstacle(&self) -> Option<String> {
        status::obstacle(self)
    }
}

impl Control for Running {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        Ok(self.status())
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        let rows_max = usize::try_from(request.row_limit).unwrap_or(usize::MAX);
        let found = self.pipeline.query().query(&request.sql, rows_max, QUERY_LIMIT).await;
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

    async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        tail::follow(&self.pipeline, request).await
    }

    async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, Status> {
        let subject = Subject::new(request.subject.as_str());
        let registry = self.pipeline.registry();
        let refused = registry.refused().into_iter().find(|o| o.subject == subject);
        let failed = |error: cdc_registry::Error| Status::internal(error.to_string());
        let Some(id) = registry.accept_refused(&subject).await.map_err(failed)? else {
            return Err(Status::not_found(format!("no schema was refused under \"{subject}\"")));
        };
        let latest = registry.latest(&subject).await.map_err(failed)?;
        self.pipeline.schema_accepted();
        Ok(v1::AcceptSchemaReply {
            id: id.0,
            version: latest.map_or(0, |latest| latest.version.0),
            diff: refused.map_or_else(String::new, |objection| objection.changes.join("\n")),
        })
    }

    async fn stop(&self) -> Result<(), Status> {
        self.shutdown.cancel();
        Ok(())
    }
}
