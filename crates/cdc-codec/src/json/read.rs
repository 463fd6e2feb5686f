//! Values of JSON text, by the form the schema gives them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cdc_model::{Date, Decimal, Interval, Text, Time, Timestamp, Value};
use serde_json::Value as Json;

use crate::avro::read::{zoned_time, zoned_timestamp};
use crate::decimal;
use crate::wire::{self, Wire, array};

/// Reads a value that is not null; `None` if `json` is none of that form.
pub(crate) fn value(wire: &Wire, json: &Json) -> Option<Value> {
    let long = || json.as_i64();
    Some(match wire {
        Wire::Bool => Value::Bool(json.as_bool()?),
        Wire::Int16 => Value::Int16(long()?.try_into().ok()?),
        Wire::Int32 => Value::Int32(long()?.try_into().ok()?),
        Wire::Int64 => Value::Int64(long()?),
        Wire::Float32 => Value::Float32(float(json)?.parse().ok()?),
        Wire::Float64 => Value::Float64(float(json)?.parse().ok()?),
        Wire::Decimal(scale) => number(&bytes(json)?, i32::from(*scale))?,
        Wire::VariableDecimal => {
            let scale = json["scale"].as_i64()?.try_into().ok()?;
            number(&bytes(&json["value"])?, scale)?
        }
        Wire::Text => Value::text(json.as_str()?),
        Wire::Bytes => Value::Bytes(Bytes::from(bytes(json)?)),
        Wire::Date => Value::Date(Date(long()?.try_into().ok()?)),
        Wire::TimeMillis => Value::Time(Time(i64::from(i32::try_from(long()?).ok()?) * 1000)),
        Wire::TimeMicros => Value::Time(Time(long()?)),
        Wire::TimestampMillis => Value::Timestamp(wire::timestamp_of_millis(long()?)?),
        Wire::TimestampMicros => Value::Timestamp(Timestamp(long()?)),
        Wire::ZonedTimestamp(_) => zoned_timestamp(json.as_str()?).ok()?,
        Wire::ZonedTime => zoned_time(json.as_str()?).ok()?,
        Wire::Duration => Value::Interval(Interval { months: 0, days: 0, micros: long()? }),
        Wire::Uuid => Value::Uuid(wire::parse_uuid(json.as_str()?)?),
        Wire::Array(item, _) => {
            let element = |json: &Json| match json {
                Json::Null => Some(Value::Null),
                json => value(item, json),
            };
            array(json.as_array()?.iter().map(element).collect::<Option<_>>()?)
        }
    })
}

/// The text of a float: a number's own, or the name of a special value.
fn float(json: &Json) -> Option<String> {
    match json {
        Json::Number(number) => Some(number.to_string()),
        Json::String(name) => Some(name.clone()),
        _ => None,
    }
}

fn bytes(json: &Json) -> Option<Vec<u8>> {
    STANDARD.decode(json.as_str()?).ok()
}

fn number(unscaled: &[u8], scale: i32) -> Option<Value> {
    let text = decimal::text(unscaled, scale)?;
    Decimal::parse(Text::from(text)).map(Value::Decimal)
}
