//! The pipeline as a process of its own: this program, run again. Built from the same library as
//! `penstock run`, it says on its output what state it is in, and can be killed at any moment.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use cdc_log_kafka::KafkaConfig;
use cdc_pipeline::stats::State;
use cdc_registry::RestConfig;
use penstock::pipeline::{self, Pipeline, PipelineConfig};
use rustix::process::Signal;
use testkit::server::ServerProcess;
use testkit::server::process::{User, command};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::report::say;

/// Name of slot and publication.
pub(crate) const SLOT: &str = "penstock";

/// First part of topic names.
pub(crate) const PREFIX: &str = "shop";

/// How lines begin that tell its state, between those of its log.
const STATES: [&str; 4] = ["built", "phase ", "ended ", "Error: "];

const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What pipeline to run.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Spec {
    /// The source.
    #[arg(long)]
    pub(crate) dsn: String,
    /// Where everything local is.
    #[arg(long)]
    pub(crate) data_dir: PathBuf,
    /// Kafka instead of the embedded log.
    #[arg(long)]
    pub(crate) kafka: Option<String>,
    /// A registry instead of the embedded one.
    #[arg(long)]
    pub(crate) registry: Option<String>,
}

impl Spec {
    /// Returns the pipeline's settings: those of production, but for chunks small enough that a
    /// snapshot has many.
    pub(crate) fn config(&self) -> anyhow::Result<PipelineConfig> {
        let tables = "public.*".parse().context("the pattern of tables")?;
        let connect = self.dsn.parse().context("the source's address")?;
        let mut source = cdc_source_postgres::Config::new(connect, SLOT, SLOT, tables);
        source.chunk_rows_max = 1_000;
        let mut config = PipelineConfig::embedded(source, &self.data_dir, PREFIX);
        config.log.kafka = self.kafka.clone().map(KafkaConfig::new);
        config.registry = self.registry.as_deref().map(RestConfig::new);
        Ok(config)
    }

    fn args(&self) -> Vec<String> {
        let dir = self.data_dir.display().to_string();
        let mut args = vec!["pipeline".into(), "--dsn".into(), self.dsn.clone()];
        args.extend(["--data-dir".into(), dir]);
        let optional = [("--kafka", &self.kafka), ("--registry", &self.registry)];
        for (flag, value) in optional {
            args.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
        }
        args
    }
}

/// Runs the pipeline until it is killed or halts.
pub(crate) async fn run(spec: Spec) -> anyhow::Result<ExitCode> {
    tracing_subscriber::fmt()
        .with_env_filter("warn")
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    let pipeline = match pipeline::build(spec.config()?).await {
        Ok(pipeline) => pipeline,
        Err(error) => bail!("refused: {error:#}"),
    };
    say("built");
    let mut running = JoinSet::new();
    running.spawn(pipeline.clone().run(CancellationToken::new()));
    let mut said = String::new();
    loop {
        let state = state(&pipeline);
        if state != said {
            say(&state);
            said = state;
        }
        tokio::select! {
            ended = running.join_next() => {
                let halted = ended.context("the pipeline runs")??;
                say(&format!("ended {halted:?}"));
                return Ok(ExitCode::FAILURE);
            }
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
    }
}

fn state(pipeline: &Arc<Pipeline>) -> String {
    let phase = pipeline.source_status().phase;
    let mut line = format!("phase {phase:?}");
    for (name, stats) in
        [("capture", pipeline.capture_stats()), ("projection", pipeline.project_stats())]
    {
        match stats.state() {
            State::Waiting { reason } => drop(write!(line, " | {name} waits: {reason}")),
            state => drop(write!(line, " | {name} {state:?}")),
        }
    }
    line
}

/// A pipeline in a process of its own.
pub(crate) struct Child {
    process: ServerProcess,
    log: PathBuf,
}

impl Child {
    /// Starts it; its output goes to `log`.
    pub(crate) fn start(spec: &Spec, log: &Path) -> anyhow::Result<Self> {
        let mut program = command(std::env::current_exe()?, User::Same, Signal::KILL);
        program.args(spec.args()).env("RUST_BACKTRACE", "0");
        let process = ServerProcess::spawn("penstock", program, Signal::KILL, log);
        Ok(Self { process, log: log.to_owned() })
    }

    /// Kills it with signal 9 and waits for its end.
    pub(crate) async fn kill9(&self) {
        self.process.stop(Signal::KILL, Duration::from_secs(20)).await;
    }

    /// Returns whether it has said `text`.
    pub(crate) fn has_said(&self, text: &str) -> bool {
        self.process.has_logged(text)
    }

    /// Returns whether it still runs.
    pub(crate) fn is_running(&self) -> bool {
        self.process.exit_status().is_none()
    }

    /// Returns what it last said of its state.
    pub(crate) fn last_line(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let is_state = |line: &&str| STATES.iter().any(|begin| line.starts_with(begin));
        text.lines().rfind(is_state).unwrap_or("nothing yet").to_owned()
    }

    /// Returns the end of its output.
    pub(crate) fn output(&self) -> String {
        self.process.log_tail()
    }

    /// Waits until it has said `text`; fails if it ends before.
    pub(crate) async fn until_said(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        self.until_said_any(&[text], limit).await
    }

    /// Waits until it has said one of `texts`; fails if it ends before.
    pub(crate) async fn until_said_any(
        &self,
        texts: &[&str],
        limit: Duration,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !texts.iter().any(|text| self.has_said(text)) {
            ensure!(self.is_running(), "the pipeline ended: {}", self.output());
            let is_late = Instant::now() > deadline;
            ensure!(!is_late, "not {texts:?} in {limit:?}, but: {}", self.output());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until what it last said of its state has `text`.
    pub(crate) async fn until_says(&self, text: &str, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        while !self.last_line().contains(text) {
            let is_late = Instant::now() > deadline;
            ensure!(!is_late, "not {text:?} in {limit:?}, but: {}", self.output());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }

    /// Waits until it has ended by itself, and returns the end of its output.
    pub(crate) async fn until_ended(&self, limit: Duration) -> anyhow::Result<String> {
        let deadline = Instant::now() + limit;
        while self.is_running() {
            let is_late = Instant::now() > deadline;
            ensure!(!is_late, "still running after {limit:?}: {}", self.output());
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(self.output())
    }
}
