//! The audit log: every change of every captured table, who made it, when and what, in files of one
//! JSON document per line that can be appended to and not altered unseen.
//!
//! ```no_run
//! use cdc_pipeline::port::Sink;
//! use cdc_sink_audit::{AuditConfig, AuditSink};
//!
//! # async fn example() -> cdc_sink_audit::Result<()> {
//! let mut sink = AuditSink::open("audit", AuditConfig::new("shop")).await?;
//! let state = sink.resume().await?;
//! println!("{} partitions", state.offsets.len());
//! println!("intact: {}", sink.query_handle().verify().await?.is_intact());
//! # Ok(())
//! # }
//! ```
//!
//! # What is in the directory
//! `segment-000000000001.jsonl` and so on, the newest of them being written; `head`, how far the
//! log is acknowledged; `lock`. A segment begins with a `segment` line that holds the whole state
//! (offsets, parked keys, epoch), and ends, once it is full, with a `seal`. Between them: `open`
//! (a writer took over), `table` (a definition, told once per segment before its first change),
//! `change`, `park` (a record set aside, with its bytes), `settle` (what became of one), and a
//! `commit` after each batch.
//!
//! # Why it is exactly once
//! - Entries and next offsets are one write, and the `commit` with the offsets is its last line: a
//!   batch whose commit is whole is in the log, any other is not, and its lines are cut off by the
//!   next opening. There is no moment at which the two disagree.
//! - `apply` returns `Ok` after the segment is synced and then the head. The head therefore never
//!   names what a crash can undo, and what it names must be there: an end cut off is told from a
//!   batch never finished.
//! - Records below the held offset are skipped, so that a batch repeated after an unknown outcome
//!   adds what is missing and nothing else.
//! - One process holds the lock; in it, each `resume` writes a higher epoch, durable before it
//!   returns, and batches of an older one are refused.
//!
//! # Why nothing is altered unseen
//! Each line holds the SHA-256 of the line before it and its own: see [`verify`].
//!
//! # What it does not do
//! It records what the source sent: a column sent as unchanged is listed as such, not looked up, so
//! that such an update of a row never seen is no halt as in other sinks; the fold of the log
//! ([`AuditQuery::rows`]) refuses it instead. The source's log does not name database users.
//!
//! Start reading at [`AuditSink`].

mod chain;
mod config;
mod entry;
mod error;
mod fold;
mod head;
mod journal;
mod json;
mod log;
mod query;
mod recover;
mod segment;
mod sink;
mod state;
mod verify;

pub use chain::Hash;
pub use config::AuditConfig;
pub use error::{Error, Result};
pub use head::Head;
pub use query::{AuditQuery, Entry};
pub use sink::AuditSink;
pub use verify::{Finding, Report, verify, verify_since};
