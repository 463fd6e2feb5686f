//! The session: the slot as a lock, idle databases, restarts.

use std::time::Duration;

use cdc_pipeline::port::Source as _;
use cdc_source_postgres::{Phase, PostgresSource};

use crate::harness::{LIMIT, Log, Postgres, Version, config, open, table};

#[tokio::test]
async fn an_idle_database_retains_no_log() {
    for version in Version::ALL {
        // GIVEN a captured database without changes, beside a busy one
        let server = Postgres::start(version).await;
        table(&server, 10).await;
        server.sql("CREATE DATABASE busy").await;
        let mut config = config(&server, "public.t");
        config.heartbeat_interval = Duration::from_millis(200);
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        let busy = server.client_of(&server.dsn("busy")).await;
        busy.batch_execute(
            "CREATE TABLE b AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)",
        )
        .await
        .unwrap();
        let end: cdc_model::Lsn =
            server.value("SELECT pg_current_wal_lsn()").await.parse().unwrap();
        // WHEN only keepalives and heartbeats come
        // THEN the slot follows the end of the log
        let confirmed = "SELECT confirmed_flush_lsn FROM pg_replication_slots";
        tokio::time::timeout(LIMIT, async {
            loop {
                session.step(&mut log).await.unwrap();
                let slot: cdc_model::Lsn = server.value(confirmed).await.parse().unwrap();
                if slot >= end {
                    return;
                }
            }
        })
        .await
        .expect("the slot to follow");
        assert!(log.messages.is_empty(), "heartbeats are not emitted");
        // AND what is retained goes with the next checkpoint.
        server.sql("CHECKPOINT").await;
        let retained =
            "SELECT pg_current_wal_lsn() - restart_lsn < 4000000 FROM pg_replication_slots";
        tokio::time::timeout(LIMIT, async {
            while server.value(retained).await != "t" {
                session.step(&mut log).await.unwrap();
            }
        })
        .await
        .expect("the log to be released");
    }
}

#[tokio::test]
async fn a_second_source_waits_until_the_first_lets_go() {
    let server = Postgres::start(Version::V18).await;
    table(&server, 10).await;
    let config = config(&server, "public.t");
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&server, &mut log).await;
    let mut standby = PostgresSource::new(config.clone());
    let status = standby.status();
    let takes = async { standby.acquire().await.unwrap() };
    let lets_go = async {
        let waiting = status.wait_for(|s| matches!(s.phase, Phase::WaitingForSlot { .. })).await;
        assert!(matches!(waiting.phase, Phase::WaitingForSlot { pid: Some(_) }));
        drop(session);
    };
    tokio::time::timeout(LIMIT, async { tokio::join!(takes, lets_go) }).await.unwrap();
}

#[tokio::test]
async fn the_session_outlives_wal_sender_timeout_while_nobody_takes_batches() {
    let server = Postgres::start_with(Version::V18, &[("wal_sender_timeout", "1s")]).await;
    table(&server, 10).await;
    let mut config = config(&server, "public.t");
    config.batch_bytes_max = 16 << 10;
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&server, &mut log).await;
    server.sql("INSERT INTO t SELECT i, repeat('x', 500) FROM generate_series(100, 60000) i").await;
    let pid = server.value("SELECT active_pid FROM pg_replication_slots").await;
    // Three times the timeout, by the server's clock.
    server.sql("SELECT pg_sleep(3)").await;
    assert_eq!(server.value("SELECT active_pid FROM pg_replication_slots").await, pid);
    session.catch_up(&server, &mut log).await;
    log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
}

#[tokio::test]
async fn the_stream_goes_on_after_the_server_crashed() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        table(&server, 100).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        for round in 0..3 {
            let mut session = open(&config, &mut log).await.unwrap();
            session.catch_up(&server, &mut log).await;
            server.sql(&format!("INSERT INTO t VALUES ({}, 'x')", 1000 + round)).await;
            server.stop_immediate().await;
            while session.step(&mut log).await.is_ok() {}
            server.start_again().await;
        }
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
    }
}
