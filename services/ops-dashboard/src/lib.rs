//! The operator's web page: is data flowing, how late is it, is anything lost, what do I press?
//!
//! ```text
//! browser ── HTTP, one SSE stream per page ── Dashboard ── control.v1 ── every process asked
//! ```
//!
//! A client of control endpoints like any other. It keeps nothing that cannot be asked again, but
//! its activity log.
//!
//! ```no_run
//! # async fn run() -> Result<(), ops_dashboard::Error> {
//! use ops_dashboard::{Dashboard, DashboardConfig, Endpoint};
//!
//! let config = DashboardConfig {
//!     endpoints: vec![Endpoint::Address("127.0.0.1:8090".to_owned())],
//!     ..DashboardConfig::default()
//! };
//! let listener = tokio::net::TcpListener::bind(config.listen).await.unwrap();
//! let shutdown = tokio_util::sync::CancellationToken::new();
//! Dashboard::new(config)?.serve(listener, shutdown).await
//! # }
//! ```
//!
//! # Invariants
//! - Everything a pipeline tells is text: markup comes from templates only, and no script or style
//!   stands in a page.
//! - What is not known is shown as “–”, never as zero; what is old is shown as old.
//! - Nothing is commanded that is not in the activity log first.
//! - All that is kept in memory is bounded: histories in points, events in bytes, streams in number.
//!
//! Start reading at [`Dashboard`], then `view`.

mod activity;
mod asset;
mod change;
pub mod cli;
mod config;
mod dashboard;
mod error;
mod fleet;
mod format;
mod guard;
mod headline;
mod history;
mod ladder;
mod metrics;
mod moment;
mod outlook;
mod page;
mod route;
mod settings;
mod tail;
mod verify;

pub use config::{DashboardConfig, Endpoint};
pub use dashboard::Dashboard;
pub use error::{Error, Result};
