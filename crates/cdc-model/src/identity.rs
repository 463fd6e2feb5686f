//! Identities that survive a replay: of an event, and of each record an event becomes.
//!
//! An identity never contains the row's own LSN, which several rows may share; see ADR 0004.

use std::fmt;

use crate::{Lsn, TableId};

/// Identity of a change within one incarnation of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventId {
    /// A change read from the log.
    Streamed {
        /// LSN of its transaction's commit record.
        commit_lsn: Lsn,
        /// Its place in the transaction, from 0.
        seq: u64,
    },
    /// A row read by a snapshot.
    Snapshot {
        /// LSN that names the snapshot.
        snapshot: Lsn,
        /// The table.
        table: TableId,
        /// The chunk within the table.
        chunk: u32,
        /// The row within the chunk.
        row: u32,
    },
}

impl fmt::Display for EventId {
    /// `16/B374D848:12`, or `S16/B374D848:16384:0:7` for a snapshot's row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Streamed { commit_lsn, seq } => write!(f, "{commit_lsn}:{seq}"),
            Self::Snapshot { snapshot, table, chunk, row } => {
                write!(f, "S{snapshot}:{}:{chunk}:{row}", table.0)
            }
        }
    }
}

/// Identity of one record: an event may become several (a key change is delete, tombstone, create).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId {
    /// The event it came from.
    pub event: EventId,
    /// Which of the event's records it is, from 0.
    pub sub: u8,
}

impl fmt::Display for RecordId {
    /// The event's identity, a colon, and the record's number: `16/B374D848:12:0`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.event, self.sub)
    }
}
