//! Values as JSON text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use cdc_model::Value;

use crate::decimal;
use crate::wire::{self, Fit, Wire};

/// Appends `value` in the form `wire`; `None` if it is not of that type, or null.
pub(crate) fn value(out: &mut Vec<u8>, wire: &Wire, value: &Value) -> Option<Fit> {
    match (wire, value) {
        (Wire::Bool, Value::Bool(value)) => {
            out.extend_from_slice(if *value { b"true" } else { b"false" });
        }
        (Wire::Int16, Value::Int16(value)) => number(out, i64::from(*value)),
        (Wire::Int32, Value::Int32(value)) => number(out, i64::from(*value)),
        (Wire::Int64, Value::Int64(value)) => number(out, *value),
        (Wire::Float32, Value::Float32(value)) => return Some(float32(out, *value)),
        (Wire::Float64, Value::Float64(value)) => return Some(float64(out, *value)),
        (Wire::Text, Value::Text(text)) => string(out, text.as_str()),
        (Wire::Bytes, Value::Bytes(value)) => base64(out, value),
        (Wire::Decimal(scale), Value::Decimal(value)) => {
            let mut unscaled = Vec::with_capacity(16);
            let fit = decimal::push_fixed(&mut unscaled, value.as_str(), *scale);
            base64(out, &unscaled);
            return Some(fit);
        }
        (Wire::Date, Value::Date(date)) => number(out, i64::from(date.0)),
        (Wire::TimeMillis, Value::Time(time)) => {
            let (millis, fit) = wire::time_millis(*time);
            number(out, i64::from(millis));
            return Some(fit);
        }
        (Wire::TimeMicros, Value::Time(time)) => number(out, time.0),
        (Wire::TimestampMillis, Value::Timestamp(at)) => {
            let (millis, fit) = wire::timestamp_millis(*at);
            number(out, millis);
            return Some(fit);
        }
        (Wire::TimestampMicros, Value::Timestamp(at)) => number(out, at.0),
        (Wire::ZonedTimestamp(digits), Value::TimestampTz(at)) => {
            return Some(quoted(out, |out| wire::push_zoned_timestamp(out, *at, *digits)));
        }
        (Wire::Uuid, Value::Uuid(uuid)) => {
            quoted(out, |out| wire::push_uuid(out, uuid));
        }
        _ => return rare(out, wire, value),
    }
    Some(Fit::Exact)
}

fn rare(out: &mut Vec<u8>, wire: &Wire, value: &Value) -> Option<Fit> {
    match (wire, value) {
        (Wire::VariableDecimal, Value::Decimal(value)) => {
            let mut unscaled = Vec::with_capacity(16);
            let (scale, fit) = decimal::push_variable(&mut unscaled, value.as_str());
            out.extend_from_slice(b"{\"scale\":");
            number(out, i64::from(scale));
            out.extend_from_slice(b",\"value\":");
            base64(out, &unscaled);
            out.push(b'}');
            Some(fit)
        }
        (Wire::ZonedTime, Value::TimeTz(time)) => {
            Some(quoted(out, |out| wire::push_zoned_time(out, *time)))
        }
        (Wire::Duration, Value::Interval(interval)) => {
            let (micros, fit) = wire::duration_micros(*interval);
            number(out, micros);
            Some(fit)
        }
        (Wire::Array(item, nullable), Value::Array(array)) => {
            let mut fit = Fit::exact_if(array.exact.is_none());
            out.push(b'[');
            for (index, value) in array.elements.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                fit = fit.and(element(out, item, *nullable, value)?);
            }
            out.push(b']');
            Some(fit)
        }
        _ => None,
    }
}

/// Appends an element of an array; one that the wire cannot hold becomes null, or the type's zero.
fn element(out: &mut Vec<u8>, item: &Wire, nullable: bool, element: &Value) -> Option<Fit> {
    let start = out.len();
    if !matches!(element, Value::Null) {
        match value(out, item, element)? {
            Fit::Absent => out.truncate(start),
            fit => return Some(fit),
        }
    }
    if nullable {
        out.extend_from_slice(b"null");
        Some(Fit::exact_if(matches!(element, Value::Null)))
    } else {
        value(out, item, &item.zero()).map(|_| Fit::Lossy)
    }
}

/// Appends a number.
pub(crate) fn number(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn float32(out: &mut Vec<u8>, value: f32) -> Fit {
    if value.is_finite() {
        let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
        java(out, if plain { format!("{value:?}") } else { format!("{value:E}") });
        return Fit::Exact;
    }
    special(out, f64::from(value));
    Fit::exact_if(!value.is_nan() || value.to_bits() == f32::NAN.to_bits())
}

fn float64(out: &mut Vec<u8>, value: f64) -> Fit {
    if value.is_finite() {
        let plain = value == 0.0 || (1e-3..1e7).contains(&value.abs());
        java(out, if plain { format!("{value:?}") } else { format!("{value:E}") });
        return Fit::Exact;
    }
    special(out, value);
    Fit::exact_if(!value.is_nan() || value.to_bits() == f64::NAN.to_bits())
}

/// Appends a float's text as Java does: always with a point (`1.0E10`).
fn java(out: &mut Vec<u8>, text: String) {
    match text.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => {
            out.extend_from_slice(mantissa.as_bytes());
            out.extend_from_slice(b".0E");
            out.extend_from_slice(exponent.as_bytes());
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
}

fn special(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(if value.is_nan() {
        b"\"NaN\""
    } else if value > 0.0 {
        b"\"Infinity\""
    } else {
        b"\"-Infinity\""
    });
}

/// Appends bytes as a base64 string.
pub(crate) fn base64(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    let start = out.len();
    out.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let target = out.get_mut(start..).unwrap_or_default();
    let written = STANDARD.encode_slice(bytes, target).unwrap_or(0);
    out.truncate(start + written);
    out.push(b'"');
}

/// Appends what `write` appends between quotes; it must need no escape.
fn quoted<T>(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> T) -> T {
    out.push(b'"');
    let result = write(out);
    out.push(b'"');
    result
}

/// Appends a string with its quotes, escaped as Jackson does.
pub(crate) fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|b| *b < 0x20 || matches!(b, b'"' | b'\\')) {
        let (plain, tail) = rest.split_at(at);
        out.extend_from_slice(plain);
        let Some((byte, tail)) = tail.split_first() else { break };
        escape(out, *byte);
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

fn escape(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            let digits = [byte >> 4, byte & 15].map(|d| wire::hex_digit(d).to_ascii_uppercase());
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&digits);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
