//! The pages in a real browser: `cargo x ui`. Serves made-up pipelines and hands their addresses to
//! `suite.mjs`, which drives Chromium.
//!
//! Needs Chromium (`/usr/bin/chromium`, or what `CHROMIUM` names) and the npm packages beside this
//! file (`npm ci`); without them it says so and ends well, or fails with `X_STRICT=1`.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test's runner"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::Duration;

use cdc_control::v1::{self, State};
use serde_json::json;

use scripted::{Script, World, config};

#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "../it/scripted.rs"]
mod scripted;

fn main() -> ExitCode {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser");
    if let Some(missing) = missing(&folder) {
        eprintln!("skipped: {missing}");
        let is_strict = service_kit::variable("X_STRICT").is_some_and(|value| value != "0");
        return if is_strict { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let is_well = runtime.block_on(run(&folder));
    if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

async fn run(folder: &Path) -> bool {
    let mut world = World::new();
    let mut sites = BTreeMap::new();
    for (name, script) in scripts() {
        let endpoint = world.endpoint(&script).await;
        let mut config = config(&[endpoint]);
        config.interval = Duration::from_secs(1);
        sites.insert(name.to_owned(), format!("http://{}", world.dashboard(config).await));
    }
    let absent = config(&[format!("127.0.0.1:{}", testkit::server::free_port())]);
    sites.insert("unreachable".to_owned(), format!("http://{}", world.dashboard(absent).await));
    let guarded = ops_dashboard::DashboardConfig {
        token: Some("correct-horse-battery".to_owned()),
        ..config(&[])
    };
    sites.insert("guarded".to_owned(), format!("http://{}", world.dashboard(guarded).await));
    // A dashboard of its own that the suite sees die.
    let mut mortal = World::new();
    let address = mortal.of(&Script::moving(scripted::flowing())).await;
    sites.insert("mortal".to_owned(), format!("http://{address}"));

    let mut suite = tokio::process::Command::new("node");
    suite.arg("suite.mjs").args(std::env::args().skip(1)).current_dir(folder);
    suite.env("SITES", json!(sites).to_string()).env("CHROMIUM", chromium());
    suite.stdout(Stdio::piped()).kill_on_drop(true);
    let mut suite = suite.spawn().unwrap();
    let output = suite.stdout.take().unwrap();
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(output));
    while let Some(line) = lines.next_line().await.unwrap() {
        println!("{line}");
        if line == "end mortal" {
            mortal.end().await;
        }
    }
    suite.wait().await.unwrap().success()
}

fn scripts() -> Vec<(&'static str, Arc<Script>)> {
    let mut paused = scripted::flowing();
    if let Some(capture) = &mut paused.capture {
        capture.set_state(State::Paused);
    }
    let broken = Script::new(scripted::broken());
    *broken.letters.lock().unwrap() = scripted::letters();
    let scripts = vec![
        ("flowing", Script::moving(scripted::flowing())),
        ("broken", broken),
        ("paused", Script::new(paused)),
        ("much", Script::moving(much())),
    ];
    for (_, script) in &scripts {
        *script.subjects.lock().unwrap() = scripted::subjects();
    }
    scripts.into_iter().chain([("empty", Script::new(scripted::empty()))]).collect()
}

/// Ten thousand tables, twenty projections, long names.
fn much() -> v1::StatusReply {
    let mut status = scripted::flowing();
    let one = status.projections[0].clone();
    let projection = |index: usize| v1::Projection {
        name: format!("projection-with-a-long-name-{index:02}"),
        ..one.clone()
    };
    status.projections = (0..20).map(projection).collect();
    let table = |index: u64| v1::Table {
        name: format!("a_schema_with_a_long_name.a_table_with_an_even_longer_name_{index:05}"),
        creates: index * 131,
        ..v1::Table::default()
    };
    status.tables = (0..10_000).map(table).collect();
    status
}
