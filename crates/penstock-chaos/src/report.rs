//! What is said while faults happen: one line at a time, at once.

use std::io::Write;

/// Prints a line.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nobody reads it any more: go on, the exit code tells.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

/// Returns `number` with its thousands apart.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
