//! The text forms of PostgreSQL's types: text to typed [`Value`], and back.
//!
//! A [`TypePlan`] is compiled once per column from its type's oid, modifier and catalogue entry; it
//! then parses that column's text without allocation for every type of fixed size, and by sharing
//! the message's bytes for text. The server's output is shaped by the session settings pinned in
//! [`crate::wire::PINNED_SETTINGS`].
//!
//! # What is not representable
//! A timestamp after 294247-01-10 (PostgreSQL goes up to 294276) does not fit µs since 1970 in 64
//! bits and is [`ValueError::OutOfRange`].
//!
//! Source: <https://www.postgresql.org/docs/current/datatype.html>

use bytes::Bytes;
use cdc_model::{ColumnType, Decimal, Row, Text, Value};

use crate::pgoutput::{DecodeError, Tuple, TupleColumn};

mod array;
mod catalog;
pub mod copy_text;
mod number;
mod plan;
mod render;
mod time;

pub use catalog::{TypeCatalog, TypeInfo, TypeKind};
pub use plan::TypePlan;
pub use render::text;

use plan::Parser;

/// A text that is not in its type's form. Never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The text is not in the type's form.
    #[error("a value is not in the text form of {expected}")]
    Malformed {
        /// The type.
        expected: &'static str,
    },
    /// The text is not UTF-8.
    #[error("a text value is not UTF-8")]
    NotUtf8,
    /// The value lies outside what can be represented.
    #[error("a value of type {expected} is out of range")]
    OutOfRange {
        /// The type.
        expected: &'static str,
    },
    /// The server sent the binary form, which was not asked for.
    #[error("a value came in binary form")]
    BinaryForm,
}

/// Why a row could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// A column's value.
    #[error("column {column} cannot be read")]
    Value {
        /// Its index, from 0.
        column: usize,
        /// Why.
        #[source]
        source: ValueError,
    },
    /// The row's bytes.
    #[error("a row cannot be read")]
    Decode(#[from] DecodeError),
    /// The row has more or fewer columns than its relation.
    #[error("a row of {found} columns came for a relation of {expected}")]
    ColumnCount {
        /// Columns of the relation.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
    /// A line of COPY output is malformed.
    #[error("a line of COPY output is malformed")]
    CopyLine,
}

/// Reads the rows of one relation: a plan for each of its columns.
#[derive(Debug, Clone)]
pub struct RowPlan {
    columns: Box<[TypePlan]>,
}

impl RowPlan {
    /// Makes a plan for rows of these columns.
    pub fn new(columns: Vec<TypePlan>) -> Self {
        Self { columns: columns.into_boxed_slice() }
    }

    /// Returns the columns' plans.
    pub fn columns(&self) -> &[TypePlan] {
        &self.columns
    }

    /// Reads a row of the replication stream.
    ///
    /// # Errors
    /// If it does not fit the plan. Nothing of it may be guessed then.
    pub fn row(&self, tuple: &Tuple) -> Result<Row, RowError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut columns = tuple.columns();
        for (index, plan) in self.columns.iter().enumerate() {
            let column = columns
                .next()
                .ok_or(RowError::ColumnCount { expected: self.columns.len(), found: index })?;
            values.push(match column? {
                TupleColumn::Text(text) => plan
                    .parse_part(tuple.as_bytes(), text)
                    .map_err(|source| RowError::Value { column: index, source })?,
                TupleColumn::Null => Value::Null,
                TupleColumn::Unchanged => Value::Unchanged,
                TupleColumn::Binary(_) => {
                    let source = ValueError::BinaryForm;
                    return Err(RowError::Value { column: index, source });
                }
            });
        }
        match columns.next() {
            None => Ok(Row::new(values)),
            Some(Err(error)) => Err(error.into()),
            Some(Ok(_)) => {
                let expected = self.columns.len();
                Err(RowError::ColumnCount { expected, found: expected + 1 + columns.count() })
            }
        }
    }

    /// Reads a row of `COPY … TO STDOUT` in text format: one line, with or without its newline.
    ///
    /// # Errors
    /// As [`RowPlan::row`].
    pub fn copied_row(&self, line: &Bytes) -> Result<Row, RowError> {
        let mut values = Vec::with_capacity(self.columns.len());
        let mut fields = copy_text::Fields::new(line);
        for (index, plan) in self.columns.iter().enumerate() {
            let value_error = |source| RowError::Value { column: index, source };
            let field = fields
                .next()
                .ok_or(RowError::ColumnCount { expected: self.columns.len(), found: index })?;
            values.push(match field.map_err(|_| RowError::CopyLine)? {
                copy_text::Field::Null => Value::Null,
                copy_text::Field::Plain(text) => {
                    plan.parse_part(line, text).map_err(value_error)?
                }
                copy_text::Field::Unescaped(text) => {
                    plan.parse_part(&text, &text).map_err(value_error)?
                }
            });
        }
        let rest = fields.count();
        if rest > 0 {
            let expected = self.columns.len();
            return Err(RowError::ColumnCount { expected, found: expected + rest });
        }
        Ok(Row::new(values))
    }
}

impl TypePlan {
    /// Returns the type of the values it makes.
    pub fn column_type(&self) -> &ColumnType {
        &self.column_type
    }

    /// Reads a value, sharing `text` where the value holds text.
    ///
    /// # Errors
    /// If `text` is not in the type's form.
    pub fn parse(&self, text: &Bytes) -> Result<Value, ValueError> {
        self.parse_part(text, text)
    }

    /// Reads a value from `text`, a part of `whole`, whose bytes the value shares.
    ///
    /// # Errors
    /// If `text` is not in the type's form.
    #[inline]
    pub fn parse_part(&self, whole: &Bytes, text: &[u8]) -> Result<Value, ValueError> {
        parse(&self.parser, whole, text)
    }
}

fn parse(parser: &Parser, whole: &Bytes, text: &[u8]) -> Result<Value, ValueError> {
    Ok(match parser {
        Parser::Bool => match text {
            b"t" => Value::Bool(true),
            b"f" => Value::Bool(false),
            _ => return Err(ValueError::Malformed { expected: "boolean" }),
        },
        Parser::Int16 => Value::Int16(number::int16(text)?),
        Parser::Int32 => Value::Int32(number::int32(text)?),
        Parser::Int64 => Value::Int64(number::int64(text)?),
        Parser::Float32 => Value::Float32(number::float(text)?),
        Parser::Float64 => Value::Float64(number::float(text)?),
        Parser::Decimal => Value::Decimal(decimal(whole, text)?),
        Parser::Text => Value::Text(share(whole, text)?),
        Parser::Bytes => Value::Bytes(bytea(text)?),
        Parser::Date => Value::Date(time::date(text)?),
        Parser::Time => Value::Time(time::time(text)?),
        Parser::TimeTz => Value::TimeTz(time::time_tz(text)?),
        Parser::Timestamp => Value::Timestamp(time::timestamp(text)?),
        Parser::TimestampTz => Value::TimestampTz(time::timestamp_tz(text)?),
        Parser::Interval => Value::Interval(time::interval(text)?),
        Parser::Uuid => Value::Uuid(uuid(text)?),
        Parser::Array(plan) => Value::Array(array::array(plan, whole, text)?),
    })
}

#[inline]
fn share(whole: &Bytes, text: &[u8]) -> Result<Text, ValueError> {
    Text::try_from(whole.slice_ref(text)).map_err(|_| ValueError::NotUtf8)
}

fn decimal(whole: &Bytes, text: &[u8]) -> Result<Decimal, ValueError> {
    Decimal::parse(share(whole, text)?).ok_or(ValueError::Malformed { expected: "numeric" })
}

/// Reads `\x` and hexadecimal digits.
fn bytea(text: &[u8]) -> Result<Bytes, ValueError> {
    const MALFORMED: ValueError = ValueError::Malformed { expected: "bytea" };
    let digits = text.strip_prefix(b"\\x").ok_or(MALFORMED)?;
    let (pairs, odd) = digits.as_chunks::<2>();
    if !odd.is_empty() {
        return Err(MALFORMED);
    }
    let mut bytes = Vec::with_capacity(pairs.len());
    for &[high, low] in pairs {
        bytes.push(hex(high).ok_or(MALFORMED)? << 4 | hex(low).ok_or(MALFORMED)?);
    }
    Ok(Bytes::from(bytes))
}

fn uuid(text: &[u8]) -> Result<[u8; 16], ValueError> {
    const MALFORMED: ValueError = ValueError::Malformed { expected: "uuid" };
    let text: &[u8; 36] = text.try_into().map_err(|_| MALFORMED)?;
    let mut bytes = [0; 16];
    let mut out = bytes.iter_mut();
    let mut digits = text.iter().enumerate().filter_map(|(at, byte)| match at {
        8 | 13 | 18 | 23 => (*byte != b'-').then_some(None),
        _ => Some(hex(*byte)),
    });
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        let byte = out.next().ok_or(MALFORMED)?;
        *byte = high.ok_or(MALFORMED)? << 4 | low.ok_or(MALFORMED)?;
    }
    if out.next().is_some() { Err(MALFORMED) } else { Ok(bytes) }
}

#[inline]
fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
