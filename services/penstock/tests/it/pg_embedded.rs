//! PostgreSQL → embedded log → DuckDB.

use testkit::server::postgres::Version;

use crate::world::{Started, World};

const TABLES: &str = "
CREATE TABLE t (id bigint PRIMARY KEY, v text, n numeric(10,2), b boolean);
INSERT INTO t SELECT i, 'row ' || i, i * 1.5, i % 2 = 0 FROM generate_series(1, 5000) i;
CREATE TABLE keyless (a int, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, NULL);
";

const CHANGES: &str = "
INSERT INTO t VALUES (9001, 'new', 1.00, true);
UPDATE t SET v = 'changed' WHERE id <= 10;
UPDATE t SET id = id + 20000 WHERE id BETWEEN 11 AND 15;
DELETE FROM t WHERE id BETWEEN 100 AND 200;
DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 1);
BEGIN; TRUNCATE keyless; INSERT INTO keyless VALUES (7, 'after'); COMMIT;
";

const COLUMNS: [&str; 4] = ["id", "v", "n", "b"];

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_equals_the_source_on_15() {
    snapshot_then_stream(Version::V15).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_equals_the_source_on_18() {
    snapshot_then_stream(Version::V18).await;
}

async fn snapshot_then_stream(version: Version) {
    // GIVEN tables with rows
    let world = World::new(version, TABLES).await;
    let started = world.start().await;
    // WHEN they are captured
    // THEN the snapshot arrives
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    world.settle(&started.pipeline, "public.keyless", &["a", "b"]).await;
    assert_eq!(
        snapshots(&started),
        [("public.keyless".to_owned(), 3), ("public.t".to_owned(), 5000)]
    );
    // AND so does what follows
    world.postgres.sql(CHANGES).await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    world.settle(&started.pipeline, "public.keyless", &["a", "b"]).await;
    started.stop().await;
    // AND what happened while it was down
    world.postgres.sql("UPDATE t SET v = 'while down' WHERE id > 4000").await;
    let again = world.start().await;
    world.settle(&again.pipeline, "public.t", &COLUMNS).await;
    // AND nothing is told of a snapshot that is long done
    assert_eq!(snapshots(&again), []);
    again.stop().await;
}

/// Returns the tables whose snapshot is told, and its rows; each is done.
fn snapshots(started: &Started) -> Vec<(String, u64)> {
    let tables = started.pipeline.source_status().tables.into_iter();
    let told = tables.filter_map(|(name, table)| {
        let snapshot = table.snapshot?;
        assert!(snapshot.is_done, "{name}");
        Some((name.to_string(), snapshot.rows))
    });
    told.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_added_midway_reaches_the_warehouse() {
    let world = World::new(Version::V18, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
    let started = world.start().await;
    world.postgres.sql("INSERT INTO t VALUES (1, 'a')").await;
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    world.postgres.sql("ALTER TABLE t ADD w int; INSERT INTO t VALUES (2, 'b', 3)").await;
    world.settle(&started.pipeline, "public.t", &["id", "v", "w"]).await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_large_value_keeps_its_value() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text, big text);
        ALTER TABLE t ALTER big SET STORAGE EXTERNAL;";
    let world = World::new(Version::V18, sql).await;
    let started = world.start().await;
    let columns = ["id", "v", "big"];
    world
        .postgres
        .sql("INSERT INTO t SELECT i, 'a', repeat('x', 9000) FROM generate_series(1, 50) i")
        .await;
    world.settle(&started.pipeline, "public.t", &columns).await;
    world.postgres.sql("UPDATE t SET v = 'b'; UPDATE t SET id = id + 100 WHERE id < 10").await;
    world.settle(&started.pipeline, "public.t", &columns).await;
    started.stop().await;
}
