//! The shop as one thing: opened, served, and closed in order.

use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{RwLockWriteGuard, Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::business::Business;
use crate::config::StorefrontConfig;
use crate::control::Controls;
use crate::error::{Error, Result};
use crate::lab::Notes;
use crate::load::{self, LoadStats};
use crate::metrics::Metrics;
use crate::route;
use crate::store::Store;

/// Streams to browsers at once.
const STREAMS_MAX: usize = 256;

/// What every page may use.
pub(crate) type Shared = Arc<State>;

/// What every page may use.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: StorefrontConfig,
    pub(crate) store: Store,
    pub(crate) controls: Controls,
    pub(crate) business: Business,
    pub(crate) load: LoadStats,
    pub(crate) rate: watch::Sender<f64>,
    pub(crate) notes: Notes,
    pub(crate) metrics: Metrics,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) stop: CancellationToken,
    /// Work that goes on when whoever asked for it is gone.
    pub(crate) tasks: TaskTracker,
}

/// A shop that is open. Its load runs from the start; dropped, everything of it ends.
#[derive(Debug)]
pub struct Storefront {
    state: Shared,
    _stop: DropGuard,
}

impl Storefront {
    /// Connects to the database and makes its tables, if they are not there.
    ///
    /// # Errors
    /// [`Error::Url`], [`Error::Database`], [`Error::Foreign`], [`Error::Migrate`],
    /// [`Error::Control`]. Control need not answer.
    pub async fn open(config: StorefrontConfig) -> Result<Self> {
        let controls = Controls::new(&config.control, config.control_token.as_ref())?;
        let store = Store::open(&config.database, config.database_password.as_ref()).await?;
        let (rate, wanted) = watch::channel(load::bounded(config.rate));
        let stop = CancellationToken::new();
        let state = Arc::new(State {
            config,
            store,
            controls,
            business: Business::default(),
            load: LoadStats::default(),
            rate,
            notes: Notes::default(),
            metrics: Metrics::new(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
        });
        let (shared, pool, until) = (Arc::clone(&state), state.store.load.clone(), stop.clone());
        state.tasks.spawn(async move {
            load::run(pool, wanted, &shared.load, until).await;
        });
        Ok(Self { state, _stop: stop.drop_guard() })
    }

    /// Returns its pages, for a server of one's own. [`Storefront::serve`] serves the same.
    pub fn router(&self) -> Router {
        route::router(Arc::clone(&self.state))
    }

    /// Sets the load dial, in orders per second from 0 to 10,000; what lies outside is brought
    /// within.
    pub fn set_rate(&self, per_second: f64) {
        self.state.rate.send_replace(load::bounded(per_second));
    }

    /// Returns its pages alone, none of them at `/`, for a server that has other pages too. Whoever
    /// serves them calls [`Storefront::close`] at the end.
    pub fn pages(&self) -> Router {
        route::pages_beside_others(Arc::clone(&self.state))
    }

    /// Makes the load stand still, once the orders under way are placed, until the guard is dropped.
    pub async fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        self.state.load.still.write().await
    }

    /// Returns how many orders the load has placed.
    pub fn placed(&self) -> u64 {
        self.state.load.placed()
    }

    /// Ends streams and load, so that whoever serves the pages can end too.
    pub fn drain(&self) {
        self.state.stop.cancel();
    }

    /// Drains, waits for orders under way, and closes the database's connections.
    pub async fn close(&self) {
        self.drain();
        self.state.tasks.close();
        self.state.tasks.wait().await;
        self.state.store.close().await;
    }

    /// Serves the pages until `shutdown`, then ends streams, waits for orders under way, and closes
    /// the database's connections: once.
    ///
    /// # Errors
    /// [`Error::Serve`].
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) -> Result<()> {
        let stop = self.state.stop.clone();
        let asked = async move {
            shutdown.cancelled().await;
            stop.cancel();
        };
        let served = axum::serve(listener, self.router()).with_graceful_shutdown(asked).await;
        self.close().await;
        served.map_err(Error::Serve)
    }
}
