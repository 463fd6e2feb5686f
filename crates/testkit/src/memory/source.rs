//! A database in memory: tables, a log of committed transactions, and one replication slot.
//!
//! It behaves as PostgreSQL does where it matters: the slot is a lock, what was acknowledged is
//! gone, a transaction not yet acknowledged is streamed again from its beginning.

mod stream;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use cdc_model::{
    ImageKind, Lsn, Op, Position, Row, RowImage, TableName, TableSchema, Timestamp, Transaction,
    Value,
};
use cdc_pipeline::port::{Checkpoint, CheckpointUpdate, Opened, Source};
use cdc_pipeline::{Classify, ErrorClass};
use tokio::sync::Notify;

use crate::memory::sink::{StoredRow, sorted};

pub use stream::{MemoryAcknowledger, MemoryStream};

/// What can go wrong in a [`MemorySource`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server ended the session.
    #[error("the connection was lost")]
    ConnectionLost,
    /// The slot no longer holds what the checkpoint needs.
    #[error("the slot is at {confirmed}, the checkpoint before it at {wanted}")]
    PositionBehindSlot {
        /// What was acknowledged.
        confirmed: Lsn,
        /// What the checkpoint needs.
        wanted: Lsn,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::ConnectionLost => ErrorClass::Transient,
            Self::PositionBehindSlot { .. } => ErrorClass::Fatal,
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::ConnectionLost => None,
            Self::PositionBehindSlot { .. } => Some("POSITION_BEHIND_SLOT"),
        }
    }
}

/// A position: the same three numbers as PostgreSQL's source keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Stand {
    /// Inside a transaction its commit LSN, else the end of the last one.
    pub(crate) lsn: u64,
    /// Changes of that transaction consumed.
    pub(crate) seq: u64,
    /// End of the last complete transaction: what may be acknowledged.
    pub(crate) end: u64,
}

impl Stand {
    pub(crate) fn encode(self) -> Position {
        let numbers = [self.lsn, self.seq, self.end];
        Position(Bytes::from(numbers.map(u64::to_be_bytes).concat()))
    }

    pub(crate) fn decode(position: &Position) -> Self {
        let number = |index: usize| {
            let bytes = position.as_bytes().get(index * 8..index * 8 + 8);
            let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
            u64::from_be_bytes(bytes.expect("invariant: 24 bytes, made by encode"))
        };
        Self { lsn: number(0), seq: number(1), end: number(2) }
    }
}

/// One statement's effect on one row or table.
#[derive(Debug, Clone)]
pub enum Statement {
    /// Inserts a row.
    Insert(TableName, Row),
    /// Replaces the row `old`, of which the columns with these indices did not change and are too
    /// large to be logged.
    Update {
        /// The table.
        table: TableName,
        /// The row as it is.
        old: Row,
        /// The row as it becomes, whole.
        new: Row,
        /// Columns that are logged as unchanged.
        unchanged: Vec<usize>,
    },
    /// Deletes a row.
    Delete(TableName, Row),
    /// Empties a table.
    Truncate(TableName),
}

#[derive(Debug, Clone)]
pub(crate) struct LoggedChange {
    pub(crate) table: Arc<TableSchema>,
    pub(crate) op: Op,
    pub(crate) before: Option<RowImage>,
    pub(crate) after: Option<Row>,
}

#[derive(Debug)]
pub(crate) struct LoggedTransaction {
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) end: u64,
    pub(crate) changes: Vec<LoggedChange>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) tables: BTreeMap<TableName, (Arc<TableSchema>, Vec<Row>)>,
    pub(crate) log: VecDeque<LoggedTransaction>,
    pub(crate) insert_lsn: u64,
    pub(crate) confirmed: u64,
    snapshot: Option<Snapshot>,
    pub(crate) holder: Option<u64>,
    next_holder: u64,
    pub(crate) now: i64,
    violations: Vec<String>,
}

/// What a snapshot saw, in chunks.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) lsn: u64,
    pub(crate) chunks: Vec<(Arc<TableSchema>, Vec<Row>)>,
}

/// The database; clones share it.
#[derive(Clone, Default)]
pub struct MemoryDatabase {
    state: Arc<Mutex<State>>,
    pub(crate) changed: Arc<Notify>,
    durable: Arc<Mutex<Option<DurablePosition>>>,
}

/// Tells the position that the event log holds right now.
pub type DurablePosition = Box<dyn Fn() -> Option<Position> + Send>;

/// Rows in one chunk of a snapshot.
const CHUNK_ROWS: usize = 7;

impl MemoryDatabase {
    /// From now on checks each acknowledgement against what `position` tells (I1).
    #[expect(clippy::missing_panics_doc, reason = "no holder of the lock panics")]
    pub fn check_acknowledgements(&self, position: DurablePosition) {
        *self.durable.lock().expect("invariant: no holder panics") = Some(position);
    }

    /// Makes a table, or a new version of one. Its rows keep their values; new columns are NULL.
    pub fn define(&self, schema: TableSchema) {
        let mut state = self.lock();
        let name = schema.name.clone();
        let rows = state.tables.remove(&name).map_or_else(Vec::new, |(_, rows)| rows);
        let widen = |row: Row| {
            let mut values = row.into_values();
            values.resize(schema.columns.len(), Value::Null);
            Row::new(values)
        };
        let rows = rows.into_iter().map(widen).collect();
        state.tables.insert(name, (Arc::new(schema), rows));
    }

    /// Commits a transaction of `statements`.
    pub fn commit(&self, statements: Vec<Statement>) {
        {
            let mut state = self.lock();
            let changes: Vec<_> = statements.into_iter().map(|s| state.execute(s)).collect();
            let commit_lsn = state.insert_lsn + 8;
            state.insert_lsn = commit_lsn + 8;
            state.now += 1_000;
            let transaction = Arc::new(Transaction {
                id: commit_lsn,
                commit_lsn: Lsn(commit_lsn),
                previous_commit_lsn: None,
                committed_at: Timestamp(state.now),
            });
            let end = state.insert_lsn;
            state.log.push_back(LoggedTransaction { transaction, end, changes });
        }
        self.changed.notify_waiters();
    }

    /// Writes to the log without changing a captured table.
    pub fn make_noise(&self) {
        self.lock().insert_lsn += 8;
        self.changed.notify_waiters();
    }

    /// Ends the session that holds the slot.
    pub fn kill_session(&self) {
        self.lock().holder = None;
        self.changed.notify_waiters();
    }

    /// Returns a table's definition and rows.
    pub fn table(&self, name: &TableName) -> Option<(Arc<TableSchema>, Vec<Row>)> {
        self.lock().tables.get(name).cloned()
    }

    /// Returns the rows of every table, as a projection would hold them.
    pub fn rows(&self) -> BTreeMap<TableName, Vec<StoredRow>> {
        let stored = |schema: &TableSchema, row: &Row| -> StoredRow {
            let columns = schema.columns.iter().zip(row.iter());
            let filled = columns.filter(|(_, value)| **value != Value::Null);
            filled.map(|(column, value)| (column.name.clone(), value.clone())).collect()
        };
        let state = self.lock();
        let filled = state.tables.iter().filter(|(_, (_, rows))| !rows.is_empty());
        let table = |(schema, rows): &(Arc<TableSchema>, Vec<Row>)| {
            sorted(rows.iter().map(|row| stored(schema, row)).collect())
        };
        filled.map(|(name, content)| (name.clone(), table(content))).collect()
    }

    /// Returns how much of the log the slot retains, in bytes.
    pub fn retained(&self) -> u64 {
        let state = self.lock();
        state.insert_lsn - state.confirmed
    }

    /// Returns what broke an invariant so far.
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Returns a source of this database. `cut` is how many changes it puts into one piece.
    pub fn source(&self, cut: usize) -> MemorySource {
        MemorySource { database: self.clone(), cut: cut.max(1), holder: None }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }

    pub(crate) fn acknowledge(&self, holder: u64, position: &Position) {
        let durable = self.durable.lock().expect("invariant: no holder panics");
        let durable = durable.as_ref().and_then(|position| position());
        let durable = durable.as_ref().map_or(Stand::default(), Stand::decode);
        let stand = Stand::decode(position);
        let mut state = self.lock();
        if state.holder != Some(holder) {
            return;
        }
        if (stand.lsn, stand.seq) > (durable.lsn, durable.seq) {
            let violation = format!("I1: acknowledged {stand:?}, durable is {durable:?}");
            state.violations.push(violation);
        }
        let confirmed = state.confirmed.max(stand.end);
        state.confirmed = confirmed;
        while state.log.front().is_some_and(|first| first.end <= confirmed) {
            state.log.pop_front();
        }
    }
}

impl State {
    fn execute(&mut self, statement: Statement) -> LoggedChange {
        match statement {
            Statement::Insert(table, row) => {
                let (schema, rows) = self.content(&table);
                rows.push(row.clone());
                let table = schema.clone();
                LoggedChange { table, op: Op::Create, before: None, after: Some(row) }
            }
            Statement::Update { table, old, new, unchanged } => {
                let (schema, rows) = self.content(&table);
                let row = rows.iter_mut().find(|row| **row == old);
                *row.expect("invariant: the workload updates rows that are there") = new.clone();
                let mut values = new.clone().into_values();
                for index in unchanged {
                    values[index] = Value::Unchanged;
                }
                let is_key_changed = schema.key.iter().any(|index| old[*index] != new[*index]);
                let before = (is_key_changed || !schema.has_key()).then(|| image(schema, &old));
                let table = schema.clone();
                LoggedChange { table, op: Op::Update, before, after: Some(Row::new(values)) }
            }
            Statement::Delete(table, row) => {
                let (schema, rows) = self.content(&table);
                let index = rows.iter().position(|candidate| *candidate == row);
                rows.swap_remove(index.expect("invariant: the workload deletes rows it has"));
                let before = Some(image(schema, &row));
                LoggedChange { table: schema.clone(), op: Op::Delete, before, after: None }
            }
            Statement::Truncate(table) => {
                let (schema, rows) = self.content(&table);
                rows.clear();
                let table = schema.clone();
                LoggedChange { table, op: Op::Truncate, before: None, after: None }
            }
        }
    }

    fn content(&mut self, table: &TableName) -> &mut (Arc<TableSchema>, Vec<Row>) {
        self.tables.get_mut(table).expect("invariant: the workload defines its tables")
    }

    fn take_snapshot(&self) -> Snapshot {
        let chunks = self.tables.values().flat_map(|(schema, rows)| {
            rows.chunks(CHUNK_ROWS).map(|rows| (schema.clone(), rows.to_vec()))
        });
        Snapshot { lsn: self.insert_lsn, chunks: chunks.collect() }
    }
}

/// The old image that is logged of `row`: its key, or without one all of it.
fn image(schema: &TableSchema, row: &Row) -> RowImage {
    if !schema.has_key() {
        return RowImage { row: row.clone(), kind: ImageKind::Full };
    }
    let mut values = vec![Value::Null; row.len()];
    for index in &schema.key {
        values[*index] = row[*index].clone();
    }
    RowImage { row: Row::new(values), kind: ImageKind::Key }
}

/// Captures a [`MemoryDatabase`].
pub struct MemorySource {
    database: MemoryDatabase,
    cut: usize,
    holder: Option<u64>,
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.release();
    }
}

impl MemorySource {
    fn release(&mut self) {
        if let Some(holder) = self.holder.take() {
            let mut state = self.database.lock();
            if state.holder == Some(holder) {
                state.holder = None;
            }
            drop(state);
            self.database.changed.notify_waiters();
        }
    }
}

impl Source for MemorySource {
    type Error = Error;
    type Stream = MemoryStream;
    type Acknowledger = MemoryAcknowledger;

    async fn acquire(&mut self) -> Result<(), Error> {
        self.release();
        let database = self.database.clone();
        loop {
            let changed = database.changed.notified();
            {
                let mut state = database.lock();
                if state.holder.is_none() {
                    state.next_holder += 1;
                    state.holder = Some(state.next_holder);
                    self.holder = state.holder;
                    return Ok(());
                }
            }
            changed.await;
        }
    }

    async fn open(
        &mut self,
        checkpoint: Option<&Checkpoint>,
    ) -> Result<Opened<MemoryStream, MemoryAcknowledger>, Error> {
        tokio::task::yield_now().await;
        let holder = self.holder.unwrap_or_default();
        let mut state = self.database.lock();
        let Some(checkpoint) = checkpoint else {
            let entries = vec![("intent".into(), Some(Bytes::from_static(b"slot")))];
            return Ok(Opened::Mark(CheckpointUpdate { entries, ..CheckpointUpdate::default() }));
        };
        let stand = checkpoint.position.as_ref().map(Stand::decode);
        let snapshot = match (stand, state.snapshot.clone()) {
            (None, _) | (_, None) => {
                let snapshot = state.take_snapshot();
                state.confirmed = snapshot.lsn;
                state.log.clear();
                state.snapshot = Some(snapshot.clone());
                snapshot
            }
            (Some(_), Some(snapshot)) => snapshot,
        };
        let stand = stand.unwrap_or(Stand { lsn: snapshot.lsn, seq: 0, end: snapshot.lsn });
        if state.confirmed > stand.end {
            let (confirmed, wanted) = (Lsn(state.confirmed), Lsn(stand.end));
            return Err(Error::PositionBehindSlot { confirmed, wanted });
        }
        drop(state);
        let done = checkpoint.entries.get("chunks").and_then(|n| n.as_ref().try_into().ok());
        let done = done.map_or(0, u32::from_be_bytes);
        let database = self.database.clone();
        let acknowledger = MemoryAcknowledger { database: database.clone(), holder };
        let stream = MemoryStream::new(database, holder, self.cut, stand);
        Ok(Opened::Ready(stream.after_chunks(snapshot, done), acknowledger))
    }
}
