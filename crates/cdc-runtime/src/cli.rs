//! What every service's `main` does: settings, log, a runtime, and failures told in three lines.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use cdc_config::Layers;
use cdc_config::Warning;
use service_kit::telemetry::{self, Telemetry};

use crate::report::Problem;
use crate::settings;

/// What the command line of a service says.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// A file of settings.
    pub config: Option<&'a Path>,
    /// Whether to show the settings and stop.
    pub print_config: bool,
}

/// Runs a service to its end: gathers its settings, which `read` checks, and runs `serve`.
pub fn main<S, F: Future<Output = Result<(), Problem>>>(
    given: Given<'_>,
    flags: &[(&str, &str, String)],
    read: impl FnOnce(&Layers) -> Result<(S, Telemetry, Vec<Warning>), Problem>,
    serve: impl FnOnce(S) -> F,
) -> ExitCode {
    match try_main(given, flags, read, serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => problem.print(),
    }
}

fn try_main<S, F: Future<Output = Result<(), Problem>>>(
    given: Given<'_>,
    flags: &[(&str, &str, String)],
    read: impl FnOnce(&Layers) -> Result<(S, Telemetry, Vec<Warning>), Problem>,
    serve: impl FnOnce(S) -> F,
) -> Result<(), Problem> {
    let layers = settings::layers(given.config, flags)?;
    let (settings, telemetry, warnings) = read(&layers)?;
    if given.print_config {
        let written = std::io::stdout().lock().write_all(cdc_config::print(&layers).as_bytes());
        return written.map_err(|error| {
            Problem::failed("cannot write the output").because(error.to_string())
        });
    }
    telemetry::init(&telemetry).map_err(|error| {
        Problem::usage(
            "the setting \"log.level\" is not valid",
            error.to_string(),
            "Give error, warn, info, debug or trace, or a filter.",
        )
    })?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime
        .map_err(|error| Problem::failed("cannot start threads").because(error.to_string()))?;
    let outcome = runtime.block_on(serve(settings));
    // A blocking call in flight must not hold up the end.
    runtime.shutdown_background();
    outcome
}
