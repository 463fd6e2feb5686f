//! Arrays: `{1,NULL,"a\"b"}`.
//!
//! Source: <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>

use bytes::Bytes;
use cdc_model::{Array, Value};

use crate::value::plan::{ArrayParser, Parser};
use crate::value::{ValueError, parse, share};

const MALFORMED: ValueError = ValueError::Malformed { expected: "array" };

/// PostgreSQL's own limit (MAXDIM).
const DIMENSIONS_MAX: usize = 6;

/// Reads an array. One of several dimensions, or with a lower bound other than 1, keeps its text
/// beside its elements.
pub(super) fn array(plan: &ArrayParser, whole: &Bytes, text: &[u8]) -> Result<Array, ValueError> {
    let (body, has_bounds) = match text.first() {
        Some(b'[') => {
            let equals = memchr::memchr(b'=', text).ok_or(MALFORMED)?;
            (text.get(equals + 1..).ok_or(MALFORMED)?, true)
        }
        _ => (text, false),
    };
    let mut reader = Reader { plan, whole, rest: body, depth: 0, deepest: 0, elements: Vec::new() };
    reader.read()?;
    let exact = if has_bounds || reader.deepest > 1 { Some(share(whole, text)?) } else { None };
    Ok(Array { elements: reader.elements.into(), exact })
}

struct Reader<'a> {
    plan: &'a ArrayParser,
    whole: &'a Bytes,
    rest: &'a [u8],
    depth: usize,
    deepest: usize,
    elements: Vec<Value>,
}

impl Reader<'_> {
    /// Reads from the first brace to the last.
    fn read(&mut self) -> Result<(), ValueError> {
        // Whether an item, rather than a delimiter, comes next; and whether a list was just opened.
        let (mut wants_item, mut is_open) = (true, false);
        loop {
            let &byte = self.rest.first().ok_or(MALFORMED)?;
            match byte {
                b'{' if wants_item => {
                    self.skip(1)?;
                    self.depth += 1;
                    self.deepest = self.deepest.max(self.depth);
                    if self.depth > DIMENSIONS_MAX {
                        return Err(MALFORMED);
                    }
                    is_open = true;
                    continue;
                }
                b'}' if self.depth > 0 && (is_open || !wants_item) => {
                    self.skip(1)?;
                    self.depth -= 1;
                    wants_item = false;
                    if self.depth == 0 {
                        return if self.rest.is_empty() { Ok(()) } else { Err(MALFORMED) };
                    }
                }
                byte if byte == self.plan.delimiter && !wants_item => {
                    self.skip(1)?;
                    wants_item = true;
                }
                b'"' if wants_item && self.depth > 0 => {
                    self.quoted()?;
                    wants_item = false;
                }
                _ if wants_item && self.depth > 0 => {
                    self.unquoted()?;
                    wants_item = false;
                }
                _ => return Err(MALFORMED),
            }
            is_open = false;
        }
    }

    fn skip(&mut self, count: usize) -> Result<(), ValueError> {
        self.rest = self.rest.get(count..).ok_or(MALFORMED)?;
        Ok(())
    }

    fn unquoted(&mut self) -> Result<(), ValueError> {
        let delimiter = self.plan.delimiter;
        let end = self
            .rest
            .iter()
            .position(|byte| *byte == delimiter || matches!(byte, b'}' | b'{' | b'"' | b'\\'))
            .ok_or(MALFORMED)?;
        let (item, rest) = self.rest.split_at_checked(end).ok_or(MALFORMED)?;
        self.rest = rest;
        let value = match item {
            b"" => return Err(MALFORMED),
            b"NULL" => Value::Null,
            item => parse(&self.plan.element, self.whole, item)?,
        };
        self.elements.push(value);
        Ok(())
    }

    fn quoted(&mut self) -> Result<(), ValueError> {
        self.skip(1)?;
        let end = memchr::memchr2(b'"', b'\\', self.rest).ok_or(MALFORMED)?;
        let (head, rest) = self.rest.split_at_checked(end).ok_or(MALFORMED)?;
        let value = if rest.first() == Some(&b'"') {
            self.rest = rest;
            parse(&self.plan.element, self.whole, head)?
        } else {
            let item = self.unescape()?;
            parse(&self.plan.element, &item, &item)?
        };
        self.skip(1)?;
        self.elements.push(value);
        Ok(())
    }

    /// Copies up to the closing quote, which is left standing.
    fn unescape(&mut self) -> Result<Bytes, ValueError> {
        let mut item = Vec::new();
        loop {
            let end = memchr::memchr2(b'"', b'\\', self.rest).ok_or(MALFORMED)?;
            let (head, rest) = self.rest.split_at_checked(end).ok_or(MALFORMED)?;
            item.extend_from_slice(head);
            self.rest = rest;
            if rest.first() == Some(&b'"') {
                return Ok(Bytes::from(item));
            }
            item.push(*rest.get(1).ok_or(MALFORMED)?);
            self.skip(2)?;
        }
    }
}

/// Appends an array's text, with each element's text as `render` writes it.
pub(super) fn render(elements: &[Value], out: &mut String, render: impl Fn(&Value, &mut String)) {
    out.push('{');
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        if *element == Value::Null {
            out.push_str("NULL");
            continue;
        }
        let mut item = String::new();
        render(element, &mut item);
        if needs_quotes(&item) {
            out.push('"');
            for c in item.chars() {
                if matches!(c, '"' | '\\') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
        } else {
            out.push_str(&item);
        }
    }
    out.push('}');
}

fn needs_quotes(item: &str) -> bool {
    item.is_empty()
        || item.eq_ignore_ascii_case("null")
        || item
            .bytes()
            .any(|byte| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\' | b' ' | 0x09..=0x0D))
}

impl Parser {
    /// Returns an array's parser, for tests.
    #[cfg(test)]
    pub(super) fn array_of(element: Self) -> ArrayParser {
        ArrayParser { element, delimiter: b',' }
    }
}
