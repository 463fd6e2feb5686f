//! Documents: what they name exists, and what exists is named.

use std::path::Path;

use super::Finding;
use crate::{cli, workspace};

/// Documents whose commands and paths must be true.
const READ: [&str; 4] = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs"];

/// Checks the documents and the golden files.
pub(super) fn check() -> anyhow::Result<Vec<Finding>> {
    let mut findings = decisions()?;
    findings.extend(golden_pairs()?);
    for start in READ {
        for path in markdown(start)? {
            let text = workspace::read(&path)?;
            findings.extend(document(&path.to_string_lossy(), &text));
        }
    }
    Ok(findings)
}

fn markdown(start: &str) -> anyhow::Result<Vec<std::path::PathBuf>> {
    if start.ends_with(".md") {
        let path = Path::new(start).to_owned();
        return Ok(workspace::root().join(&path).exists().then_some(path).into_iter().collect());
    }
    workspace::files(start, |path| path.extension().is_some_and(|extension| extension == "md"))
}

/// Every decision record is in the index.
fn decisions() -> anyhow::Result<Vec<Finding>> {
    let index = workspace::read(Path::new("docs/adr/README.md"))?;
    let records = markdown("docs/adr")?;
    let names =
        records.iter().filter_map(|path| path.file_name()).map(|name| name.to_string_lossy());
    let missing = names.filter(|name| name != "README.md" && !index.contains(name.as_ref()));
    let finding =
        |name| Finding::new("docs/adr/README.md", 0, format!("{name} is not in the index"));
    Ok(missing.map(finding).collect())
}

/// Every golden input has the text it is expected to decode to.
fn golden_pairs() -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for entry in std::fs::read_dir(workspace::root().join("crates"))? {
        let testdata = entry?.path().join("testdata");
        let Ok(testdata) = testdata.strip_prefix(workspace::root()) else { continue };
        let is_hex = |path: &Path| path.extension().is_some_and(|extension| extension == "hex");
        for path in workspace::files(&testdata.to_string_lossy(), is_hex)? {
            if !workspace::root().join(path.with_extension("txt")).exists() {
                let message = "no .txt beside it: run `cargo x fixtures`";
                findings.push(Finding::new(&path.to_string_lossy(), 0, message));
            }
        }
    }
    Ok(findings)
}

fn document(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for name in words_after(line, "cargo x ") {
            if name.starts_with(|c: char| c.is_ascii_lowercase()) && !cli::names().contains(&name) {
                let message = format!("`cargo x {name}` is no command of xtask's");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
        for script in words_after(line, "./scripts/") {
            if !workspace::root().join("scripts").join(&script).exists() {
                let message = format!("./scripts/{script} does not exist");
                findings.push(Finding::new(path, index + 1, message));
            }
        }
    }
    findings
}

/// Returns the word that follows each occurrence of `mark`.
fn words_after(line: &str, mark: &str) -> Vec<String> {
    let tails = line.split(mark).skip(1);
    let is_word = |c: &char| c.is_ascii_alphanumeric() || *c == '-';
    tails.map(|tail| tail.chars().take_while(is_word).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_does_not_exist_is_found() {
        assert_eq!(document("README.md", "run `cargo x check` or `cargo x NAME`"), []);
        assert_eq!(document("README.md", "run `cargo x nothing`").len(), 1);
        assert_eq!(document("README.md", "run ./scripts/nothing").len(), 1);
    }
}
