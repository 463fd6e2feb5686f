//! What a record changed, field by field, read from its envelope as JSON. Pure.

use serde_json::{Map, Value};

/// Envelopes longer than this are not taken apart for a list, only for the page of one record.
pub(crate) const LISTED_BYTES_MAX: usize = 256 << 10;

/// A field of a row, before and after; `None` where there is no such row or field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
}

impl Field {
    /// Returns whether before and after are both known and differ.
    pub(crate) fn is_changed(&self) -> bool {
        self.before.is_some() && self.after.is_some() && self.before != self.after
    }
}

/// What a record changed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// `schema.table`, if the envelope tells it.
    pub(crate) table: Option<String>,
    pub(crate) has_before: bool,
    pub(crate) has_after: bool,
    /// In the order of the row after, then those that only the row before has.
    pub(crate) fields: Vec<Field>,
}

/// Reads an envelope, with or without a schema block around it; none if it is none.
pub(crate) fn read(json: &str) -> Option<Change> {
    let value: Value = serde_json::from_str(json).ok()?;
    let envelope = match value.get("payload") {
        Some(payload) if payload.is_object() && value.get("schema").is_some() => payload,
        _ => &value,
    };
    let rows = [envelope.get("before"), envelope.get("after")];
    if rows.iter().all(Option::is_none) {
        return None;
    }
    let [before, after] = rows.map(|row| row.and_then(Value::as_object));
    Some(Change {
        table: table(envelope),
        has_before: before.is_some(),
        has_after: after.is_some(),
        fields: fields(before, after),
    })
}

fn table(envelope: &Value) -> Option<String> {
    if let Some(table) = envelope.get("table").and_then(Value::as_str) {
        return Some(table.to_owned());
    }
    let source = envelope.get("source")?;
    let part = |name| source.get(name).and_then(Value::as_str);
    let table = part("table")?;
    Some(part("schema").map_or_else(|| table.to_owned(), |schema| format!("{schema}.{table}")))
}

fn fields(before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> Vec<Field> {
    let of = |row: Option<&Map<String, Value>>, name: &str| row?.get(name).map(text);
    let names = after.into_iter().chain(before).flat_map(Map::keys);
    let mut seen = std::collections::BTreeSet::new();
    let names = names.filter(|name| seen.insert((*name).clone()));
    let field = |name: &String| Field {
        name: name.clone(),
        before: of(before, name),
        after: of(after, name),
    };
    names.map(field).collect()
}

/// Writes a value: text as it is, binary as hexadecimal with its size.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::String(text) => binary(text).unwrap_or_else(|| text.clone()),
        other => other.to_string(),
    }
}

/// Tells the size of what is written as PostgreSQL writes binary, `\x0123`.
fn binary(text: &str) -> Option<String> {
    let digits = text.strip_prefix("\\x")?;
    let is_hex = digits.len() % 2 == 0 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    is_hex.then(|| format!("{} bytes: {text}", digits.len() / 2))
}

/// Names the table of a record that does not tell it: what follows the prefix in the topic.
pub(crate) fn table_of_topic(topic: &str) -> &str {
    let dots: Vec<usize> = topic.match_indices('.').map(|(at, _)| at).collect();
    let Some(at) = dots.len().checked_sub(2).and_then(|at| dots.get(at)) else { return topic };
    topic.get(at + 1..).unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, before: Option<&str>, after: Option<&str>) -> Field {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Field { name: name.to_owned(), before: owned(before), after: owned(after) }
    }

    #[test]
    fn rows_are_compared_field_by_field() {
        let json = r#"{"op":"u","table":"public.o","before":{"id":1,"s":"a","old":null},
                       "after":{"id":1,"s":"b","raw":"\\x00ff"}}"#;
        let change = read(json).unwrap();
        let expected = [
            field("id", Some("1"), Some("1")),
            field("s", Some("a"), Some("b")),
            field("raw", None, Some("2 bytes: \\x00ff")),
            field("old", Some("NULL"), None),
        ];
        assert_eq!(change.fields, expected);
        assert_eq!(change.table.as_deref(), Some("public.o"));
        let changed: Vec<bool> = change.fields.iter().map(Field::is_changed).collect();
        assert_eq!(changed, [false, true, false, false]);
    }

    #[test]
    fn an_envelope_in_a_schema_block_is_found() {
        let json = r#"{"schema":{},"payload":{"before":null,"after":{"id":1},
                       "source":{"schema":"public","table":"t"}}}"#;
        let change = read(json).unwrap();
        assert_eq!(change.table.as_deref(), Some("public.t"));
        assert!(!change.has_before && change.has_after);
        assert_eq!(read("not json"), None);
        assert_eq!(read(r#"{"id":1}"#), None);
    }

    #[test]
    fn a_topic_tells_its_table() {
        assert_eq!(table_of_topic("shop.public.orders"), "public.orders");
        assert_eq!(table_of_topic("a.b.public.orders"), "public.orders");
        assert_eq!(table_of_topic("orders"), "orders");
    }
}
