//! What a document of the index is made of. Pure.
//!
//! Three kinds share one index, so that one commit moves them together: `row`, `table` (a
//! [`Layout`]) and `parked` (a record set aside). Each has a term of its own, its `id`, by which it
//! is replaced.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cdc_model::{Header, LogRecord, Offset, Partition, Topic, TopicPartition};
use cdc_pipeline::port::ParkedRecord;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};
use tantivy::schema::{Field, STORED, STRING, Schema, TEXT};
use tantivy::{TantivyDocument, Term};

use crate::fold::Cells;
use crate::json::Object;
use crate::layout::Layout;

/// The fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields {
    pub(crate) kind: Field,
    pub(crate) id: Field,
    /// Of rows without a key: what equal rows have in common.
    pub(crate) group: Field,
    /// The partition that a row came by.
    pub(crate) source: Field,
    pub(crate) table: Field,
    pub(crate) text: Field,
    pub(crate) body: Field,
}

/// Makes the index's schema.
pub(crate) fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let fields = Fields {
        kind: schema.add_text_field("kind", STRING),
        id: schema.add_text_field("id", STRING),
        group: schema.add_text_field("group", STRING),
        source: schema.add_text_field("source", STRING),
        table: schema.add_text_field("table", STRING | STORED),
        text: schema.add_text_field("text", TEXT),
        body: schema.add_text_field("body", STORED),
    };
    (schema.build(), fields)
}

/// One step of a commit.
#[derive(Debug)]
pub(crate) enum Step {
    /// Remove what has the term.
    Remove(Term),
    /// Add a document.
    Add(TantivyDocument),
}

/// Returns a term that is one and the same for equal `parts`, and for no others.
pub(crate) fn digest(parts: &Json) -> String {
    let hash = Sha256::digest(parts.to_string());
    hash.iter().fold(String::with_capacity(64), |mut out, byte| {
        let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
        out.extend([digit(byte >> 4), digit(*byte)]);
        out
    })
}

pub(crate) fn source_term(source: &TopicPartition) -> String {
    digest(&json!(["source", source.topic.as_str(), source.partition.0]))
}

impl Fields {
    pub(crate) fn id(&self, id: &str) -> Term {
        Term::from_field_text(self.id, id)
    }

    /// Makes the document of a row.
    pub(crate) fn row(
        &self,
        layout: &Layout,
        cells: &Cells,
        id: &str,
        source: &str,
    ) -> TantivyDocument {
        let mut document = TantivyDocument::default();
        document.add_text(self.kind, "row");
        document.add_text(self.id, id);
        document.add_text(self.source, source);
        document.add_text(self.table, &layout.table);
        let mut body = Object::new();
        for (column, cell) in layout.columns.iter().zip(cells) {
            let Some(cell) = cell else { continue };
            if column.is_text() {
                texts(cell, &mut |text| document.add_text(self.text, text));
            }
            if *cell != column.fill {
                body.insert(column.name.clone(), cell.clone());
            }
        }
        document.add_text(self.body, Json::Object(body).to_string());
        document
    }

    pub(crate) fn layout(&self, layout: &Layout) -> [Step; 2] {
        let id = digest(&json!(["table", layout.topic]));
        self.reserved("table", &id, &layout.to_json())
    }

    pub(crate) fn parked(&self, parked: &ParkedRecord) -> [Step; 2] {
        let record = &parked.record;
        let bytes = |bytes: &Option<Bytes>| bytes.as_ref().map(|b| STANDARD.encode(b));
        let headers = record
            .headers
            .iter()
            .map(|header| json!([header.name, STANDARD.encode(&header.value)]));
        let body = json!({
            "topic": record.source.topic.as_str(),
            "partition": record.source.partition.0,
            "offset": record.offset.0,
            "timestamp_ms": record.timestamp_ms,
            "key": bytes(&record.key),
            "value": bytes(&record.value),
            "headers": headers.collect::<Vec<_>>(),
            "reason": parked.reason,
        });
        self.reserved("parked", &parked_id(&record.source, record.offset), &body)
    }

    fn reserved(&self, kind: &str, id: &str, body: &Json) -> [Step; 2] {
        let mut document = TantivyDocument::default();
        document.add_text(self.kind, kind);
        document.add_text(self.id, id);
        document.add_text(self.body, body.to_string());
        [Step::Remove(self.id(id)), Step::Add(document)]
    }
}

pub(crate) fn parked_id(source: &TopicPartition, offset: Offset) -> String {
    digest(&json!(["parked", source.topic.as_str(), source.partition.0, offset.0]))
}

/// Reads a parked document back to its record.
pub(crate) fn read_parked(body: &Object) -> Option<ParkedRecord> {
    let decode = |text: &Json| Some(Bytes::from(STANDARD.decode(text.as_str()?).ok()?));
    let bytes = |member: &str| match body.get(member)? {
        Json::Null => Some(None),
        text => decode(text).map(Some),
    };
    let header = |entry: &Json| {
        let name = entry.get(0)?.as_str()?.to_owned();
        Some(Header { name: name.into(), value: decode(entry.get(1)?)? })
    };
    let source = TopicPartition {
        topic: Topic::new(body.get("topic")?.as_str()?),
        partition: Partition(i32::try_from(body.get("partition")?.as_i64()?).ok()?),
    };
    let record = LogRecord {
        source,
        offset: Offset(body.get("offset")?.as_i64()?),
        timestamp_ms: body.get("timestamp_ms")?.as_i64()?,
        key: bytes("key")?,
        value: bytes("value")?,
        headers: body.get("headers")?.as_array()?.iter().map(header).collect::<Option<_>>()?,
    };
    Some(ParkedRecord { record, reason: body.get("reason")?.as_str()?.to_owned() })
}

/// Calls `take` with every text in `cell`.
pub(crate) fn texts(cell: &Json, take: &mut impl FnMut(&str)) {
    match cell {
        Json::String(text) => take(text),
        Json::Array(elements) => elements.iter().for_each(|element| texts(element, take)),
        _ => {}
    }
}

/// Reads a row's document body back to its cells.
pub(crate) fn read_cells(layout: &Layout, body: &Object) -> Cells {
    let cell = |column: &crate::layout::Column| {
        Some(body.get(&column.name).unwrap_or(&column.fill).clone())
    };
    layout.columns.iter().map(cell).collect()
}
