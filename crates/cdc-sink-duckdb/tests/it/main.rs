//! The DuckDB sink against real DuckDB files.
#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

mod contract;
mod crash;
mod evolution;
mod opening;
mod partitions;
mod query;
mod unchanged;
mod values;
mod world;
