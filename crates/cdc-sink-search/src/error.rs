//! What can go wrong with a search index, and what to do about each.

use std::io;
use std::path::{Path, PathBuf};

use cdc_model::{Offset, TopicId, TopicPartition};
use cdc_pipeline::error::{Classify, ErrorClass};
use cdc_pipeline::port::{Epoch, Generation, SinkError};
use tantivy::TantivyError;
use tantivy::directory::error::OpenReadError;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the index. Never holds a row's values.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has the index open.
    #[error("the search index {} is held by another process", dir.display())]
    Locked {
        /// The index's directory.
        dir: PathBuf,
    },
    /// The files cannot be read as what they should be.
    #[error("the search index is damaged, or of another program")]
    Corrupt {
        /// What tantivy said.
        #[source]
        source: Option<TantivyError>,
    },
    /// The index belongs to another pipeline.
    #[error("the search index belongs to pipeline \"{found}\", not to \"{wanted}\"")]
    Foreign {
        /// Whose it is.
        found: String,
        /// Who opened it.
        wanted: String,
    },
    /// The index is of a version that this program does not know.
    #[error("the search index has format {found}, this program knows {known}")]
    Format {
        /// The index's.
        found: i64,
        /// The newest known.
        known: i64,
    },
    /// The topic was deleted and made again: its offsets mean something else now.
    #[error("{partition} is of topic {found}, the search index was filled from topic {held}")]
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
    /// Two things would have the same name in the index.
    #[error("\"{name}\" would be both {first} and {second} in the search index")]
    NameCollision {
        /// The name.
        name: String,
        /// What has it.
        first: String,
        /// What wants it.
        second: String,
    },
    /// A table's definition changed in a way that changes old rows without events.
    #[error("old rows of \"{table}\" cannot be brought to its new definition: {what} {why}")]
    ResyncNeeded {
        /// The table.
        table: String,
        /// The column, or its key.
        what: String,
        /// What about it.
        why: &'static str,
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
    #[error("a change of \"{table}\" cannot be applied: {why}")]
    Poison {
        /// Its index in the batch.
        index: usize,
        /// The table.
        table: String,
        /// Why not.
        why: &'static str,
    },
    /// A newer writer has opened the index, or a batch was not preceded by `resume`.
    #[error("a writer of epoch {} has no right to write, the newest is {}", epoch.0, newest.0)]
    Fenced {
        /// The batch's epoch.
        epoch: Epoch,
        /// The newest writer's.
        newest: Epoch,
    },
    /// A batch is meant for another generation than the one held.
    #[error("the batch is for generation {}, the search index holds {}", wanted.0, held.0)]
    WrongGeneration {
        /// The batch's.
        wanted: Generation,
        /// The index's.
        held: Generation,
    },
    /// A batch came before `resume`, or after an error without it.
    #[error("the search index was written to without being resumed")]
    NotResumed,
    /// tantivy failed.
    #[error("{doing} the search index")]
    Tantivy {
        /// What we were doing.
        doing: &'static str,
        /// What tantivy said.
        #[source]
        source: TantivyError,
    },
    /// A file beside tantivy's own handling failed.
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
            Self::NotResumed | Self::Tantivy { .. } | Self::File { .. } => ErrorClass::Unknown,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("SEARCH_LOCKED"),
            Self::Corrupt { .. } => Some("SEARCH_CORRUPT"),
            Self::Foreign { .. } => Some("SEARCH_FOREIGN"),
            Self::Format { .. } => Some("SEARCH_FORMAT"),
            Self::TopicRecreated { .. } => Some("TOPIC_RECREATED"),
            Self::OffsetGap { .. } => Some("OFFSET_GAP"),
            Self::NameCollision { .. } => Some("NAME_COLLISION"),
            Self::ResyncNeeded { .. } => Some("RESYNC_NEEDED"),
            Self::UnchangedWithoutRow { .. } => Some("UNCHANGED_WITHOUT_ROW"),
            Self::RowNotIdentified { .. } => Some("ROW_NOT_IDENTIFIED"),
            Self::WrongGeneration { .. } => Some("WRONG_GENERATION"),
            Self::Poison { .. } | Self::Fenced { .. } => None,
            Self::NotResumed | Self::Tantivy { .. } | Self::File { .. } => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Locked { .. } => {
                "Stop the process that holds the directory; the projection goes on by itself."
            }
            Self::Corrupt { .. } => {
                "Move the index's directory away and start again: it is rebuilt from the event \
                 log. Or put a backup in its place: it goes on from its own offsets."
            }
            Self::Foreign { .. } => {
                "Give this pipeline a directory of its own, or move this one away."
            }
            Self::Format { .. } => "Start the version of the program that made the index.",
            Self::TopicRecreated { .. } => {
                "If the topic was deleted on purpose, move the index's directory away and start \
                 again: it is rebuilt from what the new topic holds."
            }
            Self::OffsetGap { .. } => {
                "Records were lost between the log and the index. Move the index's directory away \
                 and start again: it is rebuilt from the event log."
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
                "Restart the projection: it asks the index for its live generation."
            }
            Self::Poison { .. }
            | Self::Fenced { .. }
            | Self::NotResumed
            | Self::Tantivy { .. }
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

/// Turns a tantivy error into one of ours that says what we were doing.
pub(crate) fn while_(doing: &'static str) -> impl Fn(TantivyError) -> Error {
    move |source| match source {
        TantivyError::DataCorruption(_)
        | TantivyError::IncompatibleIndex(_)
        | TantivyError::SchemaError(_)
        | TantivyError::DeserializeError(_)
        | TantivyError::OpenReadError(
            OpenReadError::IncompatibleIndex(_) | OpenReadError::FileDoesNotExist(_),
        ) => Error::Corrupt { source: Some(source) },
        source => Error::Tantivy { doing, source },
    }
}

/// Turns an I/O error into one of ours that says what we were doing to what.
pub(crate) fn while_file(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::File { doing, path: path.clone(), source }
}
