//! Reading Avro's binary encoding, of bytes that may hold anything.

use bytes::Bytes;
use cdc_model::{Array, Date, Decimal, Interval, Text, Time, TimeTz, Timestamp, Value};

use crate::error::RecordError;
use crate::wire::{self, Wire};
use crate::{calendar, decimal};

pub(crate) type Result<T> = std::result::Result<T, RecordError>;

const ENDED: RecordError = RecordError::Malformed("it ends early");
const RANGE: RecordError = RecordError::Malformed("a value is out of its type's range");

/// A place in a record's bytes.
pub(crate) struct Cursor<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// Begins at `at`.
    pub(crate) fn new(bytes: &'a Bytes, at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or(ENDED)?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(crate) fn long(&mut self) -> Result<i64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(RecordError::Malformed("a number has more than ten bytes"))
    }

    fn int(&mut self) -> Result<i32> {
        i32::try_from(self.long()?).map_err(|_| RANGE)
    }

    /// The index of a union's branch.
    pub(crate) fn branch(&mut self) -> Result<usize> {
        usize::try_from(self.long()?).map_err(|_| RANGE)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(length).ok_or(ENDED)?;
        let taken = self.bytes.get(self.at..end).ok_or(ENDED)?;
        self.at = end;
        Ok(taken)
    }

    /// A length-prefixed piece.
    pub(crate) fn piece(&mut self) -> Result<&'a [u8]> {
        let length = usize::try_from(self.long()?).map_err(|_| RANGE)?;
        self.take(length)
    }

    /// A length-prefixed piece that shares the record's memory.
    fn shared(&mut self) -> Result<Bytes> {
        let length = self.piece()?.len();
        Ok(self.bytes.slice(self.at - length..self.at))
    }

    pub(crate) fn text(&mut self) -> Result<&'a str> {
        std::str::from_utf8(self.piece()?).map_err(|_| RecordError::Malformed("text is not UTF-8"))
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| ENDED)
    }

    /// Reads a value that is not null.
    #[inline]
    pub(crate) fn value(&mut self, wire: &Wire) -> Result<Value> {
        Ok(match wire {
            Wire::Bool => match self.byte()? {
                0 => Value::Bool(false),
                1 => Value::Bool(true),
                _ => return Err(RANGE),
            },
            Wire::Int16 => Value::Int16(i16::try_from(self.long()?).map_err(|_| RANGE)?),
            Wire::Int32 => Value::Int32(self.int()?),
            Wire::Int64 => Value::Int64(self.long()?),
            Wire::Float32 => Value::Float32(f32::from_le_bytes(self.fixed()?)),
            Wire::Float64 => Value::Float64(f64::from_le_bytes(self.fixed()?)),
            Wire::Decimal(scale) => number(self.piece()?, i32::from(*scale))?,
            Wire::VariableDecimal => {
                let scale = self.int()?;
                number(self.piece()?, scale)?
            }
            Wire::Text => Value::Text(
                Text::try_from(self.shared()?)
                    .map_err(|_| RecordError::Malformed("text is not UTF-8"))?,
            ),
            Wire::Bytes => Value::Bytes(self.shared()?),
            Wire::Date => Value::Date(Date(self.int()?)),
            Wire::TimeMillis => Value::Time(Time(i64::from(self.int()?) * 1000)),
            Wire::TimeMicros => Value::Time(Time(self.long()?)),
            Wire::TimestampMillis => {
                Value::Timestamp(wire::timestamp_of_millis(self.long()?).ok_or(RANGE)?)
            }
            Wire::TimestampMicros => Value::Timestamp(Timestamp(self.long()?)),
            Wire::ZonedTimestamp(_) => zoned_timestamp(self.text()?)?,
            Wire::ZonedTime => zoned_time(self.text()?)?,
            Wire::Duration => {
                Value::Interval(Interval { months: 0, days: 0, micros: self.long()? })
            }
            Wire::Uuid => Value::Uuid(wire::parse_uuid(self.text()?).ok_or(RANGE)?),
            Wire::Array(item, nullable) => self.array(item, *nullable)?,
        })
    }

    fn array(&mut self, item: &Wire, nullable: bool) -> Result<Value> {
        let mut elements = Vec::new();
        loop {
            let count = self.block()?;
            if count == 0 {
                break;
            }
            for _ in 0..count {
                let is_null = nullable && self.branch()? == 0;
                elements.push(if is_null { Value::Null } else { self.value(item)? });
            }
        }
        Ok(Value::Array(Array { elements: elements.into(), exact: None }))
    }

    /// Reads the count of a block's items; 0 ends an array. An item has at least one byte, so that
    /// a count cannot exceed what is left.
    pub(crate) fn block(&mut self) -> Result<usize> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        let count = usize::try_from(count.unsigned_abs()).map_err(|_| RANGE)?;
        if count > self.left() { Err(ENDED) } else { Ok(count) }
    }

    /// Skips `length` bytes.
    pub(crate) fn skip(&mut self, length: usize) -> Result<()> {
        self.take(length).map(|_| ())
    }
}

fn number(unscaled: &[u8], scale: i32) -> Result<Value> {
    let text = decimal::text(unscaled, scale).and_then(|text| Decimal::parse(Text::from(text)));
    text.map(Value::Decimal).ok_or(RecordError::Malformed("a decimal is out of range"))
}

/// Reads Debezium's `ZonedTimestamp`.
pub(crate) fn zoned_timestamp(text: &str) -> Result<Value> {
    let at = calendar::parse_timestamp(text).map(|at| Value::TimestampTz(Timestamp(at)));
    at.ok_or(RecordError::Malformed("a timestamp cannot be read"))
}

/// Reads Debezium's `ZonedTime`.
pub(crate) fn zoned_time(text: &str) -> Result<Value> {
    let (time, offset) =
        calendar::parse_time(text).ok_or(RecordError::Malformed("a time cannot be read"))?;
    Ok(Value::TimeTz(TimeTz { time: Time(time), offset_seconds: offset.unwrap_or(0) }))
}
