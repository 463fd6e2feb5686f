//! The log as its users see it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use cdc_model::{Offset, Topic, TopicPartition};

use crate::data_dir::DataDir;
use crate::error::Result;
use crate::shared::Shared;
use crate::{LocalLogConfig, LocalReader, LocalWriter};

/// An embedded event log in a directory of its own. Clones share it; it is closed, and its
/// directory released, when the last clone, writer and reader is gone.
#[derive(Debug, Clone)]
pub struct LocalLog {
    shared: Arc<Shared>,
}

/// Sizes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStats {
    /// What its files take on disk, in bytes.
    pub disk_bytes: u64,
    /// How many segments it holds.
    pub segments: usize,
    /// Records held, by topic, in all its partitions.
    pub records: BTreeMap<Topic, u64>,
}

impl LocalLog {
    /// Reported by [`LocalLog::projection_applied`] for a partition that the projection does not
    /// read and that need not be kept for it.
    pub const NEVER_READ: Offset = Offset(i64::MAX);

    /// Opens the log in the data directory `dir`; makes both if they do not exist. Blocks for as
    /// long as recovery takes, about a second after a crash under load.
    ///
    /// # Errors
    /// Fatal: [`crate::Error::Locked`] while another process has it, [`crate::Error::Foreign`] if it is another
    /// pipeline's, [`crate::Error::Format`], [`crate::Error::Corrupt`]. Transient: [`crate::Error::DiskFull`].
    ///
    /// # Panics
    /// If `config.partitions` is not positive.
    pub fn open(dir: impl AsRef<Path>, config: LocalLogConfig) -> Result<Self> {
        let data_dir = DataDir::claim(dir.as_ref(), config.pipeline.as_deref())?;
        Self::open_in(data_dir, config)
    }

    /// Like [`LocalLog::open`], in a data directory that is claimed already.
    ///
    /// # Errors
    /// As [`LocalLog::open`], without the first two.
    ///
    /// # Panics
    /// If `config.partitions` is not positive.
    pub fn open_in(data_dir: DataDir, config: LocalLogConfig) -> Result<Self> {
        assert!(config.partitions > 0, "a topic has at least one partition");
        let shared = Shared::open(data_dir, config)?;
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns a writer for `pipeline`, to be opened before use. Record identities are written as
    /// `<incarnation>:<record id>`.
    pub fn writer(&self, pipeline: &str, incarnation: &str) -> LocalWriter {
        LocalWriter::new(self.shared.clone(), pipeline, incarnation)
    }

    /// Returns a reader of nothing yet.
    pub fn reader(&self) -> LocalReader {
        LocalReader::new(self.shared.clone())
    }

    /// Registers a projection, durably: from now on nothing that it has not applied is dropped.
    /// Without effect if it is registered already.
    ///
    /// # Errors
    /// As an append.
    pub async fn register_projection(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.shared.run(move |log| log.put_projection(&name, None)).await
    }

    /// Forgets a projection: it holds nothing back any more.
    ///
    /// # Errors
    /// As an append.
    pub async fn forget_projection(&self, name: &str) -> Result<()> {
        let name = name.to_owned();
        self.shared.run(move |log| log.drop_projection(&name)).await
    }

    /// Notes how far a registered projection has applied the log: for each partition named, the
    /// offset it would resume from. Partitions it has never named count as not applied at all.
    ///
    /// Kept on disk without waiting for it: an older note only keeps segments for longer.
    ///
    /// # Errors
    /// [`crate::Error::UnknownProjection`], [`crate::Error::UnknownPartition`] (fatal), or as an append.
    pub async fn projection_applied(
        &self,
        name: &str,
        offsets: Vec<(TopicPartition, Offset)>,
    ) -> Result<()> {
        let name = name.to_owned();
        self.shared.run(move |log| log.put_projection(&name, Some(&offsets))).await
    }

    /// Drops the segments that retention no longer wants, and returns how many. Done by itself
    /// whenever a segment is full; call it now and then so that age counts in quiet times too.
    ///
    /// # Errors
    /// As an append.
    pub async fn enforce_retention(&self) -> Result<usize> {
        self.shared.run(Shared::enforce_retention).await
    }

    /// Returns the log's sizes.
    ///
    /// # Errors
    /// Transient while the store is closed after an error.
    pub async fn stats(&self) -> Result<LogStats> {
        self.shared.run(Shared::stats).await
    }
}
