//! An index in a temporary directory, and short ways to feed and read it.

use std::path::Path;
use std::sync::Arc;

use cdc_model::{ChangeEvent, Offset, Partition, Topic, TopicId, TopicPartition};
use cdc_pipeline::port::{OffsetRange, Sink, SinkBatch, SinkChange, SinkState};
use cdc_sink_search::{Error, Result, Row, SearchConfig, SearchSink};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) sink: SearchSink,
    pub(crate) state: SinkState,
    /// Last: it is removed when the index is closed.
    pub(crate) directory: TempDir,
}

pub(crate) fn config() -> SearchConfig {
    SearchConfig::new("test")
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = SearchSink::open(directory.path(), config()).await.unwrap();
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

    pub(crate) async fn fails(&mut self, events: Vec<ChangeEvent>) -> Error {
        let error = self.apply(events).await.unwrap_err();
        self.state = self.sink.resume().await.unwrap();
        error
    }

    /// Closes the index and opens it again.
    pub(crate) async fn reopen(self) -> Self {
        let directory = self.close();
        let mut sink = SearchSink::open(directory.path(), config()).await.unwrap();
        let state = sink.resume().await.unwrap();
        Self { directory, sink, state }
    }

    /// The table's rows as text, columns joined by `|`.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let rows = self.sink.query_handle().rows(table, 10_000).await.unwrap();
        rows.iter().map(joined).collect()
    }
}

impl World {
    /// Like [`World::rows`], and nothing if there is no such table.
    pub(crate) async fn rows_or_none(&self, table: &str) -> Vec<String> {
        if self.sink.query_handle().tables().iter().any(|name| name == table) {
            return self.rows(table).await;
        }
        Vec::new()
    }
}

pub(crate) fn joined(row: &Row) -> String {
    let text = |value: &serde_json::Value| match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    };
    row.values().map(text).collect::<Vec<_>>().join("|")
}

/// Opens an index that must not open.
pub(crate) async fn refused(path: &Path, config: SearchConfig) -> Error {
    SearchSink::open(path, config).await.unwrap_err()
}

/// Makes a copy of an index's files.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), to.path().join(file.file_name())).unwrap();
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
