//! Which tables: our globs (`tables`), or Debezium's lists of regular expressions
//! (`table.include.list`, `table.exclude.list`).

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

/// Which tables are asked for.
#[derive(Debug, Clone)]
pub enum Tables {
    /// Glob patterns in our spelling, to be read by the source; `*.*` if nothing is said.
    Globs(String),
    /// Anchored regular expressions over `schema.table`, as Debezium reads them: case means
    /// nothing.
    Expressions(Arc<Expressions>),
}

/// Compiled lists of regular expressions.
#[derive(Debug)]
pub struct Expressions {
    text: String,
    included: Option<Vec<Regex>>,
    excluded: Vec<Regex>,
}

/// An expression that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{item}\" is not a regular expression: {problem}")]
pub struct TablesError {
    /// The item of the list.
    pub item: String,
    /// What is wrong, in one line.
    pub problem: String,
}

impl Expressions {
    /// Compiles the two lists; at most one may be given.
    ///
    /// # Errors
    /// If an item is no regular expression.
    pub fn parse(included: Option<&str>, excluded: Option<&str>) -> Result<Self, TablesError> {
        let text = match (included, excluded) {
            (Some(list), _) => list.to_owned(),
            (None, Some(list)) => format!("not {list}"),
            (None, None) => String::new(),
        };
        let excluded = excluded.map(compile).transpose()?.unwrap_or_default();
        Ok(Self { text, included: included.map(compile).transpose()?, excluded })
    }

    /// Returns the lists as given, for messages.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns whether the table is selected.
    pub fn matches(&self, schema: &str, table: &str) -> bool {
        let name = format!("{schema}.{table}");
        let any = |list: &[Regex]| list.iter().any(|expression| expression.is_match(&name));
        self.included.as_deref().is_none_or(any) && !any(&self.excluded)
    }
}

/// Splits at commas that no backslash escapes, and anchors each item.
fn compile(list: &str) -> Result<Vec<Regex>, TablesError> {
    let mut items = vec![String::new()];
    let mut is_escaped = false;
    for c in list.chars() {
        match c {
            ',' if !is_escaped => items.push(String::new()),
            c => items.last_mut().expect("invariant: never empty").push(c),
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    let items = items.iter().map(|item| item.trim()).filter(|item| !item.is_empty());
    items
        .map(|item| {
            let anchored = format!("^(?:{item})$");
            RegexBuilder::new(&anchored).case_insensitive(true).build().map_err(|error| {
                let problem = error.to_string();
                let problem = problem.lines().last().unwrap_or_default();
                let problem = problem.trim_start_matches("error: ").to_owned();
                TablesError { item: item.to_owned(), problem }
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_anchored_and_blind_to_case() {
        let tables = Expressions::parse(Some("public\\.orders, sales.*"), None).unwrap();
        assert!(tables.matches("public", "orders") && tables.matches("PUBLIC", "Orders"));
        assert!(tables.matches("sales", "x") && tables.matches("sales2", "x"));
        assert!(!tables.matches("public", "orders_old") && !tables.matches("xpublic", "orders"));
    }

    #[test]
    fn an_exclude_list_takes_everything_else() {
        let tables = Expressions::parse(None, Some("public.tmp_.*")).unwrap();
        assert!(tables.matches("public", "orders") && !tables.matches("public", "tmp_1"));
    }

    #[test]
    fn a_bad_expression_is_named() {
        let error = Expressions::parse(Some("public.a, public.(b"), None).unwrap_err();
        assert_eq!(error.item, "public.(b");
    }
}
