//! The projector service: the event log into derived stores, each exactly once, and what could not
//! be applied. `penstock` links it, and the binary `projector` runs it alone, beside Kafka.
//!
//! ```text
//!                     ┌── project loop ── warehouse (DuckDB)
//! LocalLog | KafkaLog ┼── project loop ── full-text index (tantivy)
//!                     └── project loop ── audit log
//! ```
//!
//! # One at a time
//! Each of these stores is one process's: the data directory's lock decides. Loops share nothing but
//! the log: one that waits, or is paused, holds up no other. One that halts ends the service, and the
//! others drain.

pub mod cli;
mod complete;
mod letters;
mod projection;
mod sample;
mod server;
mod service;
mod status;
mod tail;

pub use projection::{AUDIT, DUCKDB, SEARCH};
pub use server::serve;
pub use service::{Projector, ProjectorConfig};
