//! What the process tells over control, and is told: the operator's page asks it as it asks
//! capture and the projector.

use std::path::Path;
use std::sync::Arc;

use cdc_control::{Control, v1};
use cdc_registry::{Backend, Registry};
use cdc_runtime::process::{Endpoints, Process, admin_state};
use cdc_runtime::schemas;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::http::refusal::Refusal;
use crate::service::Shared;

/// Why not everything can be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// It does not end by itself.
    pub(crate) is_lasting: bool,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

/// The process as control sees it.
#[derive(Debug)]
pub(crate) struct Server {
    process: Process,
    shared: Arc<Shared>,
    shutdown: CancellationToken,
}

impl Server {
    pub(crate) fn new(shared: Arc<Shared>, address: String, shutdown: CancellationToken) -> Self {
        Self { process: Process::new("schema-registry-client", address), shared, shutdown }
    }

    /// Serves control until `finished`.
    pub(crate) async fn serve(
        self,
        endpoints: Endpoints,
        data_dir: &Path,
        finished: &CancellationToken,
    ) {
        if let Err(error) = std::fs::create_dir_all(data_dir) {
            // With schemas in Kafka, nothing else needs it.
            tracing::debug!(error = %error, "the data directory cannot be made");
        }
        let admin = || admin_state(|| None, v1::StatusReply::default);
        endpoints.serve(&Arc::new(self), data_dir, admin, finished).await;
    }

    fn tell(&self) -> v1::StatusReply {
        let mut service = self.process.service(false);
        let trouble = self.shared.trouble();
        service.set_state(match &trouble {
            None => v1::State::Running,
            Some(Trouble { is_lasting: false, .. }) => v1::State::Waiting,
            Some(Trouble { is_lasting: true, .. }) => v1::State::Halted,
        });
        if let Some(trouble) = trouble {
            (service.reason, service.remedy) = (trouble.reason, trouble.remedy);
        }
        v1::StatusReply {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_ms: self.process.uptime_ms(),
            now_ms: self.process.now_us() / 1_000,
            services: vec![service],
            ..v1::StatusReply::default()
        }
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

    async fn list_schemas(
        &self,
        request: v1::ListSchemasRequest,
    ) -> Result<v1::ListSchemasReply, Status> {
        let name = request.subject;
        if let Some(upstream) = &self.shared.upstream {
            let registry = Registry::new(Backend::Rest(upstream.client.clone()));
            match schemas::list(&registry, &name).await {
                // What it said once is better than nothing.
                Err(status) if status.code() == Code::Unavailable => {}
                told => return told,
            }
        }
        let away = |refusal: Refusal| Status::unavailable(refusal.message);
        self.shared.store.read(|catalog| schemas::of_catalog(catalog, &name)).map_err(away)?
    }
}
