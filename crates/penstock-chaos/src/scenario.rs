//! The faults, each a scenario of its own: servers, writers, a pipeline in its own process, what
//! happens to them, and then the audit.

mod away;
mod disk;
mod kill;
mod postgres;
mod registry;
mod services;
mod two;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use cdc_model::Lsn;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use crate::audit::{self, Agreed};
use crate::child::Child;
use crate::load::{Intensity, Load};
use crate::report::{grouped, say};
use crate::stock;
use crate::world::World;

/// How long a pipeline may take to get somewhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest a scenario may take.
const SCENARIO_LIMIT: Duration = Duration::from_secs(30 * 60);

/// What is common to all scenarios.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How often each fault happens; by default as often as the scenario finds right.
    #[arg(long, global = true)]
    rounds: Option<u32>,
    /// Decides what writers do and when faults happen; random by default.
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// How many writers there are.
    #[arg(long, global = true, default_value_t = 4)]
    writers: u64,
    /// Rows a second of each writer.
    #[arg(long, global = true, default_value_t = 800.0)]
    rate: f64,
    /// Where the small file system of `disk-full` is mounted, inside its own namespace.
    #[arg(long, global = true, hide = true)]
    disk: Option<PathBuf>,
}

impl Options {
    fn intensity(&self) -> Intensity {
        Intensity { writers: self.writers, rate: self.rate, rows_max: 3_000 }
    }
}

/// A scenario's name.
#[derive(Debug, Clone, Copy, clap::Subcommand)]
pub(crate) enum Scenario {
    /// The pipeline on the embedded log, killed with signal 9 again and again.
    KillEmbedded,
    /// The pipeline on Kafka, killed with signal 9 again and again.
    KillKafka,
    /// PostgreSQL restarted and crashed, its walsender terminated.
    Postgres,
    /// Kafka stopped, killed and frozen.
    Kafka,
    /// The schema registry away.
    Registry,
    /// No space left under the embedded log.
    DiskFull,
    /// A second process on the same data directory, and on the same slot.
    Two,
    /// The services, each a process, killed with signal 9: one, two, all at once.
    ServicesKill,
    /// Capture and projector frozen for longer than every timeout, then thawed.
    ServicesFreeze,
    /// Kafka, PostgreSQL and the registry stopped under the services, one after the other.
    ServicesAway,
    /// Every service restarted in order, again and again.
    ServicesRolling,
}

impl Scenario {
    /// Every scenario, in the order they run.
    pub(crate) const ALL: [Self; 11] = [
        Self::KillEmbedded,
        Self::KillKafka,
        Self::Postgres,
        Self::Kafka,
        Self::Registry,
        Self::DiskFull,
        Self::Two,
        Self::ServicesKill,
        Self::ServicesFreeze,
        Self::ServicesAway,
        Self::ServicesRolling,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::KillEmbedded => "kill-embedded",
            Self::KillKafka => "kill-kafka",
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Registry => "registry",
            Self::DiskFull => "disk-full",
            Self::Two => "two",
            Self::ServicesKill => "services-kill",
            Self::ServicesFreeze => "services-freeze",
            Self::ServicesAway => "services-away",
            Self::ServicesRolling => "services-rolling",
        }
    }

    async fn happen(self, run: &Run<'_>) -> anyhow::Result<()> {
        match self {
            Self::KillEmbedded => kill::run(run, false).await,
            Self::KillKafka => kill::run(run, true).await,
            Self::Postgres => postgres::run(run).await,
            Self::Kafka => away::run(run).await,
            Self::Registry => registry::run(run).await,
            Self::DiskFull => disk::run(run).await,
            Self::Two => two::run(run).await,
            Self::ServicesKill => services::kill(run).await,
            Self::ServicesFreeze => services::freeze(run).await,
            Self::ServicesAway => services::away(run).await,
            Self::ServicesRolling => services::rolling(run).await,
        }
    }
}

/// One run of a scenario.
struct Run<'a> {
    name: &'static str,
    options: &'a Options,
    seed: u64,
    started: Instant,
}

/// Runs scenarios one after the other; fails if any found a difference.
pub(crate) async fn run(scenarios: &[Scenario], options: &Options) -> anyhow::Result<ExitCode> {
    let mut is_good = true;
    for scenario in scenarios {
        let seed =
            options.seed.unwrap_or_else(|| SmallRng::from_os_rng().random_range(0..1_000_000));
        let run = Run { name: scenario.name(), options, seed, started: Instant::now() };
        run.say(&format!("seed {seed}"));
        let happened = tokio::time::timeout(SCENARIO_LIMIT, scenario.happen(&run)).await;
        match happened.context("it takes too long").flatten() {
            Ok(()) => run.say("PASSED"),
            Err(error) => {
                is_good = false;
                run.say(&format!("FAILED (--seed {seed}): {error:#}"));
            }
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Run<'_> {
    fn say(&self, line: &str) {
        say(&format!("[{:7.1} s] {}: {line}", self.started.elapsed().as_secs_f64(), self.name));
    }

    fn rounds(&self, usual: u32) -> u32 {
        self.options.rounds.unwrap_or(usual)
    }

    fn load(&self, world: &World) -> Load {
        Load::start(&world.spec.dsn, self.seed, self.options.intensity())
    }

    /// Ends the writers, audits, and says what agreed.
    async fn finish(&self, world: &World, load: Load, since: Lsn) -> anyhow::Result<Agreed> {
        let rows = load.rows();
        let committed = load.stop().await?;
        self.say(&format!("{} row changes were committed; now to rest", grouped(rows)));
        let agreed = audit::audit(world, since, &committed).await?;
        self.say(&agreed.to_string());
        if let Some(kafka) = &world.kafka {
            self.compare_with_stock_client(&kafka.bootstrap(), &agreed).await?;
        }
        Ok(agreed)
    }

    async fn compare_with_stock_client(
        &self,
        brokers: &str,
        agreed: &Agreed,
    ) -> anyhow::Result<()> {
        match stock::compare(brokers, agreed).await? {
            Some(records) => {
                self.say(&format!("kcat reads the same {} records", grouped(records)));
            }
            None => self.say("kcat is not installed: NOT COMPARED with a stock client"),
        }
        Ok(())
    }
}

/// Starts the pipeline and waits until it follows the log and its snapshot is durable; returns
/// where the log then ended.
async fn start_streaming(world: &World) -> anyhow::Result<(Child, Lsn)> {
    let child = world.child()?;
    child.until_said("phase Streaming", PATIENCE).await?;
    until_acknowledged(world, &child).await?;
    Ok((child, world.wal_end().await?))
}

/// Waits until what is committed now is acknowledged to the server.
async fn until_acknowledged(world: &World, child: &Child) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let target = world.wal_end().await?;
    while !is_acknowledged(world, target).await {
        if !child.is_running() || started.elapsed() > PATIENCE {
            bail!("{target} is not acknowledged: {}", child.last_line());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(started.elapsed())
}

async fn is_acknowledged(world: &World, target: Lsn) -> bool {
    let sql = format!(
        "SELECT coalesce(confirmed_flush_lsn >= '{target}', false) FROM pg_replication_slots
         WHERE slot_name = 'penstock'"
    );
    world.postgres.value(&sql).await == "t"
}
