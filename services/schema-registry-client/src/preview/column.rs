//! Types of PostgreSQL's SQL as capture knows them.

use std::collections::BTreeMap;
use std::sync::Arc;

use cdc_model::ColumnType;
use sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType, ExactNumberInfo, ObjectName, TimezoneInfo,
};

/// Types that the SQL itself made: enums, by name.
pub(super) type Enums = BTreeMap<String, ColumnType>;

/// A column's type, and whether its values come of a sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) ty: ColumnType,
    pub(super) is_serial: bool,
    /// Whether nothing is known of the type but its name.
    pub(super) is_unknown: bool,
}

/// Returns what capture makes of a type.
pub(super) fn column_type(ty: &DataType, enums: &Enums) -> Known {
    let plain = |ty| Known { ty, is_serial: false, is_unknown: false };
    let length = |length: &Option<CharacterLength>| match length {
        Some(CharacterLength::IntegerLength { length, .. }) => u32::try_from(*length).ok(),
        Some(CharacterLength::Max) | None => None,
    };
    plain(match ty {
        DataType::Bool | DataType::Boolean => ColumnType::Bool,
        DataType::SmallInt(_) | DataType::Int2(_) => ColumnType::Int16,
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => ColumnType::Int32,
        DataType::BigInt(_) | DataType::Int8(_) => ColumnType::Int64,
        DataType::Real | DataType::Float4 => ColumnType::Float32,
        DataType::Float(ExactNumberInfo::Precision(bits)) if *bits <= 24 => ColumnType::Float32,
        DataType::Float(_) | DataType::Float8 | DataType::Double(_) | DataType::DoublePrecision => {
            ColumnType::Float64
        }
        DataType::Numeric(info) | DataType::Decimal(info) | DataType::Dec(info) => {
            ColumnType::Decimal(precision(*info))
        }
        DataType::Text => ColumnType::Text,
        DataType::Varchar(size)
        | DataType::CharacterVarying(size)
        | DataType::CharVarying(size) => ColumnType::Varchar(length(size)),
        DataType::Char(size) | DataType::Character(size) => {
            ColumnType::Char(Some(length(size).unwrap_or(1)))
        }
        DataType::Bytea => ColumnType::Bytes,
        DataType::Date => ColumnType::Date,
        DataType::Time(digits, zone) => match is_zoned(zone) {
            true => ColumnType::TimeTz(fraction(*digits)),
            false => ColumnType::Time(fraction(*digits)),
        },
        DataType::Timestamp(digits, zone) => match is_zoned(zone) {
            true => ColumnType::TimestampTz(fraction(*digits)),
            false => ColumnType::Timestamp(fraction(*digits)),
        },
        DataType::Interval { .. } => ColumnType::Interval,
        DataType::Uuid => ColumnType::Uuid,
        DataType::JSON | DataType::JSONB => ColumnType::Json,
        DataType::Array(
            ArrayElemTypeDef::SquareBracket(element, _) | ArrayElemTypeDef::Qualified(element, _),
        ) => {
            let element = column_type(element, enums);
            // PostgreSQL's arrays have one type, however many dimensions.
            let ty = match element.ty {
                array @ ColumnType::Array(_) => array,
                ty => ColumnType::Array(Box::new(ty)),
            };
            return Known { ty, ..element };
        }
        DataType::Custom(name, _) => return custom(name, enums),
        other => return unknown(&other.to_string().to_lowercase()),
    })
}

fn precision(info: ExactNumberInfo) -> Option<(u16, i16)> {
    match info {
        ExactNumberInfo::None => None,
        ExactNumberInfo::Precision(precision) => Some((u16::try_from(precision).ok()?, 0)),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => {
            Some((u16::try_from(precision).ok()?, i16::try_from(scale).ok()?))
        }
    }
}

fn is_zoned(zone: &TimezoneInfo) -> bool {
    matches!(zone, TimezoneInfo::Tz | TimezoneInfo::WithTimeZone)
}

fn fraction(digits: Option<u64>) -> u8 {
    digits.and_then(|digits| u8::try_from(digits).ok()).unwrap_or(6).min(6)
}

fn custom(name: &ObjectName, enums: &Enums) -> Known {
    let parts = super::definition::names(name);
    let last = parts.last().cloned().unwrap_or_default();
    let serial = match last.as_str() {
        "smallserial" | "serial2" => Some(ColumnType::Int16),
        "serial" | "serial4" => Some(ColumnType::Int32),
        "bigserial" | "serial8" => Some(ColumnType::Int64),
        _ => None,
    };
    if let Some(ty) = serial {
        return Known { ty, is_serial: true, is_unknown: false };
    }
    if let Some(ty) = enums.get(&parts.join(".")).or_else(|| enums.get(&last)) {
        return Known { ty: ty.clone(), is_serial: false, is_unknown: false };
    }
    unknown(&parts.join("."))
}

/// What `pg_catalog` has beside the types above, whose values travel as text.
const TEXTUAL: [&str; 12] = [
    "inet", "cidr", "macaddr", "macaddr8", "money", "xml", "point", "line", "bit", "tsvector",
    "tsquery", "pg_lsn",
];

fn unknown(name: &str) -> Known {
    let bare = name.split('(').next().unwrap_or(name).trim();
    let is_textual = TEXTUAL.contains(&bare);
    let qualified = if is_textual { format!("pg_catalog.{bare}") } else { name.to_owned() };
    let ty = ColumnType::Other { name: Arc::from(qualified) };
    Known { ty, is_serial: false, is_unknown: !is_textual }
}
