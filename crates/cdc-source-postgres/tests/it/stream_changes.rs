//! What the stream makes of changes.

use cdc_model::{ImageKind, Op, Value};

use crate::harness::{Log, Postgres, Version, config, open, table};

#[tokio::test]
async fn ddl_toast_truncate_and_identities_come_through() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        server
            .sql(
                "CREATE TABLE d (id int PRIMARY KEY, big text, n int);
                  ALTER TABLE d ALTER big SET STORAGE EXTERNAL;
                  CREATE TABLE f (id int PRIMARY KEY, big text, n int);
                  ALTER TABLE f ALTER big SET STORAGE EXTERNAL; ALTER TABLE f REPLICA IDENTITY FULL;
                  CREATE TABLE i (id int PRIMARY KEY, u int NOT NULL, v text);
                  CREATE UNIQUE INDEX i_u ON i (u); ALTER TABLE i REPLICA IDENTITY USING INDEX i_u",
            )
            .await;
        let config = config(&server, "public.*");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        server
            .sql(
                "INSERT INTO d VALUES (1, repeat('x', 9000), 0); INSERT INTO f SELECT * FROM d;
                  INSERT INTO i VALUES (1, 10, 'a')",
            )
            .await;
        server
            .sql("UPDATE d SET n = 1; UPDATE d SET id = 2; UPDATE f SET n = 1; DELETE FROM i")
            .await;
        session.catch_up(&server, &mut log).await;
        let found: Vec<_> = log
            .events
            .iter()
            .map(|e| (e.op, e.table.name.table.to_string(), e.origin.seq))
            .collect();
        let expected = [
            (Op::Create, "d", 0),
            (Op::Create, "f", 1),
            (Op::Create, "i", 2),
            (Op::Update, "d", 0),
            (Op::Update, "d", 1),
            (Op::Update, "f", 2),
            (Op::Delete, "i", 3),
        ];
        assert_eq!(found, expected.map(|(op, table, seq)| (op, table.to_owned(), seq)));
        let [_, _, _, plain, rekeyed, full, deleted] = &log.events[..] else { panic!() };
        assert_eq!(
            (plain.before.as_ref(), &plain.after.as_ref().unwrap()[1]),
            (None, &Value::Unchanged)
        );
        let before = rekeyed.before.as_ref().unwrap();
        assert_eq!((before.kind, &before.row[0]), (ImageKind::Key, &Value::Int32(1)));
        // Under replica identity full the old row has the value.
        assert_eq!(full.before.as_ref().unwrap().kind, ImageKind::Full);
        assert_eq!(full.after.as_ref().unwrap()[1], Value::text("x".repeat(9_000)));
        assert_eq!(full.table.key, [0]);
        // Keys are never invented: the index's columns are the key.
        assert_eq!(deleted.table.key, [1]);
        assert_eq!(deleted.before.as_ref().unwrap().row[1], Value::Int32(10));

        // DDL in the middle, then a truncate of two tables.
        server
            .sql("ALTER TABLE d ADD COLUMN extra text DEFAULT 'it''s'; INSERT INTO d VALUES (3, 'b', 1);
                  TRUNCATE f, i; INSERT INTO f VALUES (9, 'after', 1)")
            .await;
        session.catch_up(&server, &mut log).await;
        let schema = &log.events[7].table;
        assert_eq!(&*schema.columns[3].name, "extra");
        assert_eq!(
            schema.columns[3].default,
            Some(cdc_model::DefaultValue::Literal("it's".into()))
        );
        assert_eq!(schema.columns[3].missing.as_deref(), Some("it's"));
        let ops: Vec<_> = log.events[8..].iter().map(|e| (e.op, e.origin.seq)).collect();
        assert_eq!(ops, [(Op::Truncate, 1), (Op::Truncate, 2), (Op::Create, 3)]);
        log.assert_equals("public.f", server.rows("SELECT * FROM f").await);
    }
}

#[tokio::test]
async fn a_default_set_after_the_column_was_added_is_not_what_old_rows_have() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        table(&server, 1).await;
        let config = config(&server, "public.t");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        server
            .sql(
                "ALTER TABLE t ADD COLUMN late int, ADD COLUMN early int DEFAULT 5;
                  ALTER TABLE t ALTER COLUMN late SET DEFAULT 7, ALTER COLUMN early SET DEFAULT 7;
                  ALTER TABLE t ADD COLUMN list int[] DEFAULT '{1,2}';
                  INSERT INTO t (id) VALUES (1000)",
            )
            .await;
        session.catch_up(&server, &mut log).await;
        let table = &log.events.last().unwrap().table;
        let missing = |name| {
            let column = &table.columns[table.column_index(name).unwrap()];
            assert!(column.default.is_some());
            column.missing.as_deref()
        };
        assert_eq!(["late", "early", "list"].map(missing), [None, Some("5"), Some("{1,2}")]);
    }
}

#[tokio::test]
async fn a_large_transaction_is_cut_and_resumed_inside() {
    for version in Version::ALL {
        // GIVEN a transaction far larger than a batch
        let server = Postgres::start(version).await;
        table(&server, 10).await;
        let mut config = config(&server, "public.t");
        config.batch_bytes_max = 16 << 10;
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.catch_up(&server, &mut log).await;
        server.sql("INSERT INTO t SELECT i, 'large' FROM generate_series(100, 30099) i").await;
        // WHEN the source is dropped again and again in the middle of it
        for _ in 0..4 {
            for _ in 0..10 {
                session.step(&mut log).await.unwrap();
            }
            drop(session);
            session = open(&config, &mut log).await.unwrap();
        }
        session.catch_up(&server, &mut log).await;
        // THEN each row came once, in flat batches
        log.assert_equals("public.t", server.rows("SELECT * FROM t").await);
        assert!(log.batch_items_max < 1_500, "{}", log.batch_items_max);
    }
}

#[tokio::test]
async fn every_type_reads_the_same_from_snapshot_and_stream() {
    for version in Version::ALL {
        let server = Postgres::start(version).await;
        server
            .sql("CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN posint AS int CHECK (value > 0);
                  CREATE TABLE m (id int PRIMARY KEY, i2 smallint, i8 bigint, f4 real, f8 float8,
                    b bool, n numeric, n2 numeric(12,2), s varchar(20), c char(5), y bytea, d date,
                    t time, tz timetz, ts timestamp, tstz timestamptz, iv interval, u uuid, j json,
                    jb jsonb, e mood, a int[], ta text[], net inet, dom posint, p point, ea mood[])")
            .await;
        let insert = |id: i32| {
            format!("INSERT INTO m VALUES ({id}, -32768, 9223372036854775807, 1.5e-7,
            'NaN', true, 'NaN', -12.50, E'tab\\tnew\\nback\\\\slash', 'ab', '\\x00ff5c', 'infinity',
            '24:00:00', '10:00:00.5+05:30', '0044-03-15 12:00:00 BC', '2024-02-29 23:59:59.999999+02',
            '-1 year 2 days -03:04:05.6', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{{\"a\": 1}}',
            '{{\"b\": [1, 2]}}', 'ok', '{{1,NULL,3}}', '{{\"a b\",\"NULL\",NULL,\"q\\\"x\"}}',
            '10.0.0.0/8', 7, '(1,2)', '{{sad,ok}}'); INSERT INTO m (id) VALUES ({id} + 1)")
        };
        server.sql(&insert(1)).await;
        let config = config(&server, "public.m");
        let mut log = Log::default();
        let mut session = open(&config, &mut log).await.unwrap();
        session.until(&mut log, |log| log.events.len() == 2).await;
        server.sql(&insert(11)).await;
        session.catch_up(&server, &mut log).await;
        let row = |index: usize| log.events[index].after.as_ref().unwrap()[1..].to_vec();
        assert_eq!(row(0), row(2));
        assert_eq!(row(1), row(3));
        assert_eq!(log.events[0].table, log.events[2].table, "one schema for both");
        log.assert_equals("public.m", server.rows("SELECT * FROM m").await);
    }
}
