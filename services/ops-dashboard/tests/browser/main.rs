//! The pages in a real browser: `cargo x ui`. `suite.mjs` drives Chromium through the pages of made-up
//! pipelines, `live.mjs` through a shop, its dashboard and everything between ([`live`]).
//!
//! `--shots [DIR]` also writes pictures of every page, into `screenshots` of the target folder unless
//! told where; `--only WORD` runs the tests whose name has the word in it; `--suite live` or
//! `--suite suite` runs one of the two.
//!
//! Needs Chromium (`/usr/bin/chromium`, or what `CHROMIUM` names) and the npm packages beside this
//! file (`npm ci`); without them it says so and ends well, or fails with `X_STRICT=1`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test's runner"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use penstock_stack::{ROLE, Role};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout};

mod live;
mod made_up;
#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/scripted.rs"]
mod scripted;

fn main() -> ExitCode {
    // A stack's services are this program under another name.
    if let Some(role) = service_kit::variable(ROLE) {
        return Role::find(&role).map_or(ExitCode::FAILURE, Role::run);
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if let Some(missing) = missing(&folder) {
        eprintln!("skipped: {missing}");
        let is_strict = service_kit::variable("X_STRICT").is_some_and(|value| value != "0");
        return if is_strict { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_well = runtime.block_on(async {
        let is_chosen = |name: &str| argument("--suite").flatten().is_none_or(|only| only == name);
        let made_up = !is_chosen("suite") || made_up::run(&folder).await;
        let live = !is_chosen("live") || live::run(&folder).await;
        made_up && live
    });
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The value after a name: none if the name is not given, empty if no value follows it.
fn argument(name: &str) -> Option<Option<String>> {
    let all: Vec<String> = std::env::args().collect();
    let at = all.iter().position(|argument| argument == name)?;
    Some(all.get(at + 1).filter(|value| !value.starts_with("--")).cloned())
}

fn chromium() -> PathBuf {
    service_kit::variable("CHROMIUM").unwrap_or_else(|| "/usr/bin/chromium".to_owned()).into()
}

fn missing(folder: &Path) -> Option<String> {
    if !chromium().exists() {
        return Some(format!("{} is not there: install Chromium", chromium().display()));
    }
    if !folder.join("node_modules").exists() {
        return Some(format!("run npm ci in {}", folder.display()));
    }
    let node = Command::new("node").arg("--version").stdout(Stdio::null()).status();
    (!node.is_ok_and(|status| status.success())).then(|| "node is not installed".to_owned())
}

/// A script that drives the browser, and the lines it writes.
struct Suite {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Suite {
    /// Starts a script, which is told `sites` by name.
    fn start(folder: &Path, script: &str, sites: &serde_json::Value) -> Self {
        let mut suite = tokio::process::Command::new("node");
        suite.arg(script).current_dir(folder).kill_on_drop(true).stdout(Stdio::piped());
        for name in ["--only", "--portrait", "--after"] {
            if let Some(Some(value)) = argument(name) {
                suite.args([name, &value]);
            }
        }
        if let Some(shots) = argument("--shots") {
            let standard = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../screenshots");
            let shots = shots.map_or(standard, |dir| std::path::absolute(dir).unwrap());
            suite.arg("--shots").arg(shots);
        }
        suite.env("SITES", sites.to_string()).env("CHROMIUM", chromium());
        let mut process = suite.spawn().unwrap();
        let output = process.stdout.take().unwrap();
        Self { process, lines: BufReader::new(output).lines() }
    }

    /// Shows what it writes, and returns the next thing it wants done; none when it has ended.
    async fn wish(&mut self) -> Option<String> {
        while let Some(line) = self.lines.next_line().await.unwrap() {
            if let Some(wish) = line.strip_prefix("do ") {
                return Some(wish.to_owned());
            }
            println!("{line}");
        }
        None
    }

    async fn is_well(mut self) -> bool {
        self.process.wait().await.unwrap().success()
    }
}
