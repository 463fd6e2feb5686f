//! What a PostgreSQL source is told.

use std::time::Duration;

use crate::pattern::TablePatterns;
use crate::wire::ConnectOptions;

/// Settings of one source. [`Config::new`] fills in everything but the first four.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where the server is and who asks.
    pub connect: ConnectOptions,
    /// The pipeline's replication slot; made if it does not exist. Lower case letters, digits and
    /// underscores, at most 63.
    pub slot: String,
    /// The pipeline's publication; made if it does not exist.
    pub publication: String,
    /// The tables to capture.
    pub tables: TablePatterns,
    /// How many connections read the snapshot, at least 1.
    pub snapshot_readers: usize,
    /// Rows after which a snapshot chunk is cut.
    pub chunk_rows_max: usize,
    /// Bytes of row data after which a snapshot chunk is cut.
    pub chunk_bytes_max: usize,
    /// Bytes of log data after which a batch is cut, inside a transaction if need be.
    pub batch_bytes_max: usize,
    /// How often an otherwise idle source writes a message to the log; zero for never.
    pub heartbeat_interval: Duration,
    /// The shortest time between two positions of an idle source.
    pub idle_interval: Duration,
    /// The longest time between two status updates to the server. A third of the server's
    /// `wal_sender_timeout` is used where that is shorter.
    pub status_interval: Duration,
    /// How often slot and publication are compared with what they were.
    pub guard_interval: Duration,
}

impl Config {
    /// Makes settings with the defaults: 2 readers, chunks of 20,000 rows or 8 MiB, batches of
    /// 1 MiB, a heartbeat every 10 s, positions every 1 s when idle, status every 10 s, guards
    /// every 30 s.
    pub fn new(
        connect: ConnectOptions,
        slot: impl Into<String>,
        publication: impl Into<String>,
        tables: TablePatterns,
    ) -> Self {
        Self {
            connect,
            slot: slot.into(),
            publication: publication.into(),
            tables,
            snapshot_readers: 2,
            chunk_rows_max: 10_000,
            chunk_bytes_max: 2 << 20,
            batch_bytes_max: 1 << 20,
            heartbeat_interval: Duration::from_secs(10),
            idle_interval: Duration::from_secs(1),
            status_interval: Duration::from_secs(10),
            guard_interval: Duration::from_secs(30),
        }
    }
}
