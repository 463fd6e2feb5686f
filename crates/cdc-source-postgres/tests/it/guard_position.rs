//! Each case of silent loss halts with its code; without the guard, rows are missing.

use cdc_source_postgres::{Config, Guards};

use crate::harness::{Log, Postgres, Version, code, config, open, open_with, table};

/// A pipeline that captured ten rows and was stopped.
async fn captured(version: Version) -> (Postgres, Config, Log) {
    let server = Postgres::start(version).await;
    table(&server, 10).await;
    let config = config(&server, "public.t");
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&server, &mut log).await;
    drop(session);
    wait_inactive(&server).await;
    (server, config, log)
}

async fn wait_inactive(server: &Postgres) {
    let query = "SELECT count(*) FROM pg_replication_slots WHERE active";
    while server.value(query).await != "0" {
        tokio::task::yield_now().await;
    }
}

/// Asserts that opening halts with `expected`, and returns how many of the source's rows are
/// missing when it is opened without `guards`.
async fn halts(server: &Postgres, config: &Config, log: &mut Log, expected: &str) {
    let error = open(config, log).await.err().unwrap_or_else(|| panic!("{expected} expected"));
    assert_eq!(code(&error), expected);
    wait_inactive(server).await;
}

async fn loses_without(guards: Guards, server: &Postgres, config: &Config, log: &mut Log) {
    let mut session = open_with(config, guards, log).await.unwrap();
    session.catch_up(server, log).await;
    let there = server.rows("SELECT * FROM t").await.len();
    let here = log.tables["public.t"].rows().len();
    assert!(here < there, "without the guard rows are lost: {here} of {there}");
}

fn without_slot() -> Guards {
    Guards { slot: false, ..Guards::all() }
}

fn without_publication() -> Guards {
    Guards { publication: false, ..Guards::all() }
}

const RECREATE_SLOT: &str = "SELECT pg_drop_replication_slot('penstock_test')";

#[tokio::test]
async fn a_dropped_slot_halts() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql(RECREATE_SLOT).await;
        halts(&server, &config, &mut log, "SLOT_MISSING").await;
    }
}

#[tokio::test]
async fn a_recreated_slot_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql(RECREATE_SLOT).await;
        server.sql("INSERT INTO t VALUES (100, 'in the gap')").await;
        server.sql("SELECT pg_create_logical_replication_slot('penstock_test', 'pgoutput')").await;
        halts(&server, &config, &mut log, "SLOT_RECREATED").await;
        loses_without(without_slot(), &server, &config, &mut log).await;
    }
}

#[tokio::test]
async fn an_advanced_slot_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql("INSERT INTO t VALUES (100, 'skipped')").await;
        let advance = "SELECT pg_replication_slot_advance('penstock_test', pg_current_wal_lsn())";
        server.sql(advance).await;
        halts(&server, &config, &mut log, "POSITION_BEHIND_SLOT").await;
        loses_without(without_slot(), &server, &config, &mut log).await;
    }
}

#[tokio::test]
async fn an_invalidated_slot_halts() {
    for version in Version::ALL {
        let settings = [
            ("max_slot_wal_keep_size", "16MB"),
            ("min_wal_size", "32MB"),
            ("max_wal_size", "32MB"),
        ];
        let server = Postgres::start_with(version, &settings).await;
        table(&server, 10).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        drop(session);
        wait_inactive(&server).await;
        server
            .sql("CREATE TABLE w AS SELECT repeat('x', 1000) FROM generate_series(1, 80000)")
            .await;
        server.sql("CHECKPOINT").await;
        halts(&server, &config, &mut log, "SLOT_LOST").await;
    }
}

#[tokio::test]
async fn a_changed_publication_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let recreate = "DROP PUBLICATION penstock_test;
            CREATE PUBLICATION penstock_test FOR TABLE t";
        let (server, config, mut log) = captured(version).await;
        server.sql("ALTER PUBLICATION penstock_test DROP TABLE t").await;
        halts(&server, &config, &mut log, "TABLE_NOT_IN_PUBLICATION").await;
        server.sql("INSERT INTO t VALUES (100, 'not published')").await;
        server.sql("ALTER PUBLICATION penstock_test ADD TABLE t").await;
        halts(&server, &config, &mut log, "TABLE_NOT_IN_PUBLICATION").await;
        loses_without(without_publication(), &server, &config, &mut log).await;
        wait_inactive(&server).await;

        let (server, config, mut log) = captured(version).await;
        server.sql(recreate).await;
        halts(&server, &config, &mut log, "PUBLICATION_RECREATED").await;
        server.sql("DROP PUBLICATION penstock_test").await;
        halts(&server, &config, &mut log, "PUBLICATION_MISSING").await;
    }
}

#[tokio::test]
async fn a_publication_changed_while_streaming_halts() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        table(&server, 10).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        server.sql("ALTER PUBLICATION penstock_test DROP TABLE t").await;
        assert_eq!(session.halt(&mut log).await, "TABLE_NOT_IN_PUBLICATION");
    }
}

#[tokio::test]
async fn a_publication_made_after_the_slot_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql("DROP PUBLICATION penstock_test").await;
        server.sql("INSERT INTO t VALUES (100, 'before the publication')").await;
        server.sql("CREATE PUBLICATION penstock_test FOR TABLE t").await;
        halts(&server, &config, &mut log, "PUBLICATION_RECREATED").await;
        match version {
            // The server itself refuses, and the stream says why.
            Version::V15 => {
                let mut session =
                    open_with(&config, without_publication(), &mut log).await.unwrap();
                assert_eq!(session.halt(&mut log).await, "PUBLICATION_AFTER_SLOT");
            }
            // The server only warns.
            Version::V18 => {
                loses_without(without_publication(), &server, &config, &mut log).await;
            }
        }
    }
}

#[tokio::test]
async fn another_server_behind_the_address_halts() {
    let (_first, config, mut log) = captured(Version::V15).await;
    // Servers of one version are copies of each other here, with one system identifier.
    let other = Postgres::start(Version::V18).await;
    table(&other, 10).await;
    let mut moved = config.clone();
    moved.connect = other.dsn("postgres").parse().unwrap();
    halts(&other, &moved, &mut log, "SYSTEM_ID_CHANGED").await;
    assert_eq!(other.value("SELECT count(*) FROM pg_publication").await, "0");
}

#[tokio::test]
async fn another_database_of_the_server_halts() {
    let (server, config, mut log) = captured(Version::V18).await;
    server.sql("CREATE DATABASE other").await;
    let mut moved = config.clone();
    moved.connect = server.dsn("other").parse().unwrap();
    // The slot belongs to the first database.
    let error = open(&moved, &mut log).await.err().unwrap();
    assert!(["DATABASE_CHANGED", "SLOT_EXISTS"].contains(&code(&error)), "{error:?}");
}

#[tokio::test]
async fn row_level_security_halts_and_would_hide_rows() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        table(&server, 3).await;
        server
            .sql("CREATE ROLE capture LOGIN REPLICATION; GRANT CREATE ON DATABASE postgres TO capture;
                  ALTER TABLE t OWNER TO capture; ALTER TABLE t ENABLE ROW LEVEL SECURITY;
                  ALTER TABLE t FORCE ROW LEVEL SECURITY; CREATE POLICY p ON t USING (id = 1)")
            .await;
        let mut config = config(&server, "public.t");
        config.connect = server.dsn_as("capture", "postgres").parse().unwrap();
        let mut log = Log::default();
        halts(&server, &config, &mut log, "RLS_ENABLED").await;
        let guards = Guards { tables: false, ..Guards::all() };
        loses_without(guards, &server, &config, &mut log).await;
    }
}

#[tokio::test]
async fn a_table_made_again_halts() {
    let (server, config, mut log) = captured(Version::V15).await;
    server.sql("DROP TABLE t").await;
    table(&server, 5).await;
    halts(&server, &config, &mut log, "TABLE_RECREATED").await;
}
