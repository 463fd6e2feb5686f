//! The in-memory adapters pass the contract suites that the real ones pass.

mod log_contract;
mod project_loop;
mod registry_contract;
mod simulation;
mod sink_contract;
