//! A value's text, as the server prints it with the settings pinned for our sessions.

use std::fmt::Write as _;

use cdc_model::{Date, Interval, Value};

use crate::value::array;
use crate::value::time::{DAY_MICROS, INTERVAL_INFINITY, INTERVAL_NEG_INFINITY};

/// Returns the text the server prints for `value`; empty for NULL and for an unchanged column,
/// which have none.
///
/// Floats are the shortest text that reads back as the same float. Where two are equally short the
/// server's choice may differ.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    render(value, &mut out);
    out
}

fn render(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Unchanged => {}
        Value::Bool(value) => out.push(if *value { 't' } else { 'f' }),
        Value::Int16(value) => put(out, format_args!("{value}")),
        Value::Int32(value) => put(out, format_args!("{value}")),
        Value::Int64(value) => put(out, format_args!("{value}")),
        Value::Float32(value) => float(&format!("{value:e}"), 6, out),
        Value::Float64(value) => float(&format!("{value:e}"), 15, out),
        Value::Decimal(value) => out.push_str(value.as_str()),
        Value::Text(value) => out.push_str(value.as_str()),
        Value::Bytes(value) => {
            out.push_str("\\x");
            for byte in value {
                put(out, format_args!("{byte:02x}"));
            }
        }
        Value::Date(value) => date(*value, out),
        Value::Time(value) => time(value.0, out),
        Value::TimeTz(value) => {
            time(value.time.0, out);
            offset(value.offset_seconds, out);
        }
        Value::Timestamp(value) => instant(value.0, "", out),
        Value::TimestampTz(value) => instant(value.0, "+00", out),
        Value::Interval(value) => interval(*value, out),
        Value::Uuid(bytes) => {
            for (index, byte) in bytes.iter().enumerate() {
                out.push_str(if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" });
                put(out, format_args!("{byte:02x}"));
            }
        }
        Value::Array(value) => match &value.exact {
            Some(exact) => out.push_str(exact.as_str()),
            None => array::render(&value.elements, out, render),
        },
    }
}

fn put(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    out.write_fmt(arguments).unwrap_or_default();
}

/// Turns `-1.25e-7` into the server's form: plain if the exponent is in `-4..fixed_max`.
fn float(scientific: &str, fixed_max: i32, out: &mut String) {
    let (mantissa, exponent) = match scientific.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().unwrap_or(0)),
        None => {
            out.push_str(match scientific {
                "inf" => "Infinity",
                "-inf" => "-Infinity",
                other => other,
            });
            return;
        }
    };
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    out.push_str(sign);
    if !(-4..fixed_max).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        put(out, format_args!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()));
        return;
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    match usize::try_from(exponent) {
        Err(_) => {
            let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
            put(out, format_args!("0.{zeros}{digits}"));
        }
        Ok(exponent) if digits.len() <= exponent + 1 => {
            put(out, format_args!("{digits:0<width$}", width = exponent + 1));
        }
        Ok(exponent) => {
            let (whole, fraction) = digits.split_at(exponent + 1);
            put(out, format_args!("{whole}.{fraction}"));
        }
    }
}

fn date(date: Date, out: &mut String) {
    match date {
        Date::INFINITY => out.push_str("infinity"),
        Date::NEG_INFINITY => out.push_str("-infinity"),
        Date(days) => {
            let suffix = calendar_date(days.into(), out);
            out.push_str(suffix);
        }
    }
}

/// Appends `YYYY-MM-DD`; returns what is to follow at the end.
fn calendar_date(days: i64, out: &mut String) -> &'static str {
    // Years begin in March, so that the leap day is the last of its year; 400 years are an era.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (year, suffix) = if year > 0 { (year, "") } else { (1 - year, " BC") };
    put(out, format_args!("{year:04}-{month:02}-{day:02}"));
    suffix
}

/// Appends `HH:MM:SS[.ffffff]` without trailing zeros.
fn time(micros: i64, out: &mut String) {
    let seconds = micros / 1_000_000;
    put(out, format_args!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        let digits = format!(".{fraction:06}");
        out.push_str(digits.trim_end_matches('0'));
    }
}

fn offset(seconds: i32, out: &mut String) {
    let sign = if seconds < 0 { '-' } else { '+' };
    let seconds = seconds.unsigned_abs();
    put(out, format_args!("{sign}{:02}", seconds / 3600));
    if !seconds.is_multiple_of(3600) {
        put(out, format_args!(":{:02}", seconds / 60 % 60));
    }
    if !seconds.is_multiple_of(60) {
        put(out, format_args!(":{:02}", seconds % 60));
    }
}

fn instant(micros: i64, zone: &str, out: &mut String) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        micros => {
            let suffix = calendar_date(micros.div_euclid(DAY_MICROS), out);
            out.push(' ');
            time(micros.rem_euclid(DAY_MICROS), out);
            out.push_str(zone);
            out.push_str(suffix);
        }
    }
}

fn interval(interval: Interval, out: &mut String) {
    match interval {
        INTERVAL_INFINITY => return out.push_str("infinity"),
        INTERVAL_NEG_INFINITY => return out.push_str("-infinity"),
        _ => {}
    }
    let mut was_negative = false;
    let parts =
        [(interval.months / 12, "year"), (interval.months % 12, "mon"), (interval.days, "day")];
    for (number, unit) in parts.into_iter().filter(|(number, _)| *number != 0) {
        out.push_str(if out.is_empty() { "" } else { " " });
        out.push_str(if was_negative && number > 0 { "+" } else { "" });
        put(out, format_args!("{number} {unit}{}", if number == 1 { "" } else { "s" }));
        was_negative = number < 0;
    }
    if interval.micros == 0 && !out.is_empty() {
        return;
    }
    out.push_str(if out.is_empty() { "" } else { " " });
    out.push_str(match (interval.micros < 0, was_negative) {
        (true, _) => "-",
        (false, true) => "+",
        (false, false) => "",
    });
    let micros = interval.micros.unsigned_abs();
    let hours = micros / 3_600_000_000;
    put(out, format_args!("{hours:02}"));
    let mut rest = String::new();
    // Less than an hour: the text up to its first colon is "00".
    time(i64::try_from(micros % 3_600_000_000).unwrap_or(0), &mut rest);
    out.push_str(rest.strip_prefix("00").unwrap_or(&rest));
}
