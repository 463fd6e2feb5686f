//! `TupleData`: a row as the server sends it.
//!
//! | bytes | |
//! |---|---|
//! | 0..2 | number of columns |
//! | then, for each | `n` NULL · `u` unchanged TOAST, not sent · `t` text · `b` binary |
//! | after `t` or `b` | length (4 bytes), and as many bytes |

use bytes::Bytes;

use crate::pgoutput::error::DecodeError;

/// A row in its raw bytes, shared with the message it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuple(Bytes);

impl Tuple {
    /// Takes the bytes of a `TupleData`, unread.
    pub fn new(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Returns the raw bytes, of which every column's are a part.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the columns, in order.
    #[inline]
    pub fn columns(&self) -> Columns<'_> {
        match self.0.split_first_chunk::<2>() {
            Some((count, rest)) => {
                Columns { left: u16::from_be_bytes(*count), rest, failed: false }
            }
            None => Columns { left: 1, rest: &[], failed: false },
        }
    }

    /// Returns `part`, a column's bytes, as shared bytes.
    ///
    /// # Panics
    /// If `part` is not a part of this tuple.
    pub fn share(&self, part: &[u8]) -> Bytes {
        self.0.slice_ref(part)
    }
}

/// One column of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleColumn<'a> {
    /// NULL.
    Null,
    /// Stored out of line and not changed: not sent.
    Unchanged,
    /// The type's text form.
    Text(&'a [u8]),
    /// The type's binary form; only if asked for.
    Binary(&'a [u8]),
}

/// The columns of a row. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Columns<'a> {
    left: u16,
    rest: &'a [u8],
    failed: bool,
}

impl<'a> Columns<'a> {
    #[inline]
    fn column(&mut self) -> Result<TupleColumn<'a>, DecodeError> {
        let (&kind, rest) =
            self.rest.split_first().ok_or(DecodeError::Truncated { field: "Tuple.kind" })?;
        match kind {
            b't' => value(rest).map(|(value, rest)| {
                self.rest = rest;
                TupleColumn::Text(value)
            }),
            b'n' => {
                self.rest = rest;
                Ok(TupleColumn::Null)
            }
            b'u' => {
                self.rest = rest;
                Ok(TupleColumn::Unchanged)
            }
            b'b' => value(rest).map(|(value, rest)| {
                self.rest = rest;
                TupleColumn::Binary(value)
            }),
            _ => Err(DecodeError::Undefined { field: "Tuple.kind" }),
        }
    }
}

#[inline]
fn value(bytes: &[u8]) -> Result<(&[u8], &[u8]), DecodeError> {
    const TRUNCATED: DecodeError = DecodeError::Truncated { field: "Tuple.value" };
    let (length, rest) = bytes.split_first_chunk::<4>().ok_or(TRUNCATED)?;
    rest.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or(TRUNCATED)
}

impl<'a> Iterator for Columns<'a> {
    type Item = Result<TupleColumn<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let column = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                self.column()
            }
            None if self.rest.is_empty() => return None,
            None => Err(DecodeError::TrailingBytes),
        };
        self.failed = column.is_err();
        Some(column)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // Each takes a byte at least: a false count takes no memory.
        (0, Some(usize::from(self.left).min(self.rest.len()) + 1))
    }
}

/// Returns the length of the `TupleData` at the start of `bytes`.
pub(super) fn length(bytes: &[u8]) -> Result<usize, DecodeError> {
    let (count, rest) =
        bytes.split_first_chunk::<2>().ok_or(DecodeError::Truncated { field: "Tuple.columns" })?;
    let mut columns = Columns { left: u16::from_be_bytes(*count), rest, failed: false };
    while columns.left > 0 {
        columns.left -= 1;
        columns.column()?;
    }
    Ok(bytes.len() - columns.rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8]) -> Vec<Result<TupleColumn<'static>, DecodeError>> {
        let tuple: &'static Tuple = Box::leak(Box::new(Tuple::new(Bytes::from_static(bytes))));
        tuple.columns().collect()
    }

    #[test]
    fn columns_of_every_kind_are_read() {
        assert_eq!(
            read(b"\0\x04nut\0\0\0\x02hib\0\0\0\0"),
            [
                Ok(TupleColumn::Null),
                Ok(TupleColumn::Unchanged),
                Ok(TupleColumn::Text(b"hi")),
                Ok(TupleColumn::Binary(b"")),
            ]
        );
        assert_eq!(read(b"\0\0"), []);
    }

    #[test]
    fn a_malformed_row_ends_in_one_error() {
        let kind = DecodeError::Truncated { field: "Tuple.kind" };
        assert_eq!(read(b"\0"), [Err(kind)]);
        assert_eq!(read(b"\0\x02n"), [Ok(TupleColumn::Null), Err(kind)]);
        assert_eq!(
            read(b"\0\x01t\0\0\0\x03hi"),
            [Err(DecodeError::Truncated { field: "Tuple.value" })]
        );
        assert_eq!(read(b"\0\x01x"), [Err(DecodeError::Undefined { field: "Tuple.kind" })]);
        assert_eq!(read(b"\0\0x"), [Err(DecodeError::TrailingBytes)]);
    }
}
