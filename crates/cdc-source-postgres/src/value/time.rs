//! Dates, times and intervals in ISO and `postgres` style.
//!
//! The calendar is the proleptic Gregorian one, with year 1 BC before year 1.
//!
//! Source: <https://www.postgresql.org/docs/current/datatype-datetime.html#DATATYPE-DATETIME-OUTPUT>

use cdc_model::{Date, Interval, Time, TimeTz, Timestamp};

use crate::value::ValueError;

pub(super) const DAY_MICROS: i64 = 86_400_000_000;

/// What PostgreSQL keeps for an infinite interval, from version 17 on.
pub(super) const INTERVAL_INFINITY: Interval =
    Interval { months: i32::MAX, days: i32::MAX, micros: i64::MAX };
pub(super) const INTERVAL_NEG_INFINITY: Interval =
    Interval { months: i32::MIN, days: i32::MIN, micros: i64::MIN };

/// Text that is read from the front.
#[derive(Clone, Copy)]
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    /// Takes `byte` off the front if it is there.
    #[inline]
    fn eat(&mut self, byte: u8) -> Option<()> {
        let (&first, rest) = self.0.split_first()?;
        if first != byte {
            return None;
        }
        self.0 = rest;
        Some(())
    }

    /// Takes exactly two digits.
    #[inline]
    fn two(&mut self) -> Option<i64> {
        let (&[a, b], rest) = self.0.split_first_chunk::<2>()?;
        let (a, b) = (a.wrapping_sub(b'0'), b.wrapping_sub(b'0'));
        if a > 9 || b > 9 {
            return None;
        }
        self.0 = rest;
        Some(i64::from(a * 10 + b))
    }

    /// Takes 1 to 18 digits; returns their value and count.
    #[inline]
    fn digits(&mut self) -> Option<(i64, u32)> {
        let mut value = 0_i64;
        let mut count = 0;
        while let Some((digit, rest)) = self.0.split_first() {
            let digit = digit.wrapping_sub(b'0');
            if digit > 9 {
                break;
            }
            if count == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit);
            count += 1;
            self.0 = rest;
        }
        (count > 0).then_some((value, count))
    }

    /// Takes `-` or `+` if it is there.
    fn sign(&mut self) -> Option<i64> {
        if self.eat(b'-').is_some() { Some(-1) } else { self.eat(b'+').map(|()| 1) }
    }

    /// Takes `.` and up to six digits if they are there; returns µs.
    #[inline]
    fn fraction(&mut self) -> Option<i64> {
        if self.eat(b'.').is_none() {
            return Some(0);
        }
        let (value, count) = self.digits()?;
        Some(value * 10_i64.pow(6_u32.checked_sub(count)?))
    }

    /// Takes `HH:MM:SS[.ffffff]`, at most 24:00:00; returns µs.
    #[inline]
    fn time(&mut self) -> Option<i64> {
        let hours = self.two()?;
        let micros = hours * 3_600_000_000 + self.after_hours()?;
        (micros <= DAY_MICROS).then_some(micros)
    }

    /// Takes `:MM:SS[.ffffff]`; returns µs.
    #[inline]
    fn after_hours(&mut self) -> Option<i64> {
        self.eat(b':')?;
        let minutes = self.two()?;
        self.eat(b':')?;
        let seconds = self.two()?;
        if minutes > 59 || seconds > 59 {
            return None;
        }
        Some((minutes * 60 + seconds) * 1_000_000 + self.fraction()?)
    }

    /// Takes `±HH[:MM[:SS]]`; returns seconds east of UTC.
    #[inline]
    fn offset(&mut self) -> Option<i64> {
        let sign = self.sign()?;
        let mut seconds = self.two()? * 3600;
        if self.eat(b':').is_some() {
            seconds += self.two()? * 60;
            if self.eat(b':').is_some() {
                seconds += self.two()?;
            }
        }
        Some(sign * seconds)
    }

    /// Takes `YYYY-MM-DD` with four or more digits of year.
    #[inline]
    fn date(&mut self) -> Option<(i64, i64, i64)> {
        let (year, _) = self.digits()?;
        self.eat(b'-')?;
        let month = self.two()?;
        self.eat(b'-')?;
        Some((year, month, self.two()?))
    }

    /// Takes ` BC` if it is there.
    #[inline]
    fn is_bc(&mut self) -> bool {
        let rest = self.0.strip_prefix(b" BC");
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }
}

/// Returns days since 1970 of a date, year 0 being 1 BC; none if there is no such date.
#[inline]
fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(is_leap),
        _ => return None,
    };
    if day < 1 || day > last || year > 10_000_000 {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year; 400 years are an era.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// Returns the days of a date as printed: year 1 and up, BC or not.
#[inline]
fn days_of((year, month, day): (i64, i64, i64), is_bc: bool) -> Option<i64> {
    if year == 0 {
        return None;
    }
    days(if is_bc { 1 - year } else { year }, month, day)
}

#[inline]
fn whole<T>(
    text: &[u8],
    expected: &'static str,
    read: impl FnOnce(&mut Scanner<'_>) -> Option<T>,
) -> Result<T, ValueError> {
    let mut scanner = Scanner(text);
    match read(&mut scanner) {
        Some(value) if scanner.0.is_empty() => Ok(value),
        _ => Err(ValueError::Malformed { expected }),
    }
}

pub(super) fn date(text: &[u8]) -> Result<Date, ValueError> {
    match text {
        b"infinity" => return Ok(Date::INFINITY),
        b"-infinity" => return Ok(Date::NEG_INFINITY),
        _ => {}
    }
    let days = whole(text, "date", |scanner| {
        let date = scanner.date()?;
        days_of(date, scanner.is_bc())
    })?;
    i32::try_from(days).map(Date).map_err(|_| ValueError::OutOfRange { expected: "date" })
}

pub(super) fn time(text: &[u8]) -> Result<Time, ValueError> {
    whole(text, "time", |scanner| Some(Time(scanner.time()?)))
}

pub(super) fn time_tz(text: &[u8]) -> Result<TimeTz, ValueError> {
    whole(text, "timetz", |scanner| {
        let time = Time(scanner.time()?);
        Some(TimeTz { time, offset_seconds: i32::try_from(scanner.offset()?).ok()? })
    })
}

pub(super) fn timestamp(text: &[u8]) -> Result<Timestamp, ValueError> {
    instant(text, "timestamp", false)
}

pub(super) fn timestamp_tz(text: &[u8]) -> Result<Timestamp, ValueError> {
    instant(text, "timestamptz", true)
}

#[inline]
fn instant(text: &[u8], expected: &'static str, has_zone: bool) -> Result<Timestamp, ValueError> {
    match text {
        b"infinity" => return Ok(Timestamp::INFINITY),
        b"-infinity" => return Ok(Timestamp::NEG_INFINITY),
        _ => {}
    }
    let (days, micros) = whole(text, expected, |scanner| {
        let date = scanner.date()?;
        scanner.eat(b' ')?;
        let time = scanner.time()?;
        let offset = if has_zone { scanner.offset()? } else { 0 };
        Some((days_of(date, scanner.is_bc())?, time - offset * 1_000_000))
    })?;
    days.checked_mul(DAY_MICROS)
        .and_then(|day| day.checked_add(micros))
        // The extremes mean infinity.
        .filter(|micros| *micros != i64::MAX && *micros != i64::MIN)
        .map(Timestamp)
        .ok_or(ValueError::OutOfRange { expected })
}

/// Reads `1 year 2 mons -3 days -04:05:06.789`, any part of which may be missing.
pub(super) fn interval(text: &[u8]) -> Result<Interval, ValueError> {
    match text {
        b"infinity" => return Ok(INTERVAL_INFINITY),
        b"-infinity" => return Ok(INTERVAL_NEG_INFINITY),
        _ => {}
    }
    const OUT_OF_RANGE: ValueError = ValueError::OutOfRange { expected: "interval" };
    let (months, days, micros) = whole(text, "interval", |scanner| {
        let (mut months, mut days, mut micros) = (0_i64, 0_i64, 0_i64);
        loop {
            let sign = scanner.sign().unwrap_or(1);
            let (number, _) = scanner.digits()?;
            if scanner.0.first() == Some(&b':') {
                let hours = i128::from(number) * 3_600_000_000;
                let total = (hours + i128::from(scanner.after_hours()?)) * i128::from(sign);
                micros = i64::try_from(total).ok()?;
                break;
            }
            scanner.eat(b' ')?;
            let end = scanner.0.iter().position(|byte| *byte == b' ');
            let (unit, rest) = scanner.0.split_at(end.unwrap_or(scanner.0.len()));
            scanner.0 = rest;
            match unit {
                b"year" | b"years" => {
                    months = months.checked_add((sign * number).checked_mul(12)?)?;
                }
                b"mon" | b"mons" => months = months.checked_add(sign * number)?,
                b"day" | b"days" => days = days.checked_add(sign * number)?,
                _ => return None,
            }
            if scanner.eat(b' ').is_none() {
                break;
            }
        }
        Some((months, days, micros))
    })?;
    Ok(Interval {
        months: i32::try_from(months).map_err(|_| OUT_OF_RANGE)?,
        days: i32::try_from(days).map_err(|_| OUT_OF_RANGE)?,
        micros,
    })
}
