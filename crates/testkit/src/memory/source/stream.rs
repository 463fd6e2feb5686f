//! The stream of a database in memory: first what is left of its snapshot, then its log.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{
    ChangeEvent, Lsn, Op, Origin, Position, Row, SnapshotMark, SnapshotRow, TableId, TableSchema,
    Timestamp, Transaction,
};
use cdc_pipeline::port::{Acknowledge, ChangeBatch, ChangeStream, StreamItem};

use crate::memory::source::{Error, LoggedTransaction, MemoryDatabase, Snapshot, Stand};

/// Streams a [`MemoryDatabase`].
pub struct MemoryStream {
    database: MemoryDatabase,
    holder: u64,
    cut: usize,
    stand: Stand,
    known: BTreeMap<TableId, Arc<TableSchema>>,
    snapshot: Option<(Snapshot, u32)>,
}

/// Acknowledges to a [`MemoryDatabase`].
pub struct MemoryAcknowledger {
    pub(super) database: MemoryDatabase,
    pub(super) holder: u64,
}

impl Acknowledge for MemoryAcknowledger {
    fn acknowledge(&self, position: &Position) {
        self.database.acknowledge(self.holder, position);
    }
}

impl MemoryStream {
    pub(super) fn new(database: MemoryDatabase, holder: u64, cut: usize, stand: Stand) -> Self {
        Self { database, holder, cut, stand, known: BTreeMap::new(), snapshot: None }
    }

    /// Makes it begin with the chunks of `snapshot` after the first `done`.
    pub(super) fn after_chunks(mut self, snapshot: Snapshot, done: u32) -> Self {
        self.snapshot = Some((snapshot, done));
        self
    }

    /// Returns the next chunk, with its done mark, or `None` after the last.
    fn next_chunk(&mut self) -> Option<ChangeBatch> {
        let (snapshot, done) = self.snapshot.as_mut()?;
        let index = usize::try_from(*done).expect("invariant: few chunks");
        let Some((schema, rows)) = snapshot.chunks.get(index).cloned() else {
            self.snapshot = None;
            return None;
        };
        let (lsn, chunk) = (snapshot.lsn, *done);
        *done += 1;
        let mark = (Arc::from("chunks"), Some(Bytes::from(done.to_be_bytes().to_vec())));
        let mut items = Vec::new();
        self.announce(&schema, &mut items);
        let rows = (0..).zip(rows);
        items.extend(rows.map(|(row, values)| {
            StreamItem::Change(snapshot_event(&schema, values, lsn, (chunk, row)))
        }));
        let size = items.len() * 100;
        Some(ChangeBatch { items, position: Some(self.stand.encode()), entries: vec![mark], size })
    }

    /// Returns up to a piece of the log, an idle position, or `None` if there is nothing new.
    fn next_piece(&mut self) -> Option<ChangeBatch> {
        let database = self.database.clone();
        let state = database.lock();
        let mut items = Vec::new();
        let mut changes = 0;
        for logged in &state.log {
            if logged.end <= self.stand.lsn || changes >= self.cut {
                continue;
            }
            changes += self.take(logged, self.cut - changes, &mut items);
        }
        let is_idle = items.is_empty() && state.insert_lsn > self.stand.lsn;
        if is_idle && self.stand.seq == 0 {
            let lsn = state.insert_lsn;
            self.stand = Stand { lsn, seq: 0, end: lsn };
        } else if items.is_empty() {
            return None;
        }
        let size = items.len() * 100;
        let position = Some(self.stand.encode());
        Some(ChangeBatch { items, position, entries: Vec::new(), size })
    }

    /// Takes up to `room` changes of `logged`, and returns how many.
    fn take(
        &mut self,
        logged: &LoggedTransaction,
        room: usize,
        items: &mut Vec<StreamItem>,
    ) -> usize {
        let commit_lsn = logged.transaction.commit_lsn.0;
        let consumed = if self.stand.lsn == commit_lsn { self.stand.seq } else { 0 };
        let skip = usize::try_from(consumed).expect("invariant: fits memory");
        let mut seq = consumed;
        for change in logged.changes.iter().skip(skip).take(room) {
            self.announce(&change.table, items);
            let transaction = logged.transaction.clone();
            let lsn = transaction.commit_lsn;
            items.push(StreamItem::Change(ChangeEvent {
                table: change.table.clone(),
                op: change.op,
                before: change.before.clone(),
                after: change.after.clone(),
                origin: Origin { transaction, seq, lsn, snapshot: None },
            }));
            seq += 1;
        }
        let is_complete = usize::try_from(seq).expect("fits") == logged.changes.len();
        self.stand = match is_complete {
            true => Stand { lsn: logged.end, seq: 0, end: logged.end },
            false => Stand { lsn: commit_lsn, seq, end: self.stand.end },
        };
        usize::try_from(seq - consumed).expect("invariant: fits memory")
    }

    /// Tells the table's definition before its first change under it.
    fn announce(&mut self, schema: &Arc<TableSchema>, items: &mut Vec<StreamItem>) {
        let known = self.known.insert(schema.id, schema.clone());
        if known.is_none_or(|known| !Arc::ptr_eq(&known, schema) && known != *schema) {
            items.push(StreamItem::Schema(schema.clone()));
        }
    }
}

impl ChangeStream for MemoryStream {
    type Error = Error;

    async fn next(&mut self) -> Result<ChangeBatch, Error> {
        tokio::task::yield_now().await;
        let database = self.database.clone();
        loop {
            let changed = database.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if database.lock().holder != Some(self.holder) {
                return Err(Error::ConnectionLost);
            }
            if let Some(batch) = self.next_chunk().or_else(|| self.next_piece()) {
                return Ok(batch);
            }
            changed.await;
        }
    }
}

fn snapshot_event(
    table: &Arc<TableSchema>,
    row: Row,
    lsn: u64,
    (chunk, index): (u32, u32),
) -> ChangeEvent {
    let transaction = Transaction {
        id: 0,
        commit_lsn: Lsn(lsn),
        previous_commit_lsn: None,
        committed_at: Timestamp(0),
    };
    let mark = SnapshotMark::Inside;
    let snapshot = Some(SnapshotRow { snapshot: Lsn(lsn), chunk, row: index, mark });
    ChangeEvent {
        table: table.clone(),
        op: Op::Read,
        before: None,
        after: Some(row),
        origin: Origin { transaction: Arc::new(transaction), seq: 0, lsn: Lsn(lsn), snapshot },
    }
}
