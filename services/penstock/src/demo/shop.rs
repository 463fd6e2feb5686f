//! The shop that is captured: its database, its orders, and the pipeline beside it.

use std::sync::Arc;

use anyhow::Context;
use cdc_source_postgres::wire::ConnectOptions;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::demo::DemoConfig;
use crate::load::{self, LoadStats};
use crate::pipeline::{self, PipelineConfig};
use crate::postgres::OwnPostgres;
use crate::running::Running;

/// A shop that is open.
pub struct Shop {
    config: DemoConfig,
    server: OwnPostgres,
    client: Client,
    /// Held by each transaction of the load, and by whoever wants the shop to stand still.
    counter: Mutex<Client>,
    _connections: JoinSet<()>,
}

impl Shop {
    /// Starts its database, and makes its tables if they are not there.
    pub(super) async fn open(config: &DemoConfig) -> anyhow::Result<Self> {
        let server = OwnPostgres::start(&config.postgres_dir, &config.data_dir).await?;
        let mut connections = JoinSet::new();
        let client = connect(&server, &mut connections).await?;
        let counter = connect(&server, &mut connections).await?;
        load::prepare(&client).await?;
        let config = config.clone();
        let counter = Mutex::new(counter);
        Ok(Self { config, server, client, counter, _connections: connections })
    }

    /// Builds the pipeline that captures it.
    pub(super) async fn pipeline(
        &self,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Arc<Running>> {
        let connect: ConnectOptions = self.server.dsn().parse().context("the demo's own DSN")?;
        let tables = "public.*".parse()?;
        let source = cdc_source_postgres::Config::new(connect, "penstock", "penstock", tables);
        let config = PipelineConfig::embedded(source, &self.config.data_dir, "shop");
        Ok(Running::new(pipeline::build(config).await?, shutdown))
    }

    /// Places orders until `stop`.
    pub(super) async fn load(
        &self,
        per_second: f64,
        stats: &LoadStats,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        load::run(&self.counter, per_second, stats, stop).await
    }

    /// Returns a session on its database.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Makes it stand still until the guard is dropped.
    pub(super) async fn hold(&self) -> MutexGuard<'_, Client> {
        self.counter.lock().await
    }

    /// Returns how to connect to its database.
    pub(super) fn dsn(&self) -> String {
        self.server.dsn()
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        let Self { server, client, counter, .. } = self;
        drop((client, counter));
        server.stop().await
    }
}

async fn connect(server: &OwnPostgres, connections: &mut JoinSet<()>) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&server.dsn(), tokio_postgres::NoTls)
        .await
        .context("connecting to the demo's own PostgreSQL")?;
    connections.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "the demo's session ended");
        }
    });
    Ok(client)
}
