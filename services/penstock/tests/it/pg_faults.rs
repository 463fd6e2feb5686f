//! A server that goes away in every way it can, under load: nothing lost, nothing doubled.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use testkit::server::postgres::{Postgres, Version};
use testkit::server::until;

use crate::world::{PATIENCE, World, read_log};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v text);
    CREATE TABLE log (id int, v text); ALTER TABLE log REPLICA IDENTITY FULL;
    INSERT INTO t SELECT i, 'first' FROM generate_series(1, 200) i";

/// Commits small transactions until told to stop; one whose answer is lost may have committed.
struct Load<'a> {
    postgres: &'a Postgres,
    is_over: AtomicBool,
    committed: AtomicU32,
}

impl<'a> Load<'a> {
    fn new(postgres: &'a Postgres) -> Self {
        Self { postgres, is_over: AtomicBool::new(false), committed: AtomicU32::new(0) }
    }

    async fn run(&self) {
        let mut next = 1_000;
        while !self.is_over.load(Ordering::Relaxed) {
            let dsn = self.postgres.dsn("postgres");
            let Ok((client, connection)) =
                tokio_postgres::connect(&dsn, tokio_postgres::NoTls).await
            else {
                tokio::task::yield_now().await;
                continue;
            };
            let work = async {
                while !self.is_over.load(Ordering::Relaxed) {
                    next += 1;
                    let sql = format!(
                        "BEGIN; INSERT INTO t VALUES ({next}, 'new'); INSERT INTO log VALUES ({next}, 'x');
                         UPDATE t SET v = 'at {next}' WHERE id = {next} % 200 + 1;
                         DELETE FROM t WHERE id = {next} - 50; COMMIT"
                    );
                    if client.batch_execute(&sql).await.is_err() {
                        return;
                    }
                    self.committed.fetch_add(1, Ordering::Relaxed);
                }
            };
            tokio::select! {
                () = work => {}
                _ = connection => {}
            }
        }
    }

    /// Waits until `count` more transactions have committed.
    async fn more(&self, count: u32) {
        let goal = self.committed.load(Ordering::Relaxed) + count;
        until("the load goes on", PATIENCE, async || {
            self.committed.load(Ordering::Relaxed) >= goal
        })
        .await;
    }
}

/// Runs load and `faults` beside a pipeline; then source, warehouse and log must agree.
async fn under_load(version: Version, faults: impl AsyncFnOnce(&World, &Load<'_>)) {
    let world = World::new(version, TABLES).await;
    let started = world.start().await;
    started.streaming().await;
    let load = Load::new(&world.postgres);
    let both = async {
        load.more(20).await;
        faults(&world, &load).await;
        load.more(20).await;
        load.is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load.run(), both);
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    world.settle(&started.pipeline, "public.log", &["id", "v"]).await;
    let records = read_log(started.pipeline.log()).await;
    started.stop().await;
    crate::world::assert_identities_are_unique(&records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_or_crashes_loses_and_doubles_nothing() {
    for version in Version::ALL {
        under_load(version, async |world, load| {
            world.postgres.restart().await;
            load.more(20).await;
            world.postgres.stop_immediate().await;
            world.postgres.start_again().await;
            load.more(20).await;
            world.postgres.kill9().await;
            world.postgres.start_again().await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walsender_terminated_again_and_again_loses_and_doubles_nothing() {
    under_load(Version::V18, async |world, load| {
        for _ in 0..10 {
            until("a walsender is there", PATIENCE, async || {
                let ended =
                    "SELECT count(pg_terminate_backend(active_pid)) FROM pg_replication_slots
                    WHERE active_pid IS NOT NULL";
                world.postgres.value(ended).await == "1"
            })
            .await;
            load.more(5).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_crashes_while_its_tables_are_read_is_read_on() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text);
        INSERT INTO t SELECT i, repeat('x', 200) FROM generate_series(1, 60000) i; ANALYZE t";
    let mut world = World::new(Version::V18, sql).await;
    world.config.source.chunk_rows_max = 500;
    let started = world.start().await;
    let table = cdc_model::TableName::new("public", "t");
    for goal in [1, 20_000] {
        until("some chunks were read", PATIENCE, async || {
            let status = started.pipeline.source_status();
            let snapshot = status.tables.get(&table).and_then(|table| table.snapshot);
            snapshot.is_some_and(|snapshot| snapshot.rows >= goal)
        })
        .await;
        world.postgres.stop_immediate().await;
        world.postgres.start_again().await;
        // What changes between two views of the tables comes once.
        world
            .postgres
            .sql(
                "UPDATE t SET v = 'changed' WHERE id % 1000 = 0;
            UPDATE t SET id = id + 100000 WHERE id % 1000 = 1; DELETE FROM t WHERE id % 1000 = 2",
            )
            .await;
    }
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    let records = read_log(started.pipeline.log()).await;
    started.stop().await;
    crate::world::assert_identities_are_unique(&records);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_stopped_and_started_under_load_loses_and_doubles_nothing() {
    let world = World::new(Version::V15, TABLES).await;
    let load = Load::new(&world.postgres);
    let rounds = async {
        for _ in 0..5 {
            let started = world.start().await;
            started.streaming().await;
            load.more(10).await;
            started.stop().await;
            load.more(10).await;
        }
        load.is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(load.run(), rounds);
    let started = world.start().await;
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    world.settle(&started.pipeline, "public.log", &["id", "v"]).await;
    let records = read_log(started.pipeline.log()).await;
    started.stop().await;
    crate::world::assert_identities_are_unique(&records);
}
