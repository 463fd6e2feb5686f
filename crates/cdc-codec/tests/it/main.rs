//! The codec's tests: against what Debezium emitted, round trips, and bytes of any kind.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod golden;
mod golden_data;
mod harness;
mod law;
mod registration;
mod simulation;
