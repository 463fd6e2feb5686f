//! Values as JSON, without loss.
//!
//! NULL, booleans, integers and finite floats are JSON's own; everything else is a string in
//! PostgreSQL's text form, so that no reader rounds it.

use cdc_codec::text;
use cdc_model::Value;
use serde_json::{Map, Number, Value as Json, json};

/// An object's members.
pub(crate) type Object = Map<String, Json>;

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

/// A value as part of a key, equal where the source's index holds it equal: zero has one sign and
/// NaN one form.
pub(crate) fn key(shown: &Value) -> Json {
    let float = match shown {
        Value::Float32(float) => f64::from(*float),
        Value::Float64(float) => *float,
        other => return value(other),
    };
    if float == 0.0 {
        json!(0)
    } else if float.is_nan() {
        json!("NaN")
    } else {
        value(shown)
    }
}
