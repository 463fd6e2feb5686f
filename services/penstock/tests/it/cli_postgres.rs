//! Bad input that a real server finds, and that nothing is left behind on it.

use testkit::server::postgres::{Postgres, Version};

use crate::penstock::{Ran, run_beside};

async fn penstock(args: &[&str]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    run_beside(dir.path(), args).await
}

/// Runs `doctor` and `run`; both fail with `code`, and the server is as it was.
async fn refused(server: &Postgres, source: &str, tables: &str, code: &str, fix: &str) {
    let doctor = penstock(&["doctor", "--source", source, "--tables", tables]).await;
    assert_eq!(doctor.code, Some(1), "{doctor:?}");
    assert!(doctor.stdout.contains('✗') && doctor.stdout.contains(fix), "{}", doctor.stdout);
    doctor.fits();
    let json = penstock(&["doctor", "--source", source, "--tables", tables, "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let is_found = |f: &serde_json::Value| f["code"] == code && f["severity"] == "error";
    assert!(json.as_array().unwrap().iter().any(is_found), "no {code} in {json}");

    let run = penstock(&["run", "--source", source, "--tables", tables]).await;
    run.refused(1, &[code]);
    let left = "SELECT (SELECT count(*) FROM pg_replication_slots) + \
                (SELECT count(*) FROM pg_publication)";
    assert_eq!(server.value(left).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_doctor_finds_a_good_server_ready() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    let ran = penstock(&["doctor", "--source", &server.dsn("postgres")]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stdout.contains("ready to capture"), "{}", ran.stdout);
    ran.fits();
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_wrong_password_is_refused() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE ROLE shop LOGIN REPLICATION PASSWORD 'right'").await;
    server.set_hba(&["host all shop all scram-sha-256", "host all all all trust"]).await;
    let source = server.dsn_as("shop:hunter2", "postgres");
    let ran = penstock(&["run", "--source", &source]).await;
    ran.refused(1, &["AUTH_FAILED", "password"]);
    assert!(!ran.stderr.contains("hunter2"), "{}", ran.stderr);
    let ran = penstock(&["doctor", "--source", &source]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_wal_level_replica_is_refused() {
    let server = Postgres::start_with(Version::V18, &[("wal_level", "replica")]).await;
    server.sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = server.dsn("postgres");
    refused(&server, &source, "*.*", "WAL_LEVEL", "ALTER SYSTEM SET wal_level = logical").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_tables_that_do_not_exist_are_refused() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = server.dsn("postgres");
    for tables in ["public.missing", "sales.*"] {
        refused(&server, &source, tables, "NO_TABLES", "no table matches").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_missing_privileges_are_refused() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE ROLE weak LOGIN; CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = server.dsn_as("weak", "postgres");
    refused(&server, &source, "*.*", "PRIVILEGE_MISSING", "REPLICATION;").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pg_a_table_without_identity_is_refused() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE TABLE t (id int)").await;
    let source = server.dsn("postgres");
    refused(&server, &source, "*.*", "REPLICA_IDENTITY_MISSING", "REPLICA IDENTITY FULL;").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_pipeline_is_told_at_once_that_kafka_or_the_registry_is_away() {
    let server = Postgres::start(Version::V18).await;
    server.sql("CREATE TABLE t (id int PRIMARY KEY)").await;
    let source = server.dsn("postgres");
    let nobody = format!("127.0.0.1:{}", testkit::server::free_port());
    let url = format!("http://{nobody}");
    for (flag, value, code) in
        [("--kafka", &nobody, "KAFKA_UNREACHABLE"), ("--registry", &url, "REGISTRY_UNREACHABLE")]
    {
        let dir = tempfile::tempdir().unwrap();
        let ran = run_beside(dir.path(), &["run", "--source", &source, flag, value]).await;
        ran.refused(1, &[code, &nobody, flag]);
        // AND nothing half-made is left behind
        assert!(!dir.path().join(".penstock").exists());
        assert_eq!(server.value("SELECT count(*) FROM pg_replication_slots").await, "0");
        assert_eq!(server.value("SELECT count(*) FROM pg_publication").await, "0");
    }
}
