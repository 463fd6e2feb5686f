//! What the log says of a change, a parked record and a commit. Pure.

use cdc_codec::text;
use cdc_model::{Header, ImageKind, LogRecord, Row, Value};
use cdc_pipeline::port::{
    OffsetRange, ParkedRecord, SettleBatch, Settlement, SinkBatch, SinkChange,
};
use serde_json::{Value as Json, json};

use crate::chain::Line;
use crate::json::{Object, base64, columns, object};
use crate::state::{bytes, place};

/// Who, what and when of a change. `None` if a row has not the columns of its table.
pub(crate) fn change(change: &SinkChange) -> Option<Object> {
    let event = &change.event;
    let table = &event.table;
    let all = || 0..table.columns.len();
    let before = event.before.as_ref();
    let rows = before.map(|image| &image.row).into_iter().chain(&event.after);
    if rows.into_iter().any(|row| row.len() != table.columns.len()) {
        return None;
    }
    let newest = event.after.as_ref().or(before.map(|image| &image.row));
    let key = match newest {
        Some(row) if table.has_key() => columns(table, row, table.key.iter().copied()).into(),
        _ => Json::Null,
    };
    let before_row = before.map(|image| match image.kind {
        ImageKind::Full => columns(table, &image.row, all()),
        ImageKind::Key => columns(table, &image.row, table.key.iter().copied()),
    });
    let after = event.after.as_ref().map(|row| columns(table, row, all()));
    let unchanged = |row: &Row| -> Vec<&str> {
        let is_unchanged = |index: &usize| matches!(row.get(*index), Some(Value::Unchanged));
        all().filter(is_unchanged).map(|index| &*table.columns[index].name).collect()
    };
    let origin = &event.origin;
    let transaction = &origin.transaction;
    Some(object(json!({
        "topic": change.source.topic.as_str(),
        "partition": change.source.partition.0,
        "offset": change.offset.0,
        "schema": &*table.name.schema,
        "table": &*table.name.table,
        "op": event.op.code(),
        "transaction": {
            "id": transaction.id,
            "commit_lsn": transaction.commit_lsn.to_string(),
            "committed_at": text::value(&Value::TimestampTz(transaction.committed_at)),
        },
        "lsn": origin.lsn.to_string(),
        "change": origin.seq,
        "snapshot": origin.snapshot.map(|row| row.mark.as_str()),
        "key": key,
        "before": before_row,
        "before_is_full": before.is_some_and(|image| image.kind == ImageKind::Full),
        "after": after,
        "unchanged": event.after.as_ref().map(unchanged).unwrap_or_default(),
    })))
}

/// A record set aside, with all its bytes.
pub(crate) fn park(parked: &ParkedRecord) -> Object {
    let record = &parked.record;
    let text = |bytes: &Option<bytes::Bytes>| bytes.as_ref().map(|bytes| base64(bytes));
    let headers = record.headers.iter().map(|header| json!([header.name, base64(&header.value)]));
    object(json!({
        "topic": record.source.topic.as_str(),
        "partition": record.source.partition.0,
        "offset": record.offset.0,
        "timestamp_ms": record.timestamp_ms,
        "key": text(&record.key),
        "value": text(&record.value),
        "headers": headers.collect::<Vec<_>>(),
        "reason": parked.reason,
    }))
}

/// Reads a record set aside; `None` if it is not what [`park`] wrote.
pub(crate) fn read_park(line: &Line) -> Option<ParkedRecord> {
    let header = |entry: &Json| {
        let name = entry.get(0)?.as_str()?.to_owned();
        Some(Header { name: name.into(), value: bytes(entry.get(1)?)?? })
    };
    let (source, offset) = place(line)?;
    let headers = line.members.get("headers")?.as_array()?;
    let record = LogRecord {
        source,
        offset,
        timestamp_ms: line.number("timestamp_ms")?,
        key: bytes(line.members.get("key")?)?,
        value: bytes(line.members.get("value")?)?,
        headers: headers.iter().map(header).collect::<Option<_>>()?,
    };
    Some(ParkedRecord { record, reason: line.text("reason")?.to_owned() })
}

/// What became of a record set aside.
pub(crate) fn settle(settlement: &Settlement) -> Object {
    object(json!({
        "topic": settlement.source.topic.as_str(),
        "partition": settlement.source.partition.0,
        "offset": settlement.offset.0,
        "is_applied": settlement.change.is_some(),
    }))
}

/// The end of what was settled, which moves no offsets.
pub(crate) fn settled(batch: &SettleBatch) -> Object {
    object(json!({
        "generation": batch.generation.0,
        "epoch": batch.epoch.0,
        "unpark_below": [],
        "offsets": [],
    }))
}

/// The end of a batch: what it moved.
pub(crate) fn commit<'a>(
    batch: &SinkBatch,
    ranges: impl Iterator<Item = &'a OffsetRange>,
) -> Object {
    let offset = |range: &OffsetRange| {
        json!([
            range.source.topic.as_str(),
            range.source.partition.0,
            &*range.topic_id.0,
            range.next.0
        ])
    };
    let unpark = batch
        .unpark_below
        .iter()
        .map(|(source, offset)| json!([source.topic.as_str(), source.partition.0, offset.0]));
    object(json!({
        "generation": batch.generation.0,
        "epoch": batch.epoch.0,
        "unpark_below": unpark.collect::<Vec<_>>(),
        "offsets": ranges.map(offset).collect::<Vec<_>>(),
    }))
}
