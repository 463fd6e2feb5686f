//! The audit sink against real files.
#![expect(clippy::unwrap_used, reason = "what helps a test may panic as the test may")]

mod contract;
mod crash;
mod entries;
mod opening;
mod tamper;
mod world;
