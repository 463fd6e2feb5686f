//! `cargo x chaos`: faults that must leave nothing lost and nothing doubled, against real servers.
//!
//! Start reading at [`scenario`]; what is compared with what is told in [`audit`].

mod audit;
mod child;
mod door;
mod fleet;
mod load;
mod oracle;
mod report;
mod scenario;
mod stock;
mod witness;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use penstock_stack::Role;

/// Faults that must leave nothing lost and nothing doubled. Without a name, all of them.
#[derive(Debug, Parser)]
#[command(name = "chaos")]
struct Cli {
    #[command(flatten)]
    options: scenario::Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    #[command(flatten)]
    Scenario(scenario::Scenario),
    /// The pipeline that the faults happen to.
    #[command(hide = true)]
    Pipeline(child::Spec),
}

fn main() -> anyhow::Result<ExitCode> {
    // A service of a scenario's, which is this program under another name.
    if let Some(role) = Role::of_process() {
        return Ok(role.run());
    }
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match cli.command {
        Some(Command::Pipeline(spec)) => runtime.block_on(child::run(spec)),
        Some(Command::Scenario(one)) => runtime.block_on(scenario::run(&[one], &cli.options)),
        None => runtime.block_on(scenario::run(&scenario::Scenario::ALL, &cli.options)),
    }
}
