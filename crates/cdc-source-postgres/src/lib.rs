//! PostgreSQL as a source: initial snapshot by chunks, then the write-ahead log through a logical
//! slot, with no gap and no overlap between the two.
//!
//! ```text
//!  slot ──CopyBoth──> wire ──bytes──> pgoutput ──> stream ──ChangeBatch──> capture loop
//!    ^                                                │                        │
//!    └────────── status updates <── feedback task <───┼──── acknowledge <──────┘
//!                                                     │
//!  tables ──COPY──> snapshot readers ──chunks──> snapshot (before the stream stands up)
//! ```
//!
//! # Invariants
//! - The slot is the lock: nothing is emitted by a process that does not hold it.
//! - What is acknowledged to the server is the end of a complete transaction, or an idle WAL end,
//!   that is durable in the event log as a position.
//! - A slot, publication, server or timeline that is not the recorded one halts; see [`Halt`].
//! - Nothing is created on the server before the intent to do so is durable.
//!
//! Start reading at [`PostgresSource`].

mod catalog;
mod config;
mod entry;
mod error;
mod guard;
mod pattern;
pub mod pgoutput;
mod position;
pub mod preflight;
mod publication;
mod relation;
mod setup;
mod slot;
mod snapshot;
mod source;
mod sql;
mod status;
mod stream;
pub mod value;
mod watch;
pub mod wire;

pub use config::Config;
pub use error::{Error, Halt};
pub use guard::Guards;
pub use pattern::{PatternError, TablePatterns};
pub use position::StreamPosition;
pub use source::PostgresSource;
pub use status::{Phase, Status, StatusHandle, TableSnapshot, TableStatus};
pub use stream::{PostgresAcknowledger, PostgresStream};
