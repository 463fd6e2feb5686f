//! Lines of `COPY … TO STDOUT` in text format: fields between tabs, backslash escapes, `\N` for
//! NULL.
//!
//! Source: <https://www.postgresql.org/docs/current/sql-copy.html#id-1.9.3.55.9.2>

use bytes::Bytes;

/// A line that ends inside an escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line of COPY output ends inside an escape")]
pub struct CopyError;

/// Splits `line`, with or without its newline, into its fields. A field shares the line's bytes
/// unless it holds an escape.
///
/// # Errors
/// If the line ends inside an escape.
pub fn split(line: &Bytes) -> Result<Vec<Option<Bytes>>, CopyError> {
    Fields::new(line)
        .map(|field| {
            Ok(match field? {
                Field::Null => None,
                Field::Plain(text) => Some(line.slice_ref(text)),
                Field::Unescaped(text) => Some(text),
            })
        })
        .collect()
}

/// One field of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field<'a> {
    /// NULL.
    Null,
    /// Text as it stands in the line.
    Plain(&'a [u8]),
    /// Text that held escapes.
    Unescaped(Bytes),
}

/// The fields of a line. Ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    /// Starts at the first field.
    pub fn new(line: &'a [u8]) -> Self {
        Self { rest: Some(line.strip_suffix(b"\n").unwrap_or(line)) }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, CopyError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.rest?;
        let (end, is_plain) = match memchr::memchr2(b'\t', b'\\', rest) {
            Some(at) if rest.get(at) == Some(&b'\t') => (at, true),
            // A tab inside a field is always escaped as \t, so the next one ends it.
            Some(_) => (memchr::memchr(b'\t', rest).unwrap_or(rest.len()), false),
            None => (rest.len(), true),
        };
        let (field, after) = rest.split_at_checked(end)?;
        self.rest = after.get(1..);
        Some(match field {
            field if is_plain => Ok(Field::Plain(field)),
            b"\\N" => Ok(Field::Null),
            field => unescape(field).map(Field::Unescaped).inspect_err(|_| self.rest = None),
        })
    }
}

fn unescape(field: &[u8]) -> Result<Bytes, CopyError> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (head, escape) = rest.split_at_checked(at).ok_or(CopyError)?;
        text.extend_from_slice(head);
        let (&[_, kind], after) = escape.split_first_chunk::<2>().ok_or(CopyError)?;
        text.push(match kind {
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0B,
            other => other,
        });
        rest = after;
    }
    text.extend_from_slice(rest);
    Ok(Bytes::from(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &'static str, fields: &[Option<&'static str>]) {
        let expected: Vec<_> = fields.iter().map(|field| field.map(Bytes::from)).collect();
        assert_eq!(split(&Bytes::from(line)), Ok(expected), "{line:?}");
    }

    #[test]
    fn fields_are_split_and_unescaped() {
        check("1\ta\t\\N\n", &[Some("1"), Some("a"), None]);
        check("", &[Some("")]);
        check("\t", &[Some(""), Some("")]);
        check(
            r"a\tb\\c	\\N	\b\f\n\r\v",
            &[Some("a\tb\\c"), Some("\\N"), Some("\u{8}\u{c}\n\r\u{b}")],
        );
    }

    #[test]
    fn a_line_cut_inside_an_escape_is_refused() {
        assert_eq!(split(&Bytes::from("a\tb\\")), Err(CopyError));
    }

    #[test]
    fn a_field_without_escapes_shares_the_line() {
        let line = Bytes::from("abc\tdef\n");
        let fields = split(&line).unwrap();
        assert_eq!(fields[1].as_ref().unwrap().as_ptr(), line[4..].as_ptr());
    }
}
