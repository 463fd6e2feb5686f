//! The servers of one scenario, its tables, and its data directory.

use std::path::PathBuf;

use anyhow::Context;
use cdc_model::Lsn;
use tempfile::TempDir;
use testkit::server::kafka::Kafka;
use testkit::server::postgres::{Postgres, Version};
use testkit::server::scratch;

use crate::child::{Child, Spec};
use crate::oracle;

/// Tables that a scenario writes to: the columns `id` and `v` come first in each.
///
/// `item` has values that TOAST keeps out of line, `scratch` is truncated now and then, `keyless`
/// holds equal rows. What writers put into `chaos` is not captured.
pub(crate) const TABLES: &str = "
CREATE TABLE item (
    id bigint PRIMARY KEY, v integer NOT NULL, amount numeric(12,2), note text, big text);
ALTER TABLE item ALTER big SET STORAGE EXTERNAL;
CREATE TABLE scratch (id bigint PRIMARY KEY, v integer NOT NULL);
CREATE TABLE keyless (id bigint, v integer, note text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE marker (id bigint PRIMARY KEY, v integer NOT NULL);
CREATE SCHEMA chaos;
CREATE TABLE chaos.token (token text PRIMARY KEY);
INSERT INTO item SELECT -i, 0, i * 1.25, 'seed ' || i,
    CASE WHEN i % 7 = 0 THEN repeat(md5(i::text), 90) END
    FROM generate_series(1, 100000) i;
INSERT INTO keyless SELECT -(i % 50), 0, NULL FROM generate_series(1, 500) i;
";

/// Tables that are compared, and the expressions that show each column equally on both sides.
pub(crate) const COMPARED: [(&str, &str); 4] = [
    ("item", "id, v, amount, note, md5(big)"),
    ("scratch", "id, v"),
    ("keyless", "id, v, note"),
    ("marker", "id, v"),
];

/// What a scenario happens in.
pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) kafka: Option<Kafka>,
    pub(crate) spec: Spec,
    logs: std::cell::Cell<u32>,
    dir: TempDir,
}

impl World {
    /// Starts PostgreSQL 18 with the tables and the oracle's slot, and Kafka if asked for.
    pub(crate) async fn start(with_kafka: bool) -> anyhow::Result<Self> {
        let settings = [("wal_sender_timeout", "10s"), ("max_wal_size", "4GB")];
        let postgres = Postgres::start_with(Version::V18, &settings).await;
        postgres.sql(TABLES).await;
        postgres.sql(oracle::CREATE).await;
        let kafka = if with_kafka { Some(Kafka::start().await) } else { None };
        let dir = scratch::folder("chaos");
        let spec = Spec {
            dsn: postgres.dsn("postgres"),
            data_dir: dir.path().join("data"),
            kafka: kafka.as_ref().map(Kafka::bootstrap),
            registry: None,
        };
        Ok(Self { postgres, kafka, spec, logs: 0.into(), dir })
    }

    /// Starts the pipeline in a process of its own.
    pub(crate) fn child(&self) -> anyhow::Result<Child> {
        self.child_of(&self.spec)
    }

    /// Starts a pipeline with other settings.
    pub(crate) fn child_of(&self, spec: &Spec) -> anyhow::Result<Child> {
        self.logs.set(self.logs.get() + 1);
        Child::start(spec, &self.path(&format!("penstock-{}.log", self.logs.get())))
    }

    /// Returns a path in the scenario's own folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Returns Kafka.
    pub(crate) fn kafka(&self) -> anyhow::Result<&Kafka> {
        self.kafka.as_ref().context("the scenario has Kafka")
    }

    /// Returns the end of the write-ahead log.
    pub(crate) async fn wal_end(&self) -> anyhow::Result<Lsn> {
        Ok(self.postgres.value("SELECT pg_current_wal_insert_lsn()").await.parse()?)
    }

    /// Returns the server process that serves the pipeline's slot, if any.
    pub(crate) async fn walsender(&self) -> Option<String> {
        let sql = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = 'penstock'";
        self.postgres.rows(sql).await.into_iter().flatten().next().flatten()
    }
}
