//! Integers and floats.

use std::str::FromStr;

use crate::value::ValueError;

/// Reads a 64-bit integer.
#[inline]
pub(super) fn int64(text: &[u8]) -> Result<i64, ValueError> {
    const EXPECTED: &str = "bigint";
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return Err(ValueError::Malformed { expected: EXPECTED });
    }
    // 19 digits always fit in 64 bits without sign.
    let mut value: u64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return Err(ValueError::Malformed { expected: EXPECTED });
        }
        value = value * 10 + u64::from(digit);
    }
    let signed =
        if is_negative { 0_i64.checked_sub_unsigned(value) } else { i64::try_from(value).ok() };
    signed.ok_or(ValueError::OutOfRange { expected: EXPECTED })
}

#[inline]
pub(super) fn int32(text: &[u8]) -> Result<i32, ValueError> {
    i32::try_from(int64(text)?).map_err(|_| ValueError::OutOfRange { expected: "integer" })
}

#[inline]
pub(super) fn int16(text: &[u8]) -> Result<i16, ValueError> {
    i16::try_from(int64(text)?).map_err(|_| ValueError::OutOfRange { expected: "smallint" })
}

/// Reads a float in decimal, or `NaN`, `Infinity`, `-Infinity`.
pub(super) fn float<F: FromStr>(text: &[u8]) -> Result<F, ValueError> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(ValueError::Malformed { expected: "floating point" })
}
