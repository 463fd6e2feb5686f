//! Benchmarks: what a row costs on each part of its way, each beside a control in the same run.
//!
//! Every figure is of a run whose outcome was checked: the topic or the warehouse holds exactly the
//! rows of the source. Rates move with the machine and the hour, so the ratio to the control comes
//! first, then the CPU time of each process per row. Start reading at [`report`].

mod capture;
mod cli;
mod codec;
mod drain;
mod latency;
mod pipeline;
mod process;
mod project;
mod registry;
mod report;
mod rows;
mod sent;
mod services;
mod snapshot;
mod trickle;
mod verify;
mod world;

use std::process::ExitCode;

use clap::Parser;
use penstock_stack::Role;

use crate::cli::Cli;

fn main() -> ExitCode {
    // A service to be measured, which is this program under another name.
    if let Some(role) = Role::of_process() {
        return role.run();
    }
    tracing_subscriber::fmt().with_env_filter("warn").with_writer(std::io::stderr).init();
    let cli = Cli::parse();
    match cli.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::fail(&error);
            ExitCode::FAILURE
        }
    }
}
