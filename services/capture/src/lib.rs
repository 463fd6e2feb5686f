//! The capture service: the source's changes into the event log. `penstock` links it, and the binary
//! `capture` runs it alone, beside Kafka.
//!
//! ```text
//! PostgresSource → capture loop → LocalLog | KafkaLog
//!                        └── Registry (embedded | REST)
//! ```
//!
//! # One at a time
//! The source's slot is the lock. A second instance says that it waits for it, and goes on from the
//! log's checkpoint once the first is gone; the log's fence keeps out what the first still had under
//! way.
//!
//! # Halts
//! A halt ends the service, except one on an incompatible schema: then it stays, halted and visible,
//! and starts again once the schema is accepted.

pub mod cli;
mod server;
mod service;
mod status;

pub use server::serve;
pub use service::{Capture, CaptureConfig, TARGET};
