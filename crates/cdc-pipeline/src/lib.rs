//! The two loops and the five ports of Penstock, and what decides in them: batching, retry, error
//! classes, dead letters. Adapters, codecs and binaries depend on this crate; it depends on
//! [`cdc_model`] alone.
//!
//! ```text
//!              capture                                              project
//! ┌────────┐ changes ┌─────────────┐ append ┌──────────┐ poll ┌─────────────┐ apply ┌──────┐
//! │ Source ├────────>│ capture loop├───────>│ EventLog ├─────>│ project loop├──────>│ Sink │
//! │        │<────────┤             │ Ok =   │          │      │             │ Ok =  │      │
//! └────────┘   ack   └─────────────┘ durable└──────────┘      └─────────────┘ durable└──────┘
//! ```
//!
//! # Invariants
//! I1 no premature acknowledgement, I2 per-key order, I3 sink state and offset move together,
//! I4 schema before data, I5 everything is bounded in bytes. `ARCHITECTURE.md` names the test that
//! goes red without each.
//!
//! Start reading at [`port`], then [`capture`] and [`project`].

pub mod batch;
pub mod capture;
pub mod clock;
pub mod dead_letter;
pub mod error;
mod hold;
pub mod partition;
pub mod port;
pub mod project;
pub mod retry;
pub mod stats;

pub use clock::Clock;
pub use error::{Classify, ErrorClass};
pub use hold::Hold;
pub use retry::Halted;
