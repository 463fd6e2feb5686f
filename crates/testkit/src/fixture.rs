//! Small tables, rows and records for tests: `t(id, v)` unless more is the point.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{
    ChangeEvent, Column, ColumnType, EventId, Headers, ImageKind, LogRecord, Lsn, Offset, Op,
    Origin, Partition, Placement, Record, RecordId, ReplicaIdentity, Row, RowImage, TableId,
    TableName, TableSchema, Timestamp, Topic, TopicPartition, Transaction, Value,
};

/// A table `public.<name>(id bigint primary key, v text)`.
pub fn table(name: &str) -> Arc<TableSchema> {
    Arc::new(TableSchema {
        id: TableId(16_384),
        name: TableName::new("public", name),
        columns: vec![
            Column::new("id", ColumnType::Int64).not_null(),
            Column::new("v", ColumnType::Text),
        ],
        key: vec![0],
        replica_identity: ReplicaIdentity::Default,
    })
}

/// The row `(id, v)`.
pub fn row(id: i64, v: impl Into<String>) -> Row {
    Row::new(vec![Value::Int64(id), Value::text(v)])
}

/// An old image of which only the key `id` is known.
pub fn key_image(id: i64) -> RowImage {
    RowImage { row: Row::new(vec![Value::Int64(id), Value::Null]), kind: ImageKind::Key }
}

/// The `seq`th change of a transaction that committed at `commit_lsn`.
pub fn origin(commit_lsn: u64, seq: u64) -> Origin {
    let transaction = Arc::new(Transaction {
        id: commit_lsn,
        commit_lsn: Lsn(commit_lsn),
        previous_commit_lsn: None,
        committed_at: Timestamp(1_700_000_000_000_000),
    });
    Origin { transaction, seq, lsn: Lsn(commit_lsn), snapshot: None }
}

/// An insert of `(id, v)`.
pub fn insert(table: &Arc<TableSchema>, at: Origin, id: i64, v: impl Into<String>) -> ChangeEvent {
    let after = Some(row(id, v));
    ChangeEvent { table: table.clone(), op: Op::Create, before: None, after, origin: at }
}

/// An update of row `id` to `after`, without an old image.
pub fn update(table: &Arc<TableSchema>, at: Origin, after: Row) -> ChangeEvent {
    let after = Some(after);
    ChangeEvent { table: table.clone(), op: Op::Update, before: None, after, origin: at }
}

/// A delete of row `id`, of which only the key is known.
pub fn delete(table: &Arc<TableSchema>, at: Origin, id: i64) -> ChangeEvent {
    let before = Some(key_image(id));
    ChangeEvent { table: table.clone(), op: Op::Delete, before, after: None, origin: at }
}

/// A truncate of `table`.
pub fn truncate(table: &Arc<TableSchema>, at: Origin) -> ChangeEvent {
    ChangeEvent { table: table.clone(), op: Op::Truncate, before: None, after: None, origin: at }
}

/// A keyed record, the `seq`th of the transaction at LSN 256.
pub fn record(topic: &Topic, key: &'static str, value: &'static str, seq: u64) -> Record {
    Record {
        topic: topic.clone(),
        placement: Placement::ByKey,
        key: Some(Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: Headers::new(),
        id: Some(RecordId { event: EventId::Streamed { commit_lsn: Lsn(256), seq }, sub: 0 }),
    }
}

/// A record as it is read back, with `key` and `value` as given.
pub fn log_record(source: &TopicPartition, offset: i64, key: &str, value: &str) -> LogRecord {
    LogRecord {
        source: source.clone(),
        offset: Offset(offset),
        timestamp_ms: 0,
        key: Some(Bytes::from(key.to_owned())),
        value: Some(Bytes::from(value.to_owned())),
        headers: Headers::new(),
    }
}

/// Partition 0 of a topic.
pub fn partition(topic: &str) -> TopicPartition {
    TopicPartition { topic: Topic::new(topic), partition: Partition(0) }
}
