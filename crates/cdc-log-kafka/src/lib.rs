//! The event log on Apache Kafka: records and checkpoint in one transaction, read back
//! read_committed.
//!
//! ```no_run
//! use cdc_log_kafka::{KafkaConfig, KafkaLog};
//! use cdc_pipeline::port::LogWriter;
//!
//! # async fn example() -> Result<(), cdc_log_kafka::Error> {
//! let log = KafkaLog::new(KafkaConfig::new("localhost:9092"))?;
//! let mut writer = log.writer("orders", "7291-shop-penstock");
//! let checkpoint = writer.open().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - The checkpoint of a pipeline lives in a compacted topic of its own with one partition, and
//!   changes only in the transaction that carries its records.
//! - The two `transactional.id`s are a pure function of the pipeline, so that opening a pipeline
//!   fences whoever had it open.
//! - After any error of a transaction the producer is never used again: its outcome is read back.
//! - Topics are created here, explicitly, without expiry; a topic that was deleted, replaced or
//!   given more partitions halts the pipeline.
//! - Partitions are set here, never by the client; offsets are never committed here.
//!
//! # Limits
//! A topic's identity is its UUID, asked of the broker over a connection of our own, for the
//! client library does not tell it. That connection speaks plaintext and SASL/PLAIN; behind TLS or
//! another mechanism, and before Kafka 3.1, the identity is the cluster's id with the topic's name:
//! another cluster is then noticed, a topic deleted and made again only by its end offset.
//!
//! Start reading at [`KafkaLog`], then [`KafkaWriter`]. [`CompactedTopic`] is for tables of others' making.

mod checkpoint;
mod code;
mod compacted;
mod config;
mod connection;
mod context;
mod describe;
mod error;
mod fetch;
mod identity;
mod log;
mod member;
mod offsets;
mod producer;
mod reader;
mod recover;
mod topic;
mod wire;
mod writer;

pub use compacted::{CompactedReader, CompactedTopic, CompactedWriter};
pub use config::{KafkaConfig, is_secret};
pub use error::{Error, Result};
pub use log::KafkaLog;
pub use member::KafkaMember;
pub use reader::KafkaReader;
pub use writer::KafkaWriter;
