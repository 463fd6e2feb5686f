//! A pipeline under test: a real PostgreSQL, a data directory, and how to compare source and
//! warehouse.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cdc_model::{LogRecord, Record};
use cdc_pipeline::Halted;
use cdc_pipeline::port::LogReader as _;
use cdc_source_postgres::Phase;
use penstock::pipeline::{self, Log, Pipeline, PipelineConfig};
use tempfile::TempDir;
use testkit::server::postgres::{Postgres, Version};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A database and a directory for one pipeline on it.
pub(crate) struct World {
    pub(crate) postgres: Postgres,
    pub(crate) dir: TempDir,
    pub(crate) config: PipelineConfig,
}

/// Prints what was seen last when the test fails.
struct Shown<'a>(&'a Mutex<String>);

#[expect(clippy::print_stderr, reason = "the harness shows it for failed tests only")]
impl Drop for Shown<'_> {
    fn drop(&mut self) {
        eprintln!("last seen: {}", self.0.lock().expect("no holder panics"));
    }
}

/// A pipeline that runs in the background.
pub(crate) struct Started {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), Halted>>,
}

impl World {
    /// Starts a server with the tables that `sql` makes.
    pub(crate) async fn new(version: Version, sql: &str) -> Self {
        Self::with(version, &[], sql).await
    }

    /// Starts a server with settings of its own.
    pub(crate) async fn with(version: Version, settings: &[(&str, &str)], sql: &str) -> Self {
        let postgres = Postgres::start_with(version, settings).await;
        postgres.sql(sql).await;
        let dir = TempDir::new().expect("a temporary directory");
        let config = embedded(&postgres.dsn("postgres"), dir.path());
        Self { postgres, dir, config }
    }

    /// Builds and runs the pipeline.
    pub(crate) async fn start(&self) -> Started {
        Started::new(self.config.clone()).await
    }

    /// Waits until `table` has the same rows on both sides, each column compared as text.
    pub(crate) async fn settle(&self, pipeline: &Pipeline, table: &str, columns: &[&str]) {
        let seen = Mutex::new(String::new());
        let settled =
            testkit::server::until("source and warehouse are equal", PATIENCE, async || {
                let source = self.source_rows(table, columns).await;
                let warehouse = warehouse_rows(pipeline, table, columns).await;
                let state = pipeline.capture_stats().state();
                *seen.lock().expect("no holder panics") = format!(
                    "{table}: source {:?}, warehouse {:?}, capture {state:?}, projection {:?}",
                    source.iter().take(9).collect::<Vec<_>>(),
                    warehouse.as_ref().map(|rows| rows.iter().take(9).collect::<Vec<_>>()),
                    pipeline.project_stats().state()
                );
                warehouse.as_ref() == Ok(&source)
            });
        let shown = Shown(&seen);
        settled.await;
        std::mem::forget(shown);
    }

    async fn source_rows(&self, table: &str, columns: &[&str]) -> Vec<Vec<Option<String>>> {
        let exprs: Vec<_> = columns.iter().map(|c| format!("{c}::text")).collect();
        let sql = format!("SELECT {} FROM {table}", exprs.join(","));
        let client = self.postgres.client().await;
        let rows = client.query(&sql, &[]).await.expect("reads the source");
        let row = |row: &tokio_postgres::Row| (0..row.len()).map(|i| row.get(i)).collect();
        let mut rows: Vec<Vec<Option<String>>> = rows.iter().map(row).collect();
        rows.sort();
        rows
    }
}

async fn warehouse_rows(
    pipeline: &Pipeline,
    table: &str,
    columns: &[&str],
) -> Result<Vec<Vec<Option<String>>>, String> {
    let exprs: Vec<_> = columns.iter().map(|c| format!("CAST({c} AS VARCHAR)")).collect();
    let sql = format!("SELECT {} FROM {}", exprs.join(","), table.replace('.', "_"));
    let found = pipeline.query().query(&sql, 1_000_000, PATIENCE).await;
    let mut rows = found.map_err(|error| error.to_string())?.rows;
    rows.sort();
    Ok(rows)
}

/// Settings of an embedded pipeline on `dsn`.
pub(crate) fn embedded(dsn: &str, dir: &Path) -> PipelineConfig {
    let connect = dsn.parse().expect("a DSN");
    let tables = "public.*".parse().expect("a pattern");
    let mut source = cdc_source_postgres::Config::new(connect, "penstock", "penstock", tables);
    source.guard_interval = Duration::from_millis(200);
    let mut config = PipelineConfig::embedded(source, dir, "shop");
    config.capture.retry.delay_max = Duration::from_millis(300);
    config
}

/// Waits until every slot has acknowledged what is committed now.
pub(crate) async fn acknowledged(postgres: &Postgres) {
    let end = postgres.value("SELECT pg_current_wal_lsn()").await;
    let behind =
        format!("SELECT count(*) FROM pg_replication_slots WHERE confirmed_flush_lsn < '{end}'");
    testkit::server::until("every slot has followed", PATIENCE, async || {
        postgres.value(&behind).await == "0"
    })
    .await;
}

/// Asserts that no change is there twice: a record's identity is its own in its partition.
#[track_caller]
pub(crate) fn assert_identities_are_unique(records: &[LogRecord]) {
    let mut seen = BTreeSet::new();
    for record in records {
        let id = record.header(Record::ID_HEADER).expect("every record has its identity");
        assert!(seen.insert((&record.source, id)), "doubled in {}: {id:?}", record.source);
    }
}

/// Reads everything that the log holds now, topic by topic, partition by partition.
pub(crate) async fn read_log(log: &Log) -> Vec<LogRecord> {
    read_topics(log, "").await
}

/// Reads everything that topics hold now whose names begin with `prefix`.
pub(crate) async fn read_topics(log: &Log, prefix: &str) -> Vec<LogRecord> {
    let mut reader = log.reader();
    let mut topics = reader.topics().await.expect("lists the topics");
    topics.retain(|meta| meta.topic.as_str().starts_with(prefix));
    let mut open = BTreeMap::new();
    let mut from = Vec::new();
    for meta in &topics {
        for (at, (first, end)) in meta.topic_partitions().zip(&meta.partitions) {
            from.push((at.clone(), *first));
            if first < end {
                open.insert(at, *end);
            }
        }
    }
    reader.assign(from).await.expect("takes the topics' first offsets");
    let mut records = Vec::new();
    while !open.is_empty() {
        let polled = tokio::time::timeout(PATIENCE, reader.poll(1 << 20)).await;
        let fetched = polled.expect("there is more to read").expect("reads the log");
        records.extend(fetched.records);
        for (at, next) in fetched.next {
            open.retain(|open, end| *open != at || next < *end);
        }
    }
    records.sort_by(|a, b| (&a.source, a.offset).cmp(&(&b.source, b.offset)));
    records
}

impl Started {
    /// Builds and runs a pipeline.
    pub(crate) async fn new(config: PipelineConfig) -> Self {
        let pipeline = pipeline::build(config).await.expect("builds");
        let shutdown = CancellationToken::new();
        #[expect(clippy::disallowed_methods, reason = "the test owns the task and joins it")]
        let task = tokio::spawn(pipeline.clone().run(shutdown.clone()));
        Self { pipeline, shutdown, task }
    }

    /// Waits until the snapshot is done and the stream followed.
    pub(crate) async fn streaming(&self) {
        testkit::server::until("the source streams", PATIENCE, async || {
            assert!(!self.task.is_finished(), "{:?}", self.pipeline.capture_stats().state());
            self.pipeline.source_status().phase == Phase::Streaming
        })
        .await;
    }

    /// Waits until it halts, and returns why.
    pub(crate) async fn halt(self) -> Halted {
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("halts in time").expect("does not panic").expect_err("halts")
    }

    /// Asks it to stop, and waits until it has drained.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.expect("does not panic").expect("does not halt");
    }
}
