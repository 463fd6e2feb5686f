//! Settings of an embedded log.

use std::time::Duration;

use cdc_pipeline::Clock;

/// Settings of a [`crate::LocalLog`]. Every size is in bytes.
#[derive(Debug, Clone)]
pub struct LocalLogConfig {
    /// Whose data directory it is, if that is to be checked: the pipeline's identity. A directory
    /// that another pipeline made is refused.
    pub pipeline: Option<String>,
    /// Partitions of a topic made from now on, `1..`, default 1. Existing topics keep theirs.
    pub partitions: i32,
    /// A segment that holds about this much takes no more, default 256 MiB. Space is given back
    /// one whole segment at a time.
    pub segment_bytes: u64,
    /// A segment this old takes no more, default one day.
    pub segment_age: Duration,
    /// The oldest segments are dropped while all together hold more than this. `None`, the
    /// default, keeps everything.
    pub retention_bytes: Option<u64>,
    /// Full segments whose last record is older than this are dropped. `None`, the default, keeps
    /// everything.
    pub retention_age: Option<Duration>,
    /// Whether an append waits until the disk has it, default true. Without, a power failure may
    /// lose appends that were answered `Ok`; a crash of the process alone does not.
    pub fsync: bool,
    /// Appends are refused while the file system has less space than this, default 64 MiB: the
    /// store needs room to tidy up in.
    pub free_bytes_min: u64,
    /// Tells the time of appends.
    pub clock: Clock,
}

impl Default for LocalLogConfig {
    fn default() -> Self {
        Self {
            pipeline: None,
            partitions: 1,
            segment_bytes: 256 << 20,
            segment_age: Duration::from_secs(24 * 60 * 60),
            retention_bytes: None,
            retention_age: None,
            fsync: true,
            free_bytes_min: 64 << 20,
            clock: Clock::system(),
        }
    }
}
