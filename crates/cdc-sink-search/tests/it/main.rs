//! The search sink against real indexes.
#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

mod contract;
mod crash;
mod evolution;
mod opening;
mod query;
mod rows;
mod world;
