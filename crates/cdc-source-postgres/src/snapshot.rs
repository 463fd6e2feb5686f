//! The initial snapshot: key ranges read in parallel under one MVCC snapshot, emitted chunk by
//! chunk before the stream begins, and taken up again at the next chunk after a crash.
//!
//! ```text
//!            lock tables (ACCESS SHARE), then the slot exports S₀ ──> readers import it
//!  ranges ──> reader ─┐
//!  ranges ──> reader ─┴─> chunks ──> batch { rows, "range done up to key" } ──> log
//!             ───────────── killed ─────────────
//!            lock tables, then take S₁, L₁ = end of the log ──> readers import it
//!  what is left ──> chunks of S₁ …                 then the stream, from where the slot began
//!                                                  ├── up to L₁: skips what S₁'s chunks hold
//!                                                  └── then everything
//! ```
//!
//! - A chunk and its mark are one batch. A chunk is what lies between two marks of a range, so no
//!   bounds are computed ahead: a range is read by one COPY in key order and cut where rows or
//!   bytes reach their bound.
//! - A table whose key's order we cannot compute as the server does, or without one, is a single
//!   chunk in several batches, of which only the last marks it done. Read again, it begins with a
//!   truncate event.
//! - The locks are held from before the snapshot to the end, for TRUNCATE and rewriting ALTERs
//!   are not MVCC-safe. After a crash they were not held: a table whose file changed meanwhile is
//!   read again from the start, after a truncate event.
//! - A later view Sᵢ may see commits that are not flushed yet and that a crash of the server would
//!   undo; nothing read under it is emitted before the log is flushed up to Lᵢ. S₀ was built from
//!   flushed log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use cdc_model::{ChangeEvent, Op, Origin, Position, SnapshotMark, SnapshotRow, Transaction};
use cdc_pipeline::port::{ChangeBatch, EntryKey, StreamItem};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::config::Config;
use crate::error::Error;
use crate::sql::Sql;
use crate::status::StatusHandle;

pub(crate) mod begin;
pub(crate) mod key;
pub(crate) mod progress;
pub(crate) mod reader;
pub(crate) mod view;
pub(crate) mod window;

use progress::{Progress, TableProgress};
use reader::{Chunk, Job, Reader, Source};

/// A snapshot being read. Dropping it ends its readers and releases its locks.
pub(crate) struct Snapshot {
    progress: Progress,
    /// Index of the view in force.
    view: u32,
    transaction: Arc<Transaction>,
    position: Position,
    status: StatusHandle,
    chunks: mpsc::Receiver<Result<Chunk, Error>>,
    tables: BTreeMap<usize, Reading>,
    /// Entries that go with the first batch.
    preamble: Option<Vec<(EntryKey, Option<Bytes>)>>,
    /// The last chunk of a finished table, until it is known whether it is the last of all.
    last: Option<Pending>,
    /// What may be emitted, with the mark of its last row; two at most.
    ready: VecDeque<(Pending, Option<SnapshotMark>)>,
    has_emitted: bool,
    _readers: JoinSet<()>,
    locks: Sql,
    /// A chunk that was read, before it is known that the locks were held meanwhile.
    unverified: Option<Chunk>,
}

/// A table being read.
struct Reading {
    source: Arc<Source>,
    /// Ranges not yet read to their end.
    ranges_left: usize,
    /// A chunk held back until it is known whether it is the table's last.
    held: Option<Pending>,
    /// Whether what was emitted of it before must be removed first.
    needs_truncate: bool,
    has_emitted: bool,
    is_announced: bool,
}

/// A chunk that waits for its marks.
struct Pending {
    table: usize,
    events: Vec<ChangeEvent>,
    bytes: usize,
    /// What it completes: ranges, and up to which key.
    done: Vec<(usize, Option<key::KeyText>)>,
}

/// What a snapshot starts from.
pub(crate) struct Plan {
    pub(crate) progress: Progress,
    pub(crate) sources: Vec<Arc<Source>>,
    pub(crate) needs_truncate: Vec<bool>,
    pub(crate) transaction: Arc<Transaction>,
    pub(crate) position: Position,
    pub(crate) preamble: Vec<(EntryKey, Option<Bytes>)>,
    pub(crate) locks: Sql,
    pub(crate) readers: Vec<Sql>,
}

impl Snapshot {
    /// Starts the readers on what is left.
    pub(crate) fn start(plan: Plan, config: &Config, status: StatusHandle) -> Self {
        let Plan { progress, sources, needs_truncate, transaction, position, .. } = plan;
        let mut tables = BTreeMap::new();
        let mut jobs = VecDeque::new();
        for (source, needs_truncate) in sources.into_iter().zip(needs_truncate) {
            let Some(table) = progress.tables.get(source.index) else { continue };
            let mut ranges_left = 0;
            for (range, bounds) in table.ranges.iter().enumerate() {
                if bounds.is_done() {
                    continue;
                }
                ranges_left += 1;
                let after = table.resume_after(range).cloned();
                let until = bounds.until.clone();
                jobs.push_back(Job { source: source.clone(), range, after, until });
            }
            if ranges_left > 0 {
                let has_emitted = table.chunks > 0;
                tables.insert(
                    source.index,
                    Reading {
                        source,
                        ranges_left,
                        held: None,
                        needs_truncate,
                        has_emitted,
                        is_announced: false,
                    },
                );
            }
        }
        let (sender, chunks) = mpsc::channel(1);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = JoinSet::new();
        for sql in plan.readers {
            let transaction = transaction.clone();
            let (rows_max, bytes_max) = (config.chunk_rows_max, config.chunk_bytes_max);
            let reader = Reader { sql, transaction, rows_max, bytes_max };
            readers.spawn(reader.run(jobs.clone(), sender.clone()));
        }
        let view = u32::try_from(progress.views.len().saturating_sub(1)).unwrap_or(u32::MAX);
        let has_emitted = progress.tables.iter().any(|table| table.chunks > 0);
        Self {
            progress,
            view,
            transaction,
            position,
            status,
            chunks,
            tables,
            preamble: Some(plan.preamble),
            last: None,
            ready: VecDeque::new(),
            has_emitted,
            _readers: readers,
            locks: plan.locks,
            unverified: None,
        }
    }

    /// Returns the next batch, `None` after the last.
    ///
    /// # Cancel safety
    /// Safe: waits only for a chunk.
    pub(crate) async fn next(&mut self) -> Result<Option<ChangeBatch>, Error> {
        if let Some(entries) = self.preamble.take() {
            let position = Some(self.position.clone());
            return Ok(Some(ChangeBatch { position, entries, ..ChangeBatch::default() }));
        }
        loop {
            if let Some((pending, mark)) = self.ready.pop_front() {
                return Ok(Some(self.release(pending, mark)));
            }
            if self.unverified.is_some() {
                // The session that holds the tables must still be the one it was: without it, a
                // rewriting ALTER may have shown the reader an empty table.
                self.locks.execute("SELECT 1", "holding the tables for the snapshot").await?;
                if let Some(chunk) = self.unverified.take() {
                    self.accept(chunk);
                }
                continue;
            }
            match self.chunks.recv().await {
                Some(chunk) => self.unverified = Some(chunk?),
                // A reader ended without finishing its range: its task panicked.
                None if self.tables.values().any(|table| table.ranges_left > 0) => {
                    return Err(Error::Ended);
                }
                None => match self.last.take() {
                    Some(last) => self.ready.push_back((last, Some(SnapshotMark::Last))),
                    None => return Ok(None),
                },
            }
        }
    }

    /// Returns the progress, complete once [`Snapshot::next`] gave `None`.
    pub(crate) fn into_progress(self) -> Progress {
        self.progress
    }

    /// Takes a chunk, and makes ready what may now be emitted.
    fn accept(&mut self, chunk: Chunk) {
        let table = chunk.source.index;
        let Some(reading) = self.tables.get_mut(&table) else { return };
        let mut done = Vec::new();
        // A table without chunk key is done only as a whole.
        if chunk.until.is_some() || chunk.is_end {
            done.push((chunk.range, chunk.until));
        }
        let mut next = Pending { table, events: chunk.events, bytes: chunk.bytes, done };
        let held = match reading.held.take() {
            Some(mut held) if next.events.is_empty() || held.events.is_empty() => {
                held.done.append(&mut next.done);
                held.bytes += next.bytes;
                held.events.append(&mut next.events);
                next = held;
                None
            }
            held => held,
        };
        reading.ranges_left -= usize::from(chunk.is_end);
        let is_last_of_table = reading.ranges_left == 0;
        if !is_last_of_table {
            reading.held = Some(next);
        } else if next.events.is_empty() {
            // An empty table is nobody's last row.
            self.ready.push_back((next, None));
        } else if let Some(last) = self.last.replace(next) {
            self.ready.push_back((last, Some(SnapshotMark::LastInTable)));
        }
        self.ready.extend(held.map(|held| (held, None)));
    }

    /// Numbers and marks a chunk's rows, and makes the batch that emits it.
    fn release(&mut self, pending: Pending, last_mark: Option<SnapshotMark>) -> ChangeBatch {
        let Pending { table: index, mut events, bytes, done } = pending;
        let mut batch = ChangeBatch { size: bytes, ..ChangeBatch::default() };
        let (Some(table), Some(reading)) =
            (self.progress.tables.get_mut(index), self.tables.get_mut(&index))
        else {
            return batch;
        };
        let schema = &reading.source.relation.schema;
        if !std::mem::replace(&mut reading.is_announced, true) {
            batch.items.push(StreamItem::Schema(schema.clone()));
        }
        if std::mem::take(&mut reading.needs_truncate) {
            let origin = origin(&self.transaction, table.chunks);
            let (table_schema, op) = (schema.clone(), Op::Truncate);
            let truncate =
                ChangeEvent { table: table_schema, op, before: None, after: None, origin };
            batch.items.push(StreamItem::Change(truncate));
            table.chunks += 1;
        }
        if let Some(first) = events.first_mut() {
            let is_first_of_table = !std::mem::replace(&mut reading.has_emitted, true);
            set_mark(
                first,
                match std::mem::replace(&mut self.has_emitted, true) {
                    false => SnapshotMark::First,
                    true if is_first_of_table => SnapshotMark::FirstInTable,
                    true => SnapshotMark::Inside,
                },
            );
        }
        if let (Some(mark), Some(last)) = (last_mark, events.last_mut()) {
            // Debezium's precedence for a row that is both: last of all, first of all, of its table.
            if mark == SnapshotMark::Last || mark_of(last) != Some(SnapshotMark::First) {
                set_mark(last, mark);
            }
        }
        number(&mut events, table.chunks);
        table.finish_chunk(events.len(), done, self.view);
        batch.items.extend(events.into_iter().map(StreamItem::Change));
        batch.entries.push(table.entry());
        report(&self.status, &reading.source, table);
        if table.is_done() {
            self.tables.remove(&index);
        }
        batch
    }
}

fn number(events: &mut [ChangeEvent], chunk: u32) {
    for (row, event) in (0..).zip(events) {
        if let Some(at) = &mut event.origin.snapshot {
            (at.chunk, at.row) = (chunk, row);
        }
    }
}

fn report(status: &StatusHandle, source: &Source, table: &TableProgress) {
    status.update(|status| {
        let known = status.tables.entry(source.name.clone()).or_default();
        let snapshot = known.snapshot.get_or_insert_default();
        snapshot.rows = table.rows;
        snapshot.chunks = u64::from(table.chunks);
        snapshot.is_done = table.is_done();
    });
}

fn mark_of(event: &ChangeEvent) -> Option<SnapshotMark> {
    event.origin.snapshot.map(|at| at.mark)
}

fn set_mark(event: &mut ChangeEvent, mark: SnapshotMark) {
    if let Some(at) = &mut event.origin.snapshot {
        at.mark = mark;
    }
}

fn origin(transaction: &Arc<Transaction>, chunk: u32) -> Origin {
    Origin {
        transaction: transaction.clone(),
        seq: 0,
        lsn: transaction.commit_lsn,
        snapshot: Some(SnapshotRow {
            snapshot: transaction.commit_lsn,
            chunk,
            row: 0,
            mark: SnapshotMark::Inside,
        }),
    }
}
