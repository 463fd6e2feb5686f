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

/// Opens without any guard, and returns the code with which that still halts.
async fn refused(config: &Config, log: &mut Log) -> &'static str {
    match open_with(config, UNGUARDED, log).await {
        Err(error) => code(&error),
        Ok(mut session) => session.halt(log).await,
    }
}

fn without_slot() -> Guards {
    Guards { slot: false, ..Guards::all() }
}

fn without_publication() -> Guards {
    Guards { publication: false, ..Guards::all() }
}

/// No check at all: what a client does that trusts the server.
const UNGUARDED: Guards =
    Guards { identity: false, slot: false, publication: false, tables: false };

const DROP_SLOT: &str = "SELECT pg_drop_replication_slot('penstock_test')";
const CREATE_SLOT: &str = "SELECT pg_create_logical_replication_slot('penstock_test', 'pgoutput')";
const INSERT_MISSED: &str = "INSERT INTO t SELECT i, 'missed' FROM generate_series(100, 120) i";

#[tokio::test]
async fn a_dropped_slot_halts_and_going_on_with_a_new_one_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql(DROP_SLOT).await;
        server.sql(INSERT_MISSED).await;
        halts(&server, &config, &mut log, "SLOT_MISSING").await;
        // Unguarded, the server still refuses; who then makes the slot anew goes on with a gap.
        assert_eq!(refused(&config, &mut log).await, "SLOT_MISSING");
        server.sql(CREATE_SLOT).await;
        loses_without(UNGUARDED, &server, &config, &mut log).await;
    }
}

#[tokio::test]
async fn a_recreated_slot_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql(DROP_SLOT).await;
        server.sql("INSERT INTO t VALUES (100, 'in the gap')").await;
        server.sql(CREATE_SLOT).await;
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
async fn an_invalidated_slot_halts_and_going_on_with_a_new_one_would_lose_rows() {
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
        server.sql(INSERT_MISSED).await;
        server
            .sql("CREATE TABLE w AS SELECT repeat('x', 1000) FROM generate_series(1, 80000)")
            .await;
        server.sql("CHECKPOINT").await;
        halts(&server, &config, &mut log, "SLOT_LOST").await;
        // Unguarded, the server still refuses; who then makes the slot anew goes on with a gap.
        refused(&config, &mut log).await;
        wait_inactive(&server).await;
        server.sql(DROP_SLOT).await;
        server.sql(CREATE_SLOT).await;
        loses_without(UNGUARDED, &server, &config, &mut log).await;
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
    }
}

#[tokio::test]
async fn a_dropped_publication_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql("DROP PUBLICATION penstock_test").await;
        server.sql(INSERT_MISSED).await;
        halts(&server, &config, &mut log, "PUBLICATION_MISSING").await;
        match version {
            // The server itself refuses, and the stream says why.
            Version::V15 => assert_eq!(refused(&config, &mut log).await, "PUBLICATION_MISSING"),
            // The server only warns.
            Version::V18 => loses_without(UNGUARDED, &server, &config, &mut log).await,
        }
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
async fn another_server_behind_the_address_halts_and_would_lose_rows() {
    let (first, config, mut log) = captured(Version::V15).await;
    // Servers of one version are copies of each other here, with one system identifier.
    let other = Postgres::start(Version::V18).await;
    table(&other, 10).await;
    let mut moved = config.clone();
    moved.connect = other.dsn("postgres").parse().unwrap();
    halts(&other, &moved, &mut log, "SYSTEM_ID_CHANGED").await;
    assert_eq!(other.value("SELECT count(*) FROM pg_publication").await, "0");
    // Unguarded, a position of the first server is taken for one of the other, and what the other
    // wrote below it is passed over.
    other.sql("CREATE PUBLICATION penstock_test FOR TABLE t").await;
    other.sql(CREATE_SLOT).await;
    other.sql(INSERT_MISSED).await;
    write_past(&first, &other).await;
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&first, &mut log).await;
    drop(session);
    write_past(&other, &first).await;
    loses_without(UNGUARDED, &other, &moved, &mut log).await;
}

/// Writes to `server` until its log is longer than the other's.
async fn write_past(server: &Postgres, other: &Postgres) {
    let position = other.value("SELECT pg_current_wal_lsn()").await;
    let is_behind = format!("SELECT pg_current_wal_lsn() <= '{position}'");
    while server.value(&is_behind).await == "t" {
        server
            .sql("SELECT pg_logical_emit_message(true, 'fill', ''); SELECT pg_switch_wal()")
            .await;
    }
}

#[tokio::test]
async fn a_server_restored_from_a_backup_halts_and_would_lose_rows() {
    // GIVEN a backup, and a position from after it was taken
    let (server, config, mut log) = captured(Version::V18).await;
    server.stop().await;
    let backup = tempfile::tempdir().unwrap();
    copy_dir(&server.data_dir(), backup.path());
    server.start_again().await;
    server.sql("SELECT pg_logical_emit_message(true, 'test', repeat('x', 3000000))").await;
    let mut session = open(&config, &mut log).await.unwrap();
    session.catch_up(&server, &mut log).await;
    drop(session);
    // WHEN the server is restored from it, and written to
    server.stop().await;
    std::fs::remove_dir_all(server.data_dir()).unwrap();
    copy_dir(backup.path(), &server.data_dir());
    server.put_file("standby.signal", b"");
    server.start_again().await;
    server.sql("SELECT pg_promote(true, 60)").await;
    while server.value("SELECT pg_is_in_recovery()").await == "t" {
        tokio::task::yield_now().await;
    }
    server.sql(INSERT_MISSED).await;
    // THEN it halts; unguarded, what was written below our position is passed over
    halts(&server, &config, &mut log, "TIMELINE_CHANGED").await;
    server.sql("SELECT pg_switch_wal()").await;
    loses_without(UNGUARDED, &server, &config, &mut log).await;
}

fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp").arg("-aT").arg(from).arg(to).status();
    assert!(copied.unwrap().success());
}

#[tokio::test]
async fn a_lost_position_halts_and_the_slot_alone_would_miss_rows() {
    for version in Version::ALL {
        let (server, config, _forgotten) = captured(version).await;
        halts(&server, &config, &mut Log::default(), "SLOT_EXISTS").await;
        // Who takes the slot that is there has none of the rows from before.
        let changes = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('penstock_test', \
            NULL, NULL, 'proto_version', '1', 'publication_names', 'penstock_test') \
            WHERE get_byte(data, 0) = ascii('I')";
        assert_eq!(server.value(changes).await, "0");
        assert_eq!(server.value("SELECT count(*) FROM t").await, "10");
    }
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
async fn a_table_made_again_halts_and_would_lose_rows() {
    for version in Version::ALL {
        let (server, config, mut log) = captured(version).await;
        server.sql("DROP TABLE t").await;
        table(&server, 5).await;
        server.sql(INSERT_MISSED).await;
        halts(&server, &config, &mut log, "TABLE_RECREATED").await;
        loses_without(UNGUARDED, &server, &config, &mut log).await;
    }
}

#[tokio::test]
async fn a_table_without_replica_identity_halts_and_would_break_the_source() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        server.sql("CREATE TABLE t (id int, v text); INSERT INTO t VALUES (1, 'a')").await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        halts(&server, &config, &mut log, "REPLICA_IDENTITY_MISSING").await;
        assert_eq!(server.value("SELECT count(*) FROM pg_publication").await, "0");
        // A publication would make the owner's own statements fail.
        server.sql("CREATE PUBLICATION penstock_test FOR TABLE t").await;
        let refused = server.client().await.batch_execute("UPDATE t SET v = 'b'").await;
        let error = refused.unwrap_err();
        assert_eq!(error.code().unwrap().code(), "55000", "{error:?}");
    }
}
