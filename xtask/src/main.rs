//! The project's tooling, run as `cargo x NAME`.
//!
//! A step whose tool is not installed is skipped and said so; with `X_STRICT=1`, as in continuous
//! integration, skipping fails.
#![expect(clippy::print_stderr, reason = "a command-line tool")]

use std::process::ExitCode;

use clap::Parser;

mod bench;
mod check;
mod cli;
mod compose;
mod run;
mod shell;
mod tidy;
mod workspace;

fn main() -> ExitCode {
    match cli::Cli::parse().execute() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
