//! The thread that makes all writing calls, one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use cdc_pipeline::port::{ParkedRecord, SettleBatch, SinkBatch, SinkState};
use duckdb::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::apply::{apply, check, check_writer, settle};
use crate::catalog::Catalog;
use crate::error::{Error, Result};
use crate::export::export;
use crate::parked;
use crate::warehouse::Access;

/// What the thread is asked to do. An answer nobody waits for any more is dropped.
#[derive(Debug)]
pub(crate) enum Command {
    Resume(oneshot::Sender<Result<SinkState>>),
    Apply(Arc<SinkBatch>, oneshot::Sender<Result<()>>),
    Parked(usize, oneshot::Sender<Result<(Vec<ParkedRecord>, u64)>>),
    Settle(Arc<SettleBatch>, oneshot::Sender<Result<()>>),
    Export(PathBuf, oneshot::Sender<Result<()>>),
}

/// The thread's state.
#[derive(Debug)]
pub(crate) struct Worker {
    access: Arc<Access>,
    /// None after an error with an unknown outcome.
    connection: Option<Connection>,
    /// None until resumed, and after every error.
    catalog: Option<Catalog>,
}

impl Worker {
    pub(crate) fn new(access: Arc<Access>, connection: Connection) -> Self {
        Self { access, connection: Some(connection), catalog: None }
    }

    /// Serves until every handle is gone.
    pub(crate) fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        while let Some(command) = commands.blocking_recv() {
            match command {
                Command::Resume(answer) => drop(answer.send(self.resume())),
                Command::Apply(batch, answer) => drop(answer.send(self.apply(&batch))),
                Command::Parked(limit, answer) => drop(answer.send(self.parked(limit))),
                Command::Settle(batch, answer) => drop(answer.send(self.settle(&batch))),
                Command::Export(path, answer) => drop(answer.send(self.export(&path))),
            }
        }
    }

    fn resume(&mut self) -> Result<SinkState> {
        self.catalog = None;
        let result = self.take_over();
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    fn take_over(&mut self) -> Result<SinkState> {
        let connection = self.connection()?;
        let catalog = Catalog::take_over(connection)?;
        let state = catalog.state(connection)?;
        self.catalog = Some(catalog);
        Ok(state)
    }

    /// Returns the connection, opening the file anew if the last outcome is unknown.
    fn connection(&mut self) -> Result<&Connection> {
        if self.connection.is_none() {
            self.access.close();
            self.connection = Some(self.access.open()?);
        }
        self.connection.as_ref().ok_or(Error::NotResumed)
    }

    fn apply(&mut self, batch: &SinkBatch) -> Result<()> {
        let check = |catalog: &Catalog| check(catalog, batch);
        self.write(check, |connection, catalog| apply(connection, catalog, batch))
    }

    fn settle(&mut self, batch: &SettleBatch) -> Result<()> {
        let check = |catalog: &Catalog| check_writer(catalog, batch.epoch, batch.generation);
        self.write(check, |connection, catalog| settle(connection, catalog, batch))
    }

    /// After an error of `write` the catalogue is to be read anew, and after one of DuckDB's the file
    /// too.
    fn write(
        &mut self,
        check: impl FnOnce(&Catalog) -> Result<()>,
        write: impl FnOnce(&Connection, &mut Catalog) -> Result<()>,
    ) -> Result<()> {
        let (Some(connection), Some(catalog)) = (&self.connection, &mut self.catalog) else {
            return Err(Error::NotResumed);
        };
        check(catalog)?;
        let result = write(connection, catalog);
        if let Err(error) = &result {
            self.catalog = None;
            if matches!(error, Error::DuckDb { .. }) {
                self.connection = None;
            }
        }
        result
    }

    fn parked(&self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        parked::list(self.connection.as_ref().ok_or(Error::NotResumed)?, limit)
    }

    fn export(&self, path: &std::path::Path) -> Result<()> {
        export(&self.access, self.connection.as_ref().ok_or(Error::NotResumed)?, path)
    }
}
