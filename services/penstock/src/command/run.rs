//! `penstock run` and `penstock dev`: settings, log, then the pipeline until a
//! signal or a halt.

use std::process::ExitCode;
use std::time::Duration;

use cdc_runtime::process::Endpoints;
use service_kit::telemetry::{self, Telemetry};

use crate::cli::{DevArgs, RunArgs};
use crate::command::{block_on, put};
use crate::dev::{self, DevConfig};
use crate::pipeline;
use crate::report::{EXIT_FAILED, Problem};
use crate::running::Running;
use crate::settings::{self, RunSettings};

/// Runs the pipeline for the user's own database.
///
/// # Errors
/// Wrong settings, what could not be opened, or the halt.
pub fn run(args: &RunArgs) -> Result<ExitCode, Problem> {
    let layers = settings::layers(args.settings.config.as_deref(), &args.flags())?;
    let settings = RunSettings::from_layers(&layers)?;
    if args.print_config {
        put(&cdc_config::print(&layers))?;
        return Ok(ExitCode::SUCCESS);
    }
    start_log(&settings.telemetry)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    block_on(run_pipeline(settings))
}

async fn run_pipeline(settings: RunSettings) -> Result<ExitCode, Problem> {
    let shutdown = service_kit::shutdown_on_signal();
    // Before anything is made on the source: a taken port is found out first.
    let endpoints = Endpoints::bind(settings.listen, settings.control.as_ref()).await?;
    let building = pipeline::build(settings.pipeline);
    let Some(pipeline) = shutdown.run_until_cancelled(building).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let running = Running::new(pipeline?, shutdown);
    let dir = running.pipeline().config().data_dir().display().to_string();
    tracing::info!(pipeline = %running.pipeline().id(), dir, "pipeline started");
    let outcome = running.run_at(endpoints).await;
    outcome?;
    tracing::info!("pipeline stopped");
    Ok(ExitCode::SUCCESS)
}

/// Runs a shop, everything that is kept equal to it, and the page; or checks that it is equal.
///
/// # Errors
/// What failed, or the halt.
pub fn dev(args: DevArgs) -> Result<ExitCode, Problem> {
    start_log(&Telemetry { level: Some("warn".to_owned()), is_json: false })?;
    let usual = if args.check { ".penstock-check" } else { ".penstock-dev" };
    let config = DevConfig {
        postgres_dir: args.postgres_dir,
        data_dir: args.data_dir.unwrap_or_else(|| usual.into()),
        port: args.port,
        rate: args.rate,
    };
    block_on(async move {
        if args.check {
            let is_equal = dev::check(config, Duration::from_secs(args.seconds)).await?;
            return Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::from(EXIT_FAILED) });
        }
        dev::run(config, service_kit::shutdown_on_signal()).await?;
        Ok(ExitCode::SUCCESS)
    })
}

fn start_log(telemetry: &Telemetry) -> Result<(), Problem> {
    telemetry::init(telemetry).map_err(|error| {
        Problem::usage(
            "the setting \"log.level\" is not valid",
            error.to_string(),
            "Give error, warn, info, debug or trace, or a filter such as \
             info,cdc_source_postgres=debug.",
        )
    })
}
