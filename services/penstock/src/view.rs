//! What people read: tables, numbers and words that fit 80 columns.

pub mod doctor;
pub mod status;
pub mod table;

use std::io::IsTerminal;

pub use cdc_runtime::text::{wants_colour, wrap};

/// The width everything fits.
pub const WIDTH: usize = 80;

/// How stdout is painted: colours on a terminal only.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    is_on: bool,
}

impl Paint {
    /// Looks at stdout and the environment.
    pub fn stdout() -> Self {
        Self { is_on: std::io::stdout().is_terminal() && wants_colour() }
    }

    /// Never paints.
    pub fn plain() -> Self {
        Self { is_on: false }
    }

    /// Paints good news.
    pub fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    /// Paints what needs a look.
    pub fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    /// Paints bad news.
    pub fn bad(self, text: &str) -> String {
        self.paint("1;31", text)
    }

    /// Paints headings.
    pub fn head(self, text: &str) -> String {
        self.paint("1", text)
    }

    /// Paints what may be overlooked.
    pub fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Cuts text to `width` characters, the last of them `…` if something was cut. Line breaks and
/// control characters become spaces.
pub fn fold(text: &str, width: usize) -> String {
    let flat = |c: char| if c.is_control() { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(flat).collect();
    }
    let kept = text.chars().take(width.saturating_sub(1)).map(flat);
    kept.chain(std::iter::once('…')).collect()
}

/// Writes a number with thousands set apart.
pub fn count(number: u64) -> String {
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

/// Writes bytes in the largest unit that leaves a digit before the point.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB"].into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" { format!("{number} B") } else { format!("{value:.1} {unit}") }
}

/// Writes a duration in the unit that suits it.
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => "0 ms".to_owned(),
        s if s < 1.0 => format!("{:.0} ms", s * 1e3),
        s if s < 60.0 => format!("{s:.1} s"),
        s if s < 3600.0 => format!("{:.0} min {:02.0} s", (s / 60.0).floor(), (s % 60.0).floor()),
        s => format!("{:.0} h {:02.0} min", (s / 3600.0).floor(), (s % 3600.0 / 60.0).floor()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([5, 2048, 5 << 30].map(bytes), ["5 B", "2.0 KiB", "5.0 GiB"]);
        let written = [0.0, 0.0042, 1.25, 61.0, 7300.0].map(seconds);
        assert_eq!(written, ["0 ms", "4 ms", "1.2 s", "1 min 01 s", "2 h 01 min"]);
    }

    #[test]
    fn long_text_is_folded_and_wrapped() {
        assert_eq!(fold("ab\ncdef", 5), "ab c…");
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
    }
}
