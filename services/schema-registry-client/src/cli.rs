//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use cdc_runtime::process::Endpoints;
use cdc_runtime::report::{EXIT_USAGE, Problem};
use clap::Parser;
use service_kit::telemetry::{self, Telemetry};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::users;
use crate::settings::{ENVIRONMENT_PREFIX, Settings};

/// Serves Confluent's Schema Registry API: from a folder, from Kafka's topic _schemas, or in front
/// of another registry. Each setting can also be given in the file, or in the environment as
/// PENSTOCK_REGISTRY_NAME.
#[derive(Debug, Parser)]
#[command(name = "schema-registry-client", version, max_term_width = 80)]
struct Cli {
    /// Where to listen [default: 127.0.0.1:8081]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Keep schemas here [default: .penstock-registry]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Keep schemas in Kafka instead
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// The topic there [default: _schemas]
    #[arg(long, value_name = "TOPIC")]
    kafka_topic: Option<String>,
    /// Ask this registry instead, and remember what it says in DIR
    #[arg(long, value_name = "URL")]
    upstream: Option<String>,
    /// Let in only these users, as user:hash a line
    #[arg(long, value_name = "FILE")]
    users_file: Option<String>,
    /// First part of topics in previews [default: penstock]
    #[arg(long, value_name = "PREFIX")]
    topic_prefix: Option<String>,
    /// Refuse schemas that change what values mean [default: true]
    #[arg(long, value_name = "BOOL")]
    semantic_gate: Option<String>,
    /// error, warn, info, debug, trace, or a filter [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Settings in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Show the settings in effect, secrets masked, and stop
    #[arg(long)]
    print_config: bool,
    /// Read a password from stdin, print a line for the file of users, and stop
    #[arg(long, value_name = "USER")]
    hash_password: Option<String>,
}

impl Cli {
    fn flags(&self) -> Vec<(&'static str, String)> {
        let given = [
            ("listen", &self.listen),
            ("data_dir", &self.data_dir),
            ("kafka", &self.kafka),
            ("kafka_topic", &self.kafka_topic),
            ("upstream", &self.upstream),
            ("users_file", &self.users_file),
            ("topic_prefix", &self.topic_prefix),
            ("semantic_gate", &self.semantic_gate),
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
    if let Some(user) = &cli.hash_password {
        return hash_password(user);
    }
    let environment = service_kit::environment(ENVIRONMENT_PREFIX);
    let settings = Settings::load(cli.config.as_deref(), &environment, &cli.flags())?;
    if cli.print_config {
        let printed = std::io::stdout().lock().write_all(settings.print().as_bytes());
        return Ok(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    start_log(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Problem::from(anyhow::Error::new(error)))?;
    let outcome = runtime.block_on(serve(settings));
    // A blocking call in flight must not hold up the end.
    runtime.shutdown_background();
    outcome.map(|()| ExitCode::SUCCESS)
}

fn hash_password(user: &str) -> Result<ExitCode, Problem> {
    let mut password = String::new();
    let fix = "Give the user's name, and a password on standard input.";
    let wrong = |reason: String| Problem::usage("no line can be made of it", reason, fix);
    std::io::stdin().read_line(&mut password).map_err(|error| wrong(error.to_string()))?;
    let line = users::line(user, password.trim_end_matches(['\r', '\n'])).map_err(wrong)?;
    let printed = std::io::stdout().lock().write_all(line.as_bytes());
    Ok(if printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn serve(settings: Settings) -> Result<(), Problem> {
    let shutdown = service_kit::shutdown_on_signal();
    settings.check_access()?;
    let endpoints = Endpoints::bind(None, settings.control()?.as_ref()).await?;
    let (listen, data_dir) = (settings.listen, settings.data_dir.clone());
    let is_open = settings.users_file.is_none();
    let listener = TcpListener::bind(listen).await.map_err(|error| {
        let what = format!("cannot listen on {listen}");
        Problem::usage(what, error.to_string(), "Choose another address with --listen.")
    })?;
    let service = crate::build(settings).await?;
    if is_open && !listen.ip().is_loopback() {
        tracing::warn!(%listen, "whoever reaches this address may change schemas");
    }
    let address = listener.local_addr().unwrap_or(listen);
    tracing::info!(%address, "serving the registry");
    let finished = CancellationToken::new();
    let control = service.control(endpoints.control_address(&data_dir), shutdown.clone());
    let serving = async {
        let outcome = service.serve(listener, shutdown).await;
        finished.cancel();
        outcome
    };
    let (outcome, ()) = tokio::join!(serving, control.serve(endpoints, &data_dir, &finished));
    outcome?;
    tracing::info!("stopped");
    Ok(())
}

fn start_log(settings: &Settings) -> Result<(), Problem> {
    let level = settings.log_level.as_str();
    let is_plain = level.chars().all(|c| c.is_ascii_alphabetic());
    let is_level = ["error", "warn", "info", "debug", "trace"].contains(&level);
    let ours = ["schema_registry_client", "cdc_registry", "cdc_log_kafka", "service_kit"];
    let level = if is_plain && is_level {
        format!("warn,{}", ours.map(|name| format!("{name}={level}")).join(","))
    } else {
        level.to_owned()
    };
    let telemetry = Telemetry { level: Some(level), is_json: settings.is_log_json };
    telemetry::init(&telemetry).map_err(|error| {
        let fix =
            "Give error, warn, info, debug, trace, or a filter such as info,cdc_registry=debug.";
        Problem::usage("the setting \"log_level\" is not valid", error.to_string(), fix)
    })
}
