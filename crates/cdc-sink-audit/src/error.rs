//! What can go wrong with an audit log, and what to do about each.

use std::io;
use std::path::{Path, PathBuf};

use cdc_model::{Offset, TopicId, TopicPartition};
use cdc_pipeline::error::{Classify, ErrorClass};
use cdc_pipeline::port::{Epoch, Generation, SinkError};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the audit log. Never holds a row's values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the log open.
    #[error("the audit log {} is held by another process", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
    },
    /// What was acknowledged is not there as it was written.
    #[error("the audit log is damaged at line {line} of {file}: {why}")]
    Damaged {
        /// The file, within the log's directory.
        file: String,
        /// The first line that is not right, from 1; 0 for the whole file.
        line: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The log belongs to another pipeline.
    #[error("the audit log belongs to pipeline \"{found}\", not to \"{wanted}\"")]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who opened it.
        wanted: String,
    },
    /// The log is of a version that this program does not know.
    #[error("the audit log has format {found}, this program knows {known}")]
    Format {
        /// The log's.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The topic was deleted and made again: its offsets mean something else now.
    #[error("{partition} is of topic {found}, the audit log was filled from topic {held}")]
    TopicRecreated {
        /// The partition.
        partition: TopicPartition,
        /// The topic the entries came from.
        held: TopicId,
        /// The topic there is now.
        found: TopicId,
    },
    /// Records between what is recorded and what was offered are missing.
    #[error("{partition} was recorded up to {}, the next batch begins at {}", held.0, first.0)]
    OffsetGap {
        /// The partition.
        partition: TopicPartition,
        /// The next offset wanted.
        held: Offset,
        /// The first offset offered.
        first: Offset,
    },
    /// One change can never be recorded.
    #[error("a row of \"{table}\" has not the columns of its table")]
    Poison {
        /// Its index in the batch.
        index: usize,
        /// The table.
        table: String,
    },
    /// A newer writer has opened the log, or a batch was not preceded by `resume`.
    #[error("a writer of epoch {} has no right to write, the newest is {}", epoch.0, newest.0)]
    Fenced {
        /// The batch's epoch.
        epoch: Epoch,
        /// The newest writer's.
        newest: Epoch,
    },
    /// A batch is meant for another generation than the one held.
    #[error("the batch is for generation {}, the audit log holds {}", wanted.0, held.0)]
    WrongGeneration {
        /// The batch's.
        wanted: Generation,
        /// The log's.
        held: Generation,
    },
    /// A batch came before `resume`, or after an error without it.
    #[error("the audit log was written to without being resumed")]
    NotResumed,
    /// A file could not be read or written.
    #[error("{doing} {}", path.display())]
    File {
        /// What we were doing.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The rows of a table cannot be told: a column was sent as unchanged, and its row is not
    /// recorded.
    #[error(
        "column \"{column}\" of \"{table}\" was sent as unchanged, and its row is not recorded"
    )]
    UnchangedWithoutRow {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The rows of a table are more than the caller has room for.
    #[error("\"{table}\" has more than {rows_max} rows")]
    TooManyRows {
        /// The table.
        table: String,
        /// The bound given.
        rows_max: usize,
    },
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged { .. }
            | Self::Foreign { .. }
            | Self::Format { .. }
            | Self::TopicRecreated { .. }
            | Self::OffsetGap { .. }
            | Self::WrongGeneration { .. }
            | Self::UnchangedWithoutRow { .. }
            | Self::TooManyRows { .. } => ErrorClass::Fatal,
            Self::Poison { .. } => ErrorClass::Poison,
            Self::Fenced { .. } => ErrorClass::Fenced,
            Self::Locked { .. } => ErrorClass::Transient,
            Self::NotResumed | Self::File { .. } => ErrorClass::Unknown,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("AUDIT_LOCKED"),
            Self::Damaged { .. } => Some("AUDIT_DAMAGED"),
            Self::Foreign { .. } => Some("AUDIT_FOREIGN"),
            Self::Format { .. } => Some("AUDIT_FORMAT"),
            Self::TopicRecreated { .. } => Some("TOPIC_RECREATED"),
            Self::OffsetGap { .. } => Some("OFFSET_GAP"),
            Self::WrongGeneration { .. } => Some("WRONG_GENERATION"),
            Self::UnchangedWithoutRow { .. } => Some("UNCHANGED_WITHOUT_ROW"),
            Self::TooManyRows { .. } => Some("TOO_MANY_ROWS"),
            Self::Poison { .. } | Self::Fenced { .. } => None,
            Self::NotResumed | Self::File { .. } => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Locked { .. } => {
                "Stop the process that holds the directory; the projection goes on by itself."
            }
            Self::Damaged { .. } => {
                "Keep the directory as evidence, and put a backup in its place: it goes on from \
                 its own offsets. Without one, move the directory away and start again: a new log \
                 is written from what the event log holds."
            }
            Self::Foreign { .. } => {
                "Give this pipeline a directory of its own, or move this one away."
            }
            Self::Format { .. } => "Start the version of the program that made the log.",
            Self::TopicRecreated { .. } => {
                "If the topic was deleted on purpose, move the directory away and keep it: a new \
                 log is begun with what the new topic holds."
            }
            Self::OffsetGap { .. } => {
                "Records were lost between the event log and the audit log. Move the directory \
                 away and start again: a new log is written from what the event log holds."
            }
            Self::WrongGeneration { .. } => {
                "Restart the projection: it asks the audit log for its live generation."
            }
            Self::UnchangedWithoutRow { table, .. } => {
                return Some(format!(
                    "The entries are complete, only their fold is not. Run ALTER TABLE … REPLICA \
                     IDENTITY FULL on the source of \"{table}\", and compare it after a new \
                     snapshot."
                ));
            }
            Self::TooManyRows { .. } => "Ask with a larger bound, or compare the table in parts.",
            Self::Poison { .. } | Self::Fenced { .. } | Self::NotResumed | Self::File { .. } => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}

impl SinkError for Error {
    fn poisoned(&self) -> Option<usize> {
        if let Self::Poison { index, .. } = self { Some(*index) } else { None }
    }
}

/// Turns an I/O error into one of ours that says what we were doing to what.
pub(crate) fn while_(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path: path.clone(), source }
}
