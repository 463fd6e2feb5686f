//! The initial snapshot: equal to the source, marked, resumed at the chunk.

use cdc_model::{Op, SnapshotMark};

use crate::harness::{Log, Postgres, Version, code, config, open, table};

#[tokio::test]
async fn snapshot_then_stream_equals_the_source_under_concurrent_writes() {
    for version in Version::ALL {
        // GIVEN a table, and a writer that never rests
        let server = Postgres::start(version).await;
        table(&server, 5_000).await;
        let config = config(&server, "public.*");
        let mut log = Log::default();
        let opened = tokio::sync::Semaphore::new(0);
        let writes = async {
            for round in 0..60 {
                // Not so far ahead of the snapshot that little is left for it to read.
                if round == 10 {
                    opened.acquire().await.unwrap().forget();
                }
                server
                    .sql(&format!(
                        "INSERT INTO t SELECT 10000 + {round} * 50 + i, 'new' FROM generate_series(1, 50) i;
                         UPDATE t SET v = v || '.' WHERE id % 60 = {round};
                         DELETE FROM t WHERE id % 97 = {round};
                         UPDATE t SET id = -id WHERE id % 131 = {round} AND id > 0"
                    ))
                    .await;
            }
        };
        // WHEN it is captured meanwhile
        let capture = async {
            let mut session = open(&config, &mut log).await.unwrap();
            opened.add_permits(1);
            for _ in 0..200 {
                session.step(&mut log).await.unwrap();
                tokio::task::yield_now().await;
                if log.events.iter().any(|event| event.op != Op::Read) {
                    break;
                }
            }
            session
        };
        let ((), mut session) = tokio::join!(writes, capture);
        session.catch_up(&server, &mut log).await;
        // THEN nothing is missing and nothing doubled
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
        let reads = log.events.iter().filter(|event| event.op == Op::Read).count();
        assert!(reads >= 4_000, "{reads} rows came by the snapshot");
    }
}

#[tokio::test]
async fn snapshot_rows_are_marked_first_and_last_as_debezium_marks_them() {
    let server = Postgres::start(Version::V18).await;
    server
        .sql(
            "CREATE TABLE a (id int PRIMARY KEY); INSERT INTO a VALUES (1), (2), (3);
              CREATE TABLE b (id int PRIMARY KEY); INSERT INTO b VALUES (1), (2);
              CREATE TABLE empty (id int PRIMARY KEY)",
        )
        .await;
    let mut config = config(&server, "public.*");
    config.snapshot_readers = 1;
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.until(&mut log, |log| log.events.len() == 5).await;
    let marks: Vec<_> =
        log.events.iter().map(|event| event.origin.snapshot.unwrap().mark).collect();
    use SnapshotMark::{First, FirstInTable, Inside, Last, LastInTable};
    assert_eq!(marks, [First, Inside, LastInTable, FirstInTable, Last]);
}

#[tokio::test]
async fn a_killed_snapshot_goes_on_at_the_next_chunk() {
    for version in Version::ALL {
        // GIVEN tables with every kind of chunk, and few rows done
        for stop_after in [0_usize, 1, 2, 5, 9, 17] {
            let server = Postgres::start(version).await;
            server
                .sql("CREATE TABLE k (id int PRIMARY KEY, v text);
                      CREATE TABLE c (a text COLLATE \"C\", b numeric, v text, PRIMARY KEY (a, b));
                      CREATE TABLE n (v text); ALTER TABLE n REPLICA IDENTITY FULL;
                      INSERT INTO k SELECT i, 'k' FROM generate_series(1, 1000) i;
                      INSERT INTO c SELECT 'a' || i % 7, i / 3.0, 'c' FROM generate_series(1, 500) i;
                      INSERT INTO n SELECT i % 150 FROM generate_series(1, 300) i;
                      ANALYZE")
                .await;
            let config = config(&server, "public.*");
            let mut log = Log::default();
            let mut session = open(&config, &mut log).await.unwrap();
            for _ in 0..stop_after {
                session.step(&mut log).await.unwrap();
            }
            drop(session);
            // WHEN everything changes before it is taken up again
            let changes = "UPDATE k SET v = 'changed' WHERE id % 3 = 0;
                 DELETE FROM k WHERE id % 5 = 0;
                 UPDATE k SET id = id + 450 WHERE id % 7 = 0 AND id + 450 NOT IN (SELECT id FROM k);
                 UPDATE k SET id = id - 450 WHERE id % 11 = 0 AND id - 450 NOT IN (SELECT id FROM k);
                 INSERT INTO k SELECT i, 'again' FROM generate_series(5, 1500, 10) i
                     ON CONFLICT DO NOTHING;
                 UPDATE c SET b = b + 100 WHERE a = 'a3'; DELETE FROM c WHERE a = 'a5';
                 INSERT INTO n SELECT 'new' FROM generate_series(1, 10); DELETE FROM n WHERE v = '7';
                 UPDATE n SET v = 'x' WHERE v = '9'";
            server.sql(changes).await;
            let mut session = open(&config, &mut log).await.unwrap();
            for _ in 0..2 {
                session.step(&mut log).await.unwrap();
            }
            server.sql("UPDATE k SET v = v || '!'; DELETE FROM c WHERE a = 'a6'").await;
            drop(session);
            server.sql("INSERT INTO n VALUES ('third'); UPDATE k SET id = id + 10000").await;
            let mut session = open(&config, &mut log).await.unwrap();
            session.catch_up(&server, &mut log).await;
            // THEN the projection equals the source
            for table in ["k", "c", "n"] {
                let rows = server.rows(&format!("SELECT * FROM {table}")).await;
                log.assert_equals(&format!("public.{table}"), rows);
            }
        }
    }
}

#[tokio::test]
async fn a_chunk_key_renamed_or_replaced_while_a_snapshot_is_interrupted_starts_its_table_anew() {
    for version in Version::ALL {
        for stop_after in [1_usize, 3, 6, 9] {
            // GIVEN tables of many chunks, of which some are done
            let server = Postgres::start(version).await;
            server
                .sql(
                    "CREATE TABLE k (id int PRIMARY KEY, v text);
                      CREATE TABLE p (id int PRIMARY KEY, other int NOT NULL, v text);
                      INSERT INTO k SELECT i, 'k' FROM generate_series(1, 1000) i;
                      INSERT INTO p SELECT i, 2000 - i, 'p' FROM generate_series(1, 1000) i; ANALYZE",
                )
                .await;
            let config = config(&server, "public.*");
            let mut log = Log::default();
            let mut session = open(&config, &mut log).await.unwrap();
            for _ in 0..stop_after {
                session.step(&mut log).await.unwrap();
            }
            drop(session);
            // WHEN one's key column gets another name, and another's key other columns
            server
                .sql("UPDATE k SET v = 'old name' WHERE id % 3 = 0; DELETE FROM k WHERE id % 7 = 0")
                .await;
            server.sql("ALTER TABLE k RENAME COLUMN id TO number").await;
            server.sql("UPDATE k SET v = 'new name' WHERE number % 5 = 0").await;
            server.sql("UPDATE p SET v = 'old key' WHERE id % 3 = 0").await;
            server.sql("ALTER TABLE p DROP CONSTRAINT p_pkey, ADD PRIMARY KEY (other)").await;
            server
                .sql("UPDATE p SET v = 'new key' WHERE id % 5 = 0; DELETE FROM p WHERE id = 7")
                .await;
            // THEN the projection equals the source
            let mut session = open(&config, &mut log).await.unwrap();
            session.catch_up(&server, &mut log).await;
            for table in ["k", "p"] {
                let rows = server.rows(&format!("SELECT * FROM {table}")).await;
                log.assert_equals(&format!("public.{table}"), rows);
            }
        }
    }
}

#[tokio::test]
async fn an_interrupted_snapshot_is_not_finished_on_a_standby() {
    let server = Postgres::start(Version::V18).await;
    table(&server, 5_000).await;
    let config = config(&server, "public.*");
    let mut log = Log::default();
    let mut session = open(&config, &mut log).await.unwrap();
    session.step(&mut log).await.unwrap();
    session.step(&mut log).await.unwrap();
    drop(session);
    server.stop().await;
    server.put_file("standby.signal", b"");
    server.start_again().await;
    let error = open(&config, &mut log).await.err().unwrap();
    assert_eq!(code(&error), "SERVER_IS_STANDBY");
}
