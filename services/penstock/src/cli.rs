//! The command line.

use std::path::PathBuf;
use std::process::ExitCode;

use cdc_control::Settlement;
use clap::{Args, Parser, Subcommand};

use crate::command::{self, dlq, doctor, hold, query, run, schema, search, status, tail};
use crate::report::{EXIT_USAGE, Problem};
use crate::settings::DATA_DIR;

/// Captures every committed change of a PostgreSQL database, and keeps a DuckDB file equal to it.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, max_term_width = 80)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Capture a database into the event log and the warehouse
    Run(RunArgs),
    /// A shop of its own to play with, all projections, and the page that shows them
    Dev(DevArgs),
    /// Check a database, and print the SQL that mends each finding
    Doctor(DoctorArgs),
    /// Show what a running pipeline does
    Status(StatusArgs),
    /// Ask the warehouse of a running pipeline
    Query(QueryArgs),
    /// Follow decoded events as they arrive
    Tail(TailArgs),
    /// Work with schemas
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Look at dead letters, replay them or give them up
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Hold capture or a projection
    Pause(TargetArgs),
    /// Let it go on
    Resume(TargetArgs),
    /// Search the full-text projection
    Search(SearchArgs),
}

/// What says which database and how; settings beyond these go into a file or the environment.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// The database: postgres://USER:PASSWORD@HOST:PORT/DATABASE
    #[arg(long, value_name = "URL")]
    source: Option<String>,
    /// Tables: 'public.*, !public.tmp_*' [default: all]
    #[arg(long, value_name = "PATTERNS")]
    tables: Option<String>,
    /// Settings in TOML, with Debezium's property names
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl SettingArgs {
    /// Returns the flags that were given, as `(flag, setting, value)`.
    pub fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let given = [("--source", "source", &self.source), ("--tables", "tables", &self.tables)];
        let given = given.into_iter();
        given.filter_map(|(flag, name, value)| Some((flag, name, value.clone()?))).collect()
    }
}

/// Arguments of `penstock run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which database and how.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Where everything is kept [default: .penstock]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Serve /healthz, /readyz and /metrics here
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Write the event log to Kafka instead of DIR
    #[arg(long, value_name = "HOST:PORT")]
    kafka: Option<String>,
    /// Register schemas there instead of in DIR
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// avro, json or json-schema [default: avro]
    #[arg(long, value_name = "FORMAT")]
    format: Option<String>,
    /// Show the settings in effect, secrets masked, and stop
    #[arg(long)]
    pub print_config: bool,
}

impl RunArgs {
    /// Returns the flags that were given, as `(flag, setting, value)`.
    pub fn flags(&self) -> Vec<(&'static str, &'static str, String)> {
        let own = [
            ("--data-dir", "data_dir", &self.data_dir),
            ("--listen", "listen", &self.listen),
            ("--kafka", "kafka", &self.kafka),
            ("--registry", "registry", &self.registry),
            ("--format", "format", &self.format),
        ];
        let own = own.into_iter();
        let own = own.filter_map(|(flag, name, value)| Some((flag, name, value.clone()?)));
        self.settings.flags().into_iter().chain(own).collect()
    }
}

/// Arguments of `penstock dev`.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// A PostgreSQL installation, with bin/postgres
    #[arg(long, value_name = "DIR", default_value = ".deps/postgres")]
    pub postgres_dir: PathBuf,
    /// Where everything is kept [default: .penstock-dev, with --check .penstock-check]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The port of the pages; if it is taken, any that is free
    #[arg(long, value_name = "PORT", default_value_t = 8084)]
    pub port: u16,
    /// Orders a second, which the shop's own dial changes
    #[arg(long, value_name = "N", default_value_t = 20.0, value_parser = rate)]
    pub rate: f64,
    /// Run for a while, compare the source and each projection, print JSON
    #[arg(long)]
    pub check: bool,
    /// How long --check lets orders come in
    #[arg(long, value_name = "SECONDS", default_value_t = 20, requires = "check")]
    pub seconds: u64,
}

/// Arguments of `penstock doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Which database and how.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Which running pipeline.
#[derive(Debug, Args)]
pub struct PipelineArgs {
    /// The data directory of the running pipeline
    #[arg(long, value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// Ask the service whose control is at this address instead
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "data_dir")]
    pub control: Option<String>,
    /// A file with the token that it wants to hear
    #[arg(long, value_name = "FILE", requires = "control")]
    pub control_token_file: Option<PathBuf>,
}

/// Arguments of `penstock status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Show it anew every second until interrupted
    #[arg(long)]
    pub watch: bool,
    /// Print JSON, one line for each moment
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `penstock query`.
#[derive(Debug, Args)]
pub struct QueryArgs {
    /// One SELECT
    pub sql: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print JSON, one object for each row
    #[arg(long, conflicts_with = "csv")]
    pub json: bool,
    /// Print CSV
    #[arg(long)]
    pub csv: bool,
    /// At most this many rows
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub limit: u32,
}

/// Arguments of `penstock tail`.
#[derive(Debug, Args)]
pub struct TailArgs {
    /// One topic [default: all]
    pub topic: Option<String>,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print JSON lines
    #[arg(long)]
    pub json: bool,
    /// Begin with the oldest event the log holds
    #[arg(long)]
    pub from_beginning: bool,
}

#[derive(Debug, Subcommand)]
enum SchemaCommand {
    /// Accept the schema that was refused last, so that capture goes on
    Accept(AcceptArgs),
}

/// Arguments of `penstock schema accept`.
#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// The subject, such as shop.public.orders-value
    pub subject: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

#[derive(Debug, Subcommand)]
enum DlqCommand {
    /// List parked records, oldest first
    List(DlqListArgs),
    /// Show one: original, decoded, headers, and why it is there
    Show(DlqShowArgs),
    /// Apply them again, with all others of their keys, in order
    Replay(DlqSettleArgs),
    /// Give them up: the projection stays as it is
    Discard(DlqSettleArgs),
}

/// Arguments of `penstock dlq list`.
#[derive(Debug, Args)]
pub struct DlqListArgs {
    /// A projection [default: all]
    #[arg(default_value = "", hide_default_value = true)]
    pub projection: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print JSON, one object for each
    #[arg(long)]
    pub json: bool,
    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
}

/// Arguments of `penstock dlq show`.
#[derive(Debug, Args)]
pub struct DlqShowArgs {
    /// The projection
    pub projection: String,
    /// The record, as dlq list names it: TOPIC/PARTITION/OFFSET
    pub record: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// Arguments of `penstock dlq replay` and `penstock dlq discard`.
#[derive(Debug, Args)]
pub struct DlqSettleArgs {
    /// The projection
    pub projection: String,
    /// Records, as dlq list names them: TOPIC/PARTITION/OFFSET
    #[arg(required_unless_present = "all")]
    pub records: Vec<String>,
    /// Every parked record of the projection
    #[arg(long, conflicts_with = "records")]
    pub all: bool,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// Arguments of `penstock pause` and `penstock resume`.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// capture, or a projection's name
    pub target: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
}

/// Arguments of `penstock search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// Words; "a phrase" in quotes; table:public.orders narrows it
    pub query: String,
    /// Which pipeline.
    #[command(flatten)]
    pub pipeline: PipelineArgs,
    /// Print JSON, one object for each hit
    #[arg(long)]
    pub json: bool,
    /// At most this many hits
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| (0.1..=100_000.0).contains(rate));
    rate.ok_or_else(|| "give 0.1 to 100000".to_owned())
}

/// Parses the command line, runs the command, and reports its failure.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS };
        }
    };
    execute(cli.command).unwrap_or_else(|problem| problem.print())
}

fn execute(command: Command) -> Result<ExitCode, Problem> {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Dev(args) => run::dev(args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Status(args) => command::block_on(status::run(args)),
        Command::Query(args) => command::block_on(query::run(args)),
        Command::Tail(args) => command::block_on(tail::run(args)),
        Command::Schema(SchemaCommand::Accept(args)) => command::block_on(schema::accept(args)),
        Command::Dlq(DlqCommand::List(args)) => command::block_on(dlq::list(args)),
        Command::Dlq(DlqCommand::Show(args)) => command::block_on(dlq::show(args)),
        Command::Dlq(DlqCommand::Replay(args)) => {
            command::block_on(dlq::settle(args, Settlement::Replay))
        }
        Command::Dlq(DlqCommand::Discard(args)) => {
            command::block_on(dlq::settle(args, Settlement::Discard))
        }
        Command::Pause(args) => command::block_on(hold::pause(args)),
        Command::Resume(args) => command::block_on(hold::resume(args)),
        Command::Search(args) => command::block_on(search::run(args)),
    }
}
