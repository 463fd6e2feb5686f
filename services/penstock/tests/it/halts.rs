//! Where going on would lose, double or mix up data, the pipeline stops with a code and a remedy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cdc_control::{Settlement, v1};
use cdc_model::TableName;
use cdc_pipeline::port::Subject;
use cdc_pipeline::stats::State;
use cdc_pipeline::{Classify, Halted};
use penstock::pipeline;
use testkit::server::postgres::Version;
use testkit::server::until;

use crate::world::{PATIENCE, Started, World, read_log};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2));
    INSERT INTO t SELECT i, 'row ' || i, i FROM generate_series(1, 100) i";
const COLUMNS: [&str; 3] = ["id", "v", "n"];

/// Ends the session that holds the slot, and drops it before the next one takes it.
const DROP_SLOT: &str = "DO $$ BEGIN LOOP BEGIN
    PERFORM pg_terminate_backend(active_pid, 1000) FROM pg_replication_slots;
    PERFORM pg_drop_replication_slot('penstock');
    EXIT;
    EXCEPTION WHEN object_in_use THEN NULL; END; END LOOP; END $$";

/// A pipeline that captured `TABLE` and streams.
async fn captured(version: Version) -> (World, Started) {
    let world = World::new(version, TABLE).await;
    let started = world.start().await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.streaming().await;
    (world, started)
}

#[track_caller]
fn assert_halt(halted: &Halted, code: &str) {
    assert_eq!(halted.code, code, "{halted:?}");
    assert!(halted.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "{halted:?}");
}

/// Asserts that another start halts too, and writes nothing.
async fn stays_halted(world: &World, code: &str) {
    let started = world.start().await;
    let before = read_log(started.pipeline.log()).await.len();
    let pipeline = started.pipeline.clone();
    assert_halt(&started.halt().await, code);
    assert_eq!(read_log(pipeline.log()).await.len(), before, "nothing follows a halt");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_dropped_under_a_running_pipeline_halts_it() {
    for version in Version::ALL {
        let (world, started) = captured(version).await;
        world.postgres.sql(DROP_SLOT).await;
        world.postgres.sql("INSERT INTO t VALUES (999, 'lost', 0)").await;
        assert_halt(&started.halt().await, "SLOT_MISSING");
        stays_halted(&world, "SLOT_MISSING").await;
        let slots = world.postgres.rows("SELECT 1 FROM pg_replication_slots").await;
        assert!(slots.is_empty(), "it is not made again by itself");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_log_was_removed_halts() {
    let settings =
        [("max_slot_wal_keep_size", "16MB"), ("min_wal_size", "32MB"), ("max_wal_size", "32MB")];
    for version in Version::ALL {
        let world = World::with(version, &settings, TABLE).await;
        let started = world.start().await;
        world.settle(&started.pipeline, "public.t", &COLUMNS).await;
        started.stop().await;
        let fill =
            "CREATE TABLE other.w AS SELECT repeat('x', 1000) FROM generate_series(1, 80000)";
        world.postgres.sql("CREATE SCHEMA other").await;
        world.postgres.sql(fill).await;
        world.postgres.sql("CHECKPOINT").await;
        stays_halted(&world, "SLOT_LOST").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_dropped_or_narrowed_midway_halts_within_the_guards_interval() {
    for version in Version::ALL {
        let (world, started) = captured(version).await;
        world.postgres.sql("ALTER PUBLICATION penstock DROP TABLE t").await;
        assert_halt(&started.halt().await, "TABLE_NOT_IN_PUBLICATION");

        let (world, started) = captured(version).await;
        world.postgres.sql("DROP PUBLICATION penstock").await;
        assert_halt(&started.halt().await, "PUBLICATION_MISSING");
        world.postgres.sql("INSERT INTO t VALUES (999, 'unpublished', 0)").await;
        stays_halted(&world, "PUBLICATION_MISSING").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_behind_the_same_address_halts() {
    for (version, other) in [(Version::V15, Version::V18), (Version::V18, Version::V15)] {
        let (world, started) = captured(version).await;
        started.stop().await;
        // It has everything by its name, even a slot.
        let imposter = World::new(other, TABLE).await;
        imposter.postgres.sql("CREATE PUBLICATION penstock FOR TABLE t").await;
        imposter
            .postgres
            .sql("SELECT pg_create_logical_replication_slot('penstock', 'pgoutput')")
            .await;
        let mut moved = world.config.clone();
        moved.source.connect = imposter.config.source.connect.clone();
        let started = Started::new(moved).await;
        assert_halt(&started.halt().await, "SYSTEM_ID_CHANGED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_cannot_be_captured_whole_is_refused_and_nothing_is_made() {
    let nokey = World::new(Version::V18, "CREATE TABLE t (v text)").await;
    let halted = nokey.start().await.halt().await;
    assert_halt(&halted, "REPLICA_IDENTITY_MISSING");
    assert!(halted.remedy.unwrap().contains("ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL"));

    let hidden = "CREATE ROLE cdc LOGIN REPLICATION; GRANT CREATE ON DATABASE postgres TO cdc;
        CREATE TABLE t (id int PRIMARY KEY, owner text); ALTER TABLE t OWNER TO cdc;
        ALTER TABLE t ENABLE ROW LEVEL SECURITY; ALTER TABLE t FORCE ROW LEVEL SECURITY;
        CREATE POLICY mine ON t USING (owner = current_user); INSERT INTO t VALUES (1, 'me')";
    let mut hidden = World::new(Version::V18, hidden).await;
    hidden.config.source.connect = hidden.postgres.dsn_as("cdc", "postgres").parse().unwrap();
    assert_halt(&hidden.start().await.halt().await, "RLS_ENABLED");

    for world in [nokey, hidden] {
        assert_eq!(world.postgres.value("SELECT count(*) FROM pg_replication_slots").await, "0");
        assert_eq!(world.postgres.value("SELECT count(*) FROM pg_publication").await, "0");
    }
}

async fn refusal(world: &World) -> cdc_log_local::Error {
    let error = pipeline::build(world.config.clone()).await.expect_err("is refused");
    error.downcast().expect("the log's error")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_in_use_or_of_another_pipeline_is_refused() {
    let (mut world, started) = captured(Version::V18).await;
    let error = refusal(&world).await;
    assert_eq!(error.code(), Some("DATA_DIR_LOCKED"));
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    started.stop().await;
    world.config.source.slot = "another".to_owned();
    let error = refusal(&world).await;
    assert_eq!(error.code(), Some("DATA_DIR_FOREIGN"));
    assert!(error.to_string().contains("-postgres-penstock\""), "{error}");
    let slots = world.postgres.rows("SELECT slot_name FROM pg_replication_slots").await;
    assert_eq!(slots, [[Some("penstock".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_pipeline_on_the_slot_waits_and_then_does_not_take_it_over() {
    let (world, started) = captured(Version::V18).await;
    let dir = tempfile::tempdir().unwrap();
    let mut config = world.config.clone();
    config.log.data_dir = dir.path().to_owned();
    let second = Started::new(config).await;
    until("the second waits", PATIENCE, async || {
        matches!(
            second.pipeline.source_status().phase,
            cdc_source_postgres::Phase::WaitingForSlot { .. }
        )
    })
    .await;
    world.postgres.sql("INSERT INTO t VALUES (999, 'for the first', 0)").await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.stop().await;
    // It has no position in what it would stream.
    assert_halt(&second.halt().await, "SLOT_EXISTS");
}

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_halts() {
    let (world, started) = captured(Version::V18).await;
    started.stop().await;
    // GIVEN a journal that came back as it was before its last appends
    let mut journals = Vec::new();
    files(&world.dir.path().join("log/store"), &mut journals);
    journals.retain(|path| path.extension().is_some_and(|end| end == "jnl"));
    assert!(!journals.is_empty());
    for journal in journals {
        let bytes = fs::read(&journal).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &[0; 64], (end / 2) as u64).unwrap();
    }
    // WHEN the pipeline starts
    let code = match pipeline::build(world.config.clone()).await {
        Err(error) => error.downcast::<cdc_log_local::Error>().unwrap().code(),
        Ok(pipeline) => {
            let shutdown = tokio_util::sync::CancellationToken::new();
            Some(pipeline.run(shutdown).await.expect_err("halts").code)
        }
    };
    // THEN it neither starts over nor goes on from the middle
    assert_eq!(code, Some("LOG_CORRUPT"));
}

/// Waits for capture to halt, without the pipeline's end.
async fn capture_halts(started: &Started) -> Halted {
    let mut found = None;
    until("capture halts", PATIENCE, async || {
        assert!(!started.task.is_finished(), "the pipeline goes on");
        if let State::Halted(halted) = started.pipeline.capture_stats().state() {
            found = Some(halted);
        }
        found.is_some()
    })
    .await;
    found.unwrap()
}

fn subject() -> Subject {
    Subject::new("shop.public.t-value")
}

async fn accept(started: &Started) {
    let registry = started.pipeline.registry();
    let refused = registry.refused();
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(!refused[0].changes.is_empty(), "the difference is shown");
    let request = v1::AcceptSchemaRequest { subject: subject().to_string() };
    let accepted = started.pipeline.capture().accept_schema(request).await.unwrap();
    assert!(!accepted.diff.is_empty(), "the difference is told again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_scale_halts_until_accepted_and_then_reaches_the_warehouse() {
    let (world, started) = captured(Version::V18).await;
    // GIVEN a change that Avro calls compatible, and by which old readers are wrong by 100
    world.postgres.sql("ALTER TABLE t ALTER n TYPE numeric(12,4)").await;
    world.postgres.sql("INSERT INTO t VALUES (999, 'new scale', 1.2345)").await;
    // WHEN capture meets it
    let halted = capture_halts(&started).await;
    // THEN it halts, and nothing of it was written
    assert_halt(&halted, "SCHEMA_SEMANTIC");
    assert!(halted.remedy.unwrap().contains("penstock schema accept"));
    // AND goes on once it is accepted
    accept(&started).await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incompatible_type_halts_until_accepted_and_then_asks_for_a_new_snapshot() {
    let world = World::new(Version::V18, "CREATE TABLE t (id int PRIMARY KEY, v int)").await;
    let started = world.start().await;
    started.streaming().await;
    world.postgres.sql("INSERT INTO t VALUES (1, 10), (2, 20)").await;
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    world.postgres.sql("ALTER TABLE t ALTER v TYPE text").await;
    world.postgres.sql("INSERT INTO t VALUES (3, 'thirty')").await;
    let halted = capture_halts(&started).await;
    assert_halt(&halted, "SCHEMA_INCOMPATIBLE");
    accept(&started).await;
    // The event log takes it; old rows of the warehouse cannot be brought to it.
    let pipeline = started.pipeline.clone();
    let halted = started.halt().await;
    assert_halt(&halted, "RESYNC_NEEDED");
    assert!(halted.message.contains("\"v\""), "{halted:?}");
    let rows = read_log(pipeline.log()).await.len();
    assert_eq!(rows, 3, "the log has every change");
    // The warehouse stays as it was, and can be asked.
    let found = pipeline.query().query("SELECT count(*) FROM public_t", 1, PATIENCE).await.unwrap();
    assert_eq!(found.rows, [[Some("2".to_owned())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_widened_type_needs_nobody() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v int); INSERT INTO t VALUES (1, 10)";
    let world = World::new(Version::V18, sql).await;
    let started = world.start().await;
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    world.postgres.sql("ALTER TABLE t ALTER v TYPE bigint").await;
    world.postgres.sql("INSERT INTO t VALUES (2, 9223372036854775807)").await;
    world.settle(&started.pipeline, "public.t", &["id", "v"]).await;
    started.stop().await;
}

/// The ids of the rows in the warehouse.
async fn ids(started: &Started) -> Vec<Option<String>> {
    let sql = "SELECT CAST(id AS VARCHAR) || '=' || v FROM public_t ORDER BY id";
    let found = started.pipeline.query().query(sql, 1_000, PATIENCE).await;
    found.map_or_else(|_| Vec::new(), |found| found.rows.into_iter().flatten().collect())
}

async fn shows(started: &Started, expected: &[&str]) {
    until(&format!("the warehouse shows {expected:?}"), PATIENCE, async || {
        let found = ids(started).await;
        found.iter().map(|id| id.as_deref().unwrap_or_default()).eq(expected.iter().copied())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_the_warehouse_cannot_hold_parks_its_key_until_a_truncate() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2))";
    let world = World::new(Version::V18, sql).await;
    let started = world.start().await;
    started.streaming().await;
    world.postgres.sql("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)").await;
    shows(&started, &["1=a", "2=b"]).await;
    // GIVEN a value that DECIMAL(10,2) cannot hold
    world.postgres.sql("UPDATE t SET n = 'NaN', v = 'poison' WHERE id = 1").await;
    // WHEN later changes of the key are fine
    world.postgres.sql("UPDATE t SET n = 5, v = 'follows' WHERE id = 1").await;
    world
        .postgres
        .sql("UPDATE t SET v = 'flows' WHERE id = 2; INSERT INTO t VALUES (3, 'c', 3)")
        .await;
    // THEN they wait behind it, and others flow
    shows(&started, &["1=a", "2=flows", "3=c"]).await;
    assert_eq!(started.pipeline.project_stats().parked_keys(), 1);
    // AND the record lies among the dead letters as it was, once
    let log = read_log(started.pipeline.log()).await;
    let letters: Vec<_> =
        log.iter().filter(|record| record.source.topic.as_str() == "shop.public.t.dlq").collect();
    assert_eq!(letters.len(), 1, "followers are parked, not copied");
    let letter = letters[0];
    let header = |name: &str| String::from_utf8(letter.header(name).unwrap().to_vec()).unwrap();
    assert_eq!(header("__connect.errors.topic"), "shop.public.t");
    assert_eq!(header("__connect.errors.partition"), "0");
    assert_eq!(header("__connect.errors.stage"), "TASK_PUT");
    let offset: i64 = header("__connect.errors.offset").parse().unwrap();
    let original = log
        .iter()
        .find(|r| r.source.topic.as_str() == "shop.public.t" && r.offset.0 == offset)
        .unwrap();
    assert_eq!((&letter.key, &letter.value), (&original.key, &original.value));
    assert!(original.headers.iter().all(|header| letter.headers.contains(header)));
    // AND a restart forgets nothing of it
    started.stop().await;
    let started = world.start().await;
    world
        .postgres
        .sql("UPDATE t SET v = 'still waits' WHERE id = 1; DELETE FROM t WHERE id = 3")
        .await;
    shows(&started, &["1=a", "2=flows"]).await;
    // AND a truncate ends it
    world.postgres.sql("TRUNCATE t; INSERT INTO t VALUES (1, 'again', 1)").await;
    shows(&started, &["1=again"]).await;
    until("no key is parked", PATIENCE, async || {
        started.pipeline.project_stats().parked_keys() == 0
    })
    .await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parked_records_are_shown_refused_again_and_given_up() {
    let sql = "CREATE TABLE t (id int PRIMARY KEY, v text, n numeric(10,2))";
    let world = World::new(Version::V18, sql).await;
    let started = world.start().await;
    started.streaming().await;
    world.postgres.sql("INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2)").await;
    shows(&started, &["1=a", "2=b"]).await;
    world.postgres.sql("UPDATE t SET n = 'NaN', v = 'poison' WHERE id = 1").await;
    world.postgres.sql("UPDATE t SET n = 5, v = 'follows' WHERE id = 1").await;
    until("both are parked", PATIENCE, async || {
        letters(&started).await.is_some_and(|found| found.len() == 2)
    })
    .await;
    // WHEN they are looked at
    let found = letters(&started).await.unwrap();
    assert_eq!((found[0].is_follower, found[1].is_follower), (false, true));
    assert!(found[0].reason.contains("NaN"), "{}", found[0].reason);
    assert_eq!(found[0].key, r#"{"id":1}"#);
    assert!(found[0].value_json.as_ref().unwrap().contains("poison"));
    assert!(found[0].schema_id.is_some() && found[0].raw_value.is_some());
    // THEN a replay says that the cause is still there, and giving up lets the key flow
    let projector = started.pipeline.projector().clone();
    let all = v1::SettleRequest { projection: "duckdb".into(), letters: Vec::new() };
    let reply = projector.settle(all.clone(), Settlement::Replay).await.unwrap();
    assert_eq!((reply.settled, reply.refused.len()), (0, 1));
    let reply = projector.settle(all, Settlement::Discard).await.unwrap();
    assert_eq!((reply.settled, reply.refused.len()), (2, 0));
    world.postgres.sql("UPDATE t SET v = 'flows' WHERE id = 1").await;
    shows(&started, &["1=flows", "2=b"]).await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.stop().await;
}

async fn letters(started: &Started) -> Option<Vec<v1::DeadLetter>> {
    let request =
        v1::ListDeadLettersRequest { projection: "duckdb".into(), limit: 10, ..Default::default() };
    Some(started.pipeline.projector().dead_letters(request).await.ok()?.letters)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_comes_later_is_reported_and_not_captured() {
    let (world, started) = captured(Version::V18).await;
    world
        .postgres
        .sql("CREATE TABLE later (id int PRIMARY KEY); INSERT INTO later VALUES (1)")
        .await;
    let later = TableName::new("public", "later");
    until("the table is reported", PATIENCE, async || {
        started.pipeline.source_status().uncaptured.contains(&later)
    })
    .await;
    world.postgres.sql("INSERT INTO t VALUES (999, 'flows', 0)").await;
    world.settle(&started.pipeline, "public.t", &COLUMNS).await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_timeline_halts() {
    // GIVEN a server that was promoted, so that commits we have may not be on it
    let (world, started) = captured(Version::V18).await;
    started.stop().await;
    world.postgres.stop().await;
    world.postgres.put_file("standby.signal", b"");
    world.postgres.start_again().await;
    world.postgres.sql("SELECT pg_promote(true, 60)").await;
    until("the server is promoted", Duration::from_secs(60), async || {
        world.postgres.value("SELECT pg_is_in_recovery()").await == "f"
    })
    .await;
    // THEN the pipeline does not go on
    stays_halted(&world, "TIMELINE_CHANGED").await;
}
