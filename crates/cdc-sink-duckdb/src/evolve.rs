//! How a column's type may change without reading the table anew.
//!
//! PostgreSQL rewrites a table's rows on some changes of type and tells its log nothing of it. A
//! change is taken over only where every old value, cast by DuckDB, equals what the source's own
//! cast made of it; every other is a halt. `ALTER … USING` with an expression of the user's own is
//! not seen by anyone downstream: it needs a new snapshot.

use std::fmt::Write as _;

use cdc_model::ColumnType;

/// Returns the type that holds the values of a column that was `held` and is now `new`, or `None`
/// if old rows cannot be brought to it. The result may be `held`, where the column has narrowed
/// (its values are the same) or the event is older than what is held.
pub(crate) fn join(held: &ColumnType, new: &ColumnType) -> Option<ColumnType> {
    use ColumnType as T;
    if is_same(held, new) {
        return Some(held.clone());
    }
    Some(match (held, new) {
        (T::Int16 | T::Int32 | T::Int64, T::Int16 | T::Int32 | T::Int64) => {
            if width(held) >= width(new) { held.clone() } else { new.clone() }
        }
        (T::Float32, T::Float64) | (T::Float64, T::Float32) => T::Float64,
        (T::Decimal(Some(_)), T::Decimal(None)) => T::Decimal(None),
        (T::Decimal(Some(held)), T::Decimal(Some(new))) => T::Decimal(Some(decimal(*held, *new)?)),
        (
            T::Text | T::Varchar(_) | T::Enum { .. } | T::Json,
            T::Text | T::Varchar(_) | T::Enum { .. },
        ) => T::Text,
        (T::Time(held), T::Time(new)) if new > held => T::Time(*new),
        (T::TimeTz(held), T::TimeTz(new)) if new > held => T::TimeTz(*new),
        (T::Timestamp(held), T::Timestamp(new)) if new > held => T::Timestamp(*new),
        (T::TimestampTz(held), T::TimestampTz(new)) if new > held => T::TimestampTz(*new),
        (T::Array(held), T::Array(new)) => T::Array(Box::new(join(held, new)?)),
        _ => return None,
    })
}

/// An enumeration that gained labels is the same type.
fn is_same(held: &ColumnType, new: &ColumnType) -> bool {
    match (held, new) {
        (ColumnType::Enum { name: held, .. }, ColumnType::Enum { name: new, .. }) => held == new,
        _ => held == new,
    }
}

fn width(ty: &ColumnType) -> u8 {
    match ty {
        ColumnType::Int16 => 2,
        ColumnType::Int32 => 4,
        _ => 8,
    }
}

/// More digits before the point keep every text; more after it append zeros, as DuckDB's cast does
/// while both are its decimals. Fewer after the point would have rounded.
fn decimal(held: (u16, i16), new: (u16, i16)) -> Option<(u16, i16)> {
    if held.1 == new.1 {
        return Some((held.0.max(new.0), held.1));
    }
    let whole = |(precision, scale): (u16, i16)| i32::from(precision) - i32::from(scale);
    let fits = held.1 >= 0 && new.1 > held.1 && whole(new) >= whole(held) && new.0 <= 38;
    fits.then_some(new)
}

/// Writes a type for [`parse`]. An enumeration's labels are left out.
pub(crate) fn signature(ty: &ColumnType) -> String {
    use ColumnType as T;
    let with = |name: &str, n: &dyn std::fmt::Display| format!("{name}:{n}");
    match ty {
        T::Bool => "bool".to_owned(),
        T::Int16 => "int16".to_owned(),
        T::Int32 => "int32".to_owned(),
        T::Int64 => "int64".to_owned(),
        T::Float32 => "float32".to_owned(),
        T::Float64 => "float64".to_owned(),
        T::Decimal(None) => "decimal".to_owned(),
        T::Decimal(Some((precision, scale))) => format!("decimal:{precision}:{scale}"),
        T::Text => "text".to_owned(),
        T::Varchar(None) => "varchar".to_owned(),
        T::Varchar(Some(n)) => with("varchar", n),
        T::Char(None) => "char".to_owned(),
        T::Char(Some(n)) => with("char", n),
        T::Bytes => "bytes".to_owned(),
        T::Date => "date".to_owned(),
        T::Time(digits) => with("time", digits),
        T::TimeTz(digits) => with("timetz", digits),
        T::Timestamp(digits) => with("timestamp", digits),
        T::TimestampTz(digits) => with("timestamptz", digits),
        T::Interval => "interval".to_owned(),
        T::Uuid => "uuid".to_owned(),
        T::Json => "json".to_owned(),
        T::Enum { name, .. } => with("enum", name),
        T::Array(element) => {
            let mut text = "array:".to_owned();
            write!(text, "{}", signature(element)).expect("invariant: a string takes all");
            text
        }
        T::Other { name } => with("other", name),
    }
}

/// Reads what [`signature`] wrote.
pub(crate) fn parse(text: &str) -> Option<ColumnType> {
    use ColumnType as T;
    let (name, rest) = match text.split_once(':') {
        Some((name, rest)) => (name, Some(rest)),
        None => (text, None),
    };
    Some(match (name, rest) {
        ("bool", None) => T::Bool,
        ("int16", None) => T::Int16,
        ("int32", None) => T::Int32,
        ("int64", None) => T::Int64,
        ("float32", None) => T::Float32,
        ("float64", None) => T::Float64,
        ("decimal", None) => T::Decimal(None),
        ("decimal", Some(rest)) => {
            let (precision, scale) = rest.split_once(':')?;
            T::Decimal(Some((precision.parse().ok()?, scale.parse().ok()?)))
        }
        ("text", None) => T::Text,
        ("varchar", None) => T::Varchar(None),
        ("varchar", Some(n)) => T::Varchar(Some(n.parse().ok()?)),
        ("char", None) => T::Char(None),
        ("char", Some(n)) => T::Char(Some(n.parse().ok()?)),
        ("bytes", None) => T::Bytes,
        ("date", None) => T::Date,
        ("time", Some(n)) => T::Time(n.parse().ok()?),
        ("timetz", Some(n)) => T::TimeTz(n.parse().ok()?),
        ("timestamp", Some(n)) => T::Timestamp(n.parse().ok()?),
        ("timestamptz", Some(n)) => T::TimestampTz(n.parse().ok()?),
        ("interval", None) => T::Interval,
        ("uuid", None) => T::Uuid,
        ("json", None) => T::Json,
        ("enum", Some(name)) => T::Enum { name: name.into(), labels: [].into() },
        ("array", Some(element)) => T::Array(Box::new(parse(element)?)),
        ("other", Some(name)) => T::Other { name: name.into() },
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_come_back_as_the_types_they_were() {
        for text in [
            "bool",
            "int16",
            "int32",
            "int64",
            "float32",
            "float64",
            "decimal",
            "decimal:10:-2",
            "text",
            "varchar",
            "varchar:7",
            "char",
            "char:3",
            "bytes",
            "date",
            "time:6",
            "timetz:0",
            "timestamp:3",
            "timestamptz:6",
            "interval",
            "uuid",
            "json",
            "enum:public.mood",
            "array:array:decimal:10:2",
            "other:pg_catalog.inet",
        ] {
            assert_eq!(parse(text).as_ref().map(signature).as_deref(), Some(text));
        }
    }

    #[test]
    fn only_changes_that_keep_every_old_value_are_taken() {
        for (held, new, joined) in [
            ("int32", "int64", Some("int64")),
            ("int64", "int32", Some("int64")),
            ("float32", "float64", Some("float64")),
            ("decimal:10:2", "decimal:12:2", Some("decimal:12:2")),
            ("decimal:10:2", "decimal:12:4", Some("decimal:12:4")),
            ("decimal:10:2", "decimal:10:4", None),
            ("decimal:10:2", "decimal:10:1", None),
            ("decimal:10:2", "decimal", Some("decimal")),
            ("decimal", "decimal:10:2", None),
            ("varchar:5", "text", Some("text")),
            ("char:5", "text", None),
            ("int32", "text", None),
            ("timestamp:3", "timestamp:6", Some("timestamp:6")),
            ("timestamp:6", "timestamp:3", None),
            ("timestamp:6", "timestamptz:6", None),
            ("array:int16", "array:int32", Some("array:int32")),
        ] {
            let found = join(&parse(held).unwrap(), &parse(new).unwrap());
            assert_eq!(found.as_ref().map(signature).as_deref(), joined, "{held} -> {new}");
        }
    }
}
