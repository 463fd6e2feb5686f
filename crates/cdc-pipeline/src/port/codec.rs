//! What the loops ask of a codec. Not a port: pure code, given by `build()`.

use std::future::Future;
use std::sync::Arc;

use cdc_model::{ChangeEvent, LogRecord, LogicalMessage, Record, TableSchema, Timestamp};

use crate::error::Classify;
use crate::port::SchemaId;

/// Turns changes into records.
pub trait Encode: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Makes ready for `table`: compiles its plan and registers its schemas (I4). Called for each
    /// [`crate::port::StreamItem::Schema`], before the first change under it.
    ///
    /// # Errors
    /// Fatal when the registry finds the schema incompatible; transient while it is away.
    fn prepare(
        &mut self,
        table: &Arc<TableSchema>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Appends the records of `event` to `records`, `now` being the time of processing.
    ///
    /// # Errors
    /// Fatal or poison; nothing was appended.
    fn encode(
        &mut self,
        event: &ChangeEvent,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Self::Error>;

    /// Makes ready for messages, as [`Encode::prepare`] does for a table; called before the first.
    ///
    /// # Errors
    /// As [`Encode::prepare`].
    fn prepare_messages(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Appends the records of `message` to `records`.
    ///
    /// # Errors
    /// As [`Encode::encode`].
    fn encode_message(
        &mut self,
        message: &LogicalMessage,
        now: Timestamp,
        records: &mut Vec<Record>,
    ) -> Result<(), Self::Error>;
}

/// What a record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// A change to apply.
    Change(ChangeEvent),
    /// The delete that begins a key change, of which the create takes unchanged columns from the
    /// row deleted. The create is the next change of the same partition, and the two are applied
    /// together; a topic with several partitions cannot promise that, and halts the projection.
    Moved(ChangeEvent),
    /// Nothing to apply: a tombstone, a heartbeat, a message.
    Skip,
}

/// Why a record could not be decoded.
#[derive(Debug, PartialEq, Eq)]
pub enum DecodeError<E> {
    /// Its schema is not known yet: [`Decode::learn`] it, then decode again.
    UnknownSchema(SchemaId),
    /// It is no valid record; the reason is a poison error.
    Invalid(E),
}

/// Turns records back into changes.
pub trait Decode: Send {
    /// What can go wrong.
    type Error: Classify;

    /// Decodes `record` with the schema it was written with.
    ///
    /// # Errors
    /// See [`DecodeError`].
    fn decode(&mut self, record: &LogRecord) -> Result<Decoded, DecodeError<Self::Error>>;

    /// Fetches a schema and compiles its plan.
    ///
    /// # Errors
    /// Transient while the registry is away, poison if it knows no such id.
    fn learn(&mut self, id: SchemaId) -> impl Future<Output = Result<(), Self::Error>> + Send;
}
