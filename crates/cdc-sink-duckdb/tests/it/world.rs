//! A warehouse in a temporary directory, and short ways to feed and read it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cdc_model::{
    ChangeEvent, Column, ColumnType, Offset, Partition, ReplicaIdentity, Row, TableId, TableName,
    TableSchema, Topic, TopicId, TopicPartition, Value,
};
use cdc_pipeline::port::{OffsetRange, Sink, SinkBatch, SinkChange, SinkState};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink, Error, Result};
use tempfile::TempDir;

pub(crate) struct World {
    pub(crate) directory: TempDir,
    pub(crate) sink: DuckDbSink,
    pub(crate) state: SinkState,
}

pub(crate) fn config() -> DuckDbConfig {
    DuckDbConfig::new("test")
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = DuckDbSink::open(directory.path().join("w.duckdb"), config()).await.unwrap();
        let state = sink.resume().await.unwrap();
        Self { directory, sink, state }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory.path().join("w.duckdb")
    }

    /// Closes the file and opens it again.
    pub(crate) async fn reopen(self) -> Self {
        let Self { directory, sink, .. } = self;
        drop(sink);
        let mut sink = DuckDbSink::open(directory.path().join("w.duckdb"), config()).await.unwrap();
        let state = sink.resume().await.unwrap();
        Self { directory, sink, state }
    }

    /// Applies `events` to partition 0 of their table's topic, at the next offsets.
    pub(crate) async fn apply(&mut self, events: Vec<ChangeEvent>) -> Result<()> {
        self.apply_to(0, events).await
    }

    pub(crate) async fn apply_to(
        &mut self,
        partition: i32,
        events: Vec<ChangeEvent>,
    ) -> Result<()> {
        self.state = self.sink.resume().await?;
        let batch = batch(&self.state, partition, events);
        self.sink.apply(Arc::new(batch)).await
    }

    pub(crate) async fn fails(&mut self, events: Vec<ChangeEvent>) -> Error {
        self.apply(events).await.unwrap_err()
    }

    /// The rows of a query, as text, columns joined by `|`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let table =
            self.sink.query_handle().query(sql, 100_000, Duration::from_secs(30)).await.unwrap();
        let text = |value: Option<String>| value.unwrap_or_else(|| "NULL".to_owned());
        let row = |row: Vec<_>| row.into_iter().map(text).collect::<Vec<_>>().join("|");
        table.rows.into_iter().map(row).collect()
    }
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

/// A table `public.<name>` with key `id` and these columns besides.
pub(crate) fn table_of(name: &str, columns: Vec<Column>) -> Arc<TableSchema> {
    let mut all = vec![Column::new("id", ColumnType::Int64).not_null()];
    all.extend(columns);
    Arc::new(TableSchema {
        id: TableId(1),
        name: TableName::new("public", name),
        columns: all,
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    })
}

/// An insert of a row with these values after its id.
pub(crate) fn insert_of(table: &Arc<TableSchema>, id: i64, values: Vec<Value>) -> ChangeEvent {
    let mut all = vec![Value::Int64(id)];
    all.extend(values);
    let event = testkit::fixture::insert(table, testkit::fixture::origin(1, 0), id, "");
    ChangeEvent { after: Some(Row::new(all)), ..event }
}
