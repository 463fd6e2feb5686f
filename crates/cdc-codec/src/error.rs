//! What can go wrong while encoding and decoding, and what it means.

use cdc_model::TableName;
use cdc_pipeline::port::Subject;
use cdc_pipeline::{Classify, ErrorClass};

/// An error of an encoder or a decoder over a registry whose errors are `E`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E: Classify> {
    /// The registry was asked about a subject and gave an error.
    #[error("schema of subject \"{subject}\" was not registered")]
    Register {
        /// The subject.
        subject: Subject,
        /// The registry's error, whose class and remedy hold.
        source: E,
    },
    /// The registry was asked for a schema and gave an error.
    #[error("schema {id} was not fetched")]
    Fetch {
        /// The schema's id.
        id: u32,
        /// The registry's error, whose class and remedy hold.
        source: E,
    },
    /// The event cannot be written.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The record cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
}

/// Why an event cannot be written. Capture halts: leaving it out would lose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The event came before its table's definition.
    #[error("table \"{0}\" was not prepared before its first change")]
    NotPrepared(TableName),
    /// Messages came before they were prepared.
    #[error("messages were not prepared before the first one")]
    MessagesNotPrepared,
    /// The row has another number of values than the table has columns.
    #[error("row of \"{table}\" has {values} values for {columns} columns")]
    RowWidth {
        /// The table.
        table: TableName,
        /// Values in the row.
        values: usize,
        /// Columns of the table.
        columns: usize,
    },
    /// A value's type is not its column's.
    #[error("value of \"{table}\".\"{column}\" is not of the column's type")]
    ValueType {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// The operation needs a row image that the event does not have.
    #[error("change of \"{table}\" carries no row image to take its key from")]
    NoImage {
        /// The table.
        table: TableName,
    },
    /// A key column has no value that a key can hold.
    #[error("key column \"{column}\" of \"{table}\" holds no value that can stand in a key")]
    KeyValue {
        /// The table.
        table: TableName,
        /// The column.
        column: String,
    },
    /// Two tables have one topic, because characters that topics cannot hold were replaced.
    #[error("tables \"{first}\" and \"{second}\" would share the topic \"{topic}\"")]
    TopicShared {
        /// The topic.
        topic: String,
        /// The table that has it.
        first: TableName,
        /// The table that would get it too.
        second: TableName,
    },
}

/// Why a record cannot be read. It is poison: it will never be readable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The bytes end early, go on too long, or hold what their schema does not allow.
    #[error("record is malformed: {0}")]
    Malformed(&'static str),
    /// A header that the decoder relies on is not there.
    #[error("record has no header \"{0}\"")]
    HeaderMissing(&'static str),
    /// A header that the decoder relies on cannot be read.
    #[error("header \"{0}\" cannot be read")]
    HeaderMalformed(&'static str),
    /// The schema is no change event's, or of a kind this decoder does not know.
    #[error("schema {id} cannot be used: {reason}")]
    Schema {
        /// The schema's id.
        id: u32,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl<E: Classify> Classify for Error<E> {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Register { source, .. } | Self::Fetch { source, .. } => source.class(),
            Self::Event(_) => ErrorClass::Fatal,
            Self::Record(_) => ErrorClass::Poison,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Register { source, .. } | Self::Fetch { source, .. } => source.code(),
            Self::Event(error) => Some(error.code()),
            Self::Record(_) => None,
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Register { source, .. } | Self::Fetch { source, .. } => source.remedy(),
            Self::Event(error) => Some(error.remedy().to_owned()),
            Self::Record(_) => None,
        }
    }
}

impl EventError {
    /// Returns the halt's code.
    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> &'static str {
        match self {
            Self::NotPrepared(_) | Self::MessagesNotPrepared => "TABLE_NOT_PREPARED",
            Self::RowWidth { .. } | Self::ValueType { .. } => "ROW_MISMATCH",
            Self::NoImage { .. } => "ROW_IMAGE_MISSING",
            Self::KeyValue { .. } => "KEY_NOT_REPRESENTABLE",
            Self::TopicShared { .. } => "TOPIC_SHARED",
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> &'static str {
        match self {
            Self::NotPrepared(_)
            | Self::MessagesNotPrepared
            | Self::RowWidth { .. }
            | Self::ValueType { .. } => {
                "this is a defect of the source adapter: report it with the table's definition; \
                 nothing was acknowledged"
            }
            Self::NoImage { .. } => {
                "give the table a replica identity: ALTER TABLE … REPLICA IDENTITY FULL"
            }
            Self::KeyValue { .. } => {
                "keep NULL, NaN and infinities out of the key, or choose another key with \
                 REPLICA IDENTITY USING INDEX"
            }
            Self::TopicShared { .. } => {
                "rename one of the tables, or exclude it with table.exclude.list"
            }
        }
    }
}
