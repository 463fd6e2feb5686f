//! What a column's values are on the wire: Debezium's mapping of column types, in the modes
//! `decimal.handling.mode=precise`, `time.precision.mode=adaptive`,
//! `interval.handling.mode=numeric` and `binary.handling.mode=bytes`.
//!
//! Source: <https://debezium.io/documentation/reference/stable/connectors/postgresql.html#postgresql-data-types>

use bytes::Bytes;
use cdc_model::{Array, ColumnType, Date, Decimal, Interval, Text, Time, TimeTz, Timestamp, Value};

use crate::config::UNAVAILABLE_VALUE;

/// How well a written value stands for the real one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    /// Reading it gives the same value.
    Exact,
    /// Reading it gives another value: the exact one goes into a header.
    Lossy,
    /// The wire cannot hold anything like it; whatever was written is to be taken back.
    Absent,
}

impl Fit {
    pub(crate) fn exact_if(exact: bool) -> Self {
        if exact { Self::Exact } else { Self::Lossy }
    }

    /// The worse of two.
    pub(crate) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Absent, _) | (_, Self::Absent) => Self::Absent,
            (Self::Lossy, _) | (_, Self::Lossy) => Self::Lossy,
            (Self::Exact, Self::Exact) => Self::Exact,
        }
    }
}

/// The form of a type's values, the same for all formats.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wire {
    Bool,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    /// Connect's `Decimal`: unscaled bytes under a scale the schema tells.
    Decimal(u16),
    /// Debezium's `VariableScaleDecimal`: scale and unscaled bytes.
    VariableDecimal,
    Text,
    Bytes,
    /// Days.
    Date,
    /// Milliseconds, 32-bit.
    TimeMillis,
    /// Microseconds.
    TimeMicros,
    /// Milliseconds.
    TimestampMillis,
    /// Microseconds.
    TimestampMicros,
    /// ISO text in UTC with this many fractional digits.
    ZonedTimestamp(u8),
    /// ISO text in UTC.
    ZonedTime,
    /// Microseconds, a month being 30.4375 days.
    Duration,
    /// Text.
    Uuid,
    /// Elements, and whether they may be null.
    Array(Box<Self>, bool),
}

/// Microseconds of a month in Debezium's `MicroDuration`: a twelfth of 365.25 days.
const MONTH: i128 = 2_629_800_000_000;
/// What Debezium writes for `infinity` and `-infinity` in milliseconds.
pub(crate) const INFINITE_MILLIS: (i64, i64) =
    (-9_223_372_036_832_400_000, 9_223_372_036_825_200_000);

impl Wire {
    /// Returns the form of values of type `ty`.
    pub(crate) fn of(ty: &ColumnType) -> Self {
        match ty {
            ColumnType::Bool => Self::Bool,
            ColumnType::Int16 => Self::Int16,
            ColumnType::Int32 => Self::Int32,
            ColumnType::Int64 => Self::Int64,
            ColumnType::Float32 => Self::Float32,
            ColumnType::Float64 => Self::Float64,
            ColumnType::Decimal(Some((_, scale))) => Self::Decimal(scale_of(*scale)),
            ColumnType::Decimal(None) => Self::VariableDecimal,
            ColumnType::Bytes => Self::Bytes,
            ColumnType::Date => Self::Date,
            ColumnType::Time(0..=3) => Self::TimeMillis,
            ColumnType::Time(_) => Self::TimeMicros,
            ColumnType::TimeTz(_) => Self::ZonedTime,
            ColumnType::Timestamp(0..=3) => Self::TimestampMillis,
            ColumnType::Timestamp(_) => Self::TimestampMicros,
            ColumnType::TimestampTz(digits) => Self::ZonedTimestamp((*digits).min(6)),
            ColumnType::Interval => Self::Duration,
            ColumnType::Uuid => Self::Uuid,
            ColumnType::Array(item) => {
                Self::Array(Box::new(Self::of(item)), !matches!(**item, ColumnType::Enum { .. }))
            }
            ColumnType::Text
            | ColumnType::Varchar(_)
            | ColumnType::Char(_)
            | ColumnType::Json
            | ColumnType::Enum { .. }
            | ColumnType::Other { .. } => Self::Text,
        }
    }

    /// Returns what Debezium writes where a NOT NULL column has no value and no default.
    pub(crate) fn zero(&self) -> Value {
        match self {
            Self::Bool => Value::Bool(false),
            Self::Int16 => Value::Int16(0),
            Self::Int32 => Value::Int32(0),
            Self::Int64 => Value::Int64(0),
            Self::Float32 => Value::Float32(0.0),
            Self::Float64 => Value::Float64(0.0),
            Self::Decimal(_) | Self::VariableDecimal => decimal("0"),
            Self::Text => Value::Text(Text::from("")),
            Self::Bytes => Value::Bytes(Bytes::new()),
            Self::Date => Value::Date(Date(0)),
            Self::TimeMillis | Self::TimeMicros => Value::Time(Time(0)),
            Self::TimestampMillis | Self::TimestampMicros => Value::Timestamp(Timestamp(0)),
            Self::ZonedTimestamp(_) => Value::TimestampTz(Timestamp(0)),
            Self::ZonedTime => Value::TimeTz(TimeTz { time: Time(0), offset_seconds: 0 }),
            Self::Duration => Value::Interval(Interval { months: 0, days: 0, micros: 0 }),
            Self::Uuid => Value::Uuid([0; 16]),
            Self::Array(..) => array(Vec::new()),
        }
    }

    /// Returns what stands for a value that was not sent, or `None` where Debezium has nothing:
    /// there we write null.
    pub(crate) fn placeholder(&self, text: &str) -> Option<Value> {
        let codes = |value: fn(u8) -> Value| Some(array(text.bytes().map(value).collect()));
        match self {
            Self::Text => Some(Value::text(text)),
            Self::Bytes => Some(Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))),
            Self::Array(item, _) => match **item {
                Self::Text => Some(array(vec![Value::text(text)])),
                Self::Bytes => {
                    Some(array(vec![Value::Bytes(Bytes::copy_from_slice(text.as_bytes()))]))
                }
                Self::Uuid => Some(array(vec![Value::Uuid(placeholder_uuid(text))])),
                Self::Int16 => codes(|code| Value::Int16(i16::from(code))),
                Self::Int32 => codes(|code| Value::Int32(i32::from(code))),
                Self::Int64 => codes(|code| Value::Int64(i64::from(code))),
                Self::Date => codes(|code| Value::Date(Date(i32::from(code)))),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The scale on the wire: never negative, for Avro allows none; the number is then written out.
pub(crate) fn scale_of(scale: i16) -> u16 {
    u16::try_from(scale).unwrap_or(0)
}

/// Makes an array of one dimension.
pub(crate) fn array(elements: Vec<Value>) -> Value {
    Value::Array(Array { elements: elements.into(), exact: None })
}

fn decimal(text: &'static str) -> Value {
    Decimal::parse(Text::from(text)).map_or(Value::Null, Value::Decimal)
}

/// Java's name-based UUID of Debezium's placeholder; another placeholder has the nil UUID.
fn placeholder_uuid(text: &str) -> [u8; 16] {
    const DEBEZIUM: u128 = 0xb68a_35a7_17ad_35b3_af2a_ae46_edb4_545a;
    if text == UNAVAILABLE_VALUE { DEBEZIUM.to_be_bytes() } else { [0; 16] }
}

/// Returns a time of day in milliseconds, and how well it fits.
pub(crate) fn time_millis(time: Time) -> (i32, Fit) {
    let millis = i32::try_from(time.0.div_euclid(1000));
    (millis.unwrap_or(0), Fit::exact_if(millis.is_ok() && time.0.rem_euclid(1000) == 0))
}

/// Returns a timestamp in milliseconds, and how well it fits.
pub(crate) fn timestamp_millis(timestamp: Timestamp) -> (i64, Fit) {
    match timestamp {
        Timestamp::INFINITY => (INFINITE_MILLIS.1, Fit::Exact),
        Timestamp::NEG_INFINITY => (INFINITE_MILLIS.0, Fit::Exact),
        Timestamp(micros) => (micros.div_euclid(1000), Fit::exact_if(micros.rem_euclid(1000) == 0)),
    }
}

/// The timestamp of so many milliseconds, if it is in range.
pub(crate) fn timestamp_of_millis(millis: i64) -> Option<Timestamp> {
    match millis {
        _ if millis == INFINITE_MILLIS.0 => Some(Timestamp::NEG_INFINITY),
        _ if millis == INFINITE_MILLIS.1 => Some(Timestamp::INFINITY),
        _ => millis.checked_mul(1000).map(Timestamp),
    }
}

/// Returns an interval in microseconds, saturating, and how well it fits.
pub(crate) fn duration_micros(interval: Interval) -> (i64, Fit) {
    let days = i128::from(interval.days) * 86_400_000_000;
    let total = i128::from(interval.months) * MONTH + days + i128::from(interval.micros);
    let limit = if total < 0 { i64::MIN } else { i64::MAX };
    let exact = interval.months == 0 && interval.days == 0;
    (i64::try_from(total).unwrap_or(limit), Fit::exact_if(exact))
}

/// Appends a timestamp as `ZonedTimestamp` text.
pub(crate) fn push_zoned_timestamp(out: &mut Vec<u8>, at: Timestamp, digits: u8) -> Fit {
    use crate::calendar::{Style, push_timestamp};

    push_timestamp(out, at.0, Style::Iso, Some(digits));
    let unit = 10_i64.pow(u32::from(6 - digits.min(6)));
    let infinite = at == Timestamp::INFINITY || at == Timestamp::NEG_INFINITY;
    Fit::exact_if(infinite || at.0.rem_euclid(unit) == 0)
}

/// Appends a time with offset as `ZonedTime` text, in UTC.
pub(crate) fn push_zoned_time(out: &mut Vec<u8>, value: TimeTz) -> Fit {
    use crate::calendar::{DAY, push_time};

    let utc = if value.offset_seconds == 0 {
        value.time.0
    } else {
        (value.time.0 - i64::from(value.offset_seconds) * 1_000_000).rem_euclid(DAY)
    };
    push_time(out, utc.clamp(0, DAY), None);
    out.push(b'Z');
    Fit::exact_if(value.offset_seconds == 0 && (0..=DAY).contains(&value.time.0))
}

/// Appends a UUID's text.
pub(crate) fn push_uuid(out: &mut Vec<u8>, uuid: &[u8; 16]) {
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push(b'-');
        }
        out.extend_from_slice(&[hex_digit(byte >> 4), hex_digit(byte & 15)]);
    }
}

/// The lower-case hexadecimal digit of `nibble`, which is below 16.
pub(crate) fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

/// Reads pairs of hexadecimal digits.
pub(crate) fn parse_hex(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = text.as_chunks::<2>();
    let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
    rest.is_empty().then(|| bytes.collect())?
}

/// Reads a UUID's text.
pub(crate) fn parse_uuid(text: &str) -> Option<[u8; 16]> {
    let bytes = text.as_bytes();
    let dashed =
        bytes.len() == 36 && [8, 13, 18, 23].iter().all(|at| bytes.get(*at) == Some(&b'-'));
    let digits: Vec<u8> = bytes.iter().copied().filter(|b| *b != b'-').collect();
    dashed.then(|| parse_hex(&digits)?.try_into().ok())?
}
