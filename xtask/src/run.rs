//! The commands that run the project's own tests and programs.

use std::thread::available_parallelism;

use anyhow::Context;

use crate::shell::{cargo, run};

/// Tests start real servers: more at a time than this starve each other of memory, fewer than two
/// leave a core idle while a server starts.
const TEST_THREADS: std::ops::RangeInclusive<usize> = 2..=4;

/// Runs every test of the workspace, doctests included.
pub(crate) fn test(args: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(["test", "--workspace"]);
    command.args(args);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let cores = available_parallelism().context("counting the cores")?.get();
        let threads = cores.clamp(*TEST_THREADS.start(), *TEST_THREADS.end());
        command.env("RUST_TEST_THREADS", threads.to_string());
    }
    run(command)
}

/// Runs the simulation over a range of seeds; it prints a failing one as the command to replay it.
pub(crate) fn sim(seeds: u64, seed: Option<u64>, args: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(["run", "--release", "--quiet", "--package", "testkit"]);
    command.args(["--example", "sim", "--", "--seeds", &seeds.to_string()]);
    if let Some(seed) = seed {
        command.args(["--seed", &seed.to_string()]);
    }
    command.args(args);
    run(command)
}

/// Captures golden bytes from real servers again; the changes are reviewed as a diff.
pub(crate) fn fixtures() -> anyhow::Result<()> {
    let mut command = cargo(["test", "--package", "cdc-source-postgres", "--test", "it"]);
    command.args(["fixtures", "--", "--nocapture"]);
    command.env("UPDATE_FIXTURES", "1").env("UPDATE_EXPECT", "1");
    run(command)
}

/// Runs the browser's suites: `--shots DIR` takes pictures, `--only WORD` chooses.
pub(crate) fn ui(args: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(["test", "--package", "ops-dashboard", "--test", "browser", "--"]);
    command.args(args);
    run(command)
}

/// Runs the whole fault matrix against real servers, whose quick part is in the normal tests.
pub(crate) fn chaos(args: &[String]) -> anyhow::Result<()> {
    let mut command = cargo(["run", "--release", "--package", "penstock-chaos", "--bin", "chaos"]);
    command.arg("--").args(args);
    run(command)
}
