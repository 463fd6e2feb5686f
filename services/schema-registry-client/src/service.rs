//! The service as another program embeds it: made from settings, or over a registry that is open
//! already, and then mounted as a router or served on a listener of its own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::Router;
use cdc_registry::store::Include;
use cdc_registry::{Backend, EmbeddedRegistry, Registry, RestClient};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::http::refusal::Refusal;
use crate::http::{self, BODIES_MAX};
use crate::metrics::Metrics;
use crate::settings::{Settings, Source};
use crate::store::Store;
use crate::store::kafka::KafkaStore;
use crate::upstream::Upstream;

/// How long requests may go on once the service stops.
const DRAIN_MAX: Duration = Duration::from_secs(10);

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
pub async fn build(settings: Settings) -> anyhow::Result<RegistryService> {
    let config = Config {
        body_bytes_max: settings.body_bytes_max,
        has_semantic_gate: settings.has_semantic_gate,
        topic_prefix: settings.topic_prefix.clone(),
        data_dir: settings.data_dir.clone(),
    };
    match settings.source()? {
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
    };
    RegistryService { shared: Arc::new(shared) }
}

impl Shared {
    /// Returns why not everything can be served, if so.
    pub(crate) fn obstacle(&self) -> Option<String> {
        self.store.obstacle()
    }

    pub(crate) fn metrics_text(&self) -> Result<String, Refusal> {
        let count = |catalog: &cdc_registry::Catalog| {
            (catalog.schemas_len(), catalog.subjects(Include::Live).count())
        };
        let counts = self.store.read(count).unwrap_or_default();
        let is_up = self.upstream.as_ref().is_none_or(Upstream::is_up);
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
        let serving = axum::serve(listener, self.router())
            .with_graceful_shutdown(shutdown.clone().cancelled_owned());
        let overtime = async {
            shutdown.cancelled().await;
            tokio::time::sleep(DRAIN_MAX).await;
        };
        let outcome = tokio::select! {
            outcome = async { serving.await } => outcome.context("serving requests"),
            () = overtime => {
                tracing::warn!("some requests did not end in time");
                Ok(())
            }
        };
        self.close().await;
        outcome
    }

    /// Stops what runs in the background. Only needed where the routes were served by another.
    pub async fn close(&self) {
        self.shared.store.close().await;
    }
}
