//! PostgreSQL → Kafka with a Confluent-compatible registry → DuckDB.

use cdc_log_kafka::KafkaConfig;
use cdc_model::Record;
use cdc_pipeline::stats::State;
use cdc_registry::RestConfig;
use cdc_source_postgres::Phase;
use testkit::server::apicurio::Apicurio;
use testkit::server::kafka::Kafka;
use testkit::server::postgres::Version;
use testkit::server::until;

use crate::world::{PATIENCE, Started, World, assert_identities_are_unique, read_topics};

const TABLES: &str = "
CREATE TABLE t (id bigint PRIMARY KEY, v text, n numeric(10,2));
INSERT INTO t SELECT i, 'row ' || i, i * 1.5 FROM generate_series(1, 2000) i;
CREATE TABLE keyless (a int, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
INSERT INTO keyless VALUES (1, 'x'), (1, 'x'), (2, NULL);
";

const CHANGES: &str = "
INSERT INTO t VALUES (9001, 'new', 1.00);
UPDATE t SET v = 'changed' WHERE id <= 10;
UPDATE t SET id = id + 20000 WHERE id BETWEEN 11 AND 15;
DELETE FROM t WHERE id BETWEEN 100 AND 200;
DELETE FROM keyless WHERE ctid = (SELECT min(ctid) FROM keyless WHERE a = 1);
";

/// A pipeline on `kafka` and `registry` whose topics nobody else has.
async fn world(version: Version, kafka: &Kafka, registry: &Apicurio, prefix: &str) -> World {
    let mut world = World::new(version, TABLES).await;
    prefix.clone_into(&mut world.config.prefix);
    // The test servers are copies with one system identifier: the slot tells pipelines apart.
    prefix.clone_into(&mut world.config.source.slot);
    world.config.log.kafka = Some(KafkaConfig::new(kafka.bootstrap()));
    world.config.registry = Some(RestConfig::new(&registry.url()));
    world
}

async fn settle(world: &World, started: &Started) {
    world.settle(&started.pipeline, "public.t", &["id", "v", "n"]).await;
    world.settle(&started.pipeline, "public.keyless", &["a", "b"]).await;
}

/// Asserts that each change is on Kafka once, and that a stock client reads the same.
async fn assert_each_once(kafka: &Kafka, started: &Started, prefix: &str) {
    let records = read_topics(started.pipeline.log(), &format!("{prefix}.")).await;
    assert!(records.len() >= 2_003, "{}", records.len());
    assert_identities_are_unique(&records);
    for table in ["t", "keyless"] {
        let topic = format!("{prefix}.public.{table}");
        let ours: Vec<String> = records
            .iter()
            .filter(|record| record.source.topic.as_str() == topic)
            .map(|record| {
                let id = record.header(Record::ID_HEADER).expect("an identity");
                let size =
                    |bytes: &Option<bytes::Bytes>| bytes.as_ref().map_or(-1, |b| b.len() as i64);
                let id = String::from_utf8_lossy(id);
                format!("{} {} {} {id}", record.offset.0, size(&record.key), size(&record.value))
            })
            .collect();
        assert_eq!(ours, kcat(kafka, &topic).await, "{topic}");
    }
}

/// Reads a topic with kcat, read_committed: offset, sizes of key and value, identity.
async fn kcat(kafka: &Kafka, topic: &str) -> Vec<String> {
    let mut kcat = tokio::process::Command::new("kcat");
    kcat.args(["-C", "-q", "-e", "-o", "beginning", "-b", &kafka.bootstrap(), "-t", topic]);
    kcat.args(["-X", "isolation.level=read_committed", "-f", "%o %K %S %h\\n"]);
    let output =
        kcat.output().await.expect("starting kcat; is it installed? see scripts/bootstrap");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let (numbers, headers) = line.rsplit_once(' ').expect("headers");
        let id = headers.split("penstock.id=").nth(1).expect("an identity");
        format!("{numbers} {}", id.split(',').next().unwrap_or(id))
    };
    String::from_utf8_lossy(&output.stdout).lines().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_warehouse_equals_the_source_through_kafka_and_a_restart() {
    let (kafka, registry) = tokio::join!(Kafka::shared(), Apicurio::shared());
    for (version, prefix) in [(Version::V15, "equal15"), (Version::V18, "equal18")] {
        let world = world(version, kafka, registry, prefix).await;
        let started = world.start().await;
        settle(&world, &started).await;
        world.postgres.sql(CHANGES).await;
        settle(&world, &started).await;
        started.stop().await;
        world.postgres.sql("UPDATE t SET v = 'while down' WHERE id > 1000").await;
        world
            .postgres
            .sql("BEGIN; TRUNCATE keyless; INSERT INTO keyless VALUES (7, 'after'); COMMIT")
            .await;
        let again = world.start().await;
        settle(&world, &again).await;
        assert_each_once(kafka, &again, prefix).await;
        again.stop().await;
        // A warehouse lost is built again from the topics alone.
        std::fs::remove_file(penstock::pipeline::warehouse_path(world.dir.path())).unwrap();
        let rebuilt = world.start().await;
        settle(&world, &rebuilt).await;
        rebuilt.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_data_directory_costs_nothing_for_the_position_is_on_kafka() {
    let (kafka, registry) = tokio::join!(Kafka::shared(), Apicurio::shared());
    let mut world = world(Version::V18, kafka, registry, "moved").await;
    let started = world.start().await;
    settle(&world, &started).await;
    started.stop().await;
    world.postgres.sql(CHANGES).await;
    let elsewhere = tempfile::tempdir().unwrap();
    world.config.log.data_dir = elsewhere.path().to_owned();
    let started = world.start().await;
    settle(&world, &started).await;
    assert_each_once(kafka, &started, "moved").await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_fences_nobody_until_it_holds_the_slot() {
    let (kafka, registry) = tokio::join!(Kafka::shared(), Apicurio::shared());
    let mut world = world(Version::V18, kafka, registry, "standby").await;
    let leader = world.start().await;
    settle(&world, &leader).await;
    // GIVEN a second process of the same pipeline, started again and again
    let elsewhere = tempfile::tempdir().unwrap();
    world.config.log.data_dir = elsewhere.path().to_owned();
    for round in 0..3 {
        let standby = world.start().await;
        until("the standby waits for the slot", PATIENCE, async || {
            let phase = standby.pipeline.source_status().phase;
            matches!(phase, Phase::WaitingForSlot { .. })
        })
        .await;
        // THEN the leader goes on as if there were none
        let sql = format!("INSERT INTO t VALUES ({}, 'led', 1)", 50_000 + round);
        world.postgres.sql(&sql).await;
        settle(&world, &leader).await;
        standby.stop().await;
    }
    let stats = leader.pipeline.capture_stats();
    assert_eq!(stats.retries.load(std::sync::atomic::Ordering::Relaxed), 0, "{:?}", stats.state());
    // AND takes over from the position on Kafka once it lets go
    let standby = world.start().await;
    leader.stop().await;
    world.postgres.sql(CHANGES).await;
    settle(&world, &standby).await;
    assert_each_once(kafka, &standby, "standby").await;
    standby.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_killed_under_load_loses_and_doubles_nothing() {
    let kafka = Kafka::start().await;
    let registry = Apicurio::shared().await;
    let world = world(Version::V18, &kafka, registry, "killed").await;
    let started = world.start().await;
    settle(&world, &started).await;
    for round in 0..2 {
        let changes = async {
            for i in 0..40 {
                let id = 30_000 + round * 100 + i;
                let sql = format!(
                    "INSERT INTO t VALUES ({id}, 'new', 1); UPDATE t SET v = '{id}' WHERE id = {i} + 300;
                     INSERT INTO keyless VALUES ({id}, 'k')"
                );
                world.postgres.sql(&sql).await;
            }
        };
        let fault = async {
            kafka.kill9().await;
            kafka.start_again().await;
        };
        tokio::join!(changes, fault);
    }
    settle(&world, &started).await;
    assert_each_once(&kafka, &started, "killed").await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_registry_known_schemas_flow_and_new_ones_wait() {
    let kafka = Kafka::shared().await;
    let registry = Apicurio::start().await;
    let world = world(Version::V18, kafka, &registry, "away").await;
    let mut config = world.config.clone();
    if let Some(rest) = &mut config.registry {
        rest.request_timeout = std::time::Duration::from_secs(1);
        rest.rounds_max = 1;
    }
    let started = Started::new(config).await;
    settle(&world, &started).await;
    // GIVEN a registry that does not answer
    registry.pause();
    // THEN what is known flows, also where the stream describes a table anew
    world.postgres.sql(CHANGES).await;
    settle(&world, &started).await;
    // AND what is not waits, without a halt
    world.postgres.sql("ALTER TABLE t ADD w int; UPDATE t SET w = 5 WHERE id = 1").await;
    until("capture waits for the registry", PATIENCE, async || {
        assert!(!started.task.is_finished(), "it does not halt");
        matches!(started.pipeline.capture_stats().state(), State::Waiting { .. })
    })
    .await;
    registry.resume();
    world.settle(&started.pipeline, "public.t", &["id", "v", "n", "w"]).await;
    assert_each_once(kafka, &started, "away").await;
    started.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_forgot_its_schemas_halts() {
    let kafka = Kafka::shared().await;
    let registry = Apicurio::start().await;
    let world = world(Version::V18, kafka, &registry, "forgot").await;
    let started = world.start().await;
    settle(&world, &started).await;
    // GIVEN a registry that comes back empty, and would give known ids to other schemas
    registry.stop().await;
    registry.start_again().await;
    world.postgres.sql("ALTER TABLE t ADD w int; UPDATE t SET w = 5 WHERE id = 1").await;
    // THEN nothing is written with an id that means something else
    let halted = started.halt().await;
    assert_eq!(halted.code, "REGISTRY_IDS_RESET", "{halted:?}");
    assert!(halted.remedy.is_some());
}
