//! What may be opened, by whom, and what two tables may be called.

use std::io::{Seek as _, Write as _};
use std::sync::Arc;

use cdc_model::{Column, ColumnType, TableName, TableSchema};
use cdc_pipeline::{Classify as _, ErrorClass};
use cdc_sink_duckdb::{DuckDbConfig, DuckDbSink, Error};
use testkit::fixture::{insert, origin, table};

use crate::world::{World, config, insert_of, table_of};

#[track_caller]
fn halts_with(error: &Error, code: &str) {
    assert_eq!((error.class(), error.code()), (ErrorClass::Fatal, Some(code)), "{error}");
    assert!(error.remedy().is_some(), "{error}");
}

#[tokio::test]
async fn a_warehouse_of_another_pipeline_is_refused() {
    let world = World::new().await;
    let other = || DuckDbSink::open(world.path(), DuckDbConfig::new("other"));
    halts_with(&other().await.unwrap_err(), "WAREHOUSE_FOREIGN");
    let World { directory, sink, .. } = world;
    drop(sink);
    let path = directory.path().join("w.duckdb");
    let error = DuckDbSink::open(path, DuckDbConfig::new("other")).await.unwrap_err();
    halts_with(&error, "WAREHOUSE_FOREIGN");
}

#[tokio::test]
async fn a_damaged_file_halts() {
    let mut world = World::new().await;
    let events = (0..50_000).map(|id| insert(&table("t"), origin(1, 0), id, "x")).collect();
    world.apply(events).await.unwrap();
    let World { directory, sink, .. } = world;
    drop(sink);
    let path = directory.path().join("w.duckdb");
    for (offset, length) in [(0, 16), (4096, 4096), (8, 4), (12_288, 262_144)] {
        let damaged = directory.path().join(format!("damaged-{offset}.duckdb"));
        std::fs::copy(&path, &damaged).unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(&damaged).unwrap();
        file.seek(std::io::SeekFrom::Start(offset)).unwrap();
        file.write_all(&vec![0xA5; length]).unwrap();
        drop(file);
        let opened = DuckDbSink::open(&damaged, config()).await;
        halts_with(&opened.unwrap_err(), "WAREHOUSE_CORRUPT");
    }
    let text = directory.path().join("text.duckdb");
    std::fs::write(&text, "this is no database ".repeat(1000)).unwrap();
    halts_with(&DuckDbSink::open(text, config()).await.unwrap_err(), "WAREHOUSE_CORRUPT");
}

#[tokio::test]
async fn names_that_would_be_one_are_refused() {
    let named = |schema: &str, table: &str| {
        let name = TableName::new(schema, table);
        Arc::new(TableSchema { name, ..TableSchema::clone(&testkit::fixture::table("t")) })
    };
    for (first, second) in
        [(("a_b", "c"), ("a", "b_c")), (("public", "Orders"), ("public", "orders"))]
    {
        let mut world = World::new().await;
        let row = |t: (&str, &str)| vec![insert(&named(t.0, t.1), origin(1, 0), 1, "a")];
        world.apply(row(first)).await.unwrap();
        halts_with(&world.fails(row(second)).await, "NAME_COLLISION");
        // After a halt the store is as it was.
        world.apply(row(first)).await.unwrap();
    }
    let text = |name: &str| Column::new(name, ColumnType::Text);
    for columns in [vec![text("A"), text("a")], vec![text("_penstock_partition")]] {
        let mut world = World::new().await;
        let table = table_of("t", columns.clone());
        let values = columns.iter().map(|_| cdc_model::Value::Null).collect();
        halts_with(&world.fails(vec![insert_of(&table, 1, values)]).await, "NAME_COLLISION");
    }
}

#[tokio::test]
async fn hostile_names_are_only_names() {
    let mut world = World::new().await;
    let table = table_of(
        "a\"b; DROP TABLE x;--",
        vec![
            Column::new("it's \"quoted\"", ColumnType::Text),
            Column::new("select", ColumnType::Text),
        ],
    );
    let text = cdc_model::Value::text;
    world.apply(vec![insert_of(&table, 1, vec![text("a"), text("b")])]).await.unwrap();
    let rows = world.rows("SELECT * FROM \"public_a\"\"b; DROP TABLE x;--\"").await;
    assert_eq!(rows, ["1|a|b"]);
}

#[tokio::test]
async fn a_file_held_by_another_process_is_named_and_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("w.duckdb");
    let mut child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::a_process_that_writes_until_it_is_killed", "--nocapture"])
        .env("PENSTOCK_TEST_CRASH_PATH", &path)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let out = std::io::BufReader::new(child.stdout.take().unwrap());
    let lines = std::io::BufRead::lines(out).map_while(Result::ok);
    assert!(lines.into_iter().any(|line| line.contains("applied ")));
    let error = DuckDbSink::open(&path, config()).await.unwrap_err();
    let pid = child.id();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(error.class(), ErrorClass::Transient, "{error}");
    assert_eq!(error.code(), Some("WAREHOUSE_LOCKED"));
    assert!(
        matches!(error, Error::Locked { holder: Some(holder), .. } if holder == pid),
        "{error}"
    );
    DuckDbSink::open(&path, config()).await.unwrap();
}
