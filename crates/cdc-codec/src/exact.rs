//! The text form of any value, in PostgreSQL's own spelling where it has one: for the values that
//! the wire cannot hold ([`crate::header::EXACT`]), and for literal defaults.

use bytes::Bytes;
use cdc_model::{Array, ColumnType, Date, Decimal, Interval, Text, Time, TimeTz, Timestamp, Value};
use serde_json::{Map, json};

use crate::calendar::{self, Style};
use crate::wire::{self, hex_digit};

/// Returns the text of a value that is neither null nor an array.
pub(crate) fn format(value: &Value) -> String {
    let mut out = Vec::new();
    push(&mut out, value);
    String::from_utf8_lossy(&out).into_owned()
}

fn push(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null | Value::Unchanged | Value::Array(_) => {}
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int16(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Value::Int32(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Value::Int64(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        // A NaN is told apart by its bits.
        Value::Float32(value) if value.is_nan() => {
            out.extend_from_slice(format!("NaN:{:08x}", value.to_bits()).as_bytes());
        }
        Value::Float64(value) if value.is_nan() => {
            out.extend_from_slice(format!("NaN:{:016x}", value.to_bits()).as_bytes());
        }
        Value::Float32(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float64(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Decimal(value) => out.extend_from_slice(value.as_str().as_bytes()),
        Value::Text(value) => out.extend_from_slice(value.as_bytes()),
        Value::Bytes(value) => {
            out.extend_from_slice(b"\\x");
            out.extend(value.iter().flat_map(|b| [hex_digit(b >> 4), hex_digit(b & 15)]));
        }
        Value::Date(Date::INFINITY) => out.extend_from_slice(b"infinity"),
        Value::Date(Date::NEG_INFINITY) => out.extend_from_slice(b"-infinity"),
        Value::Date(value) => calendar::push_day(out, i64::from(value.0)),
        Value::Time(value) => calendar::push_time(out, value.0, None),
        Value::TimeTz(value) => {
            calendar::push_time(out, value.time.0, None);
            push_offset(out, value.offset_seconds);
        }
        Value::Timestamp(value) => {
            calendar::push_timestamp(out, value.0, Style::Postgres, None);
        }
        Value::TimestampTz(value) => push_instant(out, *value),
        Value::Interval(value) => push_interval(out, *value),
        Value::Uuid(value) => wire::push_uuid(out, value),
    }
}

/// Appends `+02`, `-05:30` or `+01:02:03`.
fn push_offset(out: &mut Vec<u8>, seconds: i32) {
    out.push(if seconds < 0 { b'-' } else { b'+' });
    let seconds = seconds.unsigned_abs();
    let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60];
    let shown = match parts {
        [_, 0, 0] => 1,
        [_, _, 0] => 2,
        _ => 3,
    };
    for (index, part) in parts.iter().take(shown).enumerate() {
        if index > 0 {
            out.push(b':');
        }
        out.extend_from_slice(format!("{part:02}").as_bytes());
    }
}

/// Appends an instant in UTC: `2024-01-01 00:00:00+00`.
fn push_instant(out: &mut Vec<u8>, at: Timestamp) {
    let start = out.len();
    calendar::push_timestamp(out, at.0, Style::Postgres, None);
    if at == Timestamp::INFINITY || at == Timestamp::NEG_INFINITY {
        return;
    }
    let era = if out.ends_with(b" BC") { out.split_off(out.len() - 3) } else { Vec::new() };
    debug_assert!(out.len() > start);
    out.extend_from_slice(b"+00");
    out.extend_from_slice(&era);
}

/// Appends ISO 8601's duration with one part for each of the interval's: `P14M3DT14706.78S`.
fn push_interval(out: &mut Vec<u8>, value: Interval) {
    let sign = if value.micros < 0 { "-" } else { "" };
    let micros = value.micros.unsigned_abs();
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let text = format!("P{}M{}DT{sign}{seconds}.{fraction:06}S", value.months, value.days);
    out.extend_from_slice(text.as_bytes());
}

fn parse_interval(text: &str) -> Option<Interval> {
    let (months, rest) = text.strip_prefix('P')?.split_once('M')?;
    let (days, rest) = rest.split_once("DT")?;
    let (seconds, fraction) = rest.strip_suffix('S')?.split_once('.')?;
    let digits = (fraction.len() == 6 && fraction.bytes().all(|b| b.is_ascii_digit()))
        .then(|| fraction.parse::<i128>().ok())??;
    let negative = seconds.starts_with('-');
    let seconds = seconds.parse::<i64>().ok()?;
    let micros = i128::from(seconds) * 1_000_000 + if negative { -digits } else { digits };
    Some(Interval {
        months: months.parse().ok()?,
        days: days.parse().ok()?,
        micros: i64::try_from(micros).ok()?,
    })
}

/// Reads the text of a value of type `ty`, no array; `None` if it is none.
pub(crate) fn parse(ty: &ColumnType, text: &str) -> Option<Value> {
    Some(match ty {
        ColumnType::Bool => Value::Bool(match text {
            "true" | "t" => true,
            "false" | "f" => false,
            _ => return None,
        }),
        ColumnType::Int16 => Value::Int16(text.parse().ok()?),
        ColumnType::Int32 => Value::Int32(text.parse().ok()?),
        ColumnType::Int64 => Value::Int64(text.parse().ok()?),
        ColumnType::Float32 => Value::Float32(match text.strip_prefix("NaN:") {
            Some(bits) => f32::from_bits(u32::from_str_radix(bits, 16).ok()?),
            None => text.parse().ok()?,
        }),
        ColumnType::Float64 => Value::Float64(match text.strip_prefix("NaN:") {
            Some(bits) => f64::from_bits(u64::from_str_radix(bits, 16).ok()?),
            None => text.parse().ok()?,
        }),
        ColumnType::Decimal(_) => Value::Decimal(Decimal::parse(Text::from(text.to_owned()))?),
        ColumnType::Bytes => {
            Value::Bytes(Bytes::from(wire::parse_hex(text.strip_prefix("\\x")?.as_bytes())?))
        }
        ColumnType::Date => Value::Date(match text {
            "infinity" => Date::INFINITY,
            "-infinity" => Date::NEG_INFINITY,
            _ => Date(i32::try_from(calendar::parse_day(text)?).ok()?),
        }),
        ColumnType::Time(_) => Value::Time(Time(calendar::parse_time(text)?.0)),
        ColumnType::TimeTz(_) => {
            let (time, offset) = calendar::parse_time(text)?;
            Value::TimeTz(TimeTz { time: Time(time), offset_seconds: offset? })
        }
        ColumnType::Timestamp(_) => Value::Timestamp(Timestamp(calendar::parse_timestamp(text)?)),
        ColumnType::TimestampTz(_) => {
            Value::TimestampTz(Timestamp(calendar::parse_timestamp(text)?))
        }
        ColumnType::Interval => Value::Interval(parse_interval(text)?),
        ColumnType::Uuid => Value::Uuid(wire::parse_uuid(text)?),
        ColumnType::Array(_) => return None,
        ColumnType::Text
        | ColumnType::Varchar(_)
        | ColumnType::Char(_)
        | ColumnType::Json
        | ColumnType::Enum { .. }
        | ColumnType::Other { .. } => Value::text(text),
    })
}

/// Returns what stands for `value` in [`crate::header::EXACT`].
pub(crate) fn to_header(value: &Value, elements_fit: bool) -> serde_json::Value {
    match value {
        Value::Null | Value::Unchanged => serde_json::Value::Null,
        Value::Array(array) => {
            let mut map = Map::new();
            if let Some(text) = &array.exact {
                map.insert("text".to_owned(), json!(text.as_str()));
            }
            if !elements_fit {
                let elements = array.elements.iter().map(|value| to_header(value, false));
                map.insert("elements".to_owned(), elements.collect());
            }
            serde_json::Value::Object(map)
        }
        _ => json!(format(value)),
    }
}

/// Reads what [`to_header`] wrote; `read` is the value the wire gave.
pub(crate) fn from_header(
    ty: &ColumnType,
    header: &serde_json::Value,
    read: &Value,
) -> Option<Value> {
    match (ty, header) {
        (_, serde_json::Value::Null) => Some(Value::Null),
        (ColumnType::Array(item), serde_json::Value::Object(map)) => {
            let exact = match map.get("text") {
                Some(text) => Some(Text::from(text.as_str()?.to_owned())),
                None => None,
            };
            let elements = match (map.get("elements"), read) {
                (Some(elements), _) => elements
                    .as_array()?
                    .iter()
                    .map(|element| from_header(item, element, &Value::Null))
                    .collect::<Option<_>>()?,
                (None, Value::Array(array)) => array.elements.clone(),
                (None, _) => return None,
            };
            Some(Value::Array(Array { elements, exact }))
        }
        (_, serde_json::Value::String(text)) => parse(ty, text),
        _ => None,
    }
}
