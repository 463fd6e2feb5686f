//! What can go wrong with an embedded log, and what to do about it.

use std::io;
use std::path::PathBuf;

use cdc_model::TopicPartition;
use cdc_pipeline::{Classify, ErrorClass};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with an embedded log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process uses the data directory.
    #[error("data directory {} is in use by process {pid}", dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The process that holds it; `?` if it has not said so yet.
        pid: String,
    },
    /// The data directory belongs to another pipeline.
    #[error("data directory {} belongs to pipeline \"{found}\", not \"{expected}\"", dir.display())]
    Foreign {
        /// The data directory.
        dir: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asked for it.
        expected: String,
    },
    /// The log was written in a format this version does not read.
    #[error("the log in {} has format \"{found}\", this version reads \"{supported}\"", dir.display())]
    Format {
        /// The log's directory.
        dir: PathBuf,
        /// Its format.
        found: String,
        /// The one format this version reads.
        supported: &'static str,
    },
    /// What the log holds is damaged: `what` does not add up.
    #[error("the log in {} is damaged: {what}", dir.display())]
    Corrupt {
        /// The log's directory.
        dir: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// There is no room for the append.
    #[error("the disk under {} is full", dir.display())]
    DiskFull {
        /// The log's directory.
        dir: PathBuf,
        /// What the system said; none if the log refused before it tried.
        #[source]
        cause: Option<io::Error>,
    },
    /// The file system refused something.
    #[error("could not {what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        cause: io::Error,
    },
    /// The store refused something.
    #[error("the store in {} could not {what}", dir.display())]
    Store {
        /// The log's directory.
        dir: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        cause: fjall::Error,
    },
    /// An earlier write failed; the log is read-only until a writer opens it again.
    #[error("the log in {} stopped at an earlier error and was not opened again yet", dir.display())]
    Stopped {
        /// The log's directory.
        dir: PathBuf,
    },
    /// Another writer has opened the pipeline.
    #[error("another writer has opened pipeline \"{pipeline}\"")]
    Fenced {
        /// The pipeline.
        pipeline: String,
    },
    /// The writer was not opened, or not opened again after an error.
    #[error("the writer of pipeline \"{pipeline}\" is not open")]
    NotOpen {
        /// The pipeline.
        pipeline: String,
    },
    /// The append does not follow the checkpoint.
    #[error("append {found} of pipeline \"{pipeline}\" does not follow append {stored}")]
    SequenceGap {
        /// The pipeline.
        pipeline: String,
        /// The stored checkpoint's sequence, 0 if there is none.
        stored: u64,
        /// The batch's sequence.
        found: u64,
    },
    /// The partition does not hold this offset (any more).
    #[error("offset {offset} of {partition} is out of range, it holds {first} to {next}")]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset asked for.
        offset: i64,
        /// The first offset it holds.
        first: i64,
        /// The first offset it does not hold yet.
        next: i64,
    },
    /// There is no such partition.
    #[error("there is no partition {partition} in the log")]
    UnknownPartition {
        /// The partition.
        partition: TopicPartition,
    },
    /// There is no projection of this name.
    #[error("projection \"{name}\" is not registered")]
    UnknownProjection {
        /// The name.
        name: String,
    },
    /// The runtime is shutting down.
    #[error("the process is shutting down")]
    ShuttingDown,
}

impl Error {
    /// Whether a failed write leaves the store unfit for more: it must be opened again.
    pub(crate) fn is_store_failure(&self) -> bool {
        matches!(
            self,
            Self::Store { .. } | Self::DiskFull { .. } | Self::Io { .. } | Self::Corrupt { .. }
        )
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::DiskFull { .. } | Self::Stopped { .. } | Self::ShuttingDown => {
                ErrorClass::Transient
            }
            Self::Io { .. } | Self::Store { .. } => ErrorClass::Unknown,
            Self::Fenced { .. } => ErrorClass::Fenced,
            Self::Locked { .. }
            | Self::Foreign { .. }
            | Self::Format { .. }
            | Self::Corrupt { .. }
            | Self::NotOpen { .. }
            | Self::SequenceGap { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::UnknownPartition { .. }
            | Self::UnknownProjection { .. } => ErrorClass::Fatal,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Locked { .. } => Some("DATA_DIR_LOCKED"),
            Self::Foreign { .. } => Some("DATA_DIR_FOREIGN"),
            Self::Format { .. } => Some("LOG_FORMAT"),
            Self::Corrupt { .. } => Some("LOG_CORRUPT"),
            Self::DiskFull { .. } => Some("DISK_FULL"),
            Self::NotOpen { .. } => Some("WRITER_NOT_OPEN"),
            Self::SequenceGap { .. } => Some("SEQUENCE_GAP"),
            Self::OffsetOutOfRange { .. } => Some("OFFSET_OUT_OF_RANGE"),
            Self::UnknownPartition { .. } => Some("UNKNOWN_PARTITION"),
            Self::UnknownProjection { .. } => Some("UNKNOWN_PROJECTION"),
            Self::Io { .. }
            | Self::Store { .. }
            | Self::Stopped { .. }
            | Self::Fenced { .. }
            | Self::ShuttingDown => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        match self {
            Self::Locked { pid, .. } => Some(format!(
                "Stop process {pid}, or give this one a data directory of its own (--data-dir)."
            )),
            Self::Foreign { found, .. } => Some(format!(
                "Give this pipeline a data directory of its own (--data-dir), or run \"{found}\" here."
            )),
            Self::Format { .. } => {
                Some("Run the version of Penstock that wrote this directory.".to_owned())
            }
            Self::Corrupt { dir, .. } => Some(format!(
                "Check the disk under {0}. Restore {0} from a copy, or move it away, drop the \
                 replication slot and start over with a new snapshot.",
                dir.display()
            )),
            Self::DiskFull { dir, .. } => Some(format!(
                "Free space on the file system of {}; the pipeline goes on by itself.",
                dir.display()
            )),
            Self::NotOpen { .. } | Self::SequenceGap { .. } => Some(
                "Start the pipeline again. If this comes back, it is a defect: please report it."
                    .to_owned(),
            ),
            Self::OffsetOutOfRange { .. } | Self::UnknownPartition { .. } => Some(
                "The projection and the log do not belong together, or retention has dropped what \
                 it has not read: build the projection anew from a new snapshot."
                    .to_owned(),
            ),
            Self::UnknownProjection { .. } => {
                Some("Register the projection before it reports what it applied.".to_owned())
            }
            Self::Io { .. }
            | Self::Store { .. }
            | Self::Stopped { .. }
            | Self::Fenced { .. }
            | Self::ShuttingDown => None,
        }
    }
}
