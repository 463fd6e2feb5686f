//! A value in the form its column travels in, checked to be one that the column can hold.

use std::fmt::Write as _;
use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{Date, Interval, Text, Time, TimeTz, Timestamp, Value};

use crate::kind::Kind;

/// A value on its way into a column of some [`Kind`].
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Cell {
    Null,
    /// As the stored row has it; gone before anything is written.
    Unchanged,
    Bool(bool),
    /// Integers, days, microseconds.
    Int(i64),
    Float(f32),
    Double(f64),
    /// An unscaled decimal.
    Decimal(i128),
    Text(Text),
    Bytes(Bytes),
    List(Arc<[Option<Text>]>),
}

/// One row of cells, in the order of its layout's columns.
pub(crate) type Cells = Box<[Cell]>;

const OTHER_TYPE: &str = "its type is not the column's";

impl Cell {
    /// Makes the cell for `value` in a column of `kind`.
    ///
    /// # Errors
    /// Why the column cannot hold it.
    pub(crate) fn of(value: &Value, kind: &Kind) -> Result<Self, &'static str> {
        Ok(match (value, kind) {
            (Value::Null, _) => Self::Null,
            (Value::Unchanged, _) => Self::Unchanged,
            (Value::Bool(v), Kind::Bool) => Self::Bool(*v),
            (Value::Int16(v), Kind::Int16 | Kind::Int32 | Kind::Int64) => Self::Int((*v).into()),
            (Value::Int32(v), Kind::Int32 | Kind::Int64) => Self::Int((*v).into()),
            (Value::Int64(v), Kind::Int64) => Self::Int(*v),
            (Value::Float32(v), Kind::Float32) => Self::Float(*v),
            (Value::Float32(v), Kind::Float64) => Self::Double((*v).into()),
            (Value::Float64(v), Kind::Float64) => Self::Double(*v),
            (Value::Decimal(v), Kind::Text) => Self::Text(Text::from(v.as_str().to_owned())),
            (Value::Decimal(v), Kind::Decimal(precision, scale)) if v.is_finite() => {
                Self::Decimal(unscaled(v.as_str(), *precision, *scale)?)
            }
            (Value::Decimal(_), Kind::Decimal(..)) => {
                return Err("a decimal holds no NaN and no infinity");
            }
            (Value::Text(v), Kind::Text) => Self::Text(v.clone()),
            (Value::Bytes(v), Kind::Bytes) => Self::Bytes(v.clone()),
            (Value::Date(v), Kind::Date) => Self::Int(days(*v)?.into()),
            (Value::Time(v), Kind::Time) => Self::Int(time(*v)?),
            (Value::TimeTz(v), Kind::TimeTz) => Self::text(time_tz(*v)?),
            (Value::Timestamp(v), Kind::Timestamp) | (Value::TimestampTz(v), Kind::TimestampTz) => {
                Self::Int(micros(*v)?)
            }
            (Value::Interval(v), Kind::Interval) => Self::text(interval(*v)?),
            (Value::Uuid(v), Kind::Uuid) => Self::text(uuid(v)),
            (Value::Array(array), Kind::List(element)) => {
                if array.exact.is_some() {
                    return Err("a list has one dimension and begins at 1");
                }
                let texts = array.elements.iter().map(|value| element_text(value, element));
                Self::List(texts.collect::<Result<_, _>>()?)
            }
            _ => return Err(OTHER_TYPE),
        })
    }

    /// Returns the cell as a column of `to` has it after DuckDB's cast from `from`. `None` for
    /// casts that no change of type asks for.
    pub(crate) fn widened(&self, from: &Kind, to: &Kind) -> Option<Self> {
        Some(match (self, from, to) {
            (Self::Null | Self::Text(_) | Self::Int(_) | Self::List(_), _, _) => self.clone(),
            (Self::Float(v), Kind::Float32, Kind::Float64) => Self::Double((*v).into()),
            (Self::Decimal(v), Kind::Decimal(_, held), Kind::Decimal(_, new)) => {
                Self::Decimal(v.checked_mul(10_i128.checked_pow((new - held).into())?)?)
            }
            (Self::Decimal(v), Kind::Decimal(_, scale), Kind::Text) => {
                let scale = usize::from(*scale);
                let digits = format!("{:0>1$}", v.unsigned_abs(), scale + 1);
                let (whole, fraction) = digits.split_at_checked(digits.len() - scale)?;
                let sign = if *v < 0 { "-" } else { "" };
                let point = if scale > 0 { "." } else { "" };
                Self::text(format!("{sign}{whole}{point}{fraction}"))
            }
            _ => return None,
        })
    }

    fn text(text: String) -> Self {
        Self::Text(Text::from(text))
    }

    /// Appends bytes that are equal for cells that the source's index, and DuckDB's `=`, hold
    /// equal: zero has one sign and NaN one form.
    pub(crate) fn write_key(&self, out: &mut Vec<u8>) {
        match self {
            Self::Float(v) => Self::Double(canonical(f64::from(*v))).write(out),
            Self::Double(v) => Self::Double(canonical(*v)).write(out),
            other => other.write(out),
        }
    }

    /// Appends the cell's bytes: equal for equal cells, and never the beginning of another's.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0),
            Self::Unchanged => out.push(1),
            Self::Bool(v) => out.extend([2, u8::from(*v)]),
            Self::Int(v) => tagged(out, 3, &v.to_le_bytes()),
            Self::Float(v) => tagged(out, 4, &v.to_le_bytes()),
            Self::Double(v) => tagged(out, 5, &v.to_le_bytes()),
            Self::Decimal(v) => tagged(out, 6, &v.to_le_bytes()),
            Self::Text(v) => sized(out, 7, v.as_bytes()),
            Self::Bytes(v) => sized(out, 8, v),
            Self::List(elements) => {
                tagged(out, 9, &(elements.len() as u64).to_le_bytes());
                for element in elements.iter() {
                    match element {
                        Some(text) => sized(out, 7, text.as_bytes()),
                        None => out.push(0),
                    }
                }
            }
        }
    }

    /// Reads back what [`Cell::write`] wrote, and moves `bytes` past it. `None` if it is not that.
    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        Some(match take::<1>(bytes)? {
            [0] => Self::Null,
            [1] => Self::Unchanged,
            [2] => Self::Bool(take::<1>(bytes)? == [1]),
            [3] => Self::Int(i64::from_le_bytes(take(bytes)?)),
            [4] => Self::Float(f32::from_le_bytes(take(bytes)?)),
            [5] => Self::Double(f64::from_le_bytes(take(bytes)?)),
            [6] => Self::Decimal(i128::from_le_bytes(take(bytes)?)),
            [7] => Self::Text(Text::try_from(take_sized(bytes)?).ok()?),
            [8] => Self::Bytes(take_sized(bytes)?),
            [9] => {
                let count = u64::from_le_bytes(take(bytes)?);
                let elements = (0..count).map(|_| match Self::read(bytes)? {
                    Self::Null => Some(None),
                    Self::Text(text) => Some(Some(text)),
                    _ => None,
                });
                Self::List(elements.collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    out.extend_from_slice(bytes);
}

fn sized(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    tagged(out, tag, &(bytes.len() as u64).to_le_bytes());
    out.extend_from_slice(bytes);
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

fn take_sized(bytes: &mut &[u8]) -> Option<Bytes> {
    let length = usize::try_from(u64::from_le_bytes(take(bytes)?)).ok()?;
    let (head, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(Bytes::copy_from_slice(head))
}

fn canonical(value: f64) -> f64 {
    if value == 0.0 {
        0.0
    } else if value.is_nan() {
        f64::NAN
    } else {
        value
    }
}

/// Reads a finite decimal's digits as `value * 10^scale`, exactly.
fn unscaled(text: &str, precision: u8, scale: u8) -> Result<i128, &'static str> {
    const TOO_LONG: &str = "it has more digits than the column";
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let scale = usize::from(scale);
    let (kept, cut) = fraction.split_at_checked(scale).unwrap_or((fraction, ""));
    if cut.bytes().any(|digit| digit != b'0') {
        return Err(TOO_LONG);
    }
    let zeros = scale.saturating_sub(kept.len());
    let mut digits = whole.bytes().chain(kept.bytes()).chain(std::iter::repeat_n(b'0', zeros));
    let bound = 10_i128.pow(precision.into());
    let value = digits.try_fold(0_i128, |value, digit| {
        let value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        (value < bound).then_some(value)
    });
    let value = value.ok_or(TOO_LONG)?;
    Ok(if is_negative { -value } else { value })
}

/// DuckDB's infinities lie symmetrically, the source's at both ends of the integer.
fn days(date: Date) -> Result<i32, &'static str> {
    match date {
        Date::NEG_INFINITY => Ok(-i32::MAX),
        Date(days) if days == -i32::MAX => Err("the date is out of range"),
        Date(days) => Ok(days),
    }
}

fn micros(timestamp: Timestamp) -> Result<i64, &'static str> {
    // 290309-12-22 (BC): DuckDB reads no earlier instant as a date.
    const EARLIEST: i64 = -9_223_372_022_400_000_000;
    match timestamp {
        Timestamp::NEG_INFINITY => Ok(-i64::MAX),
        Timestamp(micros) if micros < EARLIEST => Err("the timestamp is out of range"),
        Timestamp(micros) => Ok(micros),
    }
}

fn time(Time(micros): Time) -> Result<i64, &'static str> {
    if (0..=86_400_000_000).contains(&micros) { Ok(micros) } else { Err("it is no time of day") }
}

fn clock(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{fraction:06}", seconds % 60)
}

fn time_tz(value: TimeTz) -> Result<String, &'static str> {
    let offset = value.offset_seconds;
    if offset.unsigned_abs() >= 16 * 3600 {
        return Err("its offset is out of range");
    }
    let sign = if offset < 0 { '-' } else { '+' };
    let (time, offset) = (clock(time(value.time)?), offset.unsigned_abs());
    let (hours, minutes, seconds) = (offset / 3600, offset / 60 % 60, offset % 60);
    Ok(format!("{time}{sign}{hours:02}:{minutes:02}:{seconds:02}"))
}

fn interval(value: Interval) -> Result<String, &'static str> {
    if value.micros == i64::MIN {
        return Err("the interval is out of range");
    }
    Ok(format!("{} months {} days {} microseconds", value.months, value.days, value.micros))
}

fn uuid(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        write!(text, "{byte:02x}").expect("invariant: writing to a string never fails");
    }
    text
}

/// The form in which DuckDB's cast from text yields exactly the element.
fn element_text(value: &Value, kind: &Kind) -> Result<Option<Text>, &'static str> {
    let text = match Cell::of(value, kind)? {
        Cell::Null => return Ok(None),
        Cell::Unchanged | Cell::List(_) => return Err(OTHER_TYPE),
        Cell::Text(text) => return Ok(Some(text)),
        Cell::Bool(v) => v.to_string(),
        Cell::Float(v) => format!("{v:e}"),
        Cell::Double(v) => format!("{v:e}"),
        Cell::Decimal(_) => match value {
            Value::Decimal(decimal) => decimal.as_str().to_owned(),
            _ => return Err(OTHER_TYPE),
        },
        Cell::Bytes(v) => v.iter().fold(String::new(), |text, byte| format!("{text}\\x{byte:02X}")),
        Cell::Int(v) => match kind {
            Kind::Date => date_text(v),
            Kind::Time => clock(v),
            Kind::Timestamp => timestamp_text(v),
            Kind::TimestampTz => {
                let text = timestamp_text(v);
                if text.ends_with("infinity") { text } else { format!("{text}+00") }
            }
            _ => v.to_string(),
        },
    };
    Ok(Some(Text::from(text)))
}

fn date_text(days: i64) -> String {
    match days {
        d if d == i64::from(i32::MAX) => return "infinity".to_owned(),
        d if d == -i64::from(i32::MAX) => return "-infinity".to_owned(),
        _ => {}
    }
    let (year, month, day) = civil(days);
    if year > 0 {
        format!("{year:04}-{month:02}-{day:02}")
    } else {
        format!("{:04}-{month:02}-{day:02} (BC)", 1 - year)
    }
}

fn timestamp_text(micros: i64) -> String {
    const DAY: i64 = 86_400_000_000;
    match micros {
        i64::MAX => return "infinity".to_owned(),
        v if v == -i64::MAX => return "-infinity".to_owned(),
        _ => {}
    }
    let date = date_text(micros.div_euclid(DAY));
    let clock = clock(micros.rem_euclid(DAY));
    match date.strip_suffix(" (BC)") {
        Some(date) => format!("{date} (BC) {clock}"),
        None => format!("{date} {clock}"),
    }
}

/// Year, month and day of a day since 1970 in the proleptic Gregorian calendar; year 0 is 1 BC.
fn civil(days: i64) -> (i64, i64, i64) {
    // Eras of 400 years, each beginning on 1 March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly_or_refused() {
        for (text, precision, scale, unscaled_value) in [
            ("12.50", 10, 2, Ok(1250)),
            ("-0.05", 3, 2, Ok(-5)),
            ("7", 5, 3, Ok(7000)),
            ("1.100", 5, 1, Ok(11)),
            ("1.11", 5, 1, Err(())),
            ("1000", 3, 0, Err(())),
            ("99999999999999999999999999999999999999", 38, 0, Ok(10_i128.pow(38) - 1)),
        ] {
            assert_eq!(unscaled(text, precision, scale).map_err(drop), unscaled_value, "{text}");
        }
    }

    #[test]
    fn days_become_calendar_dates() {
        for (days, text) in [
            (0, "1970-01-01"),
            (-1, "1969-12-31"),
            (11_016, "2000-02-29"),
            (-719_163, "0001-01-01 (BC)"),
            (-719_162, "0001-01-01"),
        ] {
            let text = if days == -719_163 { "0001-12-31 (BC)" } else { text };
            assert_eq!(date_text(days), text);
        }
    }

    #[test]
    fn cells_come_back_from_their_bytes() {
        let cells = [
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(-1),
            Cell::Float(1.5),
            Cell::Double(-2.5),
            Cell::Decimal(-10_i128.pow(37)),
            Cell::Text(Text::from("žluť")),
            Cell::Bytes(Bytes::from_static(b"\0\xff")),
            Cell::List([None, Some(Text::from(""))].into()),
        ];
        let mut bytes = Vec::new();
        cells.iter().for_each(|cell| cell.write(&mut bytes));
        let mut rest = &bytes[..];
        for cell in &cells {
            assert_eq!(Cell::read(&mut rest).as_ref(), Some(cell));
        }
        assert!(rest.is_empty());
    }
}
