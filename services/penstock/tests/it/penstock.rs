//! The real program, run as a user would: arguments in, exit code and text out.

use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What a command left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Returns the program in `dir`, without the caller's settings.
pub(crate) fn program(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.current_dir(dir).args(args).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PENSTOCK") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(dir: &Path, args: &[&str]) -> Ran {
    ended(program(dir, args).output().expect("running penstock"))
}

/// Runs the program to its end beside the test's own tasks.
pub(crate) async fn run_beside(dir: &Path, args: &[&str]) -> Ran {
    let mut command = program(dir, args);
    let output = tokio::task::spawn_blocking(move || command.output());
    ended(output.await.unwrap().expect("running penstock"))
}

pub(crate) fn ended(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ran {
    /// Asserts a failure told in the three lines, which hold each of `words`.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let text = self.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        let parts = ["error: ", "cause: ", "fix: "];
        for word in parts.iter().chain(words) {
            assert!(text.contains(word), "no {word:?} in\n{}", self.stderr);
        }
        for trace in ["panicked", "RUST_BACKTRACE", "   0:"] {
            assert!(!text.contains(trace), "{}", self.stderr);
        }
        self.fits();
    }

    /// Asserts that nothing is wider than 80 columns, but for SQL to copy and log lines.
    #[track_caller]
    pub(crate) fn fits(&self) {
        for line in self.stdout.lines().chain(self.stderr.lines()) {
            let is_free = ["fix: ", " INFO ", " WARN ", " ERROR "].iter().any(|w| line.contains(w));
            assert!(is_free || line.chars().count() <= 80, "{line}");
        }
    }
}
