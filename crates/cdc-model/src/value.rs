//! One column's value.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::{Date, Interval, Time, TimeTz, Timestamp};

/// A typed value. [`crate::ColumnType`] says which variant a column's values have.
///
/// Floats are equal when their bits are, so that NaN equals itself and -0 differs from 0.
#[derive(Debug, Clone)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// The source did not send this column because it did not change (TOAST). Not NULL: whoever
    /// applies it leaves the column as it is.
    Unchanged,
    /// True or false.
    Bool(bool),
    /// 16-bit integer.
    Int16(i16),
    /// 32-bit integer.
    Int32(i32),
    /// 64-bit integer.
    Int64(i64),
    /// 32-bit float.
    Float32(f32),
    /// 64-bit float.
    Float64(f64),
    /// Exact decimal number, or NaN, or an infinity.
    Decimal(Decimal),
    /// Text.
    Text(Text),
    /// Bytes.
    Bytes(Bytes),
    /// Calendar date.
    Date(Date),
    /// Time of day.
    Time(Time),
    /// Time of day with offset.
    TimeTz(TimeTz),
    /// Date and time without zone.
    Timestamp(Timestamp),
    /// Instant.
    TimestampTz(Timestamp),
    /// Span of time.
    Interval(Interval),
    /// UUID, in its 16 bytes.
    Uuid([u8; 16]),
    /// Array.
    Array(Array),
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) | (Self::Unchanged, Self::Unchanged) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Int16(a), Self::Int16(b)) => a == b,
            (Self::Int32(a), Self::Int32(b)) => a == b,
            (Self::Int64(a), Self::Int64(b)) => a == b,
            (Self::Float32(a), Self::Float32(b)) => a.to_bits() == b.to_bits(),
            (Self::Float64(a), Self::Float64(b)) => a.to_bits() == b.to_bits(),
            (Self::Decimal(a), Self::Decimal(b)) => a == b,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Bytes(a), Self::Bytes(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Time(a), Self::Time(b)) => a == b,
            (Self::TimeTz(a), Self::TimeTz(b)) => a == b,
            (Self::Timestamp(a), Self::Timestamp(b))
            | (Self::TimestampTz(a), Self::TimestampTz(b)) => a == b,
            (Self::Interval(a), Self::Interval(b)) => a == b,
            (Self::Uuid(a), Self::Uuid(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

impl Value {
    /// Makes a text value that owns its bytes.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(Text::from(text.into()))
    }

    /// Returns about how many bytes the value keeps in memory, for bounds on queues.
    pub fn size(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::Text(text) => text.as_bytes().len(),
                Self::Bytes(bytes) => bytes.len(),
                Self::Decimal(decimal) => decimal.as_str().len(),
                Self::Array(array) => array.elements.iter().map(Self::size).sum(),
                _ => 0,
            }
    }
}

/// UTF-8 text that shares the bytes it was read from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Bytes);

impl Text {
    /// Returns the text.
    #[expect(clippy::missing_panics_doc, reason = "every constructor checks")]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("invariant: checked when it was made")
    }

    /// Returns the text's bytes.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }
}

impl TryFrom<Bytes> for Text {
    type Error = std::str::Utf8Error;

    fn try_from(bytes: Bytes) -> Result<Self, Self::Error> {
        std::str::from_utf8(&bytes)?;
        Ok(Self(bytes))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(Bytes::from(text))
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// An exact decimal in PostgreSQL's text form: `-12.50` (trailing zeros kept), `NaN`, `Infinity`,
/// `-Infinity`.
///
/// Up to 131,072 digits before and 16,383 after the point; never an exponent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Decimal(Text);

impl Decimal {
    /// Takes `text` if it is in the form described above.
    pub fn parse(text: Text) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
        let special = matches!(&bytes[..], b"NaN" | b"Infinity" | b"-Infinity");
        let mut parts = digits.split(|b| *b == b'.');
        let is_digits = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
        let plain = parts.next().is_some_and(is_digits)
            && parts.next().is_none_or(is_digits)
            && parts.next().is_none();
        (special || plain).then_some(Self(text))
    }

    /// Returns the text form.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Returns whether it is a number, not NaN or an infinity.
    pub fn is_finite(&self) -> bool {
        self.0.as_bytes().last().is_some_and(u8::is_ascii_digit)
    }
}

/// An array's elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// The elements; of an array with several dimensions, all of them in row-major order.
    pub elements: Arc<[Value]>,
    /// The source's text form, kept only where `elements` do not tell all: several dimensions, or
    /// a lower bound other than 1.
    pub exact: Option<Text>,
}
