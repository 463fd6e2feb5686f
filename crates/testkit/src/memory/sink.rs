//! A projection in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use cdc_model::{
    ChangeEvent, ImageKind, Offset, Op, Row, TableName, TableSchema, TopicId, TopicPartition, Value,
};
use cdc_pipeline::port::{
    Atomicity, Epoch, Generation, ParkedRecord, SettleBatch, Sharing, Sink, SinkBatch, SinkChange,
    SinkError, SinkKind, SinkState,
};
use cdc_pipeline::{Classify, ErrorClass};

/// What can go wrong in a [`MemorySink`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another sink has been opened on the store.
    #[error("another writer has opened the store")]
    Fenced,
    /// The batch begins after what was applied last.
    #[error("{partition} goes on at {first}, but {stored} comes next")]
    OffsetGap {
        /// The partition.
        partition: TopicPartition,
        /// Where the batch begins.
        first: i64,
        /// Where it has to.
        stored: i64,
    },
    /// The partition's topic was deleted and made again.
    #[error("{partition} belongs to another topic of the same name")]
    TopicRecreated {
        /// The partition.
        partition: TopicPartition,
    },
    /// The change holds the value that the store refuses.
    #[error("change {index} cannot be applied")]
    Poison {
        /// Its index in the batch.
        index: usize,
    },
    /// An unchanged column of a row that is not there.
    #[error("table {table} has no row to keep an unchanged column of")]
    UnchangedWithoutRow {
        /// The table.
        table: TableName,
    },
}

impl Classify for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Fenced => ErrorClass::Fenced,
            Self::Poison { .. } => ErrorClass::Poison,
            Self::OffsetGap { .. }
            | Self::TopicRecreated { .. }
            | Self::UnchangedWithoutRow { .. } => ErrorClass::Fatal,
        }
    }
}

impl SinkError for Error {
    fn poisoned(&self) -> Option<usize> {
        match self {
            Self::Poison { index } => Some(*index),
            Self::Fenced
            | Self::OffsetGap { .. }
            | Self::TopicRecreated { .. }
            | Self::UnchangedWithoutRow { .. } => None,
        }
    }
}

/// A row as a projection holds it: column name to value, NULLs left out.
pub type StoredRow = BTreeMap<Arc<str>, Value>;

/// A table's rows: of one with a key by the key's text, else each under a number of its own.
pub type StoredTable = BTreeMap<String, (TopicPartition, StoredRow)>;

#[derive(Debug, Default, Clone)]
struct State {
    epoch: u64,
    offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    tables: BTreeMap<TableName, StoredTable>,
    parked: Vec<ParkedRecord>,
    next_row: u64,
    poison: Option<Value>,
    applied: u64,
}

/// The projection's durable part; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

impl MemoryStore {
    /// Opens a sink on it.
    pub fn sink(&self) -> MemorySink {
        MemorySink { store: self.clone(), epoch: 0 }
    }

    /// From now on refuses every change that holds `value` as poison; `None` refuses nothing.
    pub fn refuse(&self, value: Option<Value>) {
        self.lock().poison = value;
    }

    /// Returns the rows of every table, sorted, tables without rows left out.
    pub fn rows(&self) -> BTreeMap<TableName, Vec<StoredRow>> {
        let state = self.lock();
        let filled = state.tables.iter().filter(|(_, rows)| !rows.is_empty());
        let rows = |rows: &StoredTable| sorted(rows.values().map(|(_, row)| row.clone()).collect());
        filled.map(|(name, table)| (name.clone(), rows(table))).collect()
    }

    /// Returns the parked records, in the order they were parked.
    pub fn parked(&self) -> Vec<ParkedRecord> {
        self.lock().parked.clone()
    }

    /// Returns the next offset of each partition.
    pub fn offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        self.lock().offsets.iter().map(|(p, (_, next))| (p.clone(), *next)).collect()
    }

    /// Returns how many changes were applied, repeated ones not counted.
    pub fn applied(&self) -> u64 {
        self.lock().applied
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }
}

/// Puts rows in an order of their own, so that two tables can be compared.
pub fn sorted(mut rows: Vec<StoredRow>) -> Vec<StoredRow> {
    rows.sort_by_cached_key(|row| format!("{row:?}"));
    rows
}

/// Applies changes to a [`MemoryStore`].
#[derive(Debug)]
pub struct MemorySink {
    store: MemoryStore,
    epoch: u64,
}

impl Sink for MemorySink {
    type Error = Error;

    fn kind(&self) -> SinkKind {
        SinkKind { sharing: Sharing::Exclusive, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState, Error> {
        tokio::task::yield_now().await;
        let mut state = self.store.lock();
        state.epoch += 1;
        self.epoch = state.epoch;
        let key = |parked: &ParkedRecord| {
            (parked.record.source.clone(), parked.record.key.clone().unwrap_or_default())
        };
        Ok(SinkState {
            generation: Generation(1),
            epoch: Epoch(state.epoch),
            offsets: state.offsets.clone(),
            parked: state.parked.iter().map(key).collect(),
        })
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        {
            let mut state = self.store.lock();
            if state.epoch != self.epoch {
                return Err(Error::Fenced);
            }
            let mut next = state.clone();
            next.apply(&batch)?;
            *state = next;
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Error> {
        let mut parked = self.store.parked();
        parked.sort_by(|a, b| place(a).cmp(&place(b)));
        let count = u64::try_from(parked.len()).unwrap_or(u64::MAX);
        parked.truncate(limit);
        Ok((parked, count))
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        {
            let mut state = self.store.lock();
            if state.epoch != self.epoch {
                return Err(Error::Fenced);
            }
            let mut next = state.clone();
            next.settle(&batch)?;
            *state = next;
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

fn place(parked: &ParkedRecord) -> (&TopicPartition, Offset) {
    (&parked.record.source, parked.record.offset)
}

impl State {
    fn settle(&mut self, batch: &SettleBatch) -> Result<(), Error> {
        let mut moved = None;
        for (index, settlement) in batch.settlements.iter().enumerate() {
            let at = (&settlement.source, settlement.offset);
            let Some(found) = self.parked.iter().position(|parked| place(parked) == at) else {
                continue;
            };
            self.parked.remove(found);
            if let Some(event) = settlement.change.clone() {
                let (source, offset) = (settlement.source.clone(), settlement.offset);
                self.change(index, &SinkChange { source, offset, event }, &mut moved)?;
                self.applied += 1;
            }
        }
        Ok(())
    }

    fn apply(&mut self, batch: &SinkBatch) -> Result<(), Error> {
        let stored = self.offsets.clone();
        for range in &batch.ranges {
            let partition = range.source.clone();
            if let Some((topic_id, next)) = stored.get(&partition) {
                if *topic_id != range.topic_id {
                    return Err(Error::TopicRecreated { partition });
                }
                if range.first > *next {
                    return Err(Error::OffsetGap {
                        partition,
                        first: range.first.0,
                        stored: next.0,
                    });
                }
            }
            let next = stored.get(&partition).map_or(range.next, |(_, next)| range.next.max(*next));
            self.offsets.insert(partition, (range.topic_id.clone(), next));
        }
        let is_new = |partition: &TopicPartition, offset: Offset| {
            stored.get(partition).is_none_or(|(_, next)| offset >= *next)
        };
        let mut moved = None;
        for (index, change) in batch.changes.iter().enumerate() {
            if is_new(&change.source, change.offset) {
                self.change(index, change, &mut moved)?;
                self.applied += 1;
            }
        }
        self.parked.retain(|parked| {
            !batch.unpark_below.iter().any(|(partition, end)| {
                parked.record.source == *partition && parked.record.offset < *end
            })
        });
        let parked = batch.park.iter().filter(|p| is_new(&p.record.source, p.record.offset));
        self.parked.extend(parked.cloned());
        Ok(())
    }

    /// Applies one change. `moved` holds the row a key change has just taken away.
    fn change(
        &mut self,
        index: usize,
        change: &SinkChange,
        moved: &mut Option<StoredRow>,
    ) -> Result<(), Error> {
        let event = &change.event;
        if let Some(poison) = &self.poison {
            let row = event.after.as_ref().or(event.before.as_ref().map(|image| &image.row));
            if row.is_some_and(|row| row.contains(poison)) {
                return Err(Error::Poison { index });
            }
        }
        let table = self.tables.entry(event.table.name.clone()).or_default();
        match (event.op, &event.after) {
            (Op::Truncate, _) => table.retain(|_, (partition, _)| *partition != change.source),
            (Op::Delete, _) => *moved = remove(table, event),
            (Op::Create | Op::Read | Op::Update, Some(after)) => {
                let old = if event.table.has_key() {
                    table.get(&key(&event.table, after)).map(|(_, row)| row.clone())
                } else {
                    remove(table, event)
                };
                let row = fill(&event.table, after, old.or(moved.take()))?;
                self.next_row += 1;
                let key = match event.table.has_key() {
                    true => key(&event.table, after),
                    false => format!("{:020}", self.next_row),
                };
                table.insert(key, (change.source.clone(), row));
            }
            (Op::Create | Op::Read | Op::Update, None) => {}
        }
        Ok(())
    }
}

/// Removes the row that `event`'s old image names; without a key, one row that equals it.
fn remove(table: &mut StoredTable, event: &ChangeEvent) -> Option<StoredRow> {
    let image = event.before.as_ref()?;
    let key = match event.table.has_key() {
        true => key(&event.table, &image.row),
        false if image.kind == ImageKind::Full => {
            let old = fill(&event.table, &image.row, None).ok()?;
            table.iter().find(|(_, (_, row))| *row == old).map(|(key, _)| key.clone())?
        }
        false => return None,
    };
    table.remove(&key).map(|(_, row)| row)
}

fn key(table: &TableSchema, row: &Row) -> String {
    let values: Vec<_> = table.key.iter().map(|index| &row[*index]).collect();
    format!("{values:?}")
}

/// Makes a stored row of `row`, taking unchanged columns from `old`.
fn fill(table: &TableSchema, row: &Row, old: Option<StoredRow>) -> Result<StoredRow, Error> {
    let mut filled = StoredRow::new();
    for (column, value) in table.columns.iter().zip(row.iter()) {
        let value = match (value, &old) {
            (Value::Unchanged, Some(old)) => old.get(&column.name).cloned().unwrap_or(Value::Null),
            (Value::Unchanged, None) => {
                return Err(Error::UnchangedWithoutRow { table: table.name.clone() });
            }
            (value, _) => value.clone(),
        };
        if value != Value::Null {
            filled.insert(column.name.clone(), value);
        }
    }
    Ok(filled)
}

/// Returns the raw bytes of a parked record's key.
pub fn parked_key(parked: &ParkedRecord) -> Bytes {
    parked.record.key.clone().unwrap_or_default()
}
