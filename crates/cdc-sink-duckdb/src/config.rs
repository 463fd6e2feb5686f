//! What an operator chooses about the warehouse.

/// Settings of a warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DuckDbConfig {
    /// The pipeline it belongs to; a file of another pipeline is refused.
    pub pipeline: String,
    /// DuckDB's bound on its own memory, shared by writing and queries, in MiB.
    pub memory_limit_mib: u32,
    /// Threads that DuckDB uses, the writer's included; at least 1.
    pub threads: u16,
    /// Size of the write-ahead log after which a commit moves it into the file, in MiB. Larger
    /// means fewer pauses and a longer start after a crash.
    pub checkpoint_mib: u32,
    /// Queries that may run at a time; others wait.
    pub queries_max: usize,
}

impl DuckDbConfig {
    /// Makes the default settings for `pipeline`: 1 GiB, 2 threads, 64 MiB of log, 4 queries.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self {
            pipeline: pipeline.into(),
            memory_limit_mib: 1024,
            threads: 2,
            checkpoint_mib: 64,
            queries_max: 4,
        }
    }
}
