//! The port to a database's log.

use std::future::Future;
use std::sync::Arc;

use cdc_model::{ChangeEvent, LogicalMessage, Position, TableSchema};

use crate::error::Classify;
use crate::port::{Checkpoint, CheckpointUpdate};

/// A database whose committed changes are captured.
///
/// # Order of start
/// `acquire`, then the log writer's `open` (which fences and reads the checkpoint back), then
/// `open`. The source's lock comes first: fencing first would let every starting standby kill the
/// leader.
pub trait Source: Send {
    /// What can go wrong.
    type Error: Classify;
    /// The stream it gives.
    type Stream: ChangeStream<Error = Self::Error>;
    /// The acknowledger it gives.
    type Acknowledger: Acknowledge;

    /// Takes the source's lock (for PostgreSQL, the slot), waiting while another holds it. A source
    /// never set up has nothing to lock; then this returns at once. Called again, it first lets
    /// go of what an earlier call took.
    ///
    /// # Errors
    /// Transient while the server is away, fatal when the lock can never be had.
    fn acquire(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Checks that everything after `checkpoint` can still be had, and starts to stream it.
    ///
    /// `checkpoint` is `None` for a pipeline that never ran. Where the source must leave a durable
    /// mark before it touches the server (the intent before a slot), it returns
    /// [`Opened::Mark`]; the caller makes the mark durable and opens again with it applied.
    ///
    /// # Errors
    /// Fatal, with a code, in every case where continuing could lose changes.
    fn open(
        &mut self,
        checkpoint: Option<&Checkpoint>,
    ) -> impl Future<Output = Result<Opened<Self::Stream, Self::Acknowledger>, Self::Error>> + Send;
}

/// What opening a source led to.
#[derive(Debug)]
pub enum Opened<S, A> {
    /// Append this to the log with no records, then open again. `sequence` is left 0 and filled in
    /// by the caller.
    Mark(CheckpointUpdate),
    /// Changes, strictly after the checkpoint's position, and the handle that acknowledges them.
    Ready(S, A),
}

/// Committed changes in commit order.
pub trait ChangeStream: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Waits for more changes.
    ///
    /// A batch is atomic: it is appended to the log whole, with its position and entries, in one
    /// log transaction. The loop may join batches and never splits one, so the source keeps each
    /// within its own bound in bytes.
    ///
    /// # Errors
    /// A lost connection is transient: the loop opens the source again from the log's checkpoint.
    ///
    /// # Cancel safety
    /// Safe: dropping the future loses no change.
    fn next(&mut self) -> impl Future<Output = Result<ChangeBatch, Self::Error>> + Send;
}

/// Tells the source what is durable in the event log.
pub trait Acknowledge: Send {
    /// Allows the source to discard everything up to and including `position`.
    ///
    /// Returns at once; the source sends it on by a task of its own, which never waits for the
    /// log. It cannot be undone, must not regress, and calling it twice changes nothing. A position
    /// inside a transaction acknowledges the last complete one before it.
    fn acknowledge(&self, position: &Position);
}

/// A piece of the stream, never to be split.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChangeBatch {
    /// What happened, in order. Empty if only the position moved (an idle source).
    pub items: Vec<StreamItem>,
    /// Where the source stands after the last item; `None` if it has not moved.
    pub position: Option<Position>,
    /// What else the source must remember together with the position: chunks done, schemas.
    pub entries: Vec<(crate::port::EntryKey, Option<bytes::Bytes>)>,
    /// About how many bytes the items take.
    pub size: usize,
}

/// One item of a stream.
#[derive(Debug, Clone, PartialEq)]
pub enum StreamItem {
    /// A row changed or a table was emptied.
    Change(ChangeEvent),
    /// From here on the table is defined so. Precedes the table's first change in each session.
    Schema(Arc<TableSchema>),
    /// An application's message in the log.
    Message(LogicalMessage),
}
