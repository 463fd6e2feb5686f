//! The handle that a projection writes through.

use std::path::Path;
use std::sync::Arc;

use cdc_pipeline::port::{
    Atomicity, ParkedRecord, SettleBatch, Sharing, Sink, SinkBatch, SinkKind, SinkState,
};

use crate::config::AuditConfig;
use crate::error::{Result, while_};
use crate::log::Log;
use crate::query::AuditQuery;

/// An audit log in a directory.
///
/// Other processes are kept out by a lock. A dropped `apply` runs to its end; the log closes when
/// that and the last handle are gone.
#[derive(Debug)]
pub struct AuditSink {
    log: Arc<Log>,
}

impl AuditSink {
    /// Opens the log in the directory `path`, making it if there is none.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it, [`Error::Damaged`], [`Error::Foreign`] if
    /// another pipeline wrote it.
    ///
    /// [`Error::Locked`]: crate::Error::Locked
    /// [`Error::Damaged`]: crate::Error::Damaged
    /// [`Error::Foreign`]: crate::Error::Foreign
    pub async fn open(path: impl AsRef<Path>, config: AuditConfig) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let at = path.clone();
        let log = blocking(&at, move || Log::open(&path, config)).await?;
        Ok(Self { log })
    }

    /// Returns a handle for reading, which works while the sink writes.
    pub fn query_handle(&self) -> AuditQuery {
        AuditQuery::new(&self.log.dir)
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Log) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let log = Arc::clone(&self.log);
        blocking(&self.log.dir, move || work(&log)).await
    }
}

/// Runs `work` where it may block. It runs to its end even if the future is dropped.
pub(crate) async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(std::io::Error::other).map_err(while_("working on", path))?
}

impl Sink for AuditSink {
    type Error = crate::Error;

    fn kind(&self) -> SinkKind {
        SinkKind { sharing: Sharing::Exclusive, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState> {
        self.run(Log::resume).await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<()> {
        self.run(move |log| log.apply(&batch)).await
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        self.run(move |log| log.parked(limit)).await
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<()> {
        self.run(move |log| log.settle(&batch)).await
    }
}
