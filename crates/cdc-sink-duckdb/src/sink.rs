//! The handle that a projection writes through.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_pipeline::port::{
    Atomicity, ParkedRecord, SettleBatch, Sharing, Sink, SinkBatch, SinkKind, SinkState,
};
use tokio::sync::oneshot;

use crate::config::DuckDbConfig;
use crate::error::{Error, Result};
use crate::query::Query;
use crate::warehouse::Warehouse;
use crate::worker::Command;

/// A warehouse in a DuckDB file.
///
/// Other processes are kept out by DuckDB's lock on the file. Dropping the last handle waits for an
/// apply in flight, then closes the file.
#[derive(Debug)]
pub struct DuckDbSink {
    warehouse: Arc<Warehouse>,
}

impl DuckDbSink {
    /// Opens the warehouse at `path`, making it if there is none.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it, [`Error::Corrupt`], [`Error::Foreign`] if
    /// another pipeline filled it.
    pub async fn open(path: impl AsRef<Path>, config: DuckDbConfig) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let opened = tokio::task::spawn_blocking(move || Warehouse::open(&path, config)).await;
        let warehouse = opened.map_err(|error| ended(std::io::Error::other(error)))??;
        Ok(Self { warehouse })
    }

    /// Returns a handle for read-only SQL, which works while the sink writes. It keeps the file
    /// open.
    pub fn query_handle(&self) -> Query {
        Query::new(Arc::clone(&self.warehouse))
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
    ) -> Result<T> {
        ask(&self.warehouse, command).await
    }
}

/// Has the writing thread do something. It is done even if the future is dropped.
pub(crate) async fn ask<T>(
    warehouse: &Warehouse,
    command: impl FnOnce(oneshot::Sender<Result<T>>) -> Command,
) -> Result<T> {
    let gone = || ended(std::io::ErrorKind::BrokenPipe.into());
    let (sender, answer) = oneshot::channel();
    let commands = warehouse.commands().ok_or_else(gone)?;
    commands.send(command(sender)).await.map_err(|_| gone())?;
    answer.await.map_err(|_| gone())?
}

/// Copies the warehouse to `path`.
pub(crate) async fn export(warehouse: &Warehouse, path: PathBuf) -> Result<()> {
    ask(warehouse, |answer| Command::Export(path, answer)).await
}

fn ended(source: std::io::Error) -> Error {
    Error::File { doing: "reaching the writer of", source }
}

impl Sink for DuckDbSink {
    type Error = Error;

    fn kind(&self) -> SinkKind {
        SinkKind { sharing: Sharing::Exclusive, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState> {
        self.ask(Command::Resume).await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<()> {
        self.ask(|answer| Command::Apply(batch, answer)).await
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        self.ask(|answer| Command::Parked(limit, answer)).await
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<()> {
        self.ask(|answer| Command::Settle(batch, answer)).await
    }
}
