//! The search index: every row of every captured table as a document, equal to its source up to the
//! offsets kept beside the documents, and open to full-text search while it is written.
//!
//! ```no_run
//! use cdc_pipeline::port::Sink;
//! use cdc_sink_search::{SearchConfig, SearchSink};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut sink = SearchSink::open("search", SearchConfig::new("shop")).await?;
//! let state = sink.resume().await?;
//! println!("{} partitions", state.offsets.len());
//! for hit in sink.query_handle().search("table:\"public.orders\" +late", 10).await? {
//!     println!("{} {:?}: {}", hit.table, hit.key, hit.snippet.text);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Why it is exactly once
//! - A batch is one tantivy commit: documents, parked records (documents of a reserved kind) and,
//!   in the commit's payload, next offsets and epoch. One rename makes all of it the newest, or
//!   none; a crash before it leaves files that no commit names, which the next writer removes.
//! - `Ok` comes after the directory is synced behind that rename, and after readers have loaded the
//!   commit: it is durable, and seen.
//! - Records below the held offset are skipped, and a row is replaced by its id, so that a batch
//!   repeated after an unknown outcome changes nothing.
//! - One process holds the lock; in it, each `resume` commits a higher epoch, and batches of an
//!   older one are refused.
//!
//! # What a document is
//! The row as JSON, its table, and the words of its text-like columns. Its id is a digest of topic
//! and key. Rows of a table without a key are a multiset: equal ones are numbered, and a delete
//! takes the last.
//!
//! # Limits
//! A change of a table's key, and for a table without one a column dropped or added with a default,
//! halts once the table has rows: their ids would have to change. What old rows have in an added
//! column is shown with them, but found by search only after they are written again.
//!
//! Start reading at [`SearchSink`].

mod apply;
mod config;
mod document;
mod error;
mod fold;
mod index;
mod json;
mod layout;
mod query;
mod sink;
mod state;
mod view;

pub use config::SearchConfig;
pub use error::{Error, Result};
pub use query::{Hit, Row, Search, SearchError, Snippet};
pub use sink::SearchSink;
