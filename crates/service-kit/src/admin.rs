//! The endpoints that an orchestrator and Prometheus ask.
//!
//! | path | answer |
//! |---|---|
//! | `/healthz` | 200 while the process lives, also while it is halted: a restart would not help |
//! | `/readyz` | 200 while data flows, else 503 and why not |
//! | `/metrics` | Prometheus' text format |
//!
//! They tell names and numbers, never rows, and are not authenticated: listen on loopback, or where
//! only the orchestrator comes.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Why the endpoints are not served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody else has the port.
    #[error("the address {address} is in use")]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Serving failed.
    #[error("the admin endpoints failed")]
    Serve(#[source] io::Error),
}

impl AdminError {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::InUse { address } => Some(format!(
                "Choose another with --listen {}:PORT (port 0 takes any free one), or stop what \
                 uses port {}.",
                address.ip(),
                address.port()
            )),
            Self::Bind { .. } => {
                Some("Give --listen an address of this machine and a port above 1023.".to_owned())
            }
            Self::Serve(_) => None,
        }
    }
}

/// What the endpoints tell.
#[derive(Clone)]
pub struct AdminState {
    readiness: Arc<dyn Fn() -> Result<(), String> + Send + Sync>,
    refresh: Arc<dyn Fn() + Send + Sync>,
    metrics: Registry,
}

impl fmt::Debug for AdminState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminState").finish_non_exhaustive()
    }
}

impl AdminState {
    /// Makes the state: `readiness` returns why data does not flow, `metrics` are gathered at each
    /// request.
    pub fn new(
        readiness: impl Fn() -> Result<(), String> + Send + Sync + 'static,
        metrics: Registry,
    ) -> Self {
        Self { readiness: Arc::new(readiness), refresh: Arc::new(|| {}), metrics }
    }

    /// Calls `refresh` before metrics are gathered.
    #[must_use]
    pub fn with_refresh(mut self, refresh: impl Fn() + Send + Sync + 'static) -> Self {
        self.refresh = Arc::new(refresh);
        self
    }
}

/// A bound listener, so that a taken port is known at the start.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Takes the address; port 0 takes any free one.
    ///
    /// # Errors
    /// [`AdminError::InUse`], [`AdminError::Bind`].
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => AdminError::InUse { address },
            _ => AdminError::Bind { address, source },
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Returns the address, with the port that was taken.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`.
    ///
    /// # Errors
    /// [`AdminError::Serve`].
    pub async fn serve(
        self,
        state: AdminState,
        shutdown: CancellationToken,
    ) -> Result<(), AdminError> {
        let router = Router::new()
            .route("/healthz", get(async || "ok\n"))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(state);
        axum::serve(self.listener, router)
            .with_graceful_shutdown(shutdown.cancelled_owned())
            .await
            .map_err(AdminError::Serve)
    }
}

async fn readyz(State(state): State<AdminState>) -> Response {
    match (state.readiness)() {
        Ok(()) => "ready\n".into_response(),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response(),
    }
}

async fn metrics(State(state): State<AdminState>) -> Response {
    (state.refresh)();
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&state.metrics.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
