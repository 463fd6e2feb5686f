//! `penstock dev`: a shop on a database of its own, every projection that is kept equal to it, and
//! the page that shows it, in one process, at one address.
//!
//! ```text
//!  browser ──> one port ─┬─ /       dashboard ── control ──┐
//!                        └─ /shop   storefront ─ SQL ──┐   │
//!  own PostgreSQL <────────────────────────────────────┘   │
//!       └── capture ── embedded log ── warehouse, search, audit log
//! ```
//!
//! On a terminal it shows what arrives, how late, and that the source and each projection are equal:
//! now and then it holds the load for a moment, lets the projections catch up, and compares them row
//! for row. `--check` does so once, after a while, and says what it found as JSON.

mod equality;
mod site;
mod view;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use equality::Comparison;
use site::Site;

/// What `penstock dev` is told.
#[derive(Debug, Clone)]
pub struct DevConfig {
    /// A PostgreSQL installation: the directory that holds `bin/postgres`.
    pub postgres_dir: PathBuf,
    /// Where everything is kept; started again with the same, it goes on where it was.
    pub data_dir: PathBuf,
    /// The port of pages, if it is free.
    pub port: u16,
    /// Orders a second.
    pub rate: f64,
}

/// How long the projections may take to catch up with a source that stands still.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// Runs until `shutdown`, showing what happens.
///
/// # Errors
/// What failed, or why the pipeline halted.
pub async fn run(config: DevConfig, shutdown: CancellationToken) -> anyhow::Result<()> {
    site::with(config, shutdown, async |site| view::show(site).await).await?;
    Ok(())
}

/// Lets orders come in for a while, stops them, waits until each projection equals the source, and
/// prints a summary as JSON. Returns whether they are equal.
///
/// # Errors
/// What failed, or why the pipeline halted.
pub async fn check(config: DevConfig, check_for: Duration) -> anyhow::Result<bool> {
    let found = site::with(config, CancellationToken::new(), async |site| {
        tokio::time::sleep(check_for).await;
        let (found, took) = compare(site).await?;
        view::print_summary(site, &found, check_for, took);
        Ok(found.is_equal())
    });
    found.await?.context("the pipeline stopped before it was checked")
}

/// Holds the load until source and projections are equal, or until patience ends. Returns what was
/// found last, and how long it took.
async fn compare(site: &Site<'_>) -> anyhow::Result<(Comparison, Duration)> {
    let _still = site.storefront().hold().await;
    let begun = Instant::now();
    let mut pause = Duration::from_millis(10);
    loop {
        let found = equality::compare(site.source(), site.running().pipeline().projector()).await;
        let is_late = begun.elapsed() > CATCH_UP_LIMIT;
        match found {
            Ok(found) if found.is_equal() || is_late || found.is_settled(&site.status()) => {
                return Ok((found, begun.elapsed()));
            }
            Err(error) if is_late => return Err(error).context("comparing"),
            Ok(_) | Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_secs(1));
    }
}
