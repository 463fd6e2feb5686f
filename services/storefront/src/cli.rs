//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use service_kit::telemetry::{self, Telemetry};
use tokio::net::TcpListener;

use crate::problem::{EXIT_USAGE, Problem};
use crate::settings::{ENVIRONMENT_PREFIX, Settings};
use crate::shop::Storefront;

/// A small shop on the source database, which shows what happens after "Place order". Each setting
/// can also be given in the file, or in the environment as PENSTOCK_STOREFRONT_NAME.
#[derive(Debug, Parser)]
#[command(name = "storefront", version, max_term_width = 80)]
struct Cli {
    /// The source database, as postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    database: Option<String>,
    /// Ask these processes: HOST:PORT or data directories, separated by commas
    #[arg(long, value_name = "WHERE")]
    control: Option<String>,
    /// A file that holds the token for control over TCP, alone
    #[arg(long, value_name = "FILE")]
    control_token_file: Option<String>,
    /// Where to listen [default: 127.0.0.1:8088]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Link to the operator's dashboard at this address
    #[arg(long, value_name = "URL")]
    dashboard: Option<String>,
    /// Orders per second to begin with [default: 0]
    #[arg(long, value_name = "NUMBER")]
    rate: Option<String>,
    /// Whether to have a page with the load dial and ways to break things [default: on loopback]
    #[arg(long, value_name = "BOOL")]
    lab: Option<String>,
    /// error, warn, info, debug, trace, or a filter [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Settings in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the settings in effect, secrets masked, and stop
    #[arg(long)]
    print_config: bool,
}

impl Cli {
    fn flags(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("database", &self.database),
            ("control", &self.control),
            ("control_token_file", &self.control_token_file),
            ("listen", &self.listen),
            ("dashboard", &self.dashboard),
            ("rate", &self.rate),
            ("lab", &self.lab),
            ("log_level", &self.log_level),
        ];
        given.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

/// Runs the command that was typed, and returns its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody is left to tell if stderr is gone.
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&cli) {
        Ok(code) => code,
        Err(problem) => problem.print(),
    }
}

fn run(cli: &Cli) -> Result<ExitCode, Problem> {
    let environment = service_kit::environment(ENVIRONMENT_PREFIX);
    let settings = Settings::load(cli.config.as_deref(), &environment, &cli.flags())?;
    if cli.print_config {
        let printed = std::io::stdout().lock().write_all(settings.print().as_bytes());
        return Ok(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    start_log(&settings.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(serve(settings));
    // A blocking call in flight must not hold up the end.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

async fn serve(settings: Settings) -> Result<(), Problem> {
    let shutdown = service_kit::shutdown_on_signal();
    let listen = settings.config.listen;
    if settings.config.database.reveal().is_empty() {
        let fix = "Give --database postgres://USER:PASSWORD@HOST:PORT/DATABASE.";
        return Err(Problem::usage("the shop has no database", "\"database\" is not set", fix));
    }
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let what = format!("cannot listen on {listen}");
        Problem::usage(what, error.to_string(), "Choose another address with --listen.")
    })?;
    let shop = Storefront::open(settings.config).await?;
    let address = listener.local_addr().unwrap_or(listen);
    tracing::info!(url = %format!("http://{address}/"), "the shop is open");
    shop.serve(listener, shutdown).await?;
    tracing::info!("stopped");
    Ok(())
}

fn start_log(level: &str) -> Result<(), Problem> {
    let is_level = ["error", "warn", "info", "debug", "trace"].contains(&level);
    let level = if is_level {
        format!("warn,storefront={level},cdc_control={level},service_kit={level}")
    } else {
        level.to_owned()
    };
    telemetry::init(&Telemetry { level: Some(level), is_json: false }).map_err(|error| {
        let fix =
            "Give error, warn, info, debug, trace, or a filter such as info,storefront=debug.";
        Problem::usage("the setting \"log_level\" is not valid", error.to_string(), fix)
    })
}
