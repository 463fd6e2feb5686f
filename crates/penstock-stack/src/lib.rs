//! Everything as its users deploy it, on one machine: a PostgreSQL, a Kafka, the four services and
//! the shop, each a process of its own on a free loopback port. `scripts/stack` runs it for people,
//! and tests run the same.
//!
//! The services are this program under another name: told which one it is ([`ROLE`]), it is that
//! service's `main` and nothing else.

pub mod cli;
mod role;
mod stack;
mod state;

pub use role::{ROLE, Role};
pub use stack::{Stack, get};
pub use state::{ServiceState, State, StateFile};
