//! A log in a temporary directory, and short ways to feed and read it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cdc_model::{ChangeEvent, Offset, Partition, TableName, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{OffsetRange, Sink, SinkBatch, SinkChange, SinkState};
use cdc_sink_audit::{AuditConfig, AuditSink, Entry, Error, Result};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) sink: AuditSink,
    pub(crate) state: SinkState,
}

pub(crate) fn config() -> AuditConfig {
    AuditConfig::new("test")
}

/// Segments of a few entries each.
pub(crate) fn small_segments() -> AuditConfig {
    AuditConfig { segment_bytes_max: 2_000, ..config() }
}

pub(crate) fn t() -> TableName {
    TableName::new("public", "t")
}

impl World {
    pub(crate) async fn new(config: AuditConfig) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = AuditSink::open(directory.path(), config).await.unwrap();
        let state = sink.resume().await.unwrap();
        Self { directory, sink, state }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Closes the log, and leaves its files.
    pub(crate) fn close(self) -> TempDir {
        let Self { directory, sink, .. } = self;
        drop(sink);
        directory
    }

    /// Applies `events` to partition 0 of their table's topic, at the next offsets.
    pub(crate) async fn apply(&mut self, events: Vec<ChangeEvent>) -> Result<()> {
        let batch = batch(&self.state, 0, events);
        self.apply_batch(batch).await
    }

    pub(crate) async fn apply_batch(&mut self, batch: SinkBatch) -> Result<()> {
        let ranges = batch.ranges.clone();
        self.sink.apply(Arc::new(batch)).await?;
        for range in ranges {
            self.state.offsets.insert(range.source, (range.topic_id, range.next));
        }
        Ok(())
    }

    /// The table's rows as text, columns joined by `|`.
    pub(crate) async fn rows(&self, table: &TableName) -> Vec<String> {
        let rows = self.sink.query_handle().rows(table, 1_000).await.unwrap();
        let mut rows: Vec<_> = rows.iter().map(joined).collect();
        rows.sort();
        rows
    }
}

fn joined(row: &Entry) -> String {
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    row.values().map(text).collect::<Vec<_>>().join("|")
}

/// Opens a log that must not open.
pub(crate) async fn refused(path: &Path, config: AuditConfig) -> Error {
    AuditSink::open(path, config).await.unwrap_err()
}

/// The log's segments, oldest first.
pub(crate) fn segments(path: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|e| e == "jsonl")).collect();
    files.sort();
    files
}

/// Makes a copy of a log's files.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in segments(from).into_iter().chain([from.join("head")]) {
        std::fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}

/// A batch of `events` of one table, at the partition's next offsets.
pub(crate) fn batch(state: &SinkState, partition: i32, events: Vec<ChangeEvent>) -> SinkBatch {
    let topic = Topic::new(format!("s.{}", events[0].table.name));
    let source = TopicPartition { topic, partition: Partition(partition) };
    let first = state.offsets.get(&source).map_or(0, |(_, offset)| offset.0);
    let next = first + i64::try_from(events.len()).unwrap();
    let change =
        |(offset, event)| SinkChange { source: source.clone(), offset: Offset(offset), event };
    SinkBatch {
        generation: state.generation,
        epoch: state.epoch,
        ranges: vec![OffsetRange {
            source: source.clone(),
            topic_id: TopicId("id".into()),
            first: Offset(first),
            next: Offset(next),
        }],
        changes: (first..).zip(events).map(change).collect(),
        park: Vec::new(),
        unpark_below: Vec::new(),
    }
}
