//! Values in Avro's binary encoding.

use cdc_model::Value;

use crate::decimal;
use crate::wire::{self, Fit, Wire};

/// Appends `value` in the form `wire`; `None` if it is not of that type.
///
/// Null is not written here: it belongs to the field's union.
#[inline]
pub(crate) fn value(out: &mut Vec<u8>, wire: &Wire, value: &Value) -> Option<Fit> {
    match (wire, value) {
        (Wire::Bool, Value::Bool(value)) => out.push(u8::from(*value)),
        (Wire::Int16, Value::Int16(value)) => long(out, i64::from(*value)),
        (Wire::Int32, Value::Int32(value)) => long(out, i64::from(*value)),
        (Wire::Int64, Value::Int64(value)) => long(out, *value),
        (Wire::Float32, Value::Float32(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Wire::Float64, Value::Float64(value)) => out.extend_from_slice(&value.to_le_bytes()),
        (Wire::Text, Value::Text(text)) => bytes(out, text.as_bytes()),
        (Wire::Bytes, Value::Bytes(value)) => bytes(out, value),
        (Wire::Decimal(scale), Value::Decimal(value)) => {
            return Some(sized(out, |out| decimal::push_fixed(out, value.as_str(), *scale)));
        }
        (Wire::ZonedTimestamp(digits), Value::TimestampTz(at)) => {
            return Some(sized(out, |out| wire::push_zoned_timestamp(out, *at, *digits)));
        }
        (Wire::Date, Value::Date(date)) => long(out, i64::from(date.0)),
        (Wire::TimeMillis, Value::Time(time)) => {
            let (millis, fit) = wire::time_millis(*time);
            long(out, i64::from(millis));
            return Some(fit);
        }
        (Wire::TimeMicros, Value::Time(time)) => long(out, time.0),
        (Wire::TimestampMillis, Value::Timestamp(at)) => {
            let (millis, fit) = wire::timestamp_millis(*at);
            long(out, millis);
            return Some(fit);
        }
        (Wire::TimestampMicros, Value::Timestamp(at)) => long(out, at.0),
        (Wire::Uuid, Value::Uuid(uuid)) => {
            long(out, 36);
            wire::push_uuid(out, uuid);
        }
        _ => return rare(out, wire, value),
    }
    Some(Fit::Exact)
}

/// The forms that are not worth a place in the first match.
fn rare(out: &mut Vec<u8>, wire: &Wire, value: &Value) -> Option<Fit> {
    match (wire, value) {
        (Wire::VariableDecimal, Value::Decimal(value)) => {
            let mut unscaled = Vec::with_capacity(20);
            let (scale, fit) = decimal::push_variable(&mut unscaled, value.as_str());
            long(out, i64::from(scale));
            bytes(out, &unscaled);
            Some(fit)
        }
        (Wire::ZonedTime, Value::TimeTz(time)) => {
            Some(sized(out, |out| wire::push_zoned_time(out, *time)))
        }
        (Wire::Duration, Value::Interval(interval)) => {
            let (micros, fit) = wire::duration_micros(*interval);
            long(out, micros);
            Some(fit)
        }
        (Wire::Array(item, nullable), Value::Array(array)) => {
            let mut fit = Fit::exact_if(array.exact.is_none());
            if !array.elements.is_empty() {
                length(out, array.elements.len());
                for value in array.elements.iter() {
                    fit = fit.and(element(out, item, *nullable, value)?);
                }
            }
            out.push(0);
            Some(fit)
        }
        _ => None,
    }
}

/// Appends an element of an array; one that the wire cannot hold becomes null, or the type's zero.
fn element(out: &mut Vec<u8>, item: &Wire, nullable: bool, element: &Value) -> Option<Fit> {
    let start = out.len();
    if !matches!(element, Value::Null) {
        if nullable {
            out.push(2);
        }
        match value(out, item, element)? {
            Fit::Absent => out.truncate(start),
            fit => return Some(fit),
        }
    }
    if nullable {
        out.push(0);
        Some(Fit::exact_if(matches!(element, Value::Null)))
    } else {
        value(out, item, &item.zero()).map(|_| Fit::Lossy)
    }
}

/// Appends a number in zigzag variable-length form: Avro's `int` and `long`.
#[inline]
pub(crate) fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    out.push(rest.to_le_bytes()[0]);
}

fn length(out: &mut Vec<u8>, length: usize) {
    long(out, i64::try_from(length).unwrap_or(i64::MAX));
}

/// Appends bytes, or text, with their length.
#[inline]
pub(crate) fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    length(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends what `write` appends, with its length before it.
#[inline]
fn sized(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>) -> Fit) -> Fit {
    let start = out.len();
    out.push(0);
    let fit = write(out);
    let written = out.len() - start - 1;
    match (u8::try_from(written), out.get_mut(start)) {
        (Ok(short @ 0..64), Some(place)) => *place = short << 1,
        _ => {
            let mut prefix = Vec::with_capacity(5);
            length(&mut prefix, written);
            out.splice(start..=start, prefix);
        }
    }
    fit
}
