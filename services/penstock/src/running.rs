//! A running pipeline, as its operator sees it: what it tells over control, and what it is told.

mod progress;

use std::path::PathBuf;
use std::sync::Arc;

use cdc_control::{Control, Settlement, TailStream, v1};
use cdc_model::Lsn;
use cdc_pipeline::Halted;
use cdc_runtime::process::{Endpoints, Process, admin_state};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::pipeline::{Log, Pipeline};

/// What a process that runs everything is called.
const NAME: &str = "penstock";

/// A pipeline that runs.
#[derive(Debug)]
pub struct Running {
    pipeline: Arc<Pipeline>,
    process: Process,
    shutdown: CancellationToken,
}

impl Running {
    /// Makes the operator's side of `pipeline`; `shutdown` is what `stop` cancels.
    pub fn new(pipeline: Arc<Pipeline>, shutdown: CancellationToken) -> Arc<Self> {
        let address = pipeline.config().data_dir().display().to_string();
        let process = Process::new(NAME, address);
        Arc::new(Self { pipeline, process, shutdown })
    }

    /// Runs the pipeline and its control socket until `shutdown` or a halt.
    ///
    /// # Errors
    /// The halt.
    pub async fn run(self: &Arc<Self>) -> Result<(), Halted> {
        self.run_at(Endpoints::default()).await
    }

    /// The same, serving control and admin at `endpoints` too.
    ///
    /// # Errors
    /// The halt.
    pub async fn run_at(self: &Arc<Self>, endpoints: Endpoints) -> Result<(), Halted> {
        let finished = CancellationToken::new();
        let admin = || {
            let (ready, told) = (self.clone(), self.clone());
            admin_state(move || ready.obstacle(), move || told.status())
        };
        let dir = self.pipeline.config().data_dir();
        let serve = endpoints.serve(self, dir, admin, &finished);
        let progress = finished.run_until_cancelled(progress::log(self));
        let pipeline = async {
            let outcome = self.pipeline.clone().run(self.shutdown.clone()).await;
            finished.cancel();
            outcome
        };
        let (outcome, (), _) = tokio::join!(pipeline, serve, progress);
        outcome
    }

    /// Returns the path of its control socket.
    pub fn socket(&self) -> PathBuf {
        self.pipeline.config().data_dir().join(cdc_control::SOCKET)
    }

    /// Returns the pipeline.
    pub fn pipeline(&self) -> &Arc<Pipeline> {
        &self.pipeline
    }

    /// Tells one moment of everything.
    pub fn status(&self) -> v1::StatusReply {
        let (pipeline, now) = (&self.pipeline, self.process.now_us());
        let mut status = v1::StatusReply {
            pipeline: pipeline.id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.process.uptime_ms(),
            data_dir: pipeline.config().data_dir().display().to_string(),
            now_ms: now / 1_000,
            services: vec![self.process.service(pipeline.capture().is_standby())],
            ..v1::StatusReply::default()
        };
        status.set_mode(match pipeline.log() {
            Log::Local(_) => v1::Mode::Embedded,
            Log::Kafka(..) => v1::Mode::Kafka,
        });
        pipeline.capture().fill(&mut status, now);
        pipeline.projector().fill(&mut status, now);
        status
    }

    /// Returns why data does not flow, if it does not.
    pub fn obstacle(&self) -> Option<String> {
        self.pipeline.capture().obstacle().or_else(|| self.pipeline.projector().obstacle())
    }

    fn set_paused(&self, target: &str, is_paused: bool) -> Result<(), Status> {
        if target != capture::TARGET {
            return self.pipeline.projector().set_paused(target, is_paused);
        }
        let hold = self.pipeline.capture().hold();
        if is_paused {
            hold.pause();
        } else {
            hold.resume();
        }
        Ok(())
    }
}

impl Control for Running {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        Ok(self.status())
    }

    async fn stop(&self) -> Result<(), Status> {
        self.shutdown.cancel();
        Ok(())
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        self.pipeline.projector().ask(request).await
    }

    async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        self.pipeline.projector().tail(request).await
    }

    async fn search(&self, request: v1::SearchRequest) -> Result<v1::SearchReply, Status> {
        self.pipeline.projector().find_text(request).await
    }

    async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, Status> {
        self.pipeline.capture().accept_schema(request).await
    }

    async fn list_schemas(
        &self,
        request: v1::ListSchemasRequest,
    ) -> Result<v1::ListSchemasReply, Status> {
        cdc_runtime::schemas::list(self.pipeline.registry(), &request.subject).await
    }

    async fn pause(&self, target: String) -> Result<(), Status> {
        self.set_paused(&target, true)
    }

    async fn resume(&self, target: String) -> Result<(), Status> {
        self.set_paused(&target, false)
    }

    async fn trace(&self, request: v1::TraceRequest) -> Result<v1::TraceReply, Status> {
        let lsn: Lsn = cdc_runtime::process::position(&request.position)?;
        let mut rungs: Vec<_> = self.pipeline.capture().trace(lsn).into_iter().collect();
        rungs.extend(self.pipeline.projector().trace(lsn));
        Ok(v1::TraceReply { rungs })
    }

    async fn list_dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersReply, Status> {
        self.pipeline.projector().dead_letters(request).await
    }

    async fn settle_dead_letters(
        &self,
        request: v1::SettleRequest,
        settlement: Settlement,
    ) -> Result<v1::SettleReply, Status> {
        self.pipeline.projector().settle(request, settlement).await
    }
}
