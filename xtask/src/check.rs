//! `cargo x check`: everything that must hold before a commit, cheapest first.

use anyhow::Context;

use crate::shell::{cargo, program, run, run_if_installed};
use crate::tidy;

/// Runs every step; stops at the first that fails.
pub(crate) fn check() -> anyhow::Result<()> {
    run(cargo(["fmt", "--all", "--check"])).context("run `cargo fmt --all`")?;
    tidy::tidy()?;
    run_if_installed(program("typos", []), program("typos", ["--version"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run(cargo(clippy))?;
    let mut doc = cargo(["doc", "--workspace", "--no-deps"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run(doc)?;
    run_if_installed(cargo(["deny", "check"]), cargo(["deny", "--version"]))
}
