//! `penstock demo`: the whole pipeline on a database of its own, with orders coming in; and
//! `penstock dev`, the same with a shop and a page ([`dev`]).
//!
//! The demo shows what arrives, how late, and that source and warehouse are equal: every few
//! seconds it holds the load for a moment, lets the warehouse catch up, and compares the two row
//! for row. `--check` does so once, after a while, and says what it found as JSON.

pub mod dev;
mod shop;
mod verify;
mod view;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio_util::sync::CancellationToken;

use crate::load::LoadStats;
use crate::running::Running;

pub use shop::Shop;
pub use verify::{Comparison, TableComparison};

/// What a demonstration is told.
#[derive(Debug, Clone)]
pub struct DemoConfig {
    /// A PostgreSQL installation: the directory that holds `bin/postgres`.
    pub postgres_dir: PathBuf,
    /// Where everything is kept; started again with the same, it goes on where it was.
    pub data_dir: PathBuf,
    /// Transactions a second.
    pub rate: f64,
    /// How long `--check` lets orders come in.
    pub check_for: Duration,
}

/// How often the running demo compares source and warehouse.
const VERIFY_INTERVAL: Duration = Duration::from_secs(10);

/// How long the warehouse may take to catch up with a source that stands still.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// Runs until `shutdown`, showing what happens.
///
/// # Errors
/// What failed, or why the pipeline halted.
pub async fn run(config: DemoConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    let shop = Shop::open(&config).await?;
    let outcome = run_shop(&shop, &config, &shutdown).await;
    shop.close().await?;
    outcome
}

async fn run_shop(
    shop: &Shop,
    config: &DemoConfig,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let running = shop.pipeline(shutdown.clone()).await?;
    let stats = LoadStats::default();
    let ended = CancellationToken::new();
    let pipeline = async {
        let outcome = running.run().await;
        ended.cancel();
        outcome.map_err(anyhow::Error::new)
    };
    let load = async {
        let stop = ended.child_token();
        let loaded = shutdown.run_until_cancelled(shop.load(config.rate, &stats, &stop)).await;
        loaded.unwrap_or(Ok(()))
    };
    let show = async {
        ended.run_until_cancelled(view::show(&running, shop, &stats, VERIFY_INTERVAL)).await;
    };
    let (pipeline, load, ()) = tokio::join!(pipeline, load, show);
    pipeline.and(load)
}

/// Lets orders come in for a while, stops them, waits until the warehouse equals the source, and
/// prints a summary as JSON. Returns whether they are equal.
///
/// # Errors
/// What failed, or why the pipeline halted.
pub async fn check(config: DemoConfig) -> anyhow::Result<bool> {
    let shop = Shop::open(&config).await?;
    let outcome = check_shop(&shop, &config).await;
    shop.close().await?;
    outcome
}

async fn check_shop(shop: &Shop, config: &DemoConfig) -> anyhow::Result<bool> {
    let shutdown = CancellationToken::new();
    let running = shop.pipeline(shutdown.clone()).await?;
    let stats = LoadStats::default();
    let examine = async {
        let stop = CancellationToken::new();
        let timer = async {
            tokio::time::sleep(config.check_for).await;
            stop.cancel();
        };
        let (loaded, ()) = tokio::join!(shop.load(config.rate, &stats, &stop), timer);
        loaded?;
        let found = settle(shop, &running).await;
        shutdown.cancel();
        found
    };
    let (pipeline, found) = tokio::join!(running.run(), examine);
    pipeline?;
    let found = found?;
    view::print_summary(&running, &stats, &found, config.check_for);
    Ok(found.is_equal())
}

/// Compares until source and warehouse are equal, or until patience ends.
async fn settle(shop: &Shop, running: &Arc<Running>) -> anyhow::Result<Comparison> {
    let deadline = tokio::time::Instant::now() + CATCH_UP_LIMIT;
    loop {
        let found = verify::compare(shop.client(), running.pipeline().query()).await;
        let is_late = tokio::time::Instant::now() > deadline;
        match found {
            Ok(found) if found.is_equal() || is_late => return Ok(found),
            Err(error) if is_late => return Err(error).context("comparing"),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
