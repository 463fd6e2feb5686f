//! What a start insists on, what it leaves behind when it fails, and what the doctor says.

use cdc_source_postgres::preflight::{self, Severity};

use crate::harness::{Log, Postgres, Version, code, config, open, table};

async fn assert_untouched(server: &Postgres) {
    assert_eq!(server.value("SELECT count(*) FROM pg_replication_slots").await, "0");
    assert_eq!(server.value("SELECT count(*) FROM pg_publication").await, "0");
}

#[tokio::test]
async fn an_unfit_server_is_refused_and_left_untouched() {
    let server = Postgres::start(Version::V15).await;
    table(&server, 1).await;
    server
        .sql("CREATE TABLE nokey (v text); CREATE ROLE weak LOGIN; CREATE ROLE half LOGIN REPLICATION;
              GRANT SELECT ON t TO half; GRANT CREATE ON DATABASE postgres TO half")
        .await;
    let as_role = |role: &str, tables: &str| {
        let mut config = config(&server, tables);
        config.connect = server.dsn_as(role, "postgres").parse().unwrap();
        config
    };
    for (config, expected) in [
        (config(&server, "public.nothing*"), "NO_TABLES"),
        (config(&server, "public.*"), "REPLICA_IDENTITY_MISSING"),
        (as_role("weak", "public.t"), "PRIVILEGE_MISSING"),
        (as_role("half", "public.t"), "PRIVILEGE_MISSING"),
        (as_role("nobody", "public.t"), "AUTH_FAILED"),
    ] {
        let error = open(&config, &mut Log::default()).await.err().expect(expected);
        assert_eq!(code(&error), expected, "{error:?}");
    }
    assert_untouched(&server).await;
    // A slot of that name that is not ours is not touched either.
    server.sql("SELECT pg_create_logical_replication_slot('penstock_test', 'pgoutput')").await;
    let error = open(&config(&server, "public.t"), &mut Log::default()).await.err().unwrap();
    assert_eq!(code(&error), "SLOT_EXISTS");
}

#[tokio::test]
async fn a_server_that_does_not_log_enough_is_refused() {
    let server = Postgres::start_with(Version::V18, &[("wal_level", "replica")]).await;
    table(&server, 1).await;
    let error = open(&config(&server, "public.t"), &mut Log::default()).await.err().unwrap();
    assert_eq!(code(&error), "WAL_LEVEL");
    assert_untouched(&server).await;
}

#[tokio::test]
async fn what_an_intent_left_behind_is_made_anew() {
    use cdc_pipeline::port::{Opened, Source as _};

    for version in Version::ALL {
        // GIVEN a kill after the slot was made and before its first position was recorded
        let server = Postgres::start(version).await;
        table(&server, 10).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        drop(open(&config, &mut log).await.unwrap());
        assert_eq!(server.value("SELECT count(*) FROM pg_replication_slots").await, "1");
        server.sql("INSERT INTO t VALUES (11, 'later')").await;
        // WHEN it starts again
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        // THEN all is there
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
        // AND without the intent the same leftover halts
        drop(session);
        let mut source = cdc_source_postgres::PostgresSource::new(config.clone());
        source.acquire().await.unwrap();
        match source.open(None).await {
            Err(error) => assert_eq!(code(&error), "SLOT_EXISTS"),
            Ok(Opened::Mark(_) | Opened::Ready(..)) => panic!("a foreign slot was accepted"),
        }
    }
}

#[tokio::test]
async fn the_doctor_names_what_is_wrong_and_the_sql_that_mends_it() {
    let server = Postgres::start(Version::V18).await;
    table(&server, 1).await;
    server.sql("CREATE TABLE nokey (v text); CREATE UNLOGGED TABLE u (id int PRIMARY KEY)").await;
    let findings = preflight::check(&config(&server, "public.*")).await;
    let bad: Vec<_> = findings
        .iter()
        .filter(|finding| finding.severity != Severity::Ok)
        .map(|finding| (finding.code, finding.severity))
        .collect();
    assert_eq!(
        bad,
        [
            ("WAL_KEEP_SIZE", Severity::Warning),
            ("REPLICA_IDENTITY_MISSING", Severity::Error),
            ("UNLOGGED", Severity::Warning),
        ]
    );
    let fix = findings.iter().find(|f| f.code == "REPLICA_IDENTITY_MISSING").unwrap();
    assert_eq!(
        fix.fix_sql.as_deref(),
        Some("ALTER TABLE \"public\".\"nokey\" REPLICA IDENTITY FULL;")
    );
}
