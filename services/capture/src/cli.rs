//! The command line of the service.

use std::path::PathBuf;
use std::process::ExitCode;

use cdc_runtime::cli::{self, Given};
use cdc_runtime::settings::RunSettings;
use clap::Parser;

/// Captures every committed change of a PostgreSQL database into Kafka.
///
/// Each setting may stand in the file, or in the environment as PENSTOCK__NAME, with __ for a dot.
#[derive(Debug, Parser)]
#[command(name = "capture", version, max_term_width = 80)]
struct Args {
    /// Settings in TOML, with Debezium's property names
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the settings in effect, secrets masked, and stop
    #[arg(long)]
    print_config: bool,
}

/// Runs the command line and returns the exit code.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let given = Given { config: args.config.as_deref(), print_config: args.print_config };
    let read = |layers: &_| {
        let settings = RunSettings::from_layers(layers)?;
        let (telemetry, warnings) = (settings.telemetry.clone(), settings.warnings.clone());
        Ok((settings, telemetry, warnings))
    };
    cli::main(given, &[], read, crate::serve)
}
