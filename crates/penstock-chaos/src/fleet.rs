//! The services as processes around a PostgreSQL and a Kafka, with the tables and writers of the
//! other scenarios, and the audit of what they leave.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use cdc_log_kafka::KafkaConfig;
use cdc_log_local::LocalLogConfig;
use cdc_model::Lsn;
use cdc_registry::{Registry, RestConfig};
use cdc_runtime::{Log, LogConfig, PipelineId};
use penstock_stack::{Role, Stack};
use projector::{Projector, ProjectorConfig};
use testkit::server::kafka::Kafka;
use testkit::server::postgres::{Postgres, Version};
use testkit::server::until;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::audit::{self, Agreed, Ground};
use crate::child::PREFIX;
use crate::oracle::{self, Counts};
use crate::witness::Witness;
use crate::world::TABLES;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(180);

/// The services, and who looks at their page.
pub(crate) struct Fleet {
    pub(crate) stack: Arc<Stack>,
    pub(crate) witness: Witness,
    /// When every change must be in the log as a change.
    pub(crate) since: Lsn,
}

impl Fleet {
    /// Starts everything, and waits until capture follows the log and its snapshot is durable.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let settings = [("wal_sender_timeout", "10s"), ("max_wal_size", "4GB")];
        let (postgres, kafka) =
            tokio::join!(Postgres::start_with(Version::V18, &settings), Kafka::start());
        postgres.sql(TABLES).await;
        let stack = Arc::new(Stack::start_on(postgres, kafka, &std::env::current_exe()?).await?);
        let witness = Witness::start(stack.clone());
        let mut fleet = Self { stack, witness, since: Lsn(0) };
        until("capture follows the log", PATIENCE, async || {
            let source = fleet.stack.status().await.source;
            source.is_some_and(|source| source.phase == "streaming")
        })
        .await;
        fleet.stack.postgres().sql(oracle::CREATE).await;
        fleet.until_acknowledged().await?;
        fleet.since = fleet.wal_end().await?;
        Ok(fleet)
    }

    pub(crate) fn dsn(&self) -> String {
        self.stack.postgres().dsn("postgres")
    }

    async fn wal_end(&self) -> anyhow::Result<Lsn> {
        Ok(self.stack.postgres().value("SELECT pg_current_wal_insert_lsn()").await.parse()?)
    }

    /// Waits until what is committed now is acknowledged to the source; returns how long it took.
    pub(crate) async fn until_acknowledged(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        let target = self.wal_end().await?;
        let sql = format!(
            "SELECT coalesce(bool_or(confirmed_flush_lsn >= '{target}'), false)
             FROM pg_replication_slots WHERE slot_name = 'penstock_shop'"
        );
        while self.stack.postgres().value(&sql).await != "t" {
            let tail = || self.stack.log_tail(Role::Capture);
            ensure!(begun.elapsed() < PATIENCE, "{target} is not acknowledged: {}", tail());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(begun.elapsed())
    }

    /// Waits until what is committed now is acknowledged, and each projection has read it.
    pub(crate) async fn until_level(&self) -> anyhow::Result<Duration> {
        let begun = Instant::now();
        self.until_acknowledged().await?;
        let target = self.wal_end().await?.to_string();
        until("every projection has it", PATIENCE, async || {
            // A heartbeat's commit is no record: what is traced is what comes after it.
            self.stack.postgres().sql("INSERT INTO marker SELECT count(*), 1 FROM marker").await;
            let traced = self.stack.control(Role::Projector).trace(&target).await;
            traced.is_ok_and(|traced| traced.rungs.len() == 3)
        })
        .await;
        Ok(begun.elapsed())
    }

    /// Lets everything come to rest, stops capture and projector in order, and compares source,
    /// topics and stores where the services left them.
    pub(crate) async fn audit(&self, committed: &Counts) -> anyhow::Result<Agreed> {
        let begun = Instant::now();
        let postgres = self.stack.postgres();
        postgres.sql("INSERT INTO marker SELECT count(*), 1 FROM marker").await;
        let truth = oracle::drain(postgres).await?;
        audit::compare_counts(committed, &oracle::count(&truth))?;
        self.until_acknowledged().await?;
        for role in [Role::Capture, Role::Projector] {
            let is_clean = self.stack.stop_service(role).await;
            ensure!(is_clean, "{} did not end with 0", role.name());
        }
        let (log, projector) = self.open().await?;
        let ground = Ground { postgres, log, projector: projector.clone() };
        let shutdown = CancellationToken::new();
        let mut running = JoinSet::new();
        let stop = shutdown.clone();
        running.spawn(async move { projector.run(stop).await });
        let compared = tokio::select! {
            ended = running.join_next() => anyhow::bail!("the projections ended: {ended:?}"),
            compared = ground.compare(&truth, self.since) => compared,
        };
        shutdown.cancel();
        running.join_next().await.context("the projections run")???;
        Ok(Agreed { rest: begun.elapsed(), ..compared? })
    }

    /// Opens what the projector service kept, in this process.
    async fn open(&self) -> anyhow::Result<(Log, Arc<Projector>)> {
        let data_dir = self.stack.data_dir(Role::Projector);
        let projections = cdc_config::Projection::ALL.to_vec();
        let id = PipelineId::named(format!("projector-{PREFIX}"));
        let config = LogConfig {
            kafka: Some(KafkaConfig::new(self.stack.kafka().bootstrap())),
            data_dir: data_dir.clone(),
            local: LocalLogConfig::default(),
        };
        let log = Log::open(&config, &id, &Projector::names(&projections)).await?;
        let url = format!("http://127.0.0.1:{}", self.stack.port(Role::Registry));
        let registry = Registry::rest(RestConfig::new(&url))?;
        let config = ProjectorConfig { data_dir, prefix: PREFIX.to_owned(), projections };
        let projector = Projector::open(config, id, log.clone(), registry).await?;
        Ok((log, Arc::new(projector)))
    }
}
