//! Numbers and times as people read them, each with its unit apart from it.

use maud::{Markup, html};

/// What stands where nothing is known.
pub(crate) const UNKNOWN: &str = "–";

/// A number and its unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quantity {
    pub(crate) number: String,
    pub(crate) unit: &'static str,
}

impl Quantity {
    fn new(number: impl Into<String>, unit: &'static str) -> Self {
        Self { number: number.into(), unit }
    }

    /// Returns both as text.
    pub(crate) fn text(&self) -> String {
        match self.unit {
            "" => self.number.clone(),
            unit => format!("{}\u{202f}{unit}", self.number),
        }
    }

    /// Returns both, the unit lighter.
    pub(crate) fn markup(&self) -> Markup {
        html! { span.n { (self.number) } @if !self.unit.is_empty() { span.u { "\u{202f}" (self.unit) } } }
    }
}

/// Shows what is known, or “–”.
pub(crate) fn known(quantity: Option<Quantity>) -> Markup {
    match quantity {
        Some(quantity) => quantity.markup(),
        None => html! { span.n.none title="not known" { (UNKNOWN) } },
    }
}

/// Shows what is known as text, or “–”.
pub(crate) fn known_text(quantity: Option<Quantity>) -> String {
    quantity.map_or_else(|| UNKNOWN.to_owned(), |quantity| quantity.text())
}

/// Groups digits by three: `12,431`.
pub(crate) fn group(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count of something, `unit` in its plural.
pub(crate) fn count(number: u64, unit: &'static str) -> Quantity {
    Quantity::new(group(number), unit)
}

/// Writes `1 record`, `2 records`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", group(number))
}

/// A rate per second: whole from ten on.
pub(crate) fn rate(per_second: f64, unit: &'static str) -> Quantity {
    if per_second > 0.0 && per_second < 9.95 {
        return Quantity::new(format!("{per_second:.1}"), unit);
    }
    Quantity::new(group(whole(per_second)), unit)
}

/// Bytes in powers of 1,024.
pub(crate) fn bytes(bytes: u64) -> Quantity {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut unit = 0;
    let mut value = real(bytes);
    while value >= 1_023.5 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    let text =
        if unit == 0 || value >= 99.95 { format!("{value:.0}") } else { format!("{value:.1}") };
    Quantity::new(text, UNITS.get(unit).copied().unwrap_or("B"))
}

/// A duration in the unit that leaves two or three digits.
pub(crate) fn millis(ms: f64) -> Quantity {
    match ms {
        ms if ms < 0.0 => Quantity::new("0", "ms"),
        ms if ms < 9.95 => Quantity::new(trimmed(ms), "ms"),
        ms if ms < 999.5 => Quantity::new(format!("{ms:.0}"), "ms"),
        ms if ms < 9_950.0 => Quantity::new(trimmed(ms / 1e3), "s"),
        ms if ms < 99_500.0 => Quantity::new(format!("{:.0}", ms / 1e3), "s"),
        ms if ms < 5_940_000.0 => Quantity::new(format!("{:.0}", ms / 6e4), "min"),
        ms if ms < 35_820_000.0 => Quantity::new(trimmed(ms / 3.6e6), "h"),
        ms if ms < 172_800_000.0 => Quantity::new(format!("{:.0}", ms / 3.6e6), "h"),
        ms => Quantity::new(format!("{:.0}", ms / 8.64e7), "d"),
    }
}

/// As [`millis`], of seconds.
pub(crate) fn seconds(seconds: f64) -> Quantity {
    millis(seconds * 1e3)
}

fn trimmed(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A share of a whole: never 100 before all is there.
pub(crate) fn percent(part: u64, whole: u64) -> Option<Quantity> {
    if whole == 0 {
        return None;
    }
    let text = match real(part.min(whole)) / real(whole) * 100.0 {
        _ if part >= whole => "100".to_owned(),
        share if share > 99.9 => "99.9".to_owned(),
        share => format!("{share:.1}"),
    };
    Some(Quantity::new(text, "%"))
}

/// A moment as `2026-05-01 12:00:03.120 UTC`.
pub(crate) fn absolute(unix_ms: i64) -> String {
    let (date, ms) = (unix_ms.div_euclid(86_400_000), unix_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(date);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let ms = ms % 1_000;
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{ms:03} UTC")
}

/// A moment as an HTML `datetime`.
fn machine(unix_ms: i64) -> String {
    absolute(unix_ms).replacen(' ', "T", 1).replace(" UTC", "Z")
}

/// A moment's time of day, `12:00:03`, with the whole of it on hover.
pub(crate) fn clock(unix_ms: i64) -> Markup {
    let whole = absolute(unix_ms);
    let time: String = whole.chars().skip(11).take(8).collect();
    html! { time datetime=(machine(unix_ms)) title=(whole) data-clock { (time) } }
}

/// Two clocks that disagree by less are taken for one.
const SKEW_MS: i64 = -2_000;

/// How long ago something was, with the moment on hover; the page's script counts on.
pub(crate) fn ago(unix_ms: i64, now_ms: i64) -> Markup {
    // Whole seconds: a tenth of one is over before it is read.
    let passed = now_ms.saturating_sub(unix_ms);
    let age = millis(real_signed(passed.saturating_abs() / 1_000 * 1_000)).text();
    let age = match passed {
        ..SKEW_MS => format!("{age} ahead"),
        SKEW_MS..1_000 => "just now".to_owned(),
        1_000.. => format!("{age} ago"),
    };
    html! { time datetime=(machine(unix_ms)) title=(absolute(unix_ms)) data-ago=(unix_ms) { (age) } }
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

/// How many characters of a long value are shown.
pub(crate) const FOLD: usize = 200;

/// Shows a value, folded after [`FOLD`] characters.
pub(crate) fn folded(text: &str) -> Markup {
    folded_at(text, FOLD)
}

/// Shows a value, folded after `max` characters, with the number of those that are not shown.
pub(crate) fn folded_at(text: &str, max: usize) -> Markup {
    match text.char_indices().nth(max) {
        None => html! { (text) },
        Some((at, _)) => {
            let rest = text.chars().skip(max).count();
            html! {
                (text.get(..at).unwrap_or_default()) "… "
                span.u { "+" (group(u64::try_from(rest).unwrap_or(u64::MAX))) " characters" }
            }
        }
    }
}

/// Shows bytes as hexadecimal, sixteen to a line, with their text beside them, up to `lines` lines.
pub(crate) fn hex(bytes: &[u8], lines: usize) -> String {
    let mut text = String::new();
    for (index, row) in bytes.chunks(16).take(lines).enumerate() {
        let numbers: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        let legible = |byte: &u8| if (32..127).contains(byte) { char::from(*byte) } else { '·' };
        let legible: String = row.iter().map(legible).collect();
        text.push_str(&format!("{:06x}  {:<47}  {legible}\n", index * 16, numbers.join(" ")));
    }
    if bytes.len() > lines * 16 {
        text.push_str(&format!("… {} bytes more\n", bytes.len() - lines * 16));
    }
    text
}

/// A count as a real number, for ratios and drawing.
#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
pub(crate) fn real(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "shown in three digits")]
pub(crate) fn real_signed(number: i64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
pub(crate) fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_two_or_three_digits_and_their_unit() {
        let rows = [
            (millis(0.42).text(), "0.4\u{202f}ms"),
            (millis(8.0).text(), "8\u{202f}ms"),
            (millis(41.4).text(), "41\u{202f}ms"),
            (millis(1_240.0).text(), "1.2\u{202f}s"),
            (seconds(95.0).text(), "95\u{202f}s"),
            (seconds(840.0).text(), "14\u{202f}min"),
            (seconds(111_600.0).text(), "31\u{202f}h"),
            (bytes(1_023).text(), "1023\u{202f}B"),
            (bytes(1_048_575).text(), "1.0\u{202f}MiB"),
            (bytes(5 << 30).text(), "5.0\u{202f}GiB"),
            (rate(0.0, "/s").text(), "0\u{202f}/s"),
            (rate(3.25, "/s").text(), "3.2\u{202f}/s"),
            (rate(12_431.4, "/s").text(), "12,431\u{202f}/s"),
            (group(1_000), "1,000"),
            (plural(1, "record"), "1 record"),
        ];
        for (found, expected) in rows {
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn a_share_is_whole_only_when_all_is_there() {
        assert_eq!(percent(0, 0), None);
        assert_eq!(percent(999_999, 1_000_000).unwrap().number, "99.9");
        assert_eq!(percent(5, 5).unwrap().number, "100");
        assert_eq!(percent(6, 5).unwrap().number, "100");
    }

    #[test]
    fn moments_are_told_in_utc() {
        assert_eq!(absolute(0), "1970-01-01 00:00:00.000 UTC");
        assert_eq!(absolute(951_827_696_789), "2000-02-29 12:34:56.789 UTC");
        assert_eq!(absolute(-1), "1969-12-31 23:59:59.999 UTC");
    }

    #[test]
    fn long_values_fold_between_characters() {
        let text = folded(&"é".repeat(203)).into_string();
        assert!(text.contains("+3 characters"), "{text}");
        assert_eq!(hex(&[0x41; 40], 1).lines().count(), 2);
    }
}
