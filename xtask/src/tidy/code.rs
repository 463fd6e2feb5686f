//! A Rust file as the rules see it: its lines, and the same with comments and literals blanked.

use std::path::Path;

use crate::workspace;

/// One file of Rust.
#[derive(Debug)]
pub(super) struct RustFile {
    /// Relative to the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) lines: Vec<String>,
    /// The lines without comments, and with empty string literals.
    pub(super) code: Vec<String>,
    /// Index of the first line that is only compiled for tests; `lines.len()` if none is.
    pub(super) tests_from: usize,
}

impl RustFile {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let code: Vec<String> = blank(text).lines().map(str::to_owned).collect();
        let tests_from = if is_test_path(path) { 0 } else { first_test_line(&code) };
        Self { path: path.to_owned(), lines, code, tests_from }
    }

    /// Returns the file's name without folders.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or_default()
    }

    /// Returns whether the whole file is for tests.
    pub(super) fn is_test(&self) -> bool {
        self.tests_from == 0
    }
}

/// Reads every Rust file of the workspace.
pub(super) fn rust_files() -> anyhow::Result<Vec<RustFile>> {
    let is_rust = |path: &Path| path.extension().is_some_and(|extension| extension == "rs");
    let mut files = Vec::new();
    for dir in ["crates", "services", "xtask"] {
        for path in workspace::files(dir, is_rust)? {
            let text = workspace::read(&path)?;
            files.push(RustFile::new(&path.to_string_lossy(), &text));
        }
    }
    Ok(files)
}

fn is_test_path(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

/// An inline module of tests; `mod tests;` has its own file.
fn first_test_line(code: &[String]) -> usize {
    let is_start = |pair: &[String]| match pair {
        [attribute, module] => {
            attribute.trim() == "#[cfg(test)]" && module.trim_end().ends_with('{')
        }
        _ => false,
    };
    code.windows(2).position(is_start).unwrap_or(code.len())
}

/// Replaces comments by nothing and the insides of string literals by nothing; keeps line breaks.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, kept) = token(rest, first);
        let (token, tail) = rest.split_at(length);
        match kept {
            Kept::All => out.push_str(token),
            Kept::Quotes => {
                out.push('"');
                out.extend(token.chars().filter(|c| *c == '\n'));
                out.push('"');
            }
            Kept::Breaks => out.extend(token.chars().filter(|c| *c == '\n')),
        }
        rest = tail;
    }
    out
}

enum Kept {
    All,
    Quotes,
    Breaks,
}

/// Returns the length in bytes of the token that `rest` starts with, and what is kept of it.
fn token(rest: &str, first: char) -> (usize, Kept) {
    if rest.starts_with("//") {
        return (rest.find('\n').unwrap_or(rest.len()), Kept::Breaks);
    }
    if rest.starts_with("/*") {
        return (after(rest, "*/"), Kept::Breaks);
    }
    if let Some(hashes) = raw_string_hashes(rest) {
        let end = format!("\"{}", "#".repeat(hashes));
        let open = hashes + 2;
        let close = rest.get(open..).and_then(|tail| tail.find(&end));
        return (close.map_or(rest.len(), |at| open + at + end.len()), Kept::Quotes);
    }
    if first == '"' {
        return (quoted(rest), Kept::Quotes);
    }
    for literal in ["'\"'", "'\\''", "'\\\\'", "b'\"'"] {
        if rest.starts_with(literal) {
            return (literal.len(), Kept::Breaks);
        }
    }
    if first.is_alphanumeric() || first == '_' {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
        return (end.unwrap_or(rest.len()), Kept::All);
    }
    (first.len_utf8(), Kept::All)
}

fn after(rest: &str, end: &str) -> usize {
    rest.find(end).map_or(rest.len(), |at| at + end.len())
}

/// `r"…"`, `r#"…"#`, and so on: how many hashes.
fn raw_string_hashes(rest: &str) -> Option<usize> {
    let tail = rest.strip_prefix('r').or_else(|| rest.strip_prefix("br"))?;
    let hashes = tail.len() - tail.trim_start_matches('#').len();
    let is_string = tail.trim_start_matches('#').starts_with('"');
    let skipped = rest.len() - tail.len() - 1;
    is_string.then_some(hashes + skipped)
}

/// Length of a string literal with escapes, quotes included.
fn quoted(rest: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(blank(text), expected);
    }

    #[test]
    fn comments_and_literals_are_blanked_and_lines_stay() {
        check("a // b\nc", "a \nc");
        check("a /* b\n */ c", "a \n c");
        check("f(\"x\\\"y\") // z", "f(\"\") ");
        check("f(r#\"x\"y\"#)", "f(\"\")");
        check("f(r\"x\") g", "f(\"\") g");
        check("'\"' x \"y\"", " x \"\"");
        check("r#type for_r", "r#type for_r");
    }

    #[test]
    fn an_inline_module_of_tests_is_found() {
        let file =
            RustFile::new("crates/a/src/b.rs", "//! x\nfn a() {}\n#[cfg(test)]\nmod tests {\n}");
        assert_eq!(file.tests_from, 2);
        assert!(RustFile::new("crates/a/tests/it/main.rs", "").is_test());
    }
}
