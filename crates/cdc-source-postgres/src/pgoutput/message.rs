//! The messages.
//!
//! Times are µs since 1970 here, µs since 2000 on the wire. A transaction id (`xid`) has 32 bits
//! and wraps: never compare two for order.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{Lsn, Timestamp};

use crate::pgoutput::tuple::Tuple;

/// One message. The letter is its tag on the wire.
///
/// `xid` in a message of the second group is present exactly inside a stream block, where it names
/// the subtransaction the change belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// `B`
    Begin(Begin),
    /// `C`
    Commit(Commit),
    /// `O`
    Origin(Origin),

    /// `R`
    Relation(Relation),
    /// `Y`
    Type(TypeName),
    /// `I`
    Insert(Insert),
    /// `U`
    Update(Update),
    /// `D`
    Delete(Delete),
    /// `T`
    Truncate(Truncate),
    /// `M`
    Message(LogicalMessage),

    /// `S` (protocol 2): changes of a transaction in progress follow, until Stream Stop.
    StreamStart {
        /// The top-level transaction.
        xid: u32,
        /// Whether it is this transaction's first block.
        is_first: bool,
    },
    /// `E` (protocol 2): end of the block.
    StreamStop,
    /// `c` (protocol 2): a streamed transaction committed.
    StreamCommit(StreamCommit),
    /// `A` (protocol 2): a streamed transaction, or a subtransaction of one, rolled back.
    StreamAbort(StreamAbort),

    /// `b` (protocol 3): beginning of a prepared transaction.
    BeginPrepare(BeginPrepare),
    /// `P` (protocol 3): end of a prepared transaction.
    Prepare(Prepare),
    /// `K` (protocol 3)
    CommitPrepared(CommitPrepared),
    /// `r` (protocol 3)
    RollbackPrepared(RollbackPrepared),
    /// `p` (protocol 3): a streamed transaction was prepared.
    StreamPrepare(Prepare),
}

/// Beginning of a committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Begin {
    /// LSN of the commit record, known before the first change.
    pub final_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
    /// The transaction.
    pub xid: u32,
}

/// End of a committed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commit {
    /// Unused by the protocol, zero.
    pub flags: u8,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// First LSN after the transaction: what may be acknowledged when it is durable.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
}

/// The transaction was itself replicated from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// LSN of its commit at the origin.
    pub commit_lsn: Lsn,
    /// The origin's name.
    pub name: Arc<str>,
}

/// `pg_class.relreplident`: what of old rows is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationIdentity {
    /// `d`: the primary key's columns, if there is one.
    Default,
    /// `n`: nothing.
    Nothing,
    /// `f`: every column.
    Full,
    /// `i`: the columns of an index.
    Index,
}

/// The shape of a table's rows from here on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table's oid, to which changes refer.
    pub id: u32,
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What of old rows is logged.
    pub identity: RelationIdentity,
    /// The published columns, in the order of every tuple.
    pub columns: Vec<RelationColumn>,
}

/// One column of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it belongs to the replica identity.
    pub is_key: bool,
    /// Its name.
    pub name: Arc<str>,
    /// Its type's oid.
    pub type_oid: u32,
    /// Its type's modifier, such as a length; -1 for none.
    pub type_modifier: i32,
}

/// The name of a type that is not built in; precedes the Relation that uses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeName {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The type's oid.
    pub oid: u32,
    /// Its schema.
    pub schema: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// A row was inserted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// The row.
    pub new: Tuple,
}

/// A row was updated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// The row before: under replica identity full, or if its key changed.
    pub old: Option<OldTuple>,
    /// The row after; columns may be unchanged and not sent.
    pub new: Tuple,
}

/// A row was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The table.
    pub relation: u32,
    /// The row before.
    pub old: OldTuple,
}

/// The row before a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OldTuple {
    /// `K`: the columns of the replica identity; the others are sent as NULL and mean nothing.
    Key(Tuple),
    /// `O`: every column.
    Full(Tuple),
}

impl OldTuple {
    /// Returns the tuple.
    pub fn tuple(&self) -> &Tuple {
        match self {
            Self::Key(tuple) | Self::Full(tuple) => tuple,
        }
    }
}

/// Tables were emptied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Truncate {
    /// The subtransaction, inside a stream block.
    pub xid: Option<u32>,
    /// The tables, all of one statement.
    pub relations: Vec<u32>,
    /// Whether CASCADE was given.
    pub is_cascade: bool,
    /// Whether RESTART IDENTITY was given.
    pub is_restart_identity: bool,
}

/// A message written by `pg_logical_emit_message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicalMessage {
    /// The subtransaction, inside a stream block; 0 there for a message that is not transactional.
    pub xid: Option<u32>,
    /// Whether it committed with its transaction. If not, it stands outside of any.
    pub is_transactional: bool,
    /// Its LSN.
    pub lsn: Lsn,
    /// Its prefix.
    pub prefix: Arc<str>,
    /// Its content.
    pub content: Bytes,
}

/// A streamed transaction committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamCommit {
    /// The top-level transaction.
    pub xid: u32,
    /// Unused by the protocol, zero.
    pub flags: u8,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// First LSN after the transaction.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
}

/// A streamed transaction rolled back, or a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamAbort {
    /// The top-level transaction.
    pub xid: u32,
    /// What rolled back; equal to `xid` if the whole did.
    pub subxid: u32,
    /// LSN and time of the abort: with protocol 4 and `streaming 'parallel'` only.
    pub aborted: Option<(Lsn, Timestamp)>,
}

/// Beginning of a transaction to be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BeginPrepare {
    /// LSN of the prepare record.
    pub prepare_lsn: Lsn,
    /// First LSN after it.
    pub end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// The transaction.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: Arc<str>,
}

/// A transaction was prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepare {
    /// Unused by the protocol, zero.
    pub flags: u8,
    /// LSN of the prepare record.
    pub prepare_lsn: Lsn,
    /// First LSN after it.
    pub end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// The transaction.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: Arc<str>,
}

/// A prepared transaction committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitPrepared {
    /// Unused by the protocol, zero.
    pub flags: u8,
    /// LSN of the commit record.
    pub commit_lsn: Lsn,
    /// First LSN after it.
    pub end_lsn: Lsn,
    /// When it committed.
    pub commit_time: Timestamp,
    /// The transaction.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: Arc<str>,
}

/// A prepared transaction rolled back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollbackPrepared {
    /// Unused by the protocol, zero.
    pub flags: u8,
    /// First LSN after the prepare record.
    pub prepare_end_lsn: Lsn,
    /// First LSN after the rollback record.
    pub rollback_end_lsn: Lsn,
    /// When it was prepared.
    pub prepare_time: Timestamp,
    /// When it rolled back.
    pub rollback_time: Timestamp,
    /// The transaction.
    pub xid: u32,
    /// The name it was prepared under.
    pub gid: Arc<str>,
}
