//! The messages of `pgoutput`, PostgreSQL's logical replication output plugin, protocols 1 to 4.
//!
//! Decoding is pure: bytes in, message out, no I/O. It never panics, whatever the bytes are, and it
//! copies nothing of a row: a [`Tuple`] is the raw bytes, looked into only when its columns are
//! asked for, so that a change of a table nobody captures costs a few nanoseconds.
//!
//! ```text
//! Begin, (Relation | Type | Insert | Update | Delete | Truncate | Message | Origin)*, Commit
//! ```
//! From protocol 2 on, with `streaming`, transactions in progress arrive in blocks between Stream
//! Start and Stream Stop, in which those messages carry the (sub)transaction's id first; hence the
//! [`State`]. Protocol 3 adds two-phase commit, protocol 4 the LSN and time of an aborted stream.
//!
//! Relation messages carry no primary key, default or nullability; see `relation`.
//!
//! Sources: [formats](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html),
//! [flow](https://www.postgresql.org/docs/current/protocol-logical-replication.html).
#![deny(clippy::indexing_slicing)]

mod cursor;
mod decode;
mod error;
mod message;
mod tuple;

pub use decode::{State, decode};
pub use error::DecodeError;
pub use message::{
    Begin, BeginPrepare, Commit, CommitPrepared, Delete, Insert, LogicalMessage, Message, OldTuple,
    Origin, Prepare, Relation, RelationColumn, RelationIdentity, RollbackPrepared, StreamAbort,
    StreamCommit, Truncate, TypeName, Update,
};
pub use tuple::{Columns, Tuple, TupleColumn};
