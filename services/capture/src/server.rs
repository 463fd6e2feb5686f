//! The process around capture: waits for what it needs, serves control, stops in order.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cdc_control::{Control, v1};
use cdc_pipeline::{Classify, ErrorClass};
use cdc_runtime::process::{Endpoints, Process, admin_state, position};
use cdc_runtime::report::Problem;
use cdc_runtime::settings::RunSettings;
use cdc_runtime::{Log, PipelineId, schemas};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{Capture, CaptureConfig, TARGET};

/// How often what is away is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The process.
#[derive(Debug)]
struct Server {
    process: Process,
    capture: OnceLock<Arc<Capture>>,
    registry: cdc_registry::Registry,
    /// What it waits for before capture can be opened.
    waits_for: Mutex<String>,
    shutdown: CancellationToken,
}

/// Runs capture alone until a signal or a halt.
///
/// # Errors
/// Wrong settings, what cannot be opened, or the halt.
pub async fn serve(settings: RunSettings) -> Result<(), Problem> {
    settings.require_shared()?;
    let shutdown = service_kit::shutdown_on_signal();
    let endpoints = Endpoints::bind(settings.listen, settings.control.as_ref()).await?;
    let pipeline = &settings.pipeline;
    std::fs::create_dir_all(pipeline.data_dir()).map_err(anyhow::Error::new)?;
    let server = Arc::new(Server {
        process: Process::new("capture", endpoints.control_address(pipeline.data_dir())),
        capture: OnceLock::new(),
        registry: pipeline.open_registry()?,
        waits_for: Mutex::default(),
        shutdown: shutdown.clone(),
    });
    let finished = CancellationToken::new();
    let admin = || {
        let (ready, told) = (server.clone(), server.clone());
        admin_state(move || ready.obstacle(), move || told.tell())
    };
    let serving = endpoints.serve(&server, pipeline.data_dir(), admin, &finished);
    let work = async {
        let outcome = server.work(&settings).await;
        if let (Err(problem), Some(_)) = (&outcome, &settings.control) {
            server.process.tell_why(problem, &shutdown).await;
        }
        finished.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(work, serving);
    outcome?;
    tracing::info!("capture stopped");
    Ok(())
}

impl Server {
    async fn work(&self, settings: &RunSettings) -> Result<(), Problem> {
        let opening = self.open(settings);
        let Some(capture) = self.shutdown.run_until_cancelled(opening).await else {
            return Ok(());
        };
        let capture = capture?;
        tracing::info!("capture started");
        Ok(capture.run(self.shutdown.clone()).await?)
    }

    async fn open(&self, settings: &RunSettings) -> Result<Arc<Capture>, Problem> {
        let pipeline = &settings.pipeline;
        let id = loop {
            match PipelineId::find(&pipeline.source, pipeline.data_dir()).await {
                Ok(id) => break id,
                Err(error) if is_transient(&error) => self.wait(format!("{error:#}")).await,
                Err(error) => return Err(error.into()),
            }
        };
        let log = Log::open(&pipeline.log, &id, &[]).await?;
        let config = CaptureConfig {
            source: pipeline.source.clone(),
            prefix: pipeline.prefix.clone(),
            format: pipeline.format,
            capture: pipeline.capture,
        };
        let capture = Arc::new(Capture::new(config, id, log, self.registry.clone()));
        Ok(self.capture.get_or_init(|| capture).clone())
    }

    async fn wait(&self, reason: String) {
        tracing::warn!(reason, "waiting for the source");
        *self.waits_for.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        tokio::time::sleep(RETRY).await;
    }

    fn obstacle(&self) -> Option<String> {
        match self.capture.get() {
            Some(capture) => capture.obstacle(),
            None => Some(self.process.obstacle_before_opening(TARGET, &self.reason())),
        }
    }

    fn reason(&self) -> String {
        let reason = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if reason.is_empty() { "the source".to_owned() } else { reason }
    }

    fn tell(&self) -> v1::StatusReply {
        let now = self.process.now_us();
        let capture = self.capture.get();
        let mut status = v1::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.process.uptime_ms(),
            now_ms: now / 1_000,
            services: vec![self.process.service(capture.is_some_and(|c| c.is_standby()))],
            ..v1::StatusReply::default()
        };
        status.set_mode(v1::Mode::Kafka);
        match capture {
            Some(capture) => {
                status.pipeline = capture.id().to_string();
                capture.fill(&mut status, now);
            }
            None => {
                let (state, reason, halt) = self.process.before_opening(self.reason());
                let state = state.into();
                status.capture = Some(v1::Capture { state, reason, halt, ..Default::default() });
            }
        }
        status
    }

    fn running(&self) -> Result<&Arc<Capture>, Status> {
        self.capture.get().ok_or_else(|| Status::unavailable(format!("waits: {}", self.reason())))
    }

    fn hold(&self, target: &str) -> Result<&cdc_pipeline::Hold, Status> {
        if target != TARGET {
            return Err(Status::not_found(format!("there is no \"{target}\" here")));
        }
        Ok(self.running()?.hold())
    }
}

/// Whether the error heals by itself: a server that is away or starting.
fn is_transient(error: &anyhow::Error) -> bool {
    let source = error.downcast_ref::<cdc_source_postgres::wire::Error>();
    source.is_some_and(|error| error.class() == ErrorClass::Transient)
}

impl Control for Server {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        Ok(self.tell())
    }

    async fn stop(&self) -> Result<(), Status> {
        self.shutdown.cancel();
        Ok(())
    }

    async fn accept_schema(
        &self,
        request: v1::AcceptSchemaRequest,
    ) -> Result<v1::AcceptSchemaReply, Status> {
        self.running()?.accept_schema(request).await
    }

    async fn list_schemas(
        &self,
        request: v1::ListSchemasRequest,
    ) -> Result<v1::ListSchemasReply, Status> {
        schemas::list(&self.registry, &request.subject).await
    }

    async fn pause(&self, target: String) -> Result<(), Status> {
        self.hold(&target)?.pause();
        Ok(())
    }

    async fn resume(&self, target: String) -> Result<(), Status> {
        self.hold(&target)?.resume();
        Ok(())
    }

    async fn trace(&self, request: v1::TraceRequest) -> Result<v1::TraceReply, Status> {
        let lsn = position(&request.position)?;
        Ok(v1::TraceReply { rungs: self.running()?.trace(lsn).into_iter().collect() })
    }
}
