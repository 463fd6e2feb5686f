//! Rows beyond what the contract asks: moves, multisets, partitions, values.

use std::sync::Arc;

use bytes::Bytes;
use cdc_model::{
    Array, ChangeEvent, Column, ColumnType, Decimal, ImageKind, Op, Row, RowImage, TableSchema,
    Timestamp, Value,
};
use cdc_pipeline::Classify as _;
use cdc_pipeline::port::SinkError as _;
use testkit::fixture::{delete, insert, key_image, origin, row, table, truncate, update};

use crate::world::{World, batch};

const T: &str = "public.t";

fn unchanged(id: i64) -> Row {
    Row::new(vec![Value::Int64(id), Value::Unchanged])
}

/// The second half of a key change.
fn moved(from: i64, to: i64) -> ChangeEvent {
    let event = update(&table("t"), origin(1, 0), unchanged(to));
    ChangeEvent { op: Op::Create, before: Some(key_image(from)), ..event }
}

fn keyless() -> Arc<TableSchema> {
    Arc::new(TableSchema { key: Vec::new(), ..TableSchema::clone(&table("t")) })
}

fn full(id: i64, v: &str) -> Option<RowImage> {
    Some(RowImage { row: row(id, v), kind: ImageKind::Full })
}

#[tokio::test]
async fn a_row_that_moves_twice_in_a_batch_keeps_its_unchanged_column() {
    let mut world = World::new().await;
    let t = table("t");
    world.apply(vec![insert(&t, origin(1, 0), 1, "kept")]).await.unwrap();
    let gone = |id| delete(&t, origin(1, 0), id);
    let back = update(&t, origin(1, 0), unchanged(1));
    let events = vec![gone(1), moved(1, 2), gone(2), moved(2, 3), gone(3), moved(3, 1), back];
    world.apply(events).await.unwrap();
    assert_eq!(world.rows(T).await, ["1|kept"]);
    let event =
        ChangeEvent { before: Some(key_image(1)), ..update(&t, origin(1, 0), unchanged(7)) };
    world.apply(vec![event]).await.unwrap();
    assert_eq!(world.rows(T).await, ["7|kept"]);
}

#[tokio::test]
async fn a_truncated_or_deleted_row_is_not_there_to_be_unchanged() {
    let mut world = World::new().await;
    let t = table("t");
    world.apply(vec![insert(&t, origin(1, 0), 1, "gone")]).await.unwrap();
    for gone in [truncate(&t, origin(1, 0)), delete(&t, origin(1, 0), 1)] {
        let error = world.fails(vec![gone, update(&t, origin(1, 0), unchanged(1))]).await;
        assert_eq!(error.code(), Some("UNCHANGED_WITHOUT_ROW"), "{error}");
        assert_eq!(world.rows(T).await, ["1|gone"]);
    }
}

#[tokio::test]
async fn equal_rows_are_counted_over_batches() {
    let mut world = World::new().await;
    let t = keyless();
    let add = |n: usize| vec![insert(&t, origin(1, 0), 1, "same"); n];
    let gone = || ChangeEvent { before: full(1, "same"), ..delete(&t, origin(2, 0), 1) };
    world.apply(add(3)).await.unwrap();
    world.apply(vec![gone()]).await.unwrap();
    let mut events = add(2);
    events.push(gone());
    world.apply(events).await.unwrap();
    assert_eq!(world.sink.query_handle().count(T).await.unwrap(), 3);
    // One more is deleted than there is: the insert after it stays.
    let mut events = vec![gone(), gone(), gone(), gone()];
    events.extend(add(1));
    world.apply(events).await.unwrap();
    assert_eq!(world.rows(T).await, ["1|same"]);
    let changed = ChangeEvent {
        before: full(1, "same"),
        ..update(&t, origin(3, 0), Row::new(vec![Value::Int64(2), Value::Unchanged]))
    };
    world.apply(vec![changed]).await.unwrap();
    assert_eq!(world.rows(T).await, ["2|same"]);
    let mut events = vec![truncate(&t, origin(4, 0))];
    events.extend(add(2));
    world.apply(events).await.unwrap();
    assert_eq!(world.rows(T).await, ["1|same", "1|same"]);
    let error = world.fails(vec![delete(&t, origin(5, 0), 1)]).await;
    assert_eq!(error.code(), Some("ROW_NOT_IDENTIFIED"), "{error}");
}

#[tokio::test]
async fn a_truncate_removes_only_rows_that_came_by_its_partition() {
    let mut world = World::new().await;
    let t = table("t");
    let row = |id, v: &str| insert(&t, origin(1, 0), id, v);
    for (partition, events) in [
        (0, vec![row(1, "a"), row(2, "a")]),
        (1, vec![truncate(&t, origin(1, 0))]),
        (1, vec![row(3, "b"), row(4, "b")]),
        (1, vec![truncate(&t, origin(1, 0)), row(5, "c")]),
        (0, vec![delete(&t, origin(1, 0), 1)]),
    ] {
        let batch = batch(&world.state, partition, events);
        world.apply_batch(batch).await.unwrap();
    }
    assert_eq!(world.rows(T).await, ["2|a", "5|c"]);
}

#[tokio::test]
async fn every_value_is_held_exactly() {
    let decimal = |text: &'static str| Value::Decimal(Decimal::parse(text.into()).unwrap());
    let list =
        |elements: Vec<Value>| Value::Array(Array { elements: elements.into(), exact: None });
    let matrix = [
        (ColumnType::Bool, Value::Bool(true), "true"),
        (ColumnType::Int64, Value::Int64(i64::MIN), "-9223372036854775808"),
        (ColumnType::Float32, Value::Float32(0.1), "0.1"),
        (ColumnType::Float64, Value::Float64(0.1), "0.1"),
        (ColumnType::Float64, Value::Float64(f64::NEG_INFINITY), "-inf"),
        (
            ColumnType::Decimal(None),
            decimal("12345678901234567890.1200"),
            "12345678901234567890.1200",
        ),
        (ColumnType::Text, Value::text("žluť 🐎 \"q\"\n"), "žluť 🐎 \"q\"\n"),
        (ColumnType::Bytes, Value::Bytes(Bytes::from_static(b"\0\xff")), "\\x00ff"),
        (
            ColumnType::TimestampTz(6),
            Value::TimestampTz(Timestamp(1)),
            "1970-01-01 00:00:00.000001+00",
        ),
        (ColumnType::Uuid, Value::Uuid([0xab; 16]), "abababab-abab-abab-abab-abababababab"),
        (
            ColumnType::Array(Box::new(ColumnType::Text)),
            list(vec![Value::text("a"), Value::Null]),
            "[\"a\",null]",
        ),
        (ColumnType::Text, Value::Null, "null"),
    ];
    let mut columns = vec![Column::new("id", ColumnType::Int64).not_null()];
    let mut values = vec![Value::Int64(1)];
    for (index, (ty, value, _)) in matrix.iter().enumerate() {
        columns.push(Column::new(format!("c{index}"), ty.clone()));
        values.push(value.clone());
    }
    let t = Arc::new(TableSchema { columns, ..TableSchema::clone(&table("t")) });
    let mut world = World::new().await;
    world.apply(vec![update(&t, origin(1, 0), Row::new(values))]).await.unwrap();
    let texts: Vec<_> = matrix.iter().map(|(.., text)| *text).collect();
    let expected = [format!("1|{}", texts.join("|"))];
    assert_eq!(world.rows(T).await, expected);
    // And back through a row that keeps everything.
    let mut touched = vec![Value::Unchanged; matrix.len() + 1];
    touched[0] = Value::Int64(1);
    world.apply(vec![update(&t, origin(2, 0), Row::new(touched))]).await.unwrap();
    assert_eq!(world.rows(T).await, expected);
}

#[tokio::test]
async fn a_key_that_is_null_is_poison_and_nothing_is_applied() {
    let mut world = World::new().await;
    let bad = update(&table("t"), origin(1, 0), Row::new(vec![Value::Null, Value::text("x")]));
    let error = world.fails(vec![insert(&table("t"), origin(1, 0), 1, "a"), bad]).await;
    assert_eq!(error.poisoned(), Some(1), "{error}");
    assert!(world.state.offsets.is_empty());
    assert!(world.rows_or_none(T).await.is_empty());
}

#[tokio::test]
async fn a_large_row_and_many_small_ones_fit() {
    let mut world = World::new().await;
    let t = table("t");
    let large = "word ".repeat(400_000);
    let mut events = vec![insert(&t, origin(1, 0), 0, large.clone())];
    events.extend((1..3_000).map(|id| insert(&t, origin(1, 0), id, "small")));
    world.apply(events).await.unwrap();
    let query = world.sink.query_handle();
    assert_eq!(query.count(T).await.unwrap(), 3_000);
    let hits = query.search("word", 10).await.unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(hits[0].row["v"].as_str().unwrap().len(), large.len());
}

#[tokio::test]
async fn of_a_batch_that_overlaps_only_the_new_rows_are_added() {
    let mut world = World::new().await;
    let t = keyless();
    let rows = |n: usize| vec![insert(&t, origin(1, 0), 1, "same"); n];
    let whole = batch(&world.state, 0, rows(5));
    world.apply(rows(3)).await.unwrap();
    world.apply_batch(whole).await.unwrap();
    assert_eq!(world.sink.query_handle().count(T).await.unwrap(), 5);
}
