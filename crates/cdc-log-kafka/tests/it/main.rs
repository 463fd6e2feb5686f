//! The Kafka log against a real broker.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod kafka_compacted;
mod kafka_contract;
mod kafka_exactness;
mod kafka_faults;
mod support;
