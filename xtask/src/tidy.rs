//! `cargo x tidy`: the architecture's rules as a test.
//!
//! A rule is a function from the checkout to findings; each message names what to write instead.
//! There is no list of exceptions: where a rule makes code worse, change the rule.

use std::fmt;

use anyhow::ensure;

mod ban;
mod code;
mod dependency;
mod document;
mod name;
mod size;

/// What a rule objects to.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// 1-based; 0 for the whole file.
    line: usize,
    message: String,
}

impl Finding {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.path, self.message),
            line => write!(f, "{}:{line}: {}", self.path, self.message),
        }
    }
}

/// Checks the whole checkout and prints every finding.
pub(crate) fn tidy() -> anyhow::Result<()> {
    let findings = findings()?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    ensure!(findings.is_empty(), "tidy has {} findings", findings.len());
    Ok(())
}

fn findings() -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for file in code::rust_files()? {
        for rule in [size::check, name::check, ban::check] {
            findings.extend(rule(&file));
        }
    }
    findings.extend(dependency::check()?);
    findings.extend(document::check()?);
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checkout_is_tidy() {
        let findings = findings().unwrap();
        let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "\n{}", lines.join("\n"));
    }
}
