//! `penstock dev`: a shop to play with, everything that is kept equal to it, and the page that shows
//! it, in one process.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context;
use cdc_config::Projection;
use cdc_runtime::process::Endpoints;
use cdc_source_postgres::wire::ConnectOptions;
use ops_dashboard::{Dashboard, DashboardConfig, Endpoint};
use storefront::{Storefront, StorefrontConfig};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::demo::DemoConfig;
use crate::pipeline::{self, PipelineConfig};
use crate::postgres::OwnPostgres;
use crate::running::Running;

/// The tables of the shop; what keeps its migrations is not captured.
const TABLES: &str = "public.*, !public._sqlx_migrations";

/// Where the page and the shop are served if those ports are free.
const PORTS: [u16; 2] = [8084, 8088];

/// Runs until `shutdown`.
///
/// # Errors
/// What failed, or why the pipeline halted.
pub async fn run(config: DemoConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let server = OwnPostgres::start(&config.postgres_dir, &config.data_dir).await?;
    let outcome = run_beside(&server, &config, &shutdown).await;
    server.stop().await?;
    outcome
}

async fn run_beside(
    server: &OwnPostgres,
    config: &DemoConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let (page, page_at) = listen(PORTS[0]).await?;
    let (shop, shop_at) = listen(PORTS[1]).await?;
    // First, for it makes the tables that are captured.
    let storefront = Storefront::open(StorefrontConfig {
        listen: shop_at,
        control: vec![storefront::Endpoint::DataDir(config.data_dir.clone())],
        dashboard: Some(format!("http://{page_at}")),
        rate: config.rate,
        ..StorefrontConfig::new(server.dsn())
    })
    .await?;
    let dashboard = Dashboard::new(DashboardConfig {
        listen: page_at,
        endpoints: vec![Endpoint::DataDir(config.data_dir.clone())],
        data_dir: Some(config.data_dir.clone()),
        ..DashboardConfig::default()
    })?;
    let running = pipeline(server, config, shutdown).await?;
    println(&format!(
        "dashboard  http://{page_at}\nshop       http://{shop_at}\nCtrl-C stops everything.\n"
    ))?;
    let ended = CancellationToken::new();
    let work = async {
        let outcome = running.run_at(Endpoints::default()).await;
        ended.cancel();
        outcome.map_err(anyhow::Error::new)
    };
    let served = async {
        let page = dashboard.serve(page, ended.clone());
        let shop = storefront.serve(shop, ended.clone());
        let (page, shop) = tokio::join!(page, shop);
        page.map_err(anyhow::Error::new).and(shop.map_err(anyhow::Error::new))
    };
    let (outcome, served) = tokio::join!(work, served);
    outcome.and(served)
}

async fn pipeline(
    server: &OwnPostgres,
    config: &DemoConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<Arc<Running>> {
    let connect: ConnectOptions = server.dsn().parse().context("the demo's own DSN")?;
    let source = cdc_source_postgres::Config::new(connect, "penstock", "penstock", TABLES.parse()?);
    let mut told = PipelineConfig::embedded(source, &config.data_dir, "shop");
    told.projections = Projection::ALL.to_vec();
    Ok(Running::new(pipeline::build(told).await?, shutdown.clone()))
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

fn println(text: &str) -> anyhow::Result<()> {
    crate::command::put(text).map_err(|problem| anyhow::anyhow!(problem.what))
}
