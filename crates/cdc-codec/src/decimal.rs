//! Exact decimals between PostgreSQL's text and Connect's unscaled big-endian two's complement.
//!
//! Up to 38 digits go through `i128`; longer ones through a big integer.

use num_bigint::BigInt;

use crate::wire::Fit;

/// The longest unscaled value read, in bytes: above what PostgreSQL's 147,455 digits need.
const BYTES_MAX: usize = 65_536;
/// The largest scale read: PostgreSQL's digits after the point.
const SCALE_MAX: i32 = 16_383;

/// The parts of a finite decimal's text.
#[derive(Clone, Copy)]
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

fn parts(text: &str) -> Option<Parts<'_>> {
    let digits = text.strip_prefix('-');
    let (whole, fraction) =
        digits.unwrap_or(text).split_once('.').unwrap_or((digits.unwrap_or(text), ""));
    whole.starts_with(|c: char| c.is_ascii_digit()).then_some(Parts {
        negative: digits.is_some(),
        whole,
        fraction,
    })
}

impl Parts<'_> {
    /// Whether the text is the one that comes back for its number at a scale of
    /// `self.fraction.len()`.
    fn is_canonical(&self) -> bool {
        let zero = |text: &str| text.bytes().all(|b| b == b'0');
        let padded = self.whole.len() > 1 && self.whole.starts_with('0');
        let minus_zero = self.negative && zero(self.whole) && zero(self.fraction);
        !(padded || minus_zero)
    }

    /// Appends the unscaled value with `scale` digits after the point, cutting off what exceeds it.
    fn push_unscaled(&self, out: &mut Vec<u8>, scale: usize) {
        let kept = self.fraction.get(..scale).unwrap_or(self.fraction);
        let zeros = scale - kept.len();
        if self.whole.len() + scale <= 38 {
            let digits = self.whole.bytes().chain(kept.bytes());
            let value = digits.fold(0_i128, |n, digit| n * 10 + i128::from(digit - b'0'));
            let value = (0..zeros).fold(value, |n, _| n * 10);
            let bytes = if self.negative { -value } else { value }.to_be_bytes();
            out.extend_from_slice(shortest(&bytes));
            return;
        }
        let mut digits = String::with_capacity(self.whole.len() + scale + 1);
        digits.push_str(if self.negative { "-" } else { "" });
        digits.push_str(self.whole);
        digits.push_str(kept);
        digits.extend(std::iter::repeat_n('0', zeros));
        let value = BigInt::parse_bytes(digits.as_bytes(), 10).unwrap_or_default();
        out.extend_from_slice(&value.to_signed_bytes_be());
    }
}

/// Cuts leading bytes that only repeat the sign.
fn shortest(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, second, ..] = rest {
        let repeats = (*first == 0 && *second < 0x80) || (*first == 0xff && *second >= 0x80);
        if !repeats {
            break;
        }
        rest = rest.get(1..).unwrap_or(rest);
    }
    rest
}

/// Appends the unscaled bytes of `text` at `scale`. Gives [`Fit::Absent`] for NaN and infinities.
pub(crate) fn push_fixed(out: &mut Vec<u8>, text: &str, scale: u16) -> Fit {
    let Some(parts) = parts(text) else {
        return Fit::Absent;
    };
    let scale = usize::from(scale);
    parts.push_unscaled(out, scale);
    Fit::exact_if(parts.fraction.len() == scale && parts.is_canonical())
}

/// Appends the unscaled bytes of `text` without trailing zeros after the point, and returns the
/// scale. Gives [`Fit::Absent`] for NaN and infinities.
pub(crate) fn push_variable(out: &mut Vec<u8>, text: &str) -> (i32, Fit) {
    let Some(parts) = parts(text) else {
        return (0, Fit::Absent);
    };
    let fraction = parts.fraction.trim_end_matches('0');
    parts.push_unscaled(out, fraction.len());
    let exact = fraction.len() == parts.fraction.len() && parts.is_canonical();
    (i32::try_from(fraction.len()).unwrap_or(i32::MAX), Fit::exact_if(exact))
}

/// Returns the text of an unscaled value, or `None` if no numeric of PostgreSQL's could be it.
pub(crate) fn text(unscaled: &[u8], scale: i32) -> Option<String> {
    let places = usize::try_from(scale).ok().filter(|_| scale <= SCALE_MAX)?;
    if unscaled.is_empty() || unscaled.len() > BYTES_MAX {
        return None;
    }
    if unscaled.len() > 16 {
        return Some(with_point(&BigInt::from_signed_bytes_be(unscaled).to_string(), places));
    }
    let fill = if unscaled.first().is_some_and(|b| *b >= 0x80) { 0xff } else { 0 };
    let mut bytes = [fill; 16];
    bytes.get_mut(16 - unscaled.len()..)?.copy_from_slice(unscaled);
    Some(with_point(itoa::Buffer::new().format(i128::from_be_bytes(bytes)), places))
}

/// Writes a whole number's digits with the last `places` of them after a point.
fn with_point(number: &str, places: usize) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("-", digits));
    let missing = (places + 1).saturating_sub(digits.len());
    let (whole, fraction) = digits.split_at(digits.len().saturating_sub(places));
    // Of just the size: the text is then taken over without a copy.
    let point = usize::from(places > 0);
    let mut text = String::with_capacity(sign.len() + missing + digits.len() + point);
    text.push_str(sign);
    if missing > 0 {
        text.push('0');
    } else {
        text.push_str(whole);
    }
    if places > 0 {
        text.push('.');
        text.extend(std::iter::repeat_n('0', missing.saturating_sub(1)));
        text.push_str(fraction);
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_fixed_decimal_reads_back(text in "-?(0|[1-9][0-9]{0,60})\\.[0-9]{7}") {
            let mut bytes = Vec::new();
            let fit = push_fixed(&mut bytes, &text, 7);
            let back = super::text(&bytes, 7).unwrap();
            prop_assert_eq!(fit == Fit::Exact, back == text, "{} {}", text, back);
        }

        #[test]
        fn a_variable_decimal_reads_back(text in "-?[0-9]{1,60}(\\.[0-9]{1,20})?") {
            let mut bytes = Vec::new();
            let (scale, fit) = push_variable(&mut bytes, &text);
            let back = super::text(&bytes, scale).unwrap();
            prop_assert_eq!(fit == Fit::Exact, back == text, "{} {}", text, back);
        }

        #[test]
        fn any_bytes_are_a_number_or_refused(bytes: Vec<u8>, scale: i32) {
            let _ = text(&bytes, scale);
        }
    }

    #[test]
    fn numbers_have_javas_shortest_bytes() {
        for (text, scale, bytes) in [
            ("1.10", 2, &[0x6e][..]),
            ("0.00", 2, &[0]),
            ("-0.01", 2, &[0xff]),
            ("9.99", 2, &[0x03, 0xe7]),
            ("1.28", 2, &[0, 0x80]),
            ("-1.28", 2, &[0x80]),
        ] {
            let mut out = Vec::new();
            assert_eq!(push_fixed(&mut out, text, scale), Fit::Exact);
            assert_eq!(out, bytes, "{text}");
        }
    }
}
