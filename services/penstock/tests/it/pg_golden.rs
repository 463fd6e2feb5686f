//! The SQL of Debezium's goldens run on a real server, captured in every format at once, and
//! compared record by record: snapshot, stream, types and schemas end to end.

use std::time::Duration;

use cdc_codec::Format;
use penstock::pipeline::{Log, PipelineConfig};
use serde_json::json;
use tempfile::TempDir;
use testkit::golden::{self, Deviation, Scenario, Written};
use testkit::server::deps;
use testkit::server::postgres::{Postgres, Version};

use crate::world::{self, Started, read_log};

const FORMATS: [(golden::Format, Format, &str); 3] = [
    (golden::Format::Avro, Format::Avro, "avro"),
    (golden::Format::Json, Format::Json, "json"),
    (golden::Format::JsonWithSchema, Format::JsonWithSchema, "json_schema"),
];

/// Runs SQL statement by statement, as the goldens' recorder did.
async fn psql(postgres: &Postgres, scenario: &Scenario, sql: &str) {
    let dir = TempDir::new().expect("a temporary directory");
    let file = dir.path().join("part.sql");
    std::fs::write(&file, sql).expect("writing SQL");
    let output = tokio::process::Command::new(deps::postgres_tools().join("psql"))
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-f"])
        .arg(file)
        .arg(postgres.dsn(&scenario.database()))
        .env("PGCLIENTENCODING", "UTF8")
        .output()
        .await
        .expect("starting psql");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn read(scenario: &Scenario, file: &str) -> String {
    std::fs::read_to_string(scenario.folder().join(file)).expect("reading the scenario's SQL")
}

/// Settings of one format's pipeline: a slot, a publication and a folder of its own.
fn config(
    postgres: &Postgres,
    scenario: &Scenario,
    tables: &str,
    (golden, format, name): (golden::Format, Format, &str),
    dir: &TempDir,
) -> PipelineConfig {
    let connect = postgres.dsn(&scenario.database()).parse().expect("a DSN");
    let tables = tables.parse().expect("a pattern");
    let mut source = cdc_source_postgres::Config::new(connect, name, name, tables);
    // As Debezium does by default: tables one after the other.
    source.snapshot_readers = 1;
    source.heartbeat_interval = Duration::from_millis(100);
    source.idle_interval = Duration::from_millis(50);
    PipelineConfig {
        format,
        ..PipelineConfig::embedded(source, dir.path(), scenario.prefix(golden))
    }
}

/// Runs a scenario on the tables that match `tables`.
async fn run(scenario: Scenario, tables: &str) {
    let postgres = Postgres::start(Version::V18).await;
    postgres.sql(&format!("CREATE DATABASE {}", scenario.database())).await;
    psql(&postgres, &scenario, &read(&scenario, "setup.sql")).await;
    let dirs = [(); 3].map(|()| TempDir::new().expect("a temporary directory"));
    let mut pipelines = Vec::new();
    for (format, dir) in FORMATS.iter().zip(&dirs) {
        let started = Started::new(config(&postgres, &scenario, tables, *format, dir)).await;
        started.streaming().await;
        pipelines.push(started);
    }
    // The log does not say that an enum has a new label: it is read when a table is defined anew,
    // as at the start of a session.
    let sql = read(&scenario, "stream.sql");
    let (before, after) = sql.split_at(sql.find("ALTER TYPE").unwrap_or(sql.len()));
    psql(&postgres, &scenario, before).await;
    if let Some((alter, after)) = after.split_once('\n') {
        world::acknowledged(&postgres).await;
        psql(&postgres, &scenario, alter).await;
        postgres.sql("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots").await;
        psql(&postgres, &scenario, after).await;
    }
    for ((golden, _, _), started) in FORMATS.iter().zip(pipelines) {
        let expected = scenario.record_count(*golden);
        let mut seen = Vec::new();
        testkit::server::until("all records are there", world::PATIENCE, async || {
            seen = read_log(started.pipeline.log()).await;
            seen.retain(|record| !record.source.topic.as_str().ends_with(".dlq"));
            seen.len() >= expected
        })
        .await;
        assert!(matches!(started.pipeline.log(), Log::Local(_)));
        let written: Vec<Written> = seen.into_iter().map(Written::from).collect();
        scenario.compare(*golden, &written, started.pipeline.registry()).await;
        started.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn inventory_is_captured_as_debezium_captures_it() {
    run(Scenario::inventory(), "inventory.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn toast_and_keys_are_captured_as_debezium_captures_them() {
    let mut scenario = Scenario::toast_keys();
    // Tables whose updates PostgreSQL does not publish are refused.
    scenario.skipped = vec![".public.no_pk", ".public.ri_nothing"];
    scenario.deviations.push(Deviation {
        topic: ".public.no_pk_full",
        offsets: &[0],
        path: "value.source.snapshot",
        ours: json!("first"),
    });
    run(scenario, "public.*, !public.no_pk, !public.ri_nothing").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn truncates_and_messages_are_captured_as_debezium_captures_them() {
    run(Scenario::truncate_messages(), "public.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_are_captured_as_debezium_captures_them() {
    run(Scenario::transactions(), "public.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn numeric_types_are_captured_as_debezium_captures_them() {
    let mut scenario = Scenario::types_numeric();
    // Debezium drops columns of these types.
    scenario.left_out[0].1.extend(["xi", "pl"]);
    run(scenario, "public.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn temporal_types_are_captured_as_debezium_captures_them() {
    run(Scenario::types_temporal(), "public.*").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_types_are_captured_as_debezium_captures_them() {
    let mut scenario = Scenario::types_misc();
    // Debezium drops columns of these types.
    scenario.left_out[0].1.extend(["mr", "tsq", "co"]);
    scenario.left_out.push((".public.t_arr", vec!["a_m", "a_iv"]));
    // Debezium reads a name in a snapshot, and writes null when it streams.
    for (offsets, ours) in [(&[3, 6][..], "n"), (&[5][..], "")] {
        scenario.deviations.push(Deviation {
            topic: ".public.t_misc",
            offsets,
            path: "value.after.nm",
            ours: json!(ours),
        });
    }
    run(scenario, "public.*").await;
}
