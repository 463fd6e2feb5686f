//! The service as another program embeds it: made from settings, or over a registry that is open
//! already, and then mounted as a router or served on a listener of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use axum::serve::ListenerExt as _;
use cdc_registry::store::Include;
use cdc_registry::{Backend, EmbeddedRegistry, Registry, RestClient};
use cdc_runtime::report::Problem;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::control::{Server, Trouble};
use crate::http::refusal::Refusal;
use crate::http::users::Users;
use crate::http::{self, BODIES_MAX};
use crate::metrics::Metrics;
use crate::settings::{Settings, Source};
use crate::store::Store;
use crate::store::kafka::KafkaStore;
use crate::upstream::Upstream;

/// How long requests may go on once the service stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// How often an upstream is asked whether it is there.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// What shapes answers, wherever schemas are kept.
#[derive(Debug, Clone)]
pub struct Config {
    /// Largest body of a request, in bytes.
    pub body_bytes_max: usize,
    /// Whether a schema that changes what values mean is refused, unless the level is `NONE`.
    pub has_semantic_gate: bool,
    /// First part of topics in previews that name none.
    pub topic_prefix: String,
    /// Where to remember what an upstream registry said.
    pub data_dir: PathBuf,
    /// Who may ask; everybody if none.
    pub users: Option<Users>,
}

/// What requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) upstream: Option<Upstream>,
    pub(crate) metrics: Metrics,
    pub(crate) bodies: Semaphore,
    pub(crate) body_bytes_max: usize,
    pub(crate) has_semantic_gate: bool,
    pub(crate) topic_prefix: String,
    pub(crate) users: Option<Users>,
}

/// A registry that answers over HTTP.
#[derive(Debug, Clone)]
pub struct RegistryService {
    shared: Arc<Shared>,
}

/// Opens what the settings name. Does not wait for Kafka or an upstream: until they can be
/// reached, requests are refused and `/readyz` tells why.
///
/// # Errors
/// If a setting makes no sense, or the folder cannot be opened.
pub async fn build(settings: Settings) -> Result<RegistryService, Problem> {
    let source = settings.source()?;
    Ok(start(&settings, source).await?)
}

async fn start(settings: &Settings, source: Source) -> anyhow::Result<RegistryService> {
    let config = Config {
        body_bytes_max: settings.body_bytes_max,
        has_semantic_gate: settings.has_semantic_gate,
        topic_prefix: settings.topic_prefix.clone(),
        data_dir: settings.data_dir.clone(),
        users: settings.users()?,
    };
    match source {
        Source::Embedded => {
            Ok(make(Store::Embedded(open(config.data_dir.clone()).await?), None, &config))
        }
        Source::Kafka { config: kafka, topic } => {
            Ok(make(Store::Kafka(KafkaStore::start(kafka, &topic)?), None, &config))
        }
        Source::Upstream(rest) => in_front(RestClient::new(rest)?, &config).await,
    }
}

/// Serves a registry that this process uses already. An embedded one is shared, so what either
/// registers the other sees at once; a remote one is put in front of.
///
/// # Errors
/// If the folder for what a remote registry said cannot be opened.
pub async fn over(registry: &Registry, config: &Config) -> anyhow::Result<RegistryService> {
    match registry.backend() {
        Backend::Embedded(registry) => Ok(make(Store::Embedded(registry.clone()), None, config)),
        Backend::Rest(client) => in_front(client.clone(), config).await,
    }
}

async fn in_front(client: RestClient, config: &Config) -> anyhow::Result<RegistryService> {
    let memory = open(config.data_dir.join("upstream")).await?;
    let upstream = Upstream::new(client, memory.clone());
    Ok(make(Store::Remembered(memory), Some(upstream), config))
}

async fn open(dir: PathBuf) -> anyhow::Result<EmbeddedRegistry> {
    let opening = tokio::task::spawn_blocking(move || EmbeddedRegistry::open(&dir));
    Ok(opening.await.context("opening the registry's folder")??)
}

fn make(store: Store, upstream: Option<Upstream>, config: &Config) -> RegistryService {
    let shared = Shared {
        store,
        upstream,
        metrics: Metrics::new(),
        bodies: Semaphore::new(BODIES_MAX),
        body_bytes_max: config.body_bytes_max,
        has_semantic_gate: config.has_semantic_gate,
        topic_prefix: config.topic_prefix.clone(),
        users: config.users.clone(),
    };
    RegistryService { shared: Arc::new(shared) }
}

impl Shared {
    /// Returns why not everything can be served, if so.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.store.obstacle()
    }

    /// Returns what keeps it from serving everything just now, also where `/readyz` is content
    /// because reads go on.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let known = "schemas that are known go on being served";
        if let Some(absence) = self.upstream.as_ref().and_then(Upstream::absence) {
            let reason = format!("the upstream cannot be asked: {}; {known}", absence.reason);
            let remedy = absence.remedy.unwrap_or_default();
            return Some(Trouble { is_lasting: false, reason, remedy });
        }
        let (is_lasting, reason) = self.store.trouble()?;
        let remedy = if is_lasting {
            "Stop what else writes to the topic, restore it, and start this process anew."
        } else {
            "Start Kafka, or correct the settings kafka and kafka_properties."
        };
        Some(Trouble { is_lasting, reason, remedy: remedy.to_owned() })
    }

    /// Asks an upstream that nobody else asks, so that its absence is known before it hurts.
    async fn watch(&self) {
        let Some(upstream) = &self.upstream else { return std::future::pending().await };
        loop {
            upstream.probe().await;
            tokio::time::sleep(PROBE_INTERVAL).await;
        }
    }

    pub(crate) fn metrics_text(&self) -> Result<String, Refusal> {
        let count = |catalog: &cdc_registry::Catalog| {
            (catalog.schemas_len(), catalog.subjects(Include::Live).count())
        };
        let counts = self.store.read(count).unwrap_or_default();
        let is_up = self.upstream.as_ref().is_none_or(|upstream| upstream.absence().is_none());
        self.metrics.state(self.obstacle().is_none(), is_up, counts);
        self.metrics.text().map_err(|error| Refusal::new(500, error.to_string()))
    }
}

impl RegistryService {
    /// Returns the routes, to be served or nested under a path. They include `/healthz`, `/readyz`
    /// and `/metrics`.
    pub fn router(&self) -> Router {
        http::router(Arc::clone(&self.shared))
    }

    /// Returns why not everything can be served, if so: what `/readyz` tells.
    pub fn obstacle(&self) -> Option<String> {
        self.shared.obstacle()
    }

    /// Serves until `shutdown`, then answers what was asked already, for 10 s at most.
    ///
    /// # Errors
    /// If the listener fails.
    pub async fn serve(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> anyhow::Result<()> {
        // A large answer's last part must not wait for an acknowledgement.
        let listener = listener.tap_io(|stream| {
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(error = %error, "a connection waits to fill its packets");
            }
        });
        let serving = axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let overtime = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        let outcome = tokio::select! {
            outcome = async { serving.await } => outcome.context("serving requests"),
            () = self.shared.watch() => Ok(()),
            () = overtime => {
                tracing::warn!("some requests did not end in time");
                Ok(())
            }
        };
        self.close().await;
        outcome
    }

    /// Returns the process as control sees it.
    pub(crate) fn control(&self, address: String, shutdown: CancellationToken) -> Server {
        Server::new(Arc::clone(&self.shared), address, shutdown)
    }

    /// Stops what runs in the background. Only needed where the routes were served by another.
    pub async fn close(&self) {
        self.shared.store.close().await;
    }
}
