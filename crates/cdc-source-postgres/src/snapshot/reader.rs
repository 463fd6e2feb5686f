//! Reads key ranges by COPY on one connection, under the snapshot all readers share, and cuts them
//! into chunks.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cdc_model::{ChangeEvent, Op, Origin, SnapshotMark, SnapshotRow, TableName, Transaction};
use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;

use crate::catalog;
use crate::error::Error;
use crate::relation::Relation;
use crate::snapshot::key::KeyText;
use crate::sql::{self, Sql};
use crate::value;

/// A table as readers see it.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its index in the snapshot's progress.
    pub(crate) index: usize,
    pub(crate) name: TableName,
    pub(crate) relation: Relation,
    /// What is selected, quoted.
    columns: String,
    /// The chunk key's columns: index in a row, quoted name, type.
    key: Vec<(usize, String, String)>,
}

impl Source {
    pub(crate) fn new(
        index: usize,
        table: &catalog::Table,
        relation: Relation,
        key: &[String],
    ) -> Self {
        let columns: Vec<String> =
            table.columns.iter().map(|column| sql::ident(&column.name)).collect();
        let key = key
            .iter()
            .filter_map(|name| {
                let found = table.columns.iter().position(|column| *column.name == **name)?;
                Some((found, sql::ident(name), table.columns.get(found)?.type_name.clone()))
            })
            .collect();
        Self { index, name: table.name.clone(), relation, columns: columns.join(", "), key }
    }

    /// Returns the quoted names of the key's columns.
    pub(crate) fn key_columns(&self) -> String {
        self.key.iter().map(|(_, name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Returns the event's key as the server prints it; `None` without a chunk key.
    fn key_of(&self, event: Option<&ChangeEvent>) -> Option<KeyText> {
        let row = event.and_then(|event| event.after.as_ref()).filter(|_| !self.key.is_empty())?;
        self.key.iter().map(|(index, ..)| row.get(*index).map(value::text)).collect()
    }

    fn query(&self, after: Option<&KeyText>, until: Option<&KeyText>) -> String {
        let bound = |operator: &str, key: &KeyText| {
            let values: Vec<String> = key
                .iter()
                .zip(&self.key)
                .map(|(text, (_, _, ty))| format!("CAST({} AS {ty})", sql::literal(text)))
                .collect();
            format!("({}) {operator} ({})", self.key_columns(), values.join(", "))
        };
        let bounds: Vec<String> =
            [after.map(|key| bound(">", key)), until.map(|key| bound("<=", key))]
                .into_iter()
                .flatten()
                .collect();
        let mut query = format!("SELECT {} FROM ONLY {}", self.columns, sql::table(&self.name));
        if !bounds.is_empty() {
            query.push_str(&format!(" WHERE {}", bounds.join(" AND ")));
        }
        if !self.key.is_empty() {
            query.push_str(&format!(" ORDER BY {}", self.key_columns()));
        }
        format!("COPY ({query}) TO STDOUT")
    }
}

/// A range to read.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) source: Arc<Source>,
    pub(crate) range: usize,
    pub(crate) after: Option<KeyText>,
    pub(crate) until: Option<KeyText>,
}

/// Rows of one range, in key order.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) source: Arc<Source>,
    pub(crate) range: usize,
    pub(crate) events: Vec<ChangeEvent>,
    /// Bytes of the rows as they came.
    pub(crate) bytes: usize,
    /// Key of the last row; `None` where the table has no chunk key.
    pub(crate) until: Option<KeyText>,
    /// Whether the range ends with it.
    pub(crate) is_end: bool,
}

/// Jobs, shared by the readers.
pub(crate) type Jobs = Arc<Mutex<VecDeque<Job>>>;

/// One reader.
pub(crate) struct Reader {
    pub(crate) sql: Sql,
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) rows_max: usize,
    pub(crate) bytes_max: usize,
}

impl Reader {
    /// Reads jobs until there are none, or nobody takes the chunks.
    pub(crate) async fn run(self, jobs: Jobs, chunks: mpsc::Sender<Result<Chunk, Error>>) {
        loop {
            let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some(job) = job else { return };
            if let Err(error) = self.read(&job, &chunks).await {
                let _closed = chunks.send(Err(error)).await;
                return;
            }
        }
    }

    async fn read(
        &self,
        job: &Job,
        chunks: &mpsc::Sender<Result<Chunk, Error>>,
    ) -> Result<(), Error> {
        let source = &job.source;
        let query = source.query(job.after.as_ref(), job.until.as_ref());
        let doing = Error::sql;
        let rows = self.sql.client().copy_out(&query).await.map_err(doing("reading a table"))?;
        let mut rows = pin!(rows);
        let mut events = Vec::new();
        let mut bytes = 0;
        while let Some(line) = rows.try_next().await.map_err(doing("reading a table"))? {
            events.push(self.event(source, &line, events.len())?);
            bytes += line.len();
            if events.len() < self.rows_max && bytes < self.bytes_max {
                continue;
            }
            let until = source.key_of(events.last());
            let full = Chunk {
                source: source.clone(),
                range: job.range,
                events: std::mem::take(&mut events),
                bytes: std::mem::take(&mut bytes),
                until,
                is_end: false,
            };
            if chunks.send(Ok(full)).await.is_err() {
                return Ok(());
            }
        }
        let (source, range) = (source.clone(), job.range);
        let end = Chunk { source, range, events, bytes, until: None, is_end: true };
        // Nobody takes it: the stream was dropped.
        let _closed = chunks.send(Ok(end)).await;
        Ok(())
    }

    fn event(&self, source: &Source, line: &Bytes, row: usize) -> Result<ChangeEvent, Error> {
        let snapshot = SnapshotRow {
            snapshot: self.transaction.commit_lsn,
            chunk: 0,
            row: u32::try_from(row).unwrap_or(u32::MAX),
            mark: SnapshotMark::Inside,
        };
        Ok(ChangeEvent {
            table: source.relation.schema.clone(),
            op: Op::Read,
            before: None,
            after: Some(source.relation.copy_row(line)?),
            origin: Origin {
                transaction: self.transaction.clone(),
                seq: 0,
                lsn: self.transaction.commit_lsn,
                snapshot: Some(snapshot),
            },
        })
    }
}
