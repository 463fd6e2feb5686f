//! Which DuckDB type holds a column, and in which form its values travel there.
//!
//! Most types travel as themselves. Those that Arrow or the binding would round (intervals beyond
//! 292 years) or does not know (`TIMETZ`) travel as text, arrays as lists of text, and DuckDB casts
//! them on the way in. Numeric beyond 38 digits, or without a declared precision, stays text: never
//! a float. JSON is text, so that the file opens without extensions and every document fits.

use cdc_model::ColumnType;
use duckdb::arrow::datatypes::{DataType, Field, TimeUnit};

/// Most digits of a DuckDB decimal.
const DIGITS_MAX: u16 = 38;

/// A column's form in DuckDB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Precision and scale, `0 <= scale < precision <= 38`.
    Decimal(u8, u8),
    Text,
    Bytes,
    Date,
    Time,
    TimeTz,
    Timestamp,
    TimestampTz,
    Interval,
    Uuid,
    List(Box<Self>),
}

impl Kind {
    /// Returns the form that holds every value of `ty`, but for those that are poison.
    pub(crate) fn of(ty: &ColumnType) -> Self {
        match ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int16 => Self::Int16,
            ColumnType::Int32 => Self::Int32,
            ColumnType::Int64 => Self::Int64,
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Decimal(declared) => declared.and_then(decimal).unwrap_or(Self::Text),
            ColumnType::Bytes => Self::Bytes,
            ColumnType::Date => Self::Date,
            ColumnType::Time(_) => Self::Time,
            ColumnType::TimeTz(_) => Self::TimeTz,
            ColumnType::Timestamp(_) => Self::Timestamp,
            ColumnType::TimestampTz(_) => Self::TimestampTz,
            ColumnType::Interval => Self::Interval,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Array(element) => Self::List(Box::new(Self::of(element))),
            ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Char(_)
            | ColumnType::Json
            | ColumnType::Enum { .. }
            | ColumnType::Other { .. } => Self::Text,
        }
    }

    /// Returns the column's type in SQL.
    pub(crate) fn sql(&self) -> String {
        match self {
            Self::Bool => "BOOLEAN",
            Self::Int16 => "SMALLINT",
            Self::Int32 => "INTEGER",
            Self::Int64 => "BIGINT",
            Self::Float32 => "REAL",
            Self::Float64 => "DOUBLE",
            Self::Decimal(precision, scale) => return format!("DECIMAL({precision},{scale})"),
            Self::Text => "VARCHAR",
            Self::Bytes => "BLOB",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::TimeTz => "TIME WITH TIME ZONE",
            Self::Timestamp => "TIMESTAMP",
            Self::TimestampTz => "TIMESTAMP WITH TIME ZONE",
            Self::Interval => "INTERVAL",
            Self::Uuid => "UUID",
            Self::List(element) => return format!("{}[]", element.sql()),
        }
        .to_owned()
    }

    /// Returns the type in SQL that its values travel as.
    pub(crate) fn staged_sql(&self) -> String {
        match self {
            Self::TimeTz | Self::Interval | Self::Uuid => "VARCHAR".to_owned(),
            Self::List(_) => "VARCHAR[]".to_owned(),
            _ => self.sql(),
        }
    }

    /// Returns the Arrow type that its values travel as.
    pub(crate) fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::Decimal(precision, scale) => {
                DataType::Decimal128(*precision, scale.cast_signed())
            }
            Self::Text | Self::TimeTz | Self::Interval | Self::Uuid => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Date32,
            Self::Time => DataType::Time64(TimeUnit::Microsecond),
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            Self::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::List(_) => DataType::List(Field::new_list_field(DataType::Utf8, true).into()),
        }
    }

    /// Returns whether the source may leave such a column out of an update (TOAST): only those of
    /// variable length.
    pub(crate) fn is_toastable(&self) -> bool {
        matches!(self, Self::Text | Self::Bytes | Self::Decimal(..) | Self::List(_))
    }
}

/// Returns the decimal that holds numbers of this declared precision and scale, if there is one.
/// The scale may be negative (no digits right of that many zeros) or exceed the precision. There is
/// always a digit before the point, so that DuckDB's text of a number is the source's.
fn decimal((precision, scale): (u16, i16)) -> Option<Kind> {
    let (precision, scale) = match u16::try_from(scale) {
        Ok(scale) => (precision.max(scale.checked_add(1)?), scale),
        Err(_) => (precision.checked_add(scale.unsigned_abs())?, 0),
    };
    (1..=DIGITS_MAX).contains(&precision).then_some(())?;
    Some(Kind::Decimal(u8::try_from(precision).ok()?, u8::try_from(scale).ok()?))
}
