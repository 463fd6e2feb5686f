//! Dates and times as text: ISO 8601 for the wire, PostgreSQL's own form for exact values.
//!
//! The calendar is the proleptic Gregorian one. ISO counts years astronomically (0 is 1 BC),
//! PostgreSQL writes `BC`.

/// Microseconds of a day.
pub(crate) const DAY: i64 = 86_400_000_000;

/// Which of the two text forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    /// `2024-02-29T11:51:30.120Z`, `-4712-01-01T…`, `+21016-11-04T…`.
    Iso,
    /// `2024-02-29 11:51:30.12`, `4713-01-01 … BC`.
    Postgres,
}

/// Days since 1970-01-01 of a civil date; months from 1.
///
/// Counts years from March, so that the leap day is a year's last.
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let shifted = month + if month > 2 { -3 } else { 9 };
    let year = if month > 2 { year } else { year - 1 };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + (153 * shifted + 2) / 5 + day - 1 - 719_468
}

/// The civil date of a day count: year, month, day.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Appends `value` in decimal with at least `width` digits.
fn push_padded(out: &mut Vec<u8>, value: i64, width: usize) {
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value);
    for _ in digits.len()..width {
        out.push(b'0');
    }
    out.extend_from_slice(digits.as_bytes());
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 100")]
fn push_two(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&[b'0' + (value / 10) as u8, b'0' + (value % 10) as u8]);
}

/// Appends a date without its `BC`, and returns whether that must follow.
fn push_date(out: &mut Vec<u8>, day: i64, style: Style) -> bool {
    let (year, month, day) = civil(day);
    let before_christ = style == Style::Postgres && year <= 0;
    if before_christ {
        push_padded(out, 1 - year, 4);
    } else {
        if year < 0 {
            out.push(b'-');
        } else if year > 9999 && style == Style::Iso {
            out.push(b'+');
        }
        push_padded(out, year.abs(), 4);
    }
    out.push(b'-');
    push_two(out, month);
    out.push(b'-');
    push_two(out, day);
    before_christ
}

/// Appends a date in PostgreSQL's form.
pub(crate) fn push_day(out: &mut Vec<u8>, day: i64) {
    if push_date(out, day, Style::Postgres) {
        out.extend_from_slice(b" BC");
    }
}

/// Appends `11:51:30`, and of the fraction exactly `digits` digits, or without trailing zeros.
pub(crate) fn push_time(out: &mut Vec<u8>, micros: i64, digits: Option<u8>) {
    let seconds = micros.div_euclid(1_000_000);
    push_two(out, seconds / 3600);
    out.push(b':');
    push_two(out, seconds / 60 % 60);
    out.push(b':');
    push_two(out, seconds % 60);
    let fraction = micros.rem_euclid(1_000_000);
    if digits.is_none() && fraction == 0 || digits == Some(0) {
        return;
    }
    let start = out.len();
    out.push(b'.');
    push_padded(out, fraction, 6);
    match digits {
        Some(digits) => out.truncate(start + 1 + usize::from(digits.min(6))),
        None => {
            while out.last() == Some(&b'0') {
                out.pop();
            }
        }
    }
}

/// Appends an instant or a local timestamp; the extremes are `infinity` and `-infinity`.
pub(crate) fn push_timestamp(out: &mut Vec<u8>, micros: i64, style: Style, digits: Option<u8>) {
    match micros {
        i64::MAX => out.extend_from_slice(b"infinity"),
        i64::MIN => out.extend_from_slice(b"-infinity"),
        _ => {
            let before_christ = push_date(out, micros.div_euclid(DAY), style);
            out.push(if style == Style::Iso { b'T' } else { b' ' });
            push_time(out, micros.rem_euclid(DAY), digits);
            if style == Style::Iso {
                out.push(b'Z');
            }
            if before_christ {
                out.extend_from_slice(b" BC");
            }
        }
    }
}

/// Reads a piece of text from its beginning.
struct Reader<'a>(&'a str);

impl<'a> Reader<'a> {
    fn eat(&mut self, prefix: &str) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Takes at least one digit, up to `max`.
    fn digits(&mut self, max: usize) -> Option<&'a str> {
        let end = self.0.bytes().take(max).take_while(u8::is_ascii_digit).count();
        let (digits, rest) = self.0.split_at_checked(end).filter(|_| end > 0)?;
        self.0 = rest;
        Some(digits)
    }

    fn number(&mut self, max: usize) -> Option<i64> {
        self.digits(max)?.parse().ok()
    }
}

fn read_date(reader: &mut Reader<'_>) -> Option<(i64, i64, i64)> {
    let negative = reader.eat("-");
    if !negative {
        reader.eat("+");
    }
    let year = reader.number(7)?;
    let month = reader.eat("-").then(|| reader.number(2))??;
    let day = reader.eat("-").then(|| reader.number(2))??;
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day);
    valid.then_some((if negative { -year } else { year }, month, day))
}

/// Makes a day count of what [`read_date`] read, refusing days that a month does not have.
fn day_of((year, month, day): (i64, i64, i64), before_christ: bool) -> Option<i64> {
    let year = if before_christ { 1 - year } else { year };
    let count = days(year, month, day);
    (civil(count) == (year, month, day)).then_some(count)
}

fn read_time(reader: &mut Reader<'_>) -> Option<i64> {
    let hours = reader.number(2)?;
    let minutes = reader.eat(":").then(|| reader.number(2))??;
    let seconds = if reader.eat(":") { reader.number(2)? } else { 0 };
    let mut micros = 0;
    if reader.eat(".") {
        let digits = reader.digits(6)?;
        let scale = 10_i64.pow(u32::try_from(6 - digits.len()).ok()?);
        micros = digits.parse::<i64>().ok()? * scale;
    }
    let total = ((hours * 60 + minutes) * 60 + seconds) * 1_000_000 + micros;
    (minutes < 60 && seconds < 60 && total <= DAY).then_some(total)
}

/// Reads `Z`, or an offset such as `+02`, `-05:30`, `+01:02:03`, in seconds east of UTC.
fn read_offset(reader: &mut Reader<'_>) -> Option<i32> {
    if reader.eat("Z") {
        return Some(0);
    }
    let negative = reader.eat("-");
    if !negative && !reader.eat("+") {
        return None;
    }
    let hours = reader.number(2)?;
    let minutes = if reader.eat(":") { reader.number(2)? } else { 0 };
    let seconds = if reader.eat(":") { reader.number(2)? } else { 0 };
    let total = i32::try_from((hours * 60 + minutes) * 60 + seconds).ok()?;
    (hours < 16 && minutes < 60 && seconds < 60).then_some(if negative { -total } else { total })
}

/// Reads a date in PostgreSQL's form.
pub(crate) fn parse_day(text: &str) -> Option<i64> {
    let mut reader = Reader(text);
    let date = read_date(&mut reader)?;
    let before_christ = reader.eat(" BC");
    reader.0.is_empty().then(|| day_of(date, before_christ))?
}

/// Reads a time of day, and its offset if it has one.
pub(crate) fn parse_time(text: &str) -> Option<(i64, Option<i32>)> {
    let mut reader = Reader(text);
    let time = read_time(&mut reader)?;
    let offset = if reader.0.is_empty() { None } else { Some(read_offset(&mut reader)?) };
    reader.0.is_empty().then_some((time, offset))
}

/// Reads a timestamp in either form, as microseconds since 1970 in UTC.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    match text {
        "infinity" => return Some(i64::MAX),
        "-infinity" => return Some(i64::MIN),
        _ => {}
    }
    let mut reader = Reader(text);
    let date = read_date(&mut reader)?;
    let time = if reader.eat("T") || reader.eat(" ") { read_time(&mut reader)? } else { 0 };
    let offset = match reader.0 {
        "" | " BC" => 0,
        _ => read_offset(&mut reader)?,
    };
    let before_christ = reader.eat(" BC");
    let day = reader.0.is_empty().then(|| day_of(date, before_christ))??;
    let micros = i128::from(day) * i128::from(DAY) + i128::from(time);
    i64::try_from(micros - i128::from(offset) * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn civil_dates_and_day_counts_are_each_others_inverse(day in -2_500_000_000_i64..2_500_000_000) {
            let (year, month, date) = civil(day);
            prop_assert_eq!(days(year, month, date), day);
        }

        #[test]
        fn a_timestamp_reads_back_from_both_forms(micros: i64) {
            for style in [Style::Iso, Style::Postgres] {
                let mut text = Vec::new();
                push_timestamp(&mut text, micros, style, Some(6));
                let text = String::from_utf8(text).unwrap();
                prop_assert_eq!(parse_timestamp(&text), Some(micros), "{}", text);
            }
        }

        #[test]
        fn no_text_makes_the_readers_panic(text: String) {
            let _ = (parse_timestamp(&text), parse_day(&text), parse_time(&text));
        }
    }

    #[test]
    fn known_dates_have_their_day_count() {
        for (text, day) in [
            ("1970-01-01", 0),
            ("2024-02-29", 19_782),
            ("1969-12-31", -1),
            ("0001-01-01", -719_162),
            ("4713-01-01 BC", -2_440_550),
            ("5874897-12-31", 2_145_042_905),
        ] {
            assert_eq!(parse_day(text), Some(day), "{text}");
        }
        assert_eq!(parse_day("2023-02-29"), None);
    }
}
