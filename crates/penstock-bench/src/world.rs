//! The servers of a benchmark, and the table they are asked about.

use anyhow::Context;
use cdc_source_postgres::wire::{ConnectOptions, Connection as Wire, SlotSnapshot};
use tempfile::TempDir;
use testkit::server::kafka::Kafka;
use testkit::server::postgres::{Connection, Postgres, Version};

use crate::process::Usage;
use crate::report::note;
use crate::rows;

/// What a server in production has and a test's has not; the checkpoint of a load stays out of
/// what is measured after it.
const POSTGRES: [(&str, &str); 8] = [
    ("fsync", "on"),
    ("shared_buffers", "128MB"),
    ("max_wal_size", "8GB"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_senders", "40"),
    ("max_replication_slots", "40"),
    ("autovacuum", "off"),
    ("max_connections", "100"),
];

/// Rows in one transaction of a load in bulk.
pub(crate) const TRANSACTION_ROWS: u64 = 1_000;

/// The raw drain's publication.
pub(crate) const RAW_PUBLICATION: &str = "bench_raw";

/// Servers that are running.
pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) kafka: Option<Kafka>,
    pub(crate) dir: TempDir,
    pub(crate) client: Connection,
}

impl World {
    /// Starts PostgreSQL with the empty table, and Kafka if asked for.
    pub(crate) async fn start(with_kafka: bool) -> anyhow::Result<Self> {
        note("starting the servers");
        let postgres = Postgres::start_with(Version::V18, &POSTGRES).await;
        let kafka = if with_kafka { Some(Kafka::start().await) } else { None };
        let client = postgres.client().await;
        client.batch_execute(rows::CREATE).await?;
        client
            .batch_execute(&format!("CREATE PUBLICATION {RAW_PUBLICATION} FOR TABLE bench"))
            .await?;
        let dir = tempfile::Builder::new().prefix("penstock-bench-").tempdir()?;
        Ok(Self { postgres, kafka, dir, client })
    }

    /// Returns how to connect.
    pub(crate) fn options(&self) -> anyhow::Result<ConnectOptions> {
        self.postgres.dsn("postgres").parse().context("the server's address")
    }

    /// Returns the CPU times of all processes.
    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Usage::now(Some(self.postgres.pid()), self.kafka.as_ref().map(Kafka::pid))
    }

    /// Loads rows 1 to `rows`, in transactions of one or of [`TRANSACTION_ROWS`].
    pub(crate) async fn load(&self, rows: u64, is_single: bool) -> anyhow::Result<()> {
        note(&format!("loading {rows} rows"));
        let per = if is_single { 1 } else { TRANSACTION_ROWS };
        let transactions = rows / per;
        let columns = rows::COLUMNS;
        self.client.batch_execute("SET synchronous_commit = off").await?;
        self.client
            .batch_execute(&format!(
                "DO $$ BEGIN FOR n IN 0..{transactions} - 1 LOOP
                     INSERT INTO bench SELECT {columns}
                         FROM generate_series(n::bigint * {per} + 1, (n::bigint + 1) * {per}) i;
                     COMMIT;
                 END LOOP; END $$"
            ))
            .await?;
        self.client.batch_execute("SET synchronous_commit = on; CHECKPOINT").await?;
        Ok(())
    }

    /// Makes a slot that begins here.
    pub(crate) async fn make_slot(&self, name: &str) -> anyhow::Result<()> {
        let mut wire = Wire::connect(&self.options()?, true).await?;
        wire.create_slot(name, false, SlotSnapshot::Nothing).await?;
        wire.close().await?;
        Ok(())
    }

    /// Returns the server process that streams from `slot`.
    pub(crate) async fn walsender(&self, slot: &str) -> anyhow::Result<i64> {
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
        let pid: Option<i32> = self.client.query_one(sql, &[&slot]).await?.get(0);
        Ok(pid.with_context(|| format!("nobody streams from {slot}"))?.into())
    }

    /// Drops `slot` and the publication of that name, once nobody uses it.
    pub(crate) async fn drop_slot(&self, slot: &str) -> anyhow::Result<()> {
        let mut wire = Wire::connect(&self.options()?, true).await?;
        wire.drop_slot(slot, true).await?;
        wire.query(&format!("DROP PUBLICATION IF EXISTS {slot}")).await?;
        Ok(())
    }
}
