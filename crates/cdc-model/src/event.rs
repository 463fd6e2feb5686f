//! One committed change of one row (or one truncated table), as it left the source.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{EventId, Lsn, Row, RowImage, TableSchema, Timestamp};

/// What happened to a row; the letters are Debezium's `op`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// `c`: a row was inserted.
    Create,
    /// `u`: a row was updated.
    Update,
    /// `d`: a row was deleted.
    Delete,
    /// `r`: a row was read by a snapshot.
    Read,
    /// `t`: a table was emptied; the event carries no row.
    Truncate,
}

impl Op {
    /// Returns Debezium's one-letter code: `c u d r t`.
    pub fn code(self) -> &'static str {
        match self {
            Self::Create => "c",
            Self::Update => "u",
            Self::Delete => "d",
            Self::Read => "r",
            Self::Truncate => "t",
        }
    }

    /// Returns the operation with Debezium's one-letter `code`, if there is one.
    pub fn from_code(code: &str) -> Option<Self> {
        match code {
            "c" => Some(Self::Create),
            "u" => Some(Self::Update),
            "d" => Some(Self::Delete),
            "r" => Some(Self::Read),
            "t" => Some(Self::Truncate),
            _ => None,
        }
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One change, in commit order. Which images are present follows from [`Op`]:
///
/// | op | `before` | `after` |
/// |---|---|---|
/// | create, read | none | the row |
/// | update | the old image if the source sent one: all columns under replica identity full, the key's columns if the key changed, else none | the row; columns may be [`crate::Value::Unchanged`] |
/// | delete | all columns, or only the replica identity's | none |
/// | truncate | none | none |
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeEvent {
    /// The table as it was defined when the change was made.
    pub table: Arc<TableSchema>,
    /// What happened.
    pub op: Op,
    /// The row before the change, as far as the source tells.
    pub before: Option<RowImage>,
    /// The row after the change.
    pub after: Option<Row>,
    /// Where and when it happened.
    pub origin: Origin,
}

impl ChangeEvent {
    /// Returns the identity of this event, stable across restarts and replays.
    pub fn id(&self) -> EventId {
        match &self.origin.snapshot {
            None => EventId::Streamed {
                commit_lsn: self.origin.transaction.commit_lsn,
                seq: self.origin.seq,
            },
            Some(row) => EventId::Snapshot {
                snapshot: row.snapshot,
                table: self.table.id,
                chunk: row.chunk,
                row: row.row,
            },
        }
    }
}

/// Where in the source's log an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source's transaction.
    pub transaction: Arc<Transaction>,
    /// Position within the transaction, from 0, counting every row change the server sent for it
    /// before any filter of ours. 0 for snapshot rows.
    pub seq: u64,
    /// The change's own LSN (`source.lsn`). Neither unique nor increasing across transactions.
    pub lsn: Lsn,
    /// Set when the event was read by a snapshot.
    pub snapshot: Option<SnapshotRow>,
}

/// A source transaction, known at its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// The server's transaction id. For a snapshot, that of the snapshot's reader, or 0.
    pub id: u64,
    /// LSN of the commit record: increases from transaction to transaction. For a snapshot, the
    /// LSN at which it was taken.
    pub commit_lsn: Lsn,
    /// Commit LSN of the transaction sent before this one in the same session, if any.
    pub previous_commit_lsn: Option<Lsn>,
    /// Commit time by the server's clock. For a snapshot, when it was taken.
    pub committed_at: Timestamp,
}

/// Which row of which chunk of which snapshot an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotRow {
    /// LSN at which the snapshot was taken; names the snapshot.
    pub snapshot: Lsn,
    /// Index of the chunk within its table, from 0.
    pub chunk: u32,
    /// Index of the row within its chunk, from 0.
    pub row: u32,
    /// Debezium's `source.snapshot`.
    pub mark: SnapshotMark,
}

/// Debezium's `source.snapshot`: where a row stands in its snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotMark {
    /// `first`: the first row of the whole snapshot.
    First,
    /// `first_in_data_collection`: the first row of its table.
    FirstInTable,
    /// `true`: any row between.
    Inside,
    /// `last_in_data_collection`: the last row of its table.
    LastInTable,
    /// `last`: the last row of the whole snapshot.
    Last,
    /// `incremental`: read by an incremental snapshot.
    Incremental,
}

impl SnapshotMark {
    /// Returns Debezium's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::FirstInTable => "first_in_data_collection",
            Self::Inside => "true",
            Self::LastInTable => "last_in_data_collection",
            Self::Last => "last",
            Self::Incremental => "incremental",
        }
    }
}

/// A message written to the source's log by an application, beside any table
/// (`pg_logical_emit_message`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// The prefix it was written under.
    pub prefix: Arc<str>,
    /// Its payload.
    pub content: Bytes,
    /// Whether it committed with its transaction, or stands alone.
    pub is_transactional: bool,
    /// Where it stands; for one that stands alone, `transaction.id` is 0.
    pub origin: Origin,
}
