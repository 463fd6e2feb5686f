//! Penstock as a whole, against real servers.

#![expect(clippy::unwrap_used, reason = "a test fails where it panics")]

mod world;

mod halts;
mod kafka_pipeline;
mod pg_embedded;
mod pg_faults;
mod pg_golden;

mod penstock;

mod cli_control;
mod cli_input;
mod cli_postgres;
