//! Sizes: small files read whole. Functions are clippy's business (`too_many_lines`).

use super::Finding;
use super::code::RustFile;

const FILE_LINES_MAX: usize = 500;
const TEST_FILE_LINES_MAX: usize = 1_000;
const INLINE_TESTS_LINES_MAX: usize = 100;
const LIB_LINES_MAX: usize = 120;
const MAIN_LINES_MAX: usize = 60;

/// Checks one file's length against what its role allows.
pub(super) fn check(file: &RustFile) -> Vec<Finding> {
    let total = file.lines.len();
    let (length, limit, advice) = match file.name() {
        _ if file.is_test() => (total, TEST_FILE_LINES_MAX, "split it by feature"),
        "lib.rs" => (file.tests_from, LIB_LINES_MAX, "keep docs, `mod` and `pub use` only"),
        "main.rs" if !file.path.contains("/examples/") => {
            (file.tests_from, MAIN_LINES_MAX, "move what is longer to lib.rs")
        }
        _ => (file.tests_from, FILE_LINES_MAX, "split it at a type"),
    };
    let mut findings = Vec::new();
    if length > limit {
        let message = format!("{length} lines, at most {limit}: {advice}");
        findings.push(Finding::new(&file.path, 0, message));
    }
    let inline = total - file.tests_from;
    if !file.is_test() && inline > INLINE_TESTS_LINES_MAX {
        let stem = file.path.trim_end_matches(".rs");
        let message = format!("{inline} lines of inline tests: move them to {stem}/tests.rs");
        findings.push(Finding::new(&file.path, file.tests_from + 1, message));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(path: &str, lines: usize) -> usize {
        check(&RustFile::new(path, &"x\n".repeat(lines))).len()
    }

    #[test]
    fn each_role_has_its_limit() {
        assert_eq!(count("crates/a/src/b.rs", 500), 0);
        assert_eq!(count("crates/a/src/b.rs", 501), 1);
        assert_eq!(count("crates/a/src/lib.rs", 121), 1);
        assert_eq!(count("services/a/src/main.rs", 61), 1);
        assert_eq!(count("crates/a/tests/it/b.rs", 900), 0);
    }
}
