//! What the tests of every crate stand on: in-memory adapters of the five ports, one contract suite
//! per port, a wrapper that injects faults, the simulation, and real servers.
//!
//! # Invariants
//! - A dev-dependency: nothing that ships depends on it.
//! - The in-memory adapters pass the same contract suites as the real ones; that is what allows
//!   using them everywhere else.
//!
//! Start reading at [`contract`], then [`sim`].

pub mod contract;
pub mod fault;
pub mod fixture;
pub mod golden;
pub mod memory;
pub mod server;
pub mod sim;
