//! Words of code that are not used here, each with what is used instead.

use super::Finding;
use super::code::RustFile;

/// What is banned, where, and what to write.
struct Ban {
    text: &'static str,
    only_in_tests: bool,
    instead: &'static str,
}

const fn everywhere(text: &'static str, instead: &'static str) -> Ban {
    Ban { text, only_in_tests: false, instead }
}

const fn in_tests(text: &'static str, instead: &'static str) -> Ban {
    Ban { text, only_in_tests: true, instead }
}

const BANS: [Ban; 13] = [
    everywhere("todo!(", "write it, or leave it out"),
    everywhere("unimplemented!(", "write it, or leave it out"),
    everywhere("dbg!(", "use tracing"),
    everywhere("unbounded_channel", "use a bounded channel; everything has a bound"),
    everywhere("UnboundedSender", "use a bounded channel; everything has a bound"),
    everywhere("mpsc::unbounded", "use a bounded channel; everything has a bound"),
    everywhere("mpsc::channel()", "use sync_channel; everything has a bound"),
    everywhere("#[allow(", "use #[expect(…, reason = \"…\")]"),
    everywhere("#![allow(", "use #![expect(…, reason = \"…\")]"),
    in_tests("#[ignore", "make it quick, or move it to `cargo x chaos`"),
    in_tests("#[should_panic", "return an error and assert it whole"),
    in_tests("sleep(", "wait on a notification, or advance the paused clock"),
    in_tests("fn test_", "a test's name is a sentence"),
];

const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Checks one file line by line.
pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.lines.first().is_some_and(|line| line.starts_with("//!")) {
        findings.push(Finding::new(&file.path, 1, "begin with `//!`: why does this file exist?"));
    }
    for (index, line) in file.code.iter().enumerate() {
        let is_test = index >= file.tests_from;
        let bans = BANS.iter().filter(|ban| is_test || !ban.only_in_tests);
        for ban in bans.filter(|ban| line.contains(ban.text)) {
            let message = format!("`{}`: {}", ban.text, ban.instead);
            findings.push(Finding::new(&file.path, index + 1, message));
        }
    }
    findings.extend(marks(file));
    findings.extend(wildcard_class(file));
    findings
}

/// Comments that put work off.
fn marks(file: &RustFile) -> impl Iterator<Item = Finding> {
    let is_mark = |line: &str| {
        let comment =
            line.split_once("//").map(|(_, comment)| comment.trim_start_matches(['/', '!', ' ']));
        comment.is_some_and(|comment| MARKS.iter().any(|mark| comment.starts_with(mark)))
    };
    let lines = file.lines.iter().enumerate().filter(move |(_, line)| is_mark(line));
    lines.map(|(index, _)| Finding::new(&file.path, index + 1, "do it now, or say why not"))
}

/// An error's class is decided variant by variant.
fn wildcard_class(file: &RustFile) -> Option<Finding> {
    if file.name() != "error.rs" {
        return None;
    }
    let line = file.code.iter().position(|line| line.contains("impl Classify for"))?;
    let is_denied = file.code.iter().any(|line| line.contains("wildcard_enum_match_arm"));
    (!is_denied).then(|| {
        let message = "put #[deny(clippy::wildcard_enum_match_arm)] on it: no `_` decides a class";
        Finding::new(&file.path, line + 1, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let file = RustFile::new(path, &format!("//! x\n{text}"));
        check(&file).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_ban_for_tests_leaves_other_code_alone() {
        let text = "tokio::time::sleep(d).await;";
        assert_eq!(messages("crates/a/src/b.rs", text), Vec::<String>::new());
        assert_eq!(messages("crates/a/tests/it/b.rs", text).len(), 1);
    }

    #[test]
    fn banned_text_in_literals_and_comments_is_no_finding() {
        let text = "f(\"dbg!(\"); // as dbg!( does";
        assert_eq!(messages("crates/a/src/b.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_class_decided_by_a_wildcard_is_found() {
        let bare = "impl Classify for Error {}";
        assert_eq!(messages("crates/a/src/error.rs", bare).len(), 1);
        let denied = format!("#[deny(clippy::wildcard_enum_match_arm)]\n{bare}");
        assert_eq!(messages("crates/a/src/error.rs", &denied), Vec::<String>::new());
    }

    #[test]
    fn put_off_work_is_found() {
        let text = format!("fn a() {{}} // {}: more", MARKS[0]);
        assert_eq!(messages("crates/a/src/b.rs", &text).len(), 1);
    }
}
