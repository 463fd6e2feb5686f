//! The embedded event log: a durable log in a directory, for one process, without a broker.
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use cdc_pipeline::port::{AppendBatch, LogWriter};
//! # async fn example() -> Result<(), cdc_log_local::Error> {
//! use cdc_log_local::{LocalLog, LocalLogConfig};
//!
//! let log = LocalLog::open("data", LocalLogConfig::default())?;
//! let mut writer = log.writer("shop", "7312-shop-penstock");
//! let checkpoint = writer.open().await?;
//! writer.append(Arc::new(AppendBatch::default())).await?;
//! # Ok(()) }
//! ```
//!
//! # Invariants
//! - An append's records and checkpoint are one atomic batch, on disk before it is answered `Ok`
//!   or seen by a reader.
//! - One process uses a directory, one pipeline owns it, one writer of a pipeline can append.
//! - Damage is an error ([`Error::Corrupt`]), never other content and never a shorter log.
//! - Space is given back a whole segment at a time, never one that a registered projection has
//!   not applied.
//!
//! Files are described in `docs/data-dir.md`. Start reading at [`LocalLog`].

mod append;
mod block;
mod coding;
mod config;
mod data_dir;
mod error;
mod format;
mod identity;
mod layout;
mod log;
mod projection;
mod reader;
mod retention;
mod shared;
mod store;
mod witness;
mod writer;

pub use config::LocalLogConfig;
pub use data_dir::DataDir;
pub use error::{Error, Result};
pub use log::{LocalLog, LogStats};
pub use reader::LocalReader;
pub use writer::LocalWriter;
