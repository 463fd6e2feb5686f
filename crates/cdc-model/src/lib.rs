//! The words every part of Penstock shares: a committed row change, the table it belongs to, where
//! it stands in its source's log, and the record it becomes. Pure data.
//!
//! ```
//! use cdc_model::Lsn;
//!
//! let lsn: Lsn = "16/B374D848".parse()?;
//! assert_eq!(lsn, Lsn(0x16_B374_D848));
//! assert_eq!(lsn.to_string(), "16/B374D848");
//! # Ok::<(), cdc_model::ParseLsnError>(())
//! ```
//!
//! # Invariants
//! - No wire format (I6): no OID, no Avro, no Kafka client, no serde, no async, no I/O.
//! - Values of variable length share the bytes they were read from; cloning one copies no payload.
//! - [`Value::Unchanged`] is a value of its own and never NULL.
//!
//! Start reading at [`ChangeEvent`].

mod event;
mod identity;
mod position;
mod record;
mod row;
mod table;
mod time;
mod value;

pub use event::{ChangeEvent, LogicalMessage, Op, Origin, SnapshotMark, SnapshotRow, Transaction};
pub use identity::{EventId, RecordId};
pub use position::{Lsn, ParseLsnError, Position};
pub use record::{
    Header, HeaderName, Headers, LogRecord, Offset, Partition, Placement, Record, Topic, TopicId,
    TopicPartition,
};
pub use row::{ImageKind, Row, RowImage};
pub use table::{
    Column, ColumnType, DefaultValue, ReplicaIdentity, TableId, TableName, TableSchema,
};
pub use time::{Date, Interval, Time, TimeTz, Timestamp};
pub use value::{Array, Decimal, Text, Value};
