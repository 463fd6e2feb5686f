//! The five ports. An `Ok` from any method of theirs means that its effect is durable.
//!
//! Ports are implemented by adapters and by the in-memory ones in `testkit`; each port has one
//! contract suite (`testkit::contract`) that every adapter passes. [`Membership`] is none of them: it
//! tells the project loop which partitions are its own.

mod codec;
mod log;
mod membership;
mod registry;
mod sink;
mod source;

pub use codec::{Decode, DecodeError, Decoded, Encode};
pub use log::{
    AppendBatch, Checkpoint, CheckpointUpdate, EntryKey, Fetched, LogReader, LogWriter, TopicMeta,
};
pub use membership::{Membership, Share, Sole};
pub use registry::{RegisteredSchema, SchemaId, SchemaRegistry, SchemaVersion, Subject, Verdict};
pub use sink::{
    Atomicity, Epoch, Generation, OffsetRange, ParkedRecord, SettleBatch, Settlement, Sharing,
    Sink, SinkBatch, SinkChange, SinkError, SinkKind, SinkState,
};
pub use source::{Acknowledge, ChangeBatch, ChangeStream, Opened, Source, StreamItem};
