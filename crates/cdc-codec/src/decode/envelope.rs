//! A record's envelope as it was read, before headers and identity complete it: from Avro by the
//! plan of its schema, from JSON by the same plan.

use cdc_model::{Lsn, Op, SnapshotMark, Timestamp, Value};
use serde_json::Value as Json;

use crate::avro::plan::{Envelope, ReadColumn, SourceField, Step, Union};
use crate::avro::read::{Cursor, Result};
use crate::error::RecordError;
use crate::json;

/// What an envelope says.
#[derive(Debug, Default)]
pub(crate) struct Said<'a> {
    pub(crate) before: Option<Vec<Value>>,
    pub(crate) after: Option<Vec<Value>>,
    pub(crate) op: Option<Op>,
    pub(crate) schema: &'a str,
    pub(crate) table: &'a str,
    pub(crate) committed_at: Timestamp,
    pub(crate) transaction: u64,
    pub(crate) lsn: Lsn,
    pub(crate) previous_commit: Option<Lsn>,
    pub(crate) snapshot: Option<SnapshotMark>,
}

impl<'a> Said<'a> {
    /// Reads Avro.
    pub(crate) fn avro(plan: &Envelope, mut cursor: Cursor<'a>) -> Result<Self> {
        let mut said = Self::default();
        for step in &plan.steps {
            match step {
                Step::Before(union) => {
                    said.before = image(*union, &plan.columns, &mut cursor)?;
                }
                Step::After(union) => {
                    said.after = image(*union, &plan.columns, &mut cursor)?;
                }
                Step::Source(fields) => {
                    for (field, union, node) in fields {
                        if *field == SourceField::Unused {
                            node.skip(&mut cursor)?;
                        } else if union.is_some(&mut cursor)? {
                            said.source(*field, &mut cursor)?;
                        }
                    }
                }
                Step::Op => said.op = Op::from_code(cursor.text()?),
                Step::Skip(node) => node.skip(&mut cursor)?,
            }
        }
        if cursor.left() > 0 {
            return Err(RecordError::Malformed("it goes on after its end"));
        }
        Ok(said)
    }

    fn source(&mut self, field: SourceField, cursor: &mut Cursor<'a>) -> Result<()> {
        match field {
            SourceField::Snapshot => self.snapshot = mark(cursor.text()?)?,
            SourceField::Sequence => self.previous_commit = previous(cursor.text()?)?,
            SourceField::TsMicros => self.committed_at = Timestamp(cursor.long()?),
            SourceField::Schema => self.schema = cursor.text()?,
            SourceField::Table => self.table = cursor.text()?,
            SourceField::TransactionId => self.transaction = cursor.long()?.cast_unsigned(),
            SourceField::Lsn => self.lsn = Lsn(cursor.long()?.cast_unsigned()),
            SourceField::Unused => {}
        }
        Ok(())
    }

    /// Reads JSON, already parsed.
    pub(crate) fn json(plan: &Envelope, json: &'a Json) -> Result<Self> {
        let source = &json["source"];
        let text = |field: &str| source[field].as_str();
        let long = |field: &str| source[field].as_i64();
        let missing = RecordError::Malformed("its source block is not complete");
        Ok(Self {
            before: json_image(&plan.columns, &json["before"])?,
            after: json_image(&plan.columns, &json["after"])?,
            op: json["op"].as_str().and_then(Op::from_code),
            schema: text("schema").ok_or_else(|| missing.clone())?,
            table: text("table").ok_or_else(|| missing.clone())?,
            committed_at: Timestamp(long("ts_us").ok_or_else(|| missing.clone())?),
            transaction: long("txId").unwrap_or(0).cast_unsigned(),
            lsn: Lsn(long("lsn").ok_or_else(|| missing.clone())?.cast_unsigned()),
            previous_commit: previous(text("sequence").ok_or(missing)?)?,
            snapshot: mark(text("snapshot").unwrap_or("false"))?,
        })
    }
}

fn image(
    union: Union,
    columns: &[ReadColumn],
    cursor: &mut Cursor<'_>,
) -> Result<Option<Vec<Value>>> {
    if !union.is_some(cursor)? {
        return Ok(None);
    }
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        let is_some = column.union.is_some(cursor)?;
        values.push(if is_some { cursor.value(&column.wire)? } else { Value::Null });
    }
    Ok(Some(values))
}

fn json_image(columns: &[ReadColumn], json: &Json) -> Result<Option<Vec<Value>>> {
    let Json::Object(row) = json else {
        let absent = json.is_null().then_some(None);
        return absent.ok_or(RecordError::Malformed("a row is no object"));
    };
    let value = |column: &ReadColumn| match row.get(&*column.column.name)? {
        Json::Null if column.union == Union::Required => None,
        Json::Null => Some(Value::Null),
        json => json::read_value(&column.wire, json),
    };
    let values: Option<Vec<_>> = columns.iter().map(value).collect();
    values.map(Some).ok_or(RecordError::Malformed("a column is missing or of another type"))
}

/// Reads Debezium's `source.snapshot`; `None` for a streamed change.
fn mark(text: &str) -> Result<Option<SnapshotMark>> {
    Ok(Some(match text {
        "false" => return Ok(None),
        "first" => SnapshotMark::First,
        "first_in_data_collection" => SnapshotMark::FirstInTable,
        "true" => SnapshotMark::Inside,
        "last_in_data_collection" => SnapshotMark::LastInTable,
        "last" => SnapshotMark::Last,
        "incremental" => SnapshotMark::Incremental,
        _ => return Err(RecordError::Malformed("its snapshot mark is not known")),
    }))
}

/// Reads the first of the two numbers of Debezium's `source.sequence`.
fn previous(sequence: &str) -> Result<Option<Lsn>> {
    let first = sequence.strip_prefix('[').and_then(|rest| rest.split_once(','));
    let read = first.and_then(|(first, _)| match first {
        "null" => Some(None),
        quoted => {
            let digits = quoted.strip_prefix('"')?.strip_suffix('"')?;
            Some(Some(Lsn(digits.parse().ok()?)))
        }
    });
    read.ok_or(RecordError::Malformed("its sequence cannot be read"))
}
