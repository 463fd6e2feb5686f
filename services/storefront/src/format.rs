//! Numbers and times as people read them.

use maud::{Markup, html};

/// An amount of money, in hundredths of a euro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Cents(pub(crate) i64);

impl Cents {
    /// Writes `€ 1,234.50`.
    pub(crate) fn text(self) -> String {
        let sign = if self.0 < 0 { "−" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 100, self.0.unsigned_abs() % 100);
        format!("{sign}€\u{202f}{}.{part:02}", group(whole))
    }

    /// Writes it without hundredths from a thousand on.
    pub(crate) fn short(self) -> String {
        if self.0 < 100_000 {
            return self.text();
        }
        format!("€\u{202f}{}", group(self.0.unsigned_abs() / 100))
    }
}

/// Groups digits by three.
pub(crate) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes `1 order`, `2 orders`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{}\u{a0}{noun}{ending}", group(number))
}

/// A duration in the unit that leaves two or three digits: its number, and its unit.
pub(crate) fn duration(ms: f64) -> (String, &'static str) {
    match ms.max(0.0) {
        ms if ms < 9.95 => (trimmed(ms), "ms"),
        ms if ms < 999.5 => (format!("{ms:.0}"), "ms"),
        ms if ms < 99_950.0 => (trimmed(ms / 1e3), "s"),
        ms if ms < 5_940_000.0 => (format!("{:.0}", ms / 6e4), "min"),
        ms if ms < 172_800_000.0 => (trimmed(ms / 3.6e6), "h"),
        ms => (format!("{:.0}", ms / 8.64e7), "days"),
    }
}

/// Writes a duration with its unit.
pub(crate) fn millis(ms: f64) -> String {
    let (number, unit) = duration(ms);
    format!("{number}\u{202f}{unit}")
}

/// A rate: one digit behind the point below ten.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 9.95 {
        trimmed(per_second)
    } else {
        group(whole(per_second))
    }
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A moment as `2026-05-01 12:00:03.120 UTC`.
pub(crate) fn absolute(unix_us: i64) -> String {
    let (date, us) = (unix_us.div_euclid(86_400_000_000), unix_us.rem_euclid(86_400_000_000));
    let (year, month, day) = civil(date);
    let (hours, minutes, seconds) = (us / 3_600_000_000, us / 60_000_000 % 60, us / 1_000_000 % 60);
    let ms = us / 1_000 % 1_000;
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{ms:03} UTC")
}

/// A moment's time of day with milliseconds, its date on hover.
pub(crate) fn clock(unix_us: i64) -> Markup {
    let whole = absolute(unix_us);
    let time: String = whole.chars().skip(11).take(12).collect();
    let machine = whole.replacen(' ', "T", 1).replace(" UTC", "Z");
    html! { time datetime=(machine) title=(whole) { (time) span.unit { " UTC" } } }
}

/// Days since 1970 as year, month and day of the proleptic Gregorian calendar: days are counted from
/// 1 March of the year 0, so that a leap day is the last of its year.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Shows at most `max` characters of what somebody sent.
pub(crate) fn folded(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
    }
}

/// A count as a real number, for ratios and drawing.
#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
pub(crate) fn real(number: i64) -> f64 {
    number as f64
}

/// A real number as a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_have_their_unit() {
        let rows = [
            (Cents(5).text(), "€\u{202f}0.05"),
            (Cents(123_450).text(), "€\u{202f}1,234.50"),
            (Cents(-100).text(), "−€\u{202f}1.00"),
            (Cents(123_450).short(), "€\u{202f}1,234"),
            (millis(-3.0), "0\u{202f}ms"),
            (millis(4.04), "4\u{202f}ms"),
            (millis(23.4), "23\u{202f}ms"),
            (millis(1_240.0), "1.2\u{202f}s"),
            (rate(0.5), "0.5"),
            (rate(2_345.6), "2,346"),
            (plural(1, "order"), "1\u{a0}order"),
            (absolute(951_827_696_789_000), "2000-02-29 12:34:56.789 UTC"),
            (folded("éééé", 2), "éé…"),
        ];
        for (found, expected) in rows {
            assert_eq!(found, expected);
        }
    }
}
