//! A TOML file as a list of settings, each with its place.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Error, Result};
use crate::layer::{Origin, Setting};
use crate::property::SECRET_WORDS;

/// A file's name and text; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    inner: Arc<(String, String)>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The text may hold a password.
        f.debug_tuple("File").field(&self.path()).finish()
    }
}

/// A range of bytes in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    file: File,
    range: Range<usize>,
}

impl Span {
    /// Returns the file.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Returns the range of bytes.
    pub fn range(&self) -> Range<usize> {
        self.range.clone()
    }

    /// Returns line and column of its beginning, both from 1, the column in characters.
    pub fn line_and_column(&self) -> (usize, usize) {
        let before = self.file.inner.1.get(..self.range.start).unwrap_or(&self.file.inner.1);
        let line = before.rsplit('\n').next().unwrap_or_default();
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }
}

impl File {
    /// Takes a file's name, for messages, and its text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { inner: Arc::new((path.into(), text.into())) }
    }

    /// Returns its name.
    pub fn path(&self) -> &str {
        &self.inner.0
    }

    /// Returns the text with the values of passwords and connection strings starred out, each byte
    /// in its place, for showing.
    pub fn masked_text(&self) -> String {
        self.inner.1.split_inclusive('\n').map(masked_line).collect()
    }

    pub(crate) fn settings(&self) -> Result<Vec<(String, Setting)>> {
        let table = DeTable::parse(&self.inner.1).map_err(|error| Error::Syntax {
            message: error.message().to_owned(),
            origin: self.origin(error.span().unwrap_or_default()),
        })?;
        let mut settings = Vec::new();
        self.flatten("", table.get_ref(), &mut settings)?;
        Ok(settings)
    }

    fn flatten(
        &self,
        prefix: &str,
        table: &DeTable<'_>,
        settings: &mut Vec<(String, Setting)>,
    ) -> Result<()> {
        for (key, value) in table {
            let name = match prefix {
                "" => key.get_ref().to_string(),
                prefix => format!("{prefix}.{}", key.get_ref()),
            };
            if let DeValue::Table(inner) = value.get_ref() {
                self.flatten(&name, inner, settings)?;
                continue;
            }
            let origin = self.origin(self.key_start(key.span().start)..value.span().end);
            match text(value) {
                Some(value) => settings.push((name, Setting { value, origin })),
                None => {
                    let problem = "give a text, a number, true or false, or a list of texts".into();
                    return Err(Error::Value { name, problem, origin });
                }
            }
        }
        Ok(())
    }

    /// Returns where the dotted key begins whose last part stands at `end`.
    fn key_start(&self, end: usize) -> usize {
        let is_key = |c: char| c.is_ascii_alphanumeric() || "._-\"'".contains(c);
        let before = self.inner.1.get(..end).unwrap_or_default();
        before.trim_end_matches(is_key).len()
    }

    fn origin(&self, range: Range<usize>) -> Origin {
        Origin::File(Span { file: self.clone(), range })
    }
}

fn text(value: &Spanned<DeValue<'_>>) -> Option<String> {
    Some(match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.as_str().to_owned(),
        DeValue::Float(number) => number.as_str().to_owned(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Array(items) => items.iter().map(text).collect::<Option<Vec<_>>>()?.join(","),
        DeValue::Datetime(_) | DeValue::Table(_) => return None,
    })
}

fn masked_line(line: &str) -> String {
    let mut words = SECRET_WORDS.iter().chain(&["source", "://"]);
    let is_secret = words.any(|word| line.contains(word));
    match line.split_once('=') {
        Some((key, value)) if is_secret => {
            let star = |c: char| if c.is_ascii_graphic() && c != '"' { '*' } else { c };
            format!("{key}={}", value.chars().map(star).collect::<String>())
        }
        // A value that goes on from the line before.
        None if is_secret => "*".repeat(line.trim_end().len()) + "\n",
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>> {
        let settings = File::new("p.toml", text).settings()?;
        Ok(settings.into_iter().map(|(name, setting)| (name, setting.value)).collect())
    }

    #[test]
    fn nested_dotted_and_quoted_keys_are_the_same() {
        for text in [
            "slot.name = \"s\"\nheartbeat.interval.ms = 5",
            "[slot]\nname = \"s\"\n[heartbeat.interval]\nms = 5",
            "\"slot.name\" = \"s\"\n\"heartbeat.interval.ms\" = 5",
        ] {
            let expected = [("slot.name", "s"), ("heartbeat.interval.ms", "5")];
            let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn lists_are_joined_by_commas() {
        let settings = read("table.include.list = [\"public.a\", \"public.b\"]").unwrap();
        assert_eq!(settings[0].1, "public.a,public.b");
    }

    #[test]
    fn bad_toml_is_shown_with_line_and_column() {
        let error = read("slot.name = \"s\"\ntopic.prefix = shop\n").unwrap_err();
        assert!(error.origin().to_string().starts_with("p.toml:2:"), "{}", error.origin());
    }

    #[test]
    fn passwords_are_starred_out_in_place() {
        let text = "a = 1\ndatabase.password = \"x y\"\n";
        let file = File::new("p.toml", text);
        assert_eq!(file.masked_text(), "a = 1\ndatabase.password = \"* *\"\n");
        assert!(!format!("{file:?}").contains("x y"));
    }
}
