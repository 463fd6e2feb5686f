//! Values, rows and definitions as JSON, without loss.
//!
//! NULL, booleans, integers and finite floats are JSON's own; everything else is a string in
//! PostgreSQL's text form, so that no reader rounds it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdc_codec::text;
use cdc_model::{ColumnType, Row, TableSchema, Value};
use serde_json::{Map, Number, Value as Json, json};

/// An object's members.
pub(crate) type Object = Map<String, Json>;

/// Makes an object of `json!({…})`.
pub(crate) fn object(json: Json) -> Object {
    if let Json::Object(members) = json { members } else { Object::new() }
}

pub(crate) fn value(value: &Value) -> Json {
    match value {
        Value::Null | Value::Unchanged => Json::Null,
        Value::Bool(value) => json!(value),
        Value::Int16(value) => json!(value),
        Value::Int32(value) => json!(value),
        Value::Int64(value) => json!(value),
        Value::Float32(_) | Value::Float64(_) => {
            let text = text::value(value);
            text.parse::<Number>().map_or(Json::String(text), Json::Number)
        }
        Value::Text(text) => json!(text.as_str()),
        Value::Array(array) => match &array.exact {
            Some(text) => json!(text.as_str()),
            None => array.elements.iter().map(self::value).collect(),
        },
        Value::Decimal(_)
        | Value::Bytes(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::TimeTz(_)
        | Value::Timestamp(_)
        | Value::TimestampTz(_)
        | Value::Interval(_)
        | Value::Uuid(_) => Json::String(text::value(value)),
    }
}

/// Makes an object of the columns of `row` at `indices`; unchanged ones are left out.
pub(crate) fn columns(
    table: &TableSchema,
    row: &Row,
    indices: impl Iterator<Item = usize>,
) -> Object {
    indices
        .filter_map(|index| Some((table.columns.get(index)?, row.get(index)?)))
        .filter(|(_, shown)| !matches!(shown, Value::Unchanged))
        .map(|(column, shown)| (column.name.to_string(), value(shown)))
        .collect()
}

/// Makes an object of a table's definition.
pub(crate) fn definition(table: &TableSchema, topic: &str) -> Object {
    let column = |column: &cdc_model::Column| {
        let missing = column.missing.as_ref().map(|missing| {
            text::parse(&column.ty, missing).map_or_else(|| json!(&**missing), |v| value(&v))
        });
        json!({
            "name": &*column.name,
            "type": type_name(&column.ty),
            "nullable": column.is_nullable,
            "missing": missing,
        })
    };
    let key = table.key.iter().filter_map(|index| table.columns.get(*index));
    object(json!({
        "topic": topic,
        "schema": &*table.name.schema,
        "table": &*table.name.table,
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
        "key": key.map(|column| &*column.name).collect::<Vec<_>>(),
    }))
}

fn type_name(ty: &ColumnType) -> String {
    let sized = |name: &str, n: &dyn std::fmt::Display| format!("{name}({n})");
    match ty {
        ColumnType::Bool => "boolean".to_owned(),
        ColumnType::Int16 => "smallint".to_owned(),
        ColumnType::Int32 => "integer".to_owned(),
        ColumnType::Int64 => "bigint".to_owned(),
        ColumnType::Float32 => "real".to_owned(),
        ColumnType::Float64 => "double precision".to_owned(),
        ColumnType::Decimal(None) => "numeric".to_owned(),
        ColumnType::Decimal(Some((precision, scale))) => format!("numeric({precision},{scale})"),
        ColumnType::Text => "text".to_owned(),
        ColumnType::Varchar(None) => "varchar".to_owned(),
        ColumnType::Varchar(Some(n)) => sized("varchar", n),
        ColumnType::Char(None) => "char".to_owned(),
        ColumnType::Char(Some(n)) => sized("char", n),
        ColumnType::Bytes => "bytea".to_owned(),
        ColumnType::Date => "date".to_owned(),
        ColumnType::Time(digits) => sized("time", digits),
        ColumnType::TimeTz(digits) => sized("timetz", digits),
        ColumnType::Timestamp(digits) => sized("timestamp", digits),
        ColumnType::TimestampTz(digits) => sized("timestamptz", digits),
        ColumnType::Interval => "interval".to_owned(),
        ColumnType::Uuid => "uuid".to_owned(),
        ColumnType::Json => "json".to_owned(),
        ColumnType::Enum { name, .. } | ColumnType::Other { name } => name.to_string(),
        ColumnType::Array(element) => format!("{}[]", type_name(element)),
    }
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
