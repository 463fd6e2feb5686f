//! What can go wrong with a warehouse, and what to do about each.

use std::fmt;

use cdc_model::{Offset, TopicId, TopicPartition};
use cdc_pipeline::error::{Classify, ErrorClass};
use cdc_pipeline::port::{Epoch, Generation, SinkError};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the warehouse. Never holds a row's values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the file open.
    #[error("the warehouse is held by another process{}", holder.map(|pid| format!(" ({pid})")).unwrap_or_default())]
    Locked {
        /// Its process id, if DuckDB tells.
        holder: Option<u32>,
        /// What DuckDB said.
        #[source]
        source: Cause,
    },
    /// The file cannot be read as what it should be.
    #[error("the warehouse file is damaged or no DuckDB database")]
    Corrupt {
        /// What DuckDB said.
        #[source]
        source: Cause,
    },
    /// The file belongs to another pipeline, or was made by something else.
    #[error("the warehouse belongs to pipeline \"{found}\", not to \"{wanted}\"")]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who opened it.
        wanted: String,
    },
    /// The file's internal tables are of a version that this program does not know.
    #[error("the warehouse has format {found}, this program knows {known}")]
    Format {
        /// The file's.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The topic was deleted and made again: its offsets mean something else now.
    #[error("{partition} is of topic {found}, the warehouse was filled from topic {held}")]
    TopicRecreated {
        /// The partition.
        partition: TopicPartition,
        /// The topic the rows came from.
        held: TopicId,
        /// The topic there is now.
        found: TopicId,
    },
    /// Records between what is applied and what was offered are missing.
    #[error("{partition} was applied up to {}, the next batch begins at {}", held.0, first.0)]
    OffsetGap {
        /// The partition.
        partition: TopicPartition,
        /// The next offset wanted.
        held: Offset,
        /// The first offset offered.
        first: Offset,
    },
    /// Two things would have the same name in the warehouse.
    #[error("\"{first}\" and \"{second}\" would both be \"{name}\" in the warehouse")]
    NameCollision {
        /// The name.
        name: String,
        /// What has it.
        first: String,
        /// What wants it.
        second: String,
    },
    /// A table's definition changed in a way that changes old rows without events.
    #[error(
        "old rows of \"{table}\" cannot be brought to its new definition: column \"{column}\" {why}"
    )]
    ResyncNeeded {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// What about it.
        why: String,
    },
    /// A column was sent as unchanged, and the row it is unchanged in is not there.
    #[error("column \"{column}\" of \"{table}\" was sent as unchanged, and its old row is unknown")]
    UnchangedWithoutRow {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// An update or delete does not say which row it means.
    #[error("a change of \"{table}\" does not identify its row")]
    RowNotIdentified {
        /// The table.
        table: String,
    },
    /// One change can never be applied.
    #[error("column \"{column}\" of \"{table}\" cannot hold the value: {why}")]
    Poison {
        /// Its index in the batch.
        index: usize,
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Why not.
        why: &'static str,
    },
    /// A newer writer has opened the warehouse, or a batch was not preceded by `resume`.
    #[error("a writer of epoch {} has no right to write, the newest is {}", epoch.0, newest.0)]
    Fenced {
        /// The batch's epoch.
        epoch: Epoch,
        /// The newest writer's.
        newest: Epoch,
    },
    /// A batch is meant for another generation than the one held.
    #[error("the batch is for generation {}, the warehouse holds {}", wanted.0, held.0)]
    WrongGeneration {
        /// The batch's.
        wanted: Generation,
        /// The warehouse's.
        held: Generation,
    },
    /// A batch came before `resume`, or after an error without it.
    #[error("the warehouse was written to without being resumed")]
    NotResumed,
    /// DuckDB failed.
    #[error("{doing} the warehouse")]
    DuckDb {
        /// What we were doing.
        doing: &'static str,
        /// What DuckDB said.
        #[source]
        source: Cause,
    },
    /// A file beside DuckDB's own handling failed.
    #[error("{doing} the warehouse file")]
    File {
        /// What we were doing.
        doing: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Corrupt { .. }
            | Self::Foreign { .. }
            | Self::Format { .. }
            | Self::TopicRecreated { .. }
            | Self::OffsetGap { .. }
            | Self::NameCollision { .. }
            | Self::ResyncNeeded { .. }
            | Self::UnchangedWithoutRow { .. }
            | Self::RowNotIdentified { .. }
            | Self::WrongGeneration { .. } => ErrorClass::Fatal,
            Self::Poison { .. } => ErrorClass::Poison,
            Self::Fenced { .. } => ErrorClass::Fenced,
            Self::Locked { .. } => ErrorClass::Transient,
            Self::DuckDb { source, .. } => source.class(),
            Self::NotResumed | Self::File { .. } => ErrorClass::Unknown,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("WAREHOUSE_LOCKED"),
            Self::Corrupt { .. } => Some("WAREHOUSE_CORRUPT"),
            Self::Foreign { .. } => Some("WAREHOUSE_FOREIGN"),
            Self::Format { .. } => Some("WAREHOUSE_FORMAT"),
            Self::TopicRecreated { .. } => Some("TOPIC_RECREATED"),
            Self::OffsetGap { .. } => Some("OFFSET_GAP"),
            Self::NameCollision { .. } => Some("NAME_COLLISION"),
            Self::ResyncNeeded { .. } => Some("RESYNC_NEEDED"),
            Self::UnchangedWithoutRow { .. } => Some("UNCHANGED_WITHOUT_ROW"),
            Self::RowNotIdentified { .. } => Some("ROW_NOT_IDENTIFIED"),
            Self::WrongGeneration { .. } => Some("WRONG_GENERATION"),
            Self::Poison { .. } | Self::Fenced { .. } => None,
            Self::NotResumed | Self::DuckDb { .. } | Self::File { .. } => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Locked { .. } => {
                "Stop the process that holds the file; the projection goes on by itself."
            }
            Self::Corrupt { .. } => {
                "Move the warehouse file and its .wal away and start again: it is rebuilt from the \
                 event log. Or put a backup in its place: it goes on from its own offsets."
            }
            Self::Foreign { .. } => {
                "Give this pipeline a warehouse file of its own, or move this one away."
            }
            Self::Format { .. } => "Start the version of the program that made the file.",
            Self::TopicRecreated { .. } => {
                "If the topic was deleted on purpose, move the warehouse file away and start \
                 again: it is rebuilt from what the new topic holds."
            }
            Self::OffsetGap { .. } => {
                "Records were lost between the log and the warehouse. Move the warehouse file \
                 away and start again: it is rebuilt from the event log."
            }
            Self::NameCollision { .. } => {
                "Rename one of the two, or leave one out of the captured tables."
            }
            Self::ResyncNeeded { .. } => {
                "The table must be read anew: drop the pipeline's slot and publication, and start \
                 it with a fresh data directory (on Kafka also with another prefix), which takes \
                 a new snapshot."
            }
            Self::UnchangedWithoutRow { table, .. } => {
                return Some(format!(
                    "Run ALTER TABLE … REPLICA IDENTITY FULL on the source of \"{table}\", then \
                     take a new snapshot of it: start with a fresh data directory."
                ));
            }
            Self::RowNotIdentified { table } => {
                return Some(format!(
                    "Run ALTER TABLE … REPLICA IDENTITY FULL on the source of \"{table}\", or \
                     give it a primary key, then start with a fresh data directory."
                ));
            }
            Self::WrongGeneration { .. } => {
                "Restart the projection: it asks the warehouse for its live generation."
            }
            Self::Poison { .. }
            | Self::Fenced { .. }
            | Self::NotResumed
            | Self::DuckDb { .. }
            | Self::File { .. } => return None,
        };
        Some(text.to_owned())
    }
}

impl SinkError for Error {
    fn poisoned(&self) -> Option<usize> {
        if let Self::Poison { index, .. } = self { Some(*index) } else { None }
    }
}

/// What DuckDB said, without values of rows.
///
/// DuckDB's kind of exception is the part of its message before the first colon, one of a fixed
/// list of spellings; the Rust binding hands on no other code. Messages of kinds that quote values
/// are cut there.
///
/// Source: `EXCEPTION_MAP` in DuckDB's `src/common/exception.cpp`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    kind: String,
    detail: String,
}

impl Cause {
    /// Kinds whose messages speak of files, locks and transactions, never of rows.
    const FREE_OF_VALUES: [&'static str; 8] = [
        "IO Error",
        "Catalog Error",
        "FATAL Error",
        "Out of Memory Error",
        "Serialization Error",
        "TransactionContext Error",
        "Permission Error",
        "Dependency Error",
    ];

    /// Returns DuckDB's kind of exception, such as `IO Error`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    fn class(&self) -> ErrorClass {
        match self.kind.as_str() {
            "IO Error"
            | "Out of Memory Error"
            | "FATAL Error"
            | "TransactionContext Error"
            | "INTERRUPT Error" => ErrorClass::Transient,
            _ => ErrorClass::Unknown,
        }
    }
}

impl From<duckdb::Error> for Cause {
    fn from(error: duckdb::Error) -> Self {
        let text = match error {
            duckdb::Error::DuckDBFailure(_, Some(message)) => message,
            other => other.to_string(),
        };
        let (kind, detail) = text.split_once(": ").unwrap_or((&text, ""));
        let is_free = Self::FREE_OF_VALUES.contains(&kind);
        let first_line = detail.lines().next().unwrap_or_default();
        Self {
            kind: kind.to_owned(),
            detail: if is_free { first_line.to_owned() } else { String::new() },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.detail.as_str() {
            "" => f.write_str(&self.kind),
            detail => write!(f, "{}: {detail}", self.kind),
        }
    }
}

impl std::error::Error for Cause {}

/// Turns a DuckDB error into one of ours that says what we were doing.
pub(crate) fn while_(doing: &'static str) -> impl Fn(duckdb::Error) -> Error {
    move |error| Error::DuckDb { doing, source: error.into() }
}
