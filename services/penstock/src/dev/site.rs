//! What runs side by side, and stops together.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use cdc_config::Projection;
use cdc_control::v1;
use cdc_source_postgres::wire::ConnectOptions;
use ops_dashboard::{Dashboard, DashboardConfig, Endpoint};
use storefront::{Storefront, StorefrontConfig};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::dev::DevConfig;
use crate::pipeline::{self, PipelineConfig};
use crate::postgres::OwnPostgres;
use crate::running::Running;

/// A shop, what is kept equal to it, and the pages of both.
pub(super) struct Site<'a> {
    server: &'a OwnPostgres,
    storefront: Storefront,
    dashboard: Dashboard,
    running: Arc<Running>,
    address: SocketAddr,
    source: Client,
    _session: JoinSet<()>,
}

/// Runs a site while `work` does; `work` ends early, with nothing, when the site ends.
///
/// # Errors
/// What failed, why the pipeline halted, or what `work` says.
pub(super) async fn with<T>(
    config: DevConfig,
    shutdown: CancellationToken,
    work: impl AsyncFnOnce(&Site<'_>) -> anyhow::Result<T>,
) -> anyhow::Result<Option<T>> {
    let server = OwnPostgres::start(&config.postgres_dir, &config.data_dir).await?;
    let outcome = async {
        let (listener, address) = listen(config.port).await?;
        let site = Site::open(&server, &config, address, &shutdown).await?;
        site.serve(listener, &shutdown, work(&site)).await
    };
    let outcome = outcome.await;
    server.stop().await?;
    outcome
}

impl<'a> Site<'a> {
    async fn open(
        server: &'a OwnPostgres,
        config: &DevConfig,
        address: SocketAddr,
        shutdown: &CancellationToken,
    ) -> anyhow::Result<Self> {
        // First, for it makes the tables that are captured.
        let storefront = Storefront::open(StorefrontConfig {
            listen: address,
            control: vec![storefront::Endpoint::DataDir(config.data_dir.clone())],
            dashboard: Some(format!("http://{address}")),
            rate: config.rate,
            ..StorefrontConfig::new(server.dsn())
        })
        .await?;
        let dashboard = Dashboard::new(DashboardConfig {
            listen: address,
            endpoints: vec![Endpoint::DataDir(config.data_dir.clone())],
            data_dir: Some(config.data_dir.clone()),
            ..DashboardConfig::default()
        })?;
        let running = pipeline(server, config, shutdown).await?;
        let mut session = JoinSet::new();
        let source = connect(server, &mut session).await?;
        let _session = session;
        Ok(Self { server, storefront, dashboard, running, address, source, _session })
    }

    /// Serves the pages and runs the pipeline until `shutdown`, a halt, or the end of `work`.
    async fn serve<T>(
        &self,
        listener: TcpListener,
        shutdown: &CancellationToken,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        let ended = shutdown.child_token();
        let pipeline = async {
            let outcome = self.running.run().await;
            ended.cancel();
            outcome.map_err(anyhow::Error::new)
        };
        let work = async {
            let outcome = ended.run_until_cancelled(work).await;
            shutdown.cancel();
            outcome.transpose()
        };
        let pages = async {
            let shop = self.storefront.pages();
            let serve = self.dashboard.serve_beside(shop, listener, ended.clone());
            let drain = async {
                ended.cancelled().await;
                self.storefront.drain();
            };
            let (served, ()) = tokio::join!(serve, drain);
            self.storefront.close().await;
            served.context("serving the pages")
        };
        let (pipeline, worked, pages) = tokio::join!(pipeline, work, pages);
        pipeline?;
        pages?;
        worked
    }

    pub(super) fn storefront(&self) -> &Storefront {
        &self.storefront
    }

    pub(super) fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Returns a session on the shop's database.
    pub(super) fn source(&self) -> &Client {
        &self.source
    }

    pub(super) fn status(&self) -> v1::StatusReply {
        self.running.status()
    }

    /// Returns where the pages are.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns how to connect to the shop's database.
    pub(super) fn dsn(&self) -> String {
        self.server.dsn()
    }
}

async fn pipeline(
    server: &OwnPostgres,
    config: &DevConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<Running>> {
    let connect: ConnectOptions = server.dsn().parse().context("the shop's own DSN")?;
    let tables = "public.*".parse()?;
    let source = cdc_source_postgres::Config::new(connect, "penstock", "penstock", tables);
    let mut told = PipelineConfig::embedded(source, &config.data_dir, "shop");
    told.projections = Projection::ALL.to_vec();
    Ok(Running::new(pipeline::build(told).await?, shutdown.clone()))
}

/// Opens a session that shows times as they are in UTC; it ends with `sessions`.
async fn connect(server: &OwnPostgres, sessions: &mut JoinSet<()>) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&server.dsn(), tokio_postgres::NoTls)
        .await
        .context("connecting to the shop's own PostgreSQL")?;
    sessions.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error = %error, "the session that compares ended");
        }
    });
    client.batch_execute("SET TimeZone = 'UTC'").await?;
    Ok(client)
}

/// Takes the port, or any other if it is taken.
async fn listen(port: u16) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = match TcpListener::bind(wanted).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("taking a port")?,
    };
    let address = listener.local_addr()?;
    Ok((listener, address))
}
