//! The DuckDB warehouse: every captured table as a table `schema_table`, equal to its source up to
//! the offsets kept beside the rows, and open to read-only SQL while it is written.
//!
//! ```no_run
//! use cdc_pipeline::port::Sink;
//! use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink};
//!
//! # async fn example() -> cdc_sink_duckdb::Result<()> {
//! let mut sink = DuckDbSink::open("warehouse.duckdb", DuckDbConfig::new("shop")).await?;
//! let state = sink.resume().await?;
//! println!("{} partitions", state.offsets.len());
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - Rows, parked records, schema changes and next offsets of a batch are one DuckDB transaction.
//! - One thread of its own makes all writing calls; a failed one is followed by reopening the file.
//! - No value is stored that differs from the source's: what a column cannot hold is poison, and a
//!   change of schema that rewrites old rows unseen is a halt.
//!
//! # How a batch is applied
//! Per table, events are folded to the last state of each key (`fold`), that state is appended to
//! a temporary table, and two statements follow: delete what has those keys, insert what lives.
//! There is no index: with one, DuckDB upserts thirty times slower.
//!
//! # What those who query see
//! A table has the source's columns, and `_penstock_partition` only if its rows came by more than
//! one partition (a truncate removes the rows of its own partition alone). A column dropped at the
//! source stays and is NULL in new rows. Offsets and parked records are in the schema `penstock`.
//!
//! Start reading at [`DuckDbSink`].

mod apply;
mod catalog;
mod cell;
mod config;
mod define;
mod error;
mod evolve;
mod export;
mod fold;
mod kind;
mod layout;
mod name;
mod parked;
mod query;
mod sink;
mod stage;
mod warehouse;
mod worker;

pub use config::DuckDbConfig;
pub use error::{Cause, Error, Result};
pub use query::{Query, QueryColumn, QueryError, Table};
pub use sink::DuckDbSink;
