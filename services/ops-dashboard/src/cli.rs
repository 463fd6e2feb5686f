//! The command line of the binary.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use service_kit::telemetry::{self, Telemetry};
use tokio::net::TcpListener;
use toml::{Table, Value};

use crate::dashboard::Dashboard;
use crate::error::Error;
use crate::settings::{ENVIRONMENT_PREFIX, Problem, Settings};

/// Wrong usage or settings, as in `sysexits.h`.
const EXIT_USAGE: u8 = 64;

/// The operator's web page for running pipelines.
#[derive(Debug, Parser)]
#[command(name = "ops-dashboard", version, max_term_width = 80)]
struct Cli {
    /// Ask the process that serves control there; may be given several times
    #[arg(long, value_name = "HOST:PORT")]
    control: Vec<String>,
    /// Ask the pipeline of this data directory, over its socket
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Serve the page here [default: 127.0.0.1:8084]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Ask for the token in this file before showing anything
    #[arg(long, value_name = "FILE")]
    token_file: Option<String>,
    /// Send the token in this file to the processes
    #[arg(long, value_name = "FILE")]
    control_token_file: Option<String>,
    /// Keep the activity log here [default: in memory]
    #[arg(long, value_name = "DIR")]
    activity_dir: Option<String>,
    /// What is logged: error, warn, info, debug, trace, or a filter
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// Log JSON lines
    #[arg(long)]
    log_json: bool,
    /// Settings in TOML, under the names of these flags with _ for -
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the settings in effect, and end
    #[arg(long)]
    print_config: bool,
}

impl Cli {
    fn flags(&self) -> Table {
        let given = [
            ("data_dir", &self.data_dir),
            ("listen", &self.listen),
            ("token_file", &self.token_file),
            ("control_token_file", &self.control_token_file),
            ("activity_dir", &self.activity_dir),
            ("log_level", &self.log_level),
        ];
        let text = |text: &String| Value::String(text.clone());
        let given = given.into_iter();
        let mut table: Table = given
            .filter_map(|(name, value)| Some((name.to_owned(), text(value.as_ref()?))))
            .collect();
        if !self.control.is_empty() {
            table.insert(
                "control".to_owned(),
                Value::Array(self.control.iter().map(text).collect()),
            );
        }
        if self.log_json {
            table.insert("log_json".to_owned(), Value::Boolean(true));
        }
        table
    }
}

/// Parses the command line, serves until a signal, and reports a failure.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err((problem, exit)) => {
            let Problem { what, cause, fix } = problem;
            let mut text = format!("error: {what}\n");
            for (label, content) in [("cause", cause), ("fix", fix)] {
                if !content.is_empty() {
                    text.push_str(&format!("  {label}: {content}\n"));
                }
            }
            // Nobody is left to tell if stderr is gone.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
            ExitCode::from(exit)
        }
    }
}

fn run(cli: &Cli) -> Result<(), (Problem, u8)> {
    let usage = |problem| (problem, EXIT_USAGE);
    let settings = settings(cli).map_err(usage)?;
    if cli.print_config {
        let text = toml::to_string(&settings).unwrap_or_default();
        drop(std::io::stdout().lock().write_all(text.as_bytes()));
        return Ok(());
    }
    start_log(&settings).map_err(usage)?;
    let config = settings.into_config().map_err(usage)?;
    let listen = config.listen;
    let failed = |error: &Error| (told(error), 1);
    let runtime = tokio::runtime::Runtime::new();
    let runtime = runtime.map_err(|error| failed(&Error::Serve(error)))?;
    runtime.block_on(async {
        // Its clients belong to the runtime.
        let dashboard = Dashboard::new(config).map_err(|error| usage(told(&error)))?;
        let shutdown = service_kit::shutdown_on_signal();
        let bound = TcpListener::bind(listen).await;
        let listener = bound.map_err(|source| failed(&Error::Bind { address: listen, source }))?;
        let address = listener.local_addr().map_or(listen, |address| address);
        tracing::info!("the dashboard is at http://{address}");
        dashboard.serve(listener, shutdown).await.map_err(|error| failed(&error))
    })
}

fn settings(cli: &Cli) -> Result<Settings, Problem> {
    let text = cli.config.as_deref().map(|path| {
        let text = std::fs::read_to_string(path).map_err(|error| Problem {
            what: format!("cannot read the settings in {}", path.display()),
            cause: error.to_string(),
            fix: "Give --config the path of a TOML file that this user may read.".to_owned(),
        });
        text.map(|text| (path, text))
    });
    let text = text.transpose()?;
    let file = text.as_ref().map(|(path, text)| (*path, text.as_str()));
    Settings::from_layers(file, &service_kit::environment(ENVIRONMENT_PREFIX), cli.flags())
}

/// A plain level is of this binary's crates; other crates only warn.
fn start_log(settings: &Settings) -> Result<(), Problem> {
    let level = settings.log_level.as_str();
    let is_plain = ["error", "warn", "info", "debug", "trace"].contains(&level);
    let filter = if is_plain {
        format!("warn,ops_dashboard={level},cdc_control={level},service_kit={level}")
    } else {
        level.to_owned()
    };
    let telemetry = Telemetry { level: Some(filter), is_json: settings.log_json };
    telemetry::init(&telemetry).map_err(|error| Problem {
        what: "the setting log_level is not valid".to_owned(),
        cause: error.to_string(),
        fix: "Give error, warn, info, debug or trace, or a filter.".to_owned(),
    })
}

fn told(error: &Error) -> Problem {
    let mut cause = String::new();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        cause = if cause.is_empty() { inner.to_string() } else { format!("{cause}: {inner}") };
        source = inner.source();
    }
    Problem { what: error.to_string(), cause, fix: error.remedy().unwrap_or_default().to_owned() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
