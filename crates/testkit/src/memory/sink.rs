//! A projection in memory: an exclusive one, or one that replicas share by partitions.

mod shared;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// Another sink has claimed a partition of the batch, or none has.
    #[error("{partition} was claimed by another writer")]
    Taken {
        /// The partition.
        partition: TopicPartition,
    },
    /// The batch begins after what was applied last; in a shared store, anywhere but there.
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
            Self::Fenced | Self::Taken { .. } => ErrorClass::Fenced,
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
            | Self::Taken { .. }
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
    /// The epoch that claimed each partition last, where the store is shared.
    claims: BTreeMap<TopicPartition, u64>,
    offsets: BTreeMap<TopicPartition, (TopicId, Offset)>,
    tables: BTreeMap<TableName, StoredTable>,
    parked: Vec<ParkedRecord>,
    next_row: u64,
    poison: Option<Value>,
    applied: u64,
    /// What the present transaction has applied.
    effects: Vec<Effect>,
}

/// A record whose change was applied.
pub type Effect = (TopicPartition, Offset);

/// The projection's durable part; clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
    /// Every record applied from the log, settled ones left out.
    journal: Arc<Mutex<Vec<Effect>>>,
    /// How many batches and settlements were refused because of who brought them.
    fenced: Arc<AtomicU64>,
    is_shared: bool,
}

impl MemoryStore {
    /// Makes an empty store that replicas share by partitions.
    pub fn shared() -> Self {
        Self { is_shared: true, ..Self::default() }
    }

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

    /// Returns the records whose changes were applied, in the order they were; those settled later
    /// are not among them.
    #[expect(clippy::missing_panics_doc, reason = "no holder of the lock panics")]
    pub fn effects(&self) -> Vec<Effect> {
        self.journal.lock().expect("invariant: no holder panics").clone()
    }

    /// Returns how many batches and settlements were refused because of who brought them.
    pub fn fenced(&self) -> u64 {
        self.fenced.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: no holder panics")
    }

    /// Runs `change` as one transaction of the writer of `epoch`.
    fn transact(
        &self,
        epoch: u64,
        change: impl FnOnce(&mut State) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut state = self.lock();
        if !self.is_shared && state.epoch != epoch {
            return Err(Error::Fenced);
        }
        let mut next = state.clone();
        change(&mut next).inspect_err(|error| {
            if error.class() == ErrorClass::Fenced {
                self.fenced.fetch_add(1, Ordering::Relaxed);
            }
        })?;
        let effects = std::mem::take(&mut next.effects);
        self.journal.lock().expect("invariant: no holder panics").extend(effects);
        *state = next;
        Ok(())
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
        let sharing = if self.store.is_shared { Sharing::Partitioned } else { Sharing::Exclusive };
        SinkKind { sharing, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState, Error> {
        tokio::task::yield_now().await;
        let mut state = self.store.lock();
        state.epoch += 1;
        self.epoch = state.epoch;
        let parked = if self.store.is_shared { Vec::new() } else { state.parked_keys(|_| true) };
        Ok(SinkState {
            generation: Generation(1),
            epoch: Epoch(state.epoch),
            offsets: state.offsets.clone(),
            parked,
        })
    }

    async fn claim(&mut self, partitions: Vec<TopicPartition>) -> Result<SinkState, Error> {
        if !self.store.is_shared {
            return self.resume().await;
        }
        tokio::task::yield_now().await;
        let state = self.store.lock().claim(self.epoch, &partitions);
        tokio::task::yield_now().await;
        Ok(state)
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.store.transact(self.epoch, |state| {
            if self.store.is_shared {
                state.check(&batch)?;
            }
            state.apply(&batch)
        })?;
        tokio::task::yield_now().await;
        Ok(())
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64), Error> {
        let mut parked = self.store.parked();
        if self.store.is_shared {
            let state = self.store.lock();
            parked.retain(|parked| state.is_claimed(&parked.record.source, self.epoch));
        }
        parked.sort_by(|a, b| place(a).cmp(&place(b)));
        let count = u64::try_from(parked.len()).unwrap_or(u64::MAX);
        parked.truncate(limit);
        Ok((parked, count))
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<(), Error> {
        tokio::task::yield_now().await;
        self.store.transact(self.epoch, |state| {
            if self.store.is_shared {
                state.check_settlement(&batch)?;
            }
            state.settle(&batch)
        })?;
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
                self.effects.push((change.source.clone(), change.offset));
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
