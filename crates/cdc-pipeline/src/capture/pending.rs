//! The batch that is being built while another is in flight.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{ChangeEvent, Op, Position, Record, TableName};
use tokio::time::Instant;

use crate::batch::{BatchLimits, Growth};
use crate::port::{AppendBatch, CheckpointUpdate, EntryKey};
use crate::stats::{Newest, TableCounts};

/// Records, and what to remember with them.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) records: Vec<Record>,
    position: Option<Position>,
    entries: Vec<(EntryKey, Option<Bytes>)>,
    growth: Growth,
    pub(super) tally: Tally,
}

/// What a batch holds, for the statistics.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(super) events: u64,
    pub(crate) tables: BTreeMap<TableName, TableCounts>,
    pub(super) newest: Option<Newest>,
    last: Option<(usize, TableCounts, TableName)>,
}

/// A batch on its way into the log.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) batch: Arc<AppendBatch>,
    pub(super) tally: Tally,
    pub(super) since: Instant,
}

impl Pending {
    /// Closes a piece of the stream whose records were pushed.
    pub(super) fn close(
        &mut self,
        position: Option<Position>,
        entries: Vec<(EntryKey, Option<Bytes>)>,
        bytes: usize,
    ) {
        let has_weight = !self.records.is_empty() || !entries.is_empty();
        if position.is_none() && !has_weight {
            return;
        }
        if let Some(position) = position {
            self.position = Some(position);
        }
        self.entries.extend(entries);
        self.growth.add(bytes, has_weight, Instant::now());
    }

    pub(super) fn has_room(&self, limits: &BatchLimits) -> bool {
        self.growth.has_room(limits)
    }

    pub(super) fn due(&self, limits: &BatchLimits) -> Option<Instant> {
        self.growth.due(limits)
    }

    /// Takes the batch out, as append number `sequence`, and leaves an empty one.
    pub(super) fn take(&mut self, sequence: u64) -> InFlight {
        let Self { records, position, entries, mut tally, .. } = std::mem::take(self);
        tally.settle();
        let update = Some(CheckpointUpdate { sequence, position, entries });
        InFlight { batch: Arc::new(AppendBatch { records, update }), tally, since: Instant::now() }
    }
}

impl Tally {
    /// Counts one event. Runs of one table are summed before they touch the map.
    pub(crate) fn count(&mut self, event: &ChangeEvent) {
        self.events += 1;
        self.newest = Some(Newest::of(event));
        let address = Arc::as_ptr(&event.table) as usize;
        if self.last.as_ref().is_none_or(|(last, ..)| *last != address) {
            self.settle();
            self.last = Some((address, TableCounts::default(), event.table.name.clone()));
        }
        if let Some((_, counts, _)) = &mut self.last {
            *match event.op {
                Op::Create => &mut counts.creates,
                Op::Update => &mut counts.updates,
                Op::Delete => &mut counts.deletes,
                Op::Read => &mut counts.reads,
                Op::Truncate => &mut counts.truncates,
            } += 1;
        }
    }

    pub(crate) fn settle(&mut self) {
        let Some((_, new, table)) = self.last.take() else { return };
        let total = self.tables.entry(table).or_default();
        total.creates += new.creates;
        total.updates += new.updates;
        total.deletes += new.deletes;
        total.reads += new.reads;
        total.truncates += new.truncates;
    }
}
