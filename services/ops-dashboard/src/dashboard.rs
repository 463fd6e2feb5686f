//! The dashboard as a part of a process: its own binary, or another's.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use cdc_pipeline::Clock;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::config::DashboardConfig;
use crate::error::{Error, Result};
use crate::fleet::{Fleet, lock};
use crate::guard::{Guard, TOKEN_MIN};
use crate::metrics::Metrics;
use crate::route;
use crate::tail::{Tail, Tails};

/// Pages that may be open at a time.
const STREAMS_MAX: usize = 64;

/// What every request sees.
pub(crate) struct Shared {
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) tails: Tails,
    pub(crate) activity: Activity,
    pub(crate) is_activity_kept: bool,
    pub(crate) guard: Guard,
    pub(crate) metrics: Metrics,
    pub(crate) streams: Arc<Semaphore>,
    /// Ends the streams.
    pub(crate) closing: CancellationToken,
}

/// The operator's web page.
pub struct Dashboard {
    shared: Arc<Shared>,
    queue: Mutex<Option<mpsc::Receiver<Arc<Tail>>>>,
    endpoints: usize,
    is_guarded: bool,
}

impl std::fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dashboard").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Dashboard {
    /// Makes a dashboard, within a runtime; nothing is asked before [`Dashboard::run`].
    ///
    /// # Errors
    /// [`Error::Open`] if others could reach `listen` and there is no token, [`Error::ShortToken`],
    /// [`Error::Endpoint`], [`Error::Activity`].
    pub fn new(config: DashboardConfig) -> Result<Self> {
        if config.token.as_ref().is_some_and(|token| token.chars().count() < TOKEN_MIN) {
            return Err(Error::ShortToken);
        }
        let is_guarded = config.token.is_some();
        private(config.listen, is_guarded)?;
        let (tails, queue) = Tails::new();
        let shared = Shared {
            fleet: Arc::new(Fleet::new(&config, Clock::system())?),
            tails,
            activity: Activity::open(config.data_dir.as_deref())?,
            is_activity_kept: config.data_dir.is_some(),
            guard: Guard::new(config.token),
            metrics: Metrics::new(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            closing: CancellationToken::new(),
        };
        let (shared, queue) = (Arc::new(shared), Mutex::new(Some(queue)));
        Ok(Self { shared, queue, endpoints: config.endpoints.len(), is_guarded })
    }

    /// Returns the pages, to be served beside [`Dashboard::run`].
    pub fn router(&self) -> Router {
        route::router(Arc::clone(&self.shared))
    }

    /// Asks the processes until `shutdown`, then ends every page's stream. Only the first call does.
    pub async fn run(&self, shutdown: CancellationToken) {
        let Some(queue) = lock(&self.queue).take() else { return };
        let mut tasks = JoinSet::new();
        for index in 0..self.endpoints {
            let (shared, shutdown) = (Arc::clone(&self.shared), shutdown.clone());
            tasks.spawn(async move { shared.fleet.follow(index, &shutdown).await });
        }
        let (shared, until) = (Arc::clone(&self.shared), shutdown.clone());
        tasks.spawn(async move { shared.tails.run(&shared.fleet, queue, &until).await });
        self.shared.fleet.tick(&shutdown).await;
        self.shared.closing.cancel();
        while tasks.join_next().await.is_some() {}
    }

    /// Serves the pages and asks the processes until `shutdown`.
    ///
    /// # Errors
    /// [`Error::Open`] as [`Dashboard::new`], for the listener's own address; [`Error::Serve`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        self.serve_beside(Router::new(), listener, shutdown).await
    }

    /// The same, with other pages beside its own, none of them at `/`.
    ///
    /// # Errors
    /// As [`Dashboard::serve`].
    pub async fn serve_beside(
        &self,
        others: Router,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<()> {
        let address = listener.local_addr().map_err(Error::Serve)?;
        private(address, self.is_guarded)?;
        let service =
            self.router().merge(others).into_make_service_with_connect_info::<SocketAddr>();
        let finished = shutdown.child_token();
        let serving = async {
            let until = finished.clone().cancelled_owned();
            let served = axum::serve(listener, service).with_graceful_shutdown(until).await;
            finished.cancel();
            served.map_err(Error::Serve)
        };
        let (served, ()) = tokio::join!(serving, self.run(finished.clone()));
        served
    }
}

/// Refuses an address that others reach, unless there is a token.
fn private(listen: SocketAddr, is_guarded: bool) -> Result<()> {
    if is_guarded || listen.ip().is_loopback() { Ok(()) } else { Err(Error::Open { listen }) }
}
