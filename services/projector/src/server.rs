//! The process around the projections: waits for what it needs, serves control, stops in order.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use cdc_control::{Control, Settlement, TailStream, v1};
use cdc_pipeline::Halted;
use cdc_registry::Registry;
use cdc_runtime::process::{Endpoints, Process, admin_state, position};
use cdc_runtime::report::Problem;
use cdc_runtime::settings::ProjectorSettings;
use cdc_runtime::{Log, PipelineId, schemas};
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{Projector, ProjectorConfig};

/// How often a store that another instance holds is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Codes of errors that say that another process has a store.
const HELD: [&str; 4] = ["DATA_DIR_LOCKED", "WAREHOUSE_LOCKED", "SEARCH_LOCKED", "AUDIT_LOCKED"];

/// The process.
#[derive(Debug)]
struct Server {
    process: Process,
    projector: OnceLock<Arc<Projector>>,
    names: Vec<&'static str>,
    registry: Registry,
    /// What it waits for before the stores can be opened.
    waits_for: Mutex<String>,
    shutdown: CancellationToken,
}

/// Runs projections alone until a signal or a halt.
///
/// # Errors
/// Wrong settings, what cannot be opened, or the halt.
pub async fn serve(settings: ProjectorSettings) -> Result<(), Problem> {
    let shutdown = service_kit::shutdown_on_signal();
    let endpoints = Endpoints::bind(settings.listen, settings.control.as_ref()).await?;
    let data_dir = &settings.log.data_dir;
    std::fs::create_dir_all(data_dir).map_err(anyhow::Error::new)?;
    let registry = Registry::rest(settings.registry.clone()).map_err(anyhow::Error::new)?;
    let server = Arc::new(Server {
        process: Process::new("projector", endpoints.control_address(data_dir)),
        projector: OnceLock::new(),
        names: Projector::names(&settings.projections),
        registry,
        waits_for: Mutex::default(),
        shutdown: shutdown.clone(),
    });
    let finished = CancellationToken::new();
    let admin = || {
        let (ready, told) = (server.clone(), server.clone());
        admin_state(move || ready.obstacle(), move || told.tell())
    };
    let serving = endpoints.serve(&server, data_dir, admin, &finished);
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
    tracing::info!("projector stopped");
    Ok(())
}

impl Server {
    async fn work(&self, settings: &ProjectorSettings) -> Result<(), Problem> {
        let opening = self.open(settings);
        let Some(projector) = self.shutdown.run_until_cancelled(opening).await else {
            return Ok(());
        };
        let projector = projector?;
        tracing::info!(projections = ?self.names, "projector started");
        Ok(projector.run(self.shutdown.clone()).await?)
    }

    async fn open(&self, settings: &ProjectorSettings) -> Result<Arc<Projector>, Problem> {
        loop {
            match self.try_open(settings).await {
                Ok(projector) => return Ok(self.projector.get_or_init(|| projector).clone()),
                Err(problem) if problem.code.is_some_and(|code| HELD.contains(&code)) => {
                    self.stand_by(problem.cause.unwrap_or(problem.what));
                    tokio::time::sleep(RETRY).await;
                }
                Err(problem) => return Err(problem),
            }
        }
    }

    async fn try_open(&self, settings: &ProjectorSettings) -> Result<Arc<Projector>, Problem> {
        let id = PipelineId::named(format!("projector-{}", settings.prefix));
        let log = Log::open(&settings.log, &id, &self.names).await?;
        let config = ProjectorConfig {
            data_dir: settings.log.data_dir.clone(),
            prefix: settings.prefix.clone(),
            projections: settings.projections.clone(),
        };
        let opened: Result<_, Halted> =
            Projector::open(config, id, log, self.registry.clone()).await;
        Ok(Arc::new(opened.map_err(anyhow::Error::new)?))
    }

    /// Notes what it waits for, and says so when that is news.
    fn stand_by(&self, reason: String) {
        let mut waits_for = self.waits_for.lock().unwrap_or_else(PoisonError::into_inner);
        if *waits_for != reason {
            tracing::info!(reason, "standing by");
            *waits_for = reason;
        }
    }

    fn obstacle(&self) -> Option<String> {
        match self.projector.get() {
            Some(projector) => projector.obstacle(),
            None => Some(self.process.obstacle_before_opening("projector", &self.reason())),
        }
    }

    fn reason(&self) -> String {
        self.waits_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self) -> v1::StatusReply {
        let now = self.process.now_us();
        let projector = self.projector.get();
        let waits = projector.is_none() && !self.reason().is_empty();
        let is_standby = waits && !self.process.has_failed();
        let mut status = v1::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.process.uptime_ms(),
            now_ms: now / 1_000,
            services: vec![self.process.service(is_standby)],
            ..v1::StatusReply::default()
        };
        status.set_mode(v1::Mode::Kafka);
        match projector {
            Some(projector) => projector.fill(&mut status, now),
            None => status.projections.extend(self.names.iter().map(|name| {
                let (state, reason, halt) = self.process.before_opening(self.reason());
                v1::Projection {
                    name: (*name).to_owned(),
                    kind: (*name).to_owned(),
                    state: state.into(),
                    reason,
                    halt,
                    ..v1::Projection::default()
                }
            })),
        }
        status
    }

    fn running(&self) -> Result<&Arc<Projector>, Status> {
        let waits = || Status::unavailable(format!("waits: {}", self.reason()));
        self.projector.get().ok_or_else(waits)
    }
}

impl Control for Server {
    async fn status(&self) -> Result<v1::StatusReply, Status> {
        Ok(self.tell())
    }

    async fn stop(&self) -> Result<(), Status> {
        self.shutdown.cancel();
        Ok(())
    }

    async fn query(&self, request: v1::QueryRequest) -> Result<v1::QueryReply, Status> {
        self.running()?.ask(request).await
    }

    async fn tail(&self, request: v1::TailRequest) -> Result<TailStream, Status> {
        self.running()?.tail(request).await
    }

    async fn search(&self, request: v1::SearchRequest) -> Result<v1::SearchReply, Status> {
        self.running()?.find_text(request).await
    }

    async fn list_schemas(
        &self,
        request: v1::ListSchemasRequest,
    ) -> Result<v1::ListSchemasReply, Status> {
        schemas::list(&self.registry, &request.subject).await
    }

    async fn pause(&self, target: String) -> Result<(), Status> {
        self.running()?.set_paused(&target, true)
    }

    async fn resume(&self, target: String) -> Result<(), Status> {
        self.running()?.set_paused(&target, false)
    }

    async fn trace(&self, request: v1::TraceRequest) -> Result<v1::TraceReply, Status> {
        let lsn = position(&request.position)?;
        Ok(v1::TraceReply { rungs: self.running()?.trace(lsn) })
    }

    async fn list_dead_letters(
        &self,
        request: v1::ListDeadLettersRequest,
    ) -> Result<v1::ListDeadLettersReply, Status> {
        self.running()?.dead_letters(request).await
    }

    async fn settle_dead_letters(
        &self,
        request: v1::SettleRequest,
        settlement: Settlement,
    ) -> Result<v1::SettleReply, Status> {
        self.running()?.settle(request, settlement).await
    }
}
