//! What an operator chooses about a search index.

/// Settings of a search index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchConfig {
    /// The pipeline it belongs to; an index of another pipeline is refused.
    pub pipeline: String,
    /// What the indexing thread may hold before it writes a segment, in MiB; at least 15.
    pub memory_mib: u16,
    /// Queries that may run at a time; others wait.
    pub queries_max: usize,
}

impl SearchConfig {
    /// Makes the default settings for `pipeline`: 32 MiB, 4 queries.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self { pipeline: pipeline.into(), memory_mib: 32, queries_max: 4 }
    }
}
