//! What an operator chooses about an audit log.

/// Settings of an audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The pipeline it belongs to; a log of another pipeline is refused.
    pub pipeline: String,
    /// Size in bytes after which a segment is sealed and the next one begun. A batch is never
    /// parted: a segment may be longer by one batch.
    pub segment_bytes_max: u64,
    /// Number of lines after which a segment is sealed.
    pub segment_lines_max: u64,
}

impl AuditConfig {
    /// Makes the default settings for `pipeline`: segments of 16 MiB or 100,000 lines.
    pub fn new(pipeline: impl Into<String>) -> Self {
        Self { pipeline: pipeline.into(), segment_bytes_max: 16 << 20, segment_lines_max: 100_000 }
    }
}
