//! Chunk keys: their order, computed exactly as the server does, for the types where we can.

use std::cmp::Ordering;

use cdc_model::{ColumnType, Value};

use crate::catalog::Column;

/// A key's values as the server prints them, in the order of its index.
pub(crate) type KeyText = Vec<String>;

/// Returns whether a column of this type can be a chunk key: its order is that of [`compare`].
pub(crate) fn is_ordered(ty: &ColumnType, column: &Column) -> bool {
    match ty {
        ColumnType::Int16
        | ColumnType::Int32
        | ColumnType::Int64
        | ColumnType::Uuid
        | ColumnType::Date
        | ColumnType::Timestamp(_)
        | ColumnType::TimestampTz(_)
        | ColumnType::Decimal(_)
        | ColumnType::Bytes => true,
        ColumnType::Text | ColumnType::Varchar(_) => column.is_bytewise,
        ColumnType::Bool
        | ColumnType::Float32
        | ColumnType::Float64
        | ColumnType::Char(_)
        | ColumnType::Time(_)
        | ColumnType::TimeTz(_)
        | ColumnType::Interval
        | ColumnType::Json
        | ColumnType::Enum { .. }
        | ColumnType::Array(_)
        | ColumnType::Other { .. } => false,
    }
}

/// Compares two keys column by column, as `(a, b) < (c, d)` does in SQL.
pub(crate) fn compare(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|order| order.is_ne()).unwrap_or(
        // Of equal length by construction.
        Ordering::Equal,
    )
}

fn compare_values(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int16(a), Value::Int16(b)) => a.cmp(b),
        (Value::Int32(a), Value::Int32(b)) => a.cmp(b),
        (Value::Int64(a), Value::Int64(b)) => a.cmp(b),
        (Value::Uuid(a), Value::Uuid(b)) => a.cmp(b),
        (Value::Date(a), Value::Date(b)) => a.cmp(b),
        (Value::Timestamp(a), Value::Timestamp(b))
        | (Value::TimestampTz(a), Value::TimestampTz(b)) => a.cmp(b),
        (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Decimal(a), Value::Decimal(b)) => compare_decimals(a.as_str(), b.as_str()),
        // Unreachable for keys chosen by `is_ordered`; equal is the side on which rows are kept.
        _ => Ordering::Equal,
    }
}

/// Numbers by value; `-Infinity` before them, then `Infinity`, then `NaN`.
fn compare_decimals(a: &str, b: &str) -> Ordering {
    fn rank(text: &str) -> u8 {
        match text {
            "-Infinity" => 0,
            "Infinity" => 2,
            "NaN" => 3,
            _ => 1,
        }
    }
    let ranks = rank(a).cmp(&rank(b));
    if ranks.is_ne() || rank(a) != 1 {
        return ranks;
    }
    let ((a_negative, a), (b_negative, b)) = (parts(a), parts(b));
    match (a_negative, b_negative) {
        (false, false) => magnitude(a, b),
        (true, true) => magnitude(b, a),
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
    }
}

/// Splits into sign, digits before the point without leading zeros, digits after it without
/// trailing zeros. Zero has no sign.
fn parts(text: &str) -> (bool, (&str, &str)) {
    let digits = text.trim_start_matches('-');
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let is_zero = whole.is_empty() && fraction.is_empty();
    (text.starts_with('-') && !is_zero, (whole, fraction))
}

fn magnitude(a: (&str, &str), b: (&str, &str)) -> Ordering {
    a.0.len().cmp(&b.0.len()).then_with(|| a.0.cmp(b.0)).then_with(|| a.1.cmp(b.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_ordered_as_the_server_orders_them() {
        let ascending = [
            "-Infinity",
            "-100",
            "-99.5",
            "-0.002",
            "-0.001",
            "0",
            "0.0001",
            "0.5",
            "1",
            "1.5",
            "9",
            "10",
            "10.000001",
            "99999999999999999999",
            "Infinity",
            "NaN",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare_decimals(a, b), i.cmp(&j), "{a} {b}");
            }
        }
        assert_eq!(compare_decimals("1.50", "1.5"), Ordering::Equal);
        assert_eq!(compare_decimals("-0.0", "0"), Ordering::Equal);
    }

    #[test]
    fn keys_of_several_columns_are_ordered_by_the_first_that_differs() {
        let key = |a, b: &'static str| [Value::Int32(a), Value::Text(b.into())];
        assert_eq!(compare(&key(1, "b"), &key(2, "a")), Ordering::Less);
        assert_eq!(compare(&key(1, "b"), &key(1, "a")), Ordering::Greater);
        assert_eq!(compare(&key(1, "a"), &key(1, "a")), Ordering::Equal);
    }
}
