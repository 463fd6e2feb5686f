//! Which tables are captured: a list of patterns over qualified names.
//!
//! `public.orders, sales.*, !sales.tmp_*`: an item is `schema.table`, where `*` stands for any
//! characters and `?` for one; without a dot the schema is `public`; `!` excludes. Names compare
//! exactly, so `public.Orders` is the table written `"Orders"` in SQL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use cdc_model::TableName;

/// A list of table patterns, or a predicate given by the caller.
#[derive(Clone)]
pub struct TablePatterns {
    text: Arc<str>,
    predicate: Arc<dyn Fn(&TableName) -> bool + Send + Sync>,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("table pattern \"{item}\" is {problem}")]
pub struct PatternError {
    /// The item.
    pub item: String,
    /// What is wrong with it.
    pub problem: &'static str,
}

impl TablePatterns {
    /// Selects the tables for which `predicate` is true; `text` names it in messages.
    pub fn new(
        text: impl Into<Arc<str>>,
        predicate: impl Fn(&TableName) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self { text: text.into(), predicate: Arc::new(predicate) }
    }

    /// Returns whether `table` is selected. System schemas never are.
    pub fn matches(&self, table: &TableName) -> bool {
        let is_system = table.schema.starts_with("pg_") || &*table.schema == "information_schema";
        !is_system && (self.predicate)(table)
    }
}

impl FromStr for TablePatterns {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut included = Vec::new();
        let mut excluded = Vec::new();
        for item in text.split(',').map(str::trim) {
            let bad = |problem| PatternError { item: item.to_owned(), problem };
            let (list, name) = match item.strip_prefix('!') {
                Some(name) => (&mut excluded, name.trim()),
                None => (&mut included, item),
            };
            let (schema, table) = name.split_once('.').unwrap_or(("public", name));
            if schema.is_empty() || table.is_empty() {
                return Err(bad("empty, or lacks a schema or table name"));
            }
            if table.contains('.') {
                return Err(bad("of more than two parts; write schema.table"));
            }
            list.push((schema.to_owned(), table.to_owned()));
        }
        let any = |list: &[(String, String)], name: &TableName| {
            list.iter().any(|(schema, table)| {
                matches(schema.as_bytes(), name.schema.as_bytes())
                    && matches(table.as_bytes(), name.table.as_bytes())
            })
        };
        Ok(Self::new(text, move |name: &TableName| any(&included, name) && !any(&excluded, name)))
    }
}

/// Matches with one point of return per `*`, so in time proportional to the product of lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match retry {
                Some((after_star, from)) => {
                    retry = Some((after_star, from + 1));
                    p = after_star;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

impl fmt::Display for TablePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for TablePatterns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TablePatterns({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(patterns: &str, table: (&str, &str), expected: bool) {
        let patterns: TablePatterns = patterns.parse().unwrap();
        assert_eq!(patterns.matches(&TableName::new(table.0, table.1)), expected, "{patterns}");
    }

    #[test]
    fn patterns_select_by_schema_and_table() {
        check("public.*", ("public", "orders"), true);
        check("public.*", ("sales", "orders"), false);
        check("orders", ("public", "orders"), true);
        check("sales.order_?, public.x", ("sales", "order_1"), true);
        check("sales.order_?", ("sales", "order_12"), false);
        check("*.*", ("sales", "orders"), true);
        check("*.*", ("pg_catalog", "pg_class"), false);
        check("public.*,!public.tmp_*", ("public", "tmp_1"), false);
        check("public.*_*_z", ("public", "a_b_c_z"), true);
        check("public.Orders", ("public", "orders"), false);
    }

    #[test]
    fn patterns_without_a_name_are_refused() {
        for text in ["", "a,,b", ".x", "x.", "a.b.c"] {
            assert!(text.parse::<TablePatterns>().is_err(), "{text}");
        }
    }
}
