//! What a source tells about itself while it runs: one value, replaced as a whole, that any number
//! of readers watch.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::{Lsn, TableName};
use tokio::sync::watch;

/// Where a source is in its life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Phase {
    /// Connecting and checking.
    #[default]
    Starting,
    /// Another process holds the slot.
    WaitingForSlot {
        /// The server process that serves it, if known.
        pid: Option<i32>,
    },
    /// Reading the tables; [`Status::tables`] has the progress of each.
    Snapshot,
    /// Following the log.
    Streaming,
    /// Stopped for good, with the halt's code.
    Halted {
        /// The code.
        code: &'static str,
    },
}

/// How far one table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableStatus {
    /// Its snapshot, if this process made or resumed one.
    pub snapshot: Option<TableSnapshot>,
    /// Changes read from the log in this session.
    pub changes: u64,
}

/// How far the snapshot of one table is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TableSnapshot {
    /// Rows read.
    pub rows: u64,
    /// Rows the server estimates the table had when its snapshot began.
    pub rows_estimated: u64,
    /// Chunks emitted.
    pub chunks: u64,
    /// Whether it is complete.
    pub is_done: bool,
}

/// A moment of a source's life.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// What it does.
    pub phase: Phase,
    /// End of the log data read.
    pub received: Lsn,
    /// End of the server's log, as it last said.
    pub wal_end: Lsn,
    /// What was last acknowledged to the server.
    pub acknowledged: Lsn,
    /// Bytes of log the slot keeps the server from removing; polled.
    pub retained_bytes: Option<u64>,
    /// Bytes that may still be written before the slot is in danger of being invalidated
    /// (`safe_wal_size`); `None` where the server sets no limit.
    pub safe_wal_bytes: Option<i64>,
    /// Tables that match the patterns and are not captured, because they came later.
    pub uncaptured: Vec<TableName>,
    /// Per table.
    pub tables: BTreeMap<TableName, TableStatus>,
}

/// Reads and follows a source's [`Status`]. Cheap to clone; outlives the source.
#[derive(Debug, Clone)]
pub struct StatusHandle(Arc<watch::Sender<Status>>);

impl StatusHandle {
    pub(crate) fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Status::default())))
    }

    /// Returns the current status.
    pub fn get(&self) -> Status {
        self.0.borrow().clone()
    }

    /// Waits until the status satisfies `predicate`, and returns it.
    #[expect(clippy::missing_panics_doc, reason = "self keeps the sender alive")]
    pub async fn wait_for(&self, predicate: impl FnMut(&Status) -> bool) -> Status {
        let mut receiver = self.0.subscribe();
        let status = receiver.wait_for(predicate).await;
        status.expect("invariant: self keeps the sender alive").clone()
    }

    pub(crate) fn update(&self, change: impl FnOnce(&mut Status)) {
        self.0.send_modify(change);
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.0.send_if_modified(|status| {
            let changed = status.phase != phase;
            status.phase = phase;
            changed
        });
    }
}
