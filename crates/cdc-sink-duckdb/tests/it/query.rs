//! Read-only SQL while the sink writes.

use std::time::Duration;

use cdc_sink_duckdb::{QueryColumn, QueryError, Table};
use testkit::fixture::{insert, origin, table};

use crate::world::World;

const LIMIT: Duration = Duration::from_secs(30);

async fn world() -> World {
    let mut world = World::new().await;
    let t = table("t");
    let events = (0..5).map(|id| insert(&t, origin(1, 0), id, format!("v{id}"))).collect();
    world.apply(events).await.unwrap();
    world
}

#[tokio::test]
async fn one_select_of_any_shape_is_answered() {
    let world = world().await;
    for (sql, rows) in [
        ("SELECT count(*) FROM public_t", 1),
        ("FROM public_t", 5),
        ("TABLE public_t", 5),
        ("VALUES (1), (2)", 2),
        ("WITH a AS (SELECT 1) SELECT * FROM a -- and a comment", 1),
        ("SELECT id FROM public_t ORDER BY id DESC LIMIT 2;", 2),
        ("SELECT 1 AS a, 2 AS a", 1),
        ("SELECT ';' || ')' FROM public_t /* ; */", 5),
        ("DESCRIBE public_t", 2),
        ("SHOW TABLES", 1),
        ("SUMMARIZE public_t", 2),
        ("SELECT topic, next FROM penstock.offsets", 1),
    ] {
        let found = world.sink.query_handle().query(sql, 100, LIMIT).await;
        assert_eq!(found.unwrap_or_else(|e| panic!("{sql}: {e}")).rows.len(), rows, "{sql}");
    }
}

#[tokio::test]
async fn columns_rows_and_the_cut_are_told() {
    let world = world().await;
    let sql = "SELECT id, NULLIF(v, 'v0') AS v FROM public_t ORDER BY id";
    let found = world.sink.query_handle().query(sql, 2, LIMIT).await.unwrap();
    let column = |name: &str, ty: &str| QueryColumn { name: name.to_owned(), ty: ty.to_owned() };
    let text = |text: &str| Some(text.to_owned());
    let expected = Table {
        columns: vec![column("id", "BIGINT"), column("v", "VARCHAR")],
        rows: vec![vec![text("0"), None], vec![text("1"), text("v1")]],
        is_cut: true,
    };
    assert_eq!(found, expected);
}

#[tokio::test]
async fn whatever_is_not_one_select_is_refused_and_changes_nothing() {
    let world = world().await;
    let outside = world.directory.path().join("outside.txt");
    std::fs::write(&outside, "secret").unwrap();
    let outside = outside.display();
    let before = world.rows("FROM public_t ORDER BY id").await;
    for sql in [
        "INSERT INTO public_t VALUES (9, 'x')",
        "INSERT INTO public_t VALUES (9, 'x'); SELECT 1",
        "SELECT 1; DELETE FROM public_t",
        "SELECT 1; SELECT 2",
        "UPDATE public_t SET v = 'x'",
        "DELETE FROM public_t",
        "DROP TABLE public_t",
        "TRUNCATE public_t",
        "ALTER TABLE public_t ADD COLUMN x INT",
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE MACRO f() AS 1",
        "WITH x AS (DELETE FROM public_t RETURNING *) SELECT * FROM x",
        "SELECT 1) ; DELETE FROM public_t; SELECT (1",
        "SELECT * FROM public_t) ; DROP TABLE public_t --",
        "COMMIT",
        "ROLLBACK; DELETE FROM public_t",
        "BEGIN; DELETE FROM public_t; COMMIT",
        "PRAGMA threads=1",
        "SET memory_limit='1MB'",
        "RESET memory_limit",
        "CHECKPOINT",
        "SELECT * FROM checkpoint()",
        "SELECT * FROM force_checkpoint()",
        "FROM query('SELECT 1')",
        "FROM query_table('public_t')",
        "FROM arrow_scan(1, 2, 3)",
        "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
        "SELECT write_log('x')",
        "COPY public_t TO '/dev/null'",
        "EXPORT DATABASE '/tmp/x'",
        "ATTACH ':memory:' AS m",
        "DETACH w",
        "USE penstock",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL pragma_version()",
        "EXPLAIN ANALYZE DELETE FROM public_t",
        "PREPARE p AS DELETE FROM public_t",
        "VACUUM",
        "SELECT ?",
        "SELECT * FROM glob('/*')",
        &format!("SELECT * FROM read_text('{outside}')"),
        &format!("SELECT * FROM '{outside}'"),
        "",
        ";",
        "no sql at all",
    ] {
        let found = world.sink.query_handle().query(sql, 10, LIMIT).await;
        match found {
            Err(QueryError::Refused { .. } | QueryError::Failed { .. }) => {}
            other => panic!("{sql}: {other:?}"),
        }
    }
    assert_eq!(world.rows("FROM public_t ORDER BY id").await, before);
    assert_eq!(
        world
            .rows("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'main'")
            .await,
        ["1"]
    );
}

#[tokio::test]
async fn a_query_that_takes_too_long_is_ended() {
    let world = world().await;
    let endless = "SELECT count(*) FROM range(100000000000) a, range(1000) b";
    let query = world.sink.query_handle();
    let found = query.query(endless, 1, Duration::from_millis(100)).await;
    assert!(matches!(found, Err(QueryError::TimedOut { .. })), "{found:?}");
    assert_eq!(world.rows("SELECT 1").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_see_whole_batches_while_the_sink_writes() {
    let mut world = world().await;
    let query = world.sink.query_handle();
    let t = table("t");
    let done = std::sync::atomic::AtomicBool::new(false);
    let read = async {
        let mut seen = 0;
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let sql = "SELECT count(*), count(DISTINCT v) FROM public_t WHERE id >= 100";
            let rows = query.query(sql, 1, LIMIT).await.unwrap().rows;
            let count: u64 = rows[0][0].as_ref().unwrap().parse().unwrap();
            assert!(count == 0 || count == 50, "{count}");
            assert!(matches!(rows[0][1].as_deref(), Some("0" | "1")), "{rows:?}");
            seen += 1;
        }
        seen
    };
    let write = async {
        for round in 0..30 {
            let row = |id| insert(&t, origin(1, 0), id, format!("round {round}"));
            world.apply((100..150).map(row).collect()).await.unwrap();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let (seen, ()) = tokio::join!(read, write);
    assert!(seen > 0);
}

#[tokio::test]
async fn an_export_is_a_whole_database_of_its_own() {
    let mut world = world().await;
    let copy = world.directory.path().join("copy.duckdb");
    world.sink.query_handle().export(&copy).await.unwrap();
    world.apply(vec![insert(&table("t"), origin(1, 0), 9, "later")]).await.unwrap();
    // The lock on the warehouse itself still stands, and the copy is free.
    let read = |path: &std::path::Path| {
        let connection = duckdb::Connection::open(path).unwrap();
        connection
            .query_row("SELECT count(*) FROM public_t", [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(read(&copy), 5);
    assert_eq!(world.rows("SELECT count(*) FROM public_t").await, ["6"]);
}
