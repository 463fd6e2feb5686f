//! Names: the glossary's words, and no drawers that everything fits into.

use super::Finding;
use super::code::RustFile;

const DRAWERS: [&str; 7] = ["util", "utils", "helper", "helpers", "common", "misc", "types"];

/// Endings of types that say nothing about what the thing is.
const EMPTY_ENDINGS: [&str; 6] = ["Manager", "Helper", "Helpers", "Util", "Utils", "Processor"];

/// Beginnings of functions that say nothing about what they do.
const EMPTY_VERBS: [&str; 4] = ["handle", "process", "perform", "do"];

/// Words that have another name here (docs/glossary.md).
const BANNED: [(&str, &str); 4] = [
    ("bookmark", "position"),
    ("error_queue", "dead_letter"),
    ("dead_letter_queue", "dead_letter"),
    ("schema_name", "subject"),
];

/// Checks the file's own name and every identifier defined in it.
pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let stem = file.name().trim_end_matches(".rs");
    if DRAWERS.contains(&stem) {
        let message = format!("a module named {stem:?} holds anything: name what it holds");
        findings.push(Finding::new(&file.path, 0, message));
    }
    if stem == "mod" {
        findings.push(Finding::new(&file.path, 0, "name it after its folder, beside the folder"));
    }
    for (index, line) in file.code.iter().enumerate() {
        let messages = [empty_type(line), empty_function(line), banned_word(line)];
        let messages = messages.into_iter().flatten();
        findings.extend(messages.map(|message| Finding::new(&file.path, index + 1, message)));
    }
    findings
}

fn empty_type(line: &str) -> Option<String> {
    let name = ["struct ", "enum ", "trait "].iter().find_map(|kind| defined(line, kind))?;
    let ending = EMPTY_ENDINGS.iter().find(|ending| name.ends_with(**ending))?;
    Some(format!("{name}: {ending} is no noun of the domain; say what it is"))
}

fn empty_function(line: &str) -> Option<String> {
    let name = defined(line, "fn ")?;
    let verb = name.split('_').next()?;
    EMPTY_VERBS.contains(&verb).then(|| {
        format!(
            "{name}: {verb:?} says nothing; use the domain's verb (append, acknowledge, decode)"
        )
    })
}

fn banned_word(line: &str) -> Option<String> {
    let lower = line.to_lowercase();
    let (word, instead) = BANNED.iter().find(|(word, _)| lower.contains(word))?;
    Some(format!("{word:?}: the glossary's word is {instead:?}"))
}

/// Returns the name that `line` defines after the keyword `kind`.
fn defined<'a>(line: &'a str, kind: &str) -> Option<&'a str> {
    let at = line.find(kind)?;
    let (before, rest) = line.split_at(at);
    let is_word = before.chars().next_back().is_none_or(|c| !c.is_alphanumeric() && c != '_');
    let rest = rest.strip_prefix(kind)?;
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    is_word.then(|| rest.split_at(end).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_names_are_found_where_they_are_defined() {
        assert!(empty_type("pub struct SlotManager {").is_some());
        assert!(empty_type("let x: SlotManager = y;").is_none());
        assert!(empty_function("    async fn handle_message(&self) {").is_some());
        assert!(empty_function("fn dominate() {").is_none());
        assert!(banned_word("let Bookmark = 1;").is_some());
    }
}
