//! Where a source stands in its log.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;

/// How far a source has been read: opaque bytes that only the source which made them can compare.
///
/// A position names the last thing consumed; opening a source after it yields what follows
/// strictly. It is not what may be acknowledged: a position can stand inside a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Position(pub Bytes);

impl Position {
    /// Returns the source's encoding.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A byte position in PostgreSQL's write-ahead log, shown as `16/B374D848`.
///
/// Source: <https://www.postgresql.org/docs/current/datatype-pg-lsn.html>
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// The invalid LSN `0/0`, before every real one.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// A text that is no LSN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseLsnError {
    text: String,
}

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is not an LSN, which looks like 16/B374D848", self.text)
    }
}

impl std::error::Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |digits: &str| {
            let plain = !digits.is_empty()
                && digits.len() <= 8
                && digits.bytes().all(|b| b.is_ascii_hexdigit());
            plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Self(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| ParseLsnError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn parse_of_display_is_identity(value: u64) {
            prop_assert_eq!(Lsn(value).to_string().parse(), Ok(Lsn(value)));
        }
    }

    #[test]
    fn text_that_is_no_lsn_is_refused() {
        for text in ["", "/", "0", "0/", "/0", "0/+1", "1/2/3", "123456789/0", "g/0", "0/-1"] {
            assert!(text.parse::<Lsn>().is_err(), "{text}");
        }
    }
}
