//! What a literal reading of the protocol would lose, one case each: the locks of a snapshot, what
//! a crash undoes, an idle end of the log, the server's warnings.

use std::time::Duration;

use cdc_model::{Lsn, Value};
use cdc_pipeline::{Classify, ErrorClass};
use testkit::server::until;

use crate::harness::{LIMIT, Log, Postgres, Version, config, open, table};

#[tokio::test]
async fn a_truncate_waits_until_the_snapshot_has_read_its_table() {
    for version in Version::ALL {
        // GIVEN a snapshot that has taken its view, reads one table, and has not come to the next
        let server = Postgres::start(version).await;
        table(&server, 5_000).await;
        server.sql("CREATE TABLE u AS SELECT * FROM t; ALTER TABLE u ADD PRIMARY KEY (id)").await;
        let mut config = config(&server, "public.*");
        config.snapshot_readers = 1;
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.until(&mut log, |log| !log.events.is_empty()).await;
        // THEN what would empty the table under its view does not get in
        let client = server.client().await;
        for sql in ["TRUNCATE u", "ALTER TABLE u ALTER id TYPE bigint", "TRUNCATE t"] {
            let blocked = client.batch_execute(&format!("SET lock_timeout = '100ms'; {sql}")).await;
            let code = blocked.unwrap_err().code().unwrap().code().to_owned();
            assert_eq!(code, "55P03", "{sql}: lock_not_available");
        }
        session.catch_up(&server, &mut log).await;
        for table in ["t", "u"] {
            let rows = server.rows(&format!("SELECT * FROM {table}")).await;
            log.assert_equals(&format!("public.{table}"), rows);
        }
        // AND the locks end with the snapshot
        server.sql("TRUNCATE u; INSERT INTO u VALUES (1, 'after')").await;
        session.catch_up(&server, &mut log).await;
        log.assert_equals("public.u", server.rows("SELECT * FROM u").await);
    }
}

#[tokio::test]
async fn a_chunk_read_after_the_locks_were_lost_is_not_taken() {
    for version in Version::ALL {
        // GIVEN a snapshot that reads one table, and has not come to the next
        let server = Postgres::start(version).await;
        table(&server, 5_000).await;
        server.sql("CREATE TABLE u AS SELECT * FROM t; ALTER TABLE u ADD PRIMARY KEY (id)").await;
        let mut config = config(&server, "public.*");
        config.snapshot_readers = 1;
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.until(&mut log, |log| !log.events.is_empty()).await;
        // WHEN the session that holds the tables dies, and the next table is rewritten
        let holders = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
            WHERE relation = 'u'::regclass AND mode = 'AccessShareLock'";
        server.sql(holders).await;
        server.sql("ALTER TABLE u ALTER id TYPE bigint").await;
        // THEN the snapshot, which would see that table empty, does not go on
        let mut failure = None;
        for _ in 0..20 {
            let stepped = tokio::time::timeout(LIMIT, session.step(&mut log)).await;
            failure = stepped.expect("goes on or fails").err();
            if failure.is_some() {
                break;
            }
        }
        let failure = failure.expect("the loss of the locks is noticed");
        assert_eq!(failure.class(), ErrorClass::Transient, "{failure}");
        drop(session);
        // AND another one reads it
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        for table in ["t", "u"] {
            let rows = server.rows(&format!("SELECT * FROM {table}")).await;
            log.assert_equals(&format!("public.{table}"), rows);
        }
    }
}

#[tokio::test]
async fn what_a_crash_undoes_was_never_read_by_a_snapshot() {
    for version in Version::ALL {
        // GIVEN a snapshot that was interrupted, and a server that flushes commits late
        let server = Postgres::start_with(version, &[("wal_writer_delay", "10s")]).await;
        table(&server, 1_000).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.until(&mut log, |log| !log.events.is_empty()).await;
        drop(session);
        // WHEN a commit that is visible and not flushed is seen by the view that goes on
        let client = server.client().await;
        let late = "SET synchronous_commit = off; UPDATE t SET v = 'phantom' WHERE id > 900";
        client.batch_execute(late).await.unwrap();
        let mut session = open(&config, &mut log).await.unwrap();
        let seen = |log: &Log| {
            let row =
                |event: &cdc_model::ChangeEvent| event.after.as_ref().map(|row| row[0].clone());
            log.events.iter().any(|event| row(event) == Some(Value::Int32(950)))
        };
        session.until(&mut log, seen).await;
        // AND the server crashes
        server.stop_immediate().await;
        drop(session);
        server.start_again().await;
        // THEN both have it, or neither
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
    }
}

#[tokio::test]
async fn an_idle_end_of_the_log_is_a_position_before_it_is_acknowledged() {
    for version in Version::ALL {
        // GIVEN a captured database without changes, beside a busy one
        let server = Postgres::start(version).await;
        table(&server, 10).await;
        server.sql("CREATE DATABASE busy").await;
        let mut config = config(&server, "public.t");
        config.heartbeat_interval = Duration::from_millis(100);
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        let busy = server.client_of(&server.dsn("busy")).await;
        busy.batch_execute(
            "CREATE TABLE b AS SELECT repeat('x', 100) FROM generate_series(1, 500)",
        )
        .await
        .unwrap();
        let end: Lsn = server.value("SELECT pg_current_wal_lsn()").await.parse().unwrap();
        let confirmed = async || -> Lsn {
            let slot = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
            server.value(slot).await.parse().unwrap()
        };
        tokio::time::timeout(LIMIT, async {
            while confirmed().await < end {
                session.step(&mut log).await.unwrap();
            }
        })
        .await
        .expect("the slot to follow");
        drop(session);
        // THEN the next start finds its position at the slot or past it
        let mut session = open(&config, &mut log).await.unwrap();
        server.sql("INSERT INTO t VALUES (11, 'next')").await;
        session.catch_up(&server, &mut log).await;
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
    }
}

#[tokio::test]
async fn a_warning_of_the_server_halts_without_waiting_for_the_next_check() {
    // GIVEN a source that looks at its publication once an hour
    let server = Postgres::start(Version::V18).await;
    table(&server, 10).await;
    let mut config = config(&server, "public.t");
    config.guard_interval = Duration::from_secs(3_600);
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&server, &mut log).await;
    // WHEN the server has nothing to publish and only warns
    server.sql("DROP PUBLICATION penstock_test").await;
    server.sql("INSERT INTO t VALUES (11, 'unpublished')").await;
    // THEN it halts
    assert_eq!(session.halt(&mut log).await, "PUBLICATION_MISSING");
    until("the slot keeps the change", LIMIT, async || {
        server.value("SELECT count(*) FROM pg_replication_slots").await == "1"
    })
    .await;
}
