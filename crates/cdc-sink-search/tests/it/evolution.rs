//! Changes of a table's definition.

use std::sync::Arc;

use cdc_model::{Column, ColumnType, DefaultValue, Row, TableSchema, Value};
use cdc_pipeline::Classify as _;
use testkit::fixture::{insert, origin, row, table, update};

use crate::world::World;

const T: &str = "public.t";

fn with(change: impl FnOnce(&mut TableSchema)) -> Arc<TableSchema> {
    let mut schema = TableSchema::clone(&table("t"));
    change(&mut schema);
    Arc::new(schema)
}

fn with_column(column: Column) -> Arc<TableSchema> {
    with(|schema| schema.columns.push(column))
}

async fn world() -> World {
    let mut world = World::new().await;
    world.apply(vec![insert(&table("t"), origin(1, 0), 1, "a")]).await.unwrap();
    world
}

fn wide(schema: &Arc<TableSchema>, id: i64, last: Value) -> Vec<cdc_model::ChangeEvent> {
    let row = Row::new(vec![Value::Int64(id), Value::text("b"), last]);
    vec![update(schema, origin(2, 0), row)]
}

#[tokio::test]
async fn old_rows_have_in_a_new_column_what_the_source_says() {
    let mut world = world().await;
    let mut column = Column::new("n", ColumnType::Int32);
    column.missing = Some("7".into());
    let schema = with_column(column);
    let mut events = vec![insert(&table("t"), origin(1, 1), 3, "c")];
    events.extend(wide(&schema, 2, Value::Null));
    events.push(update(
        &schema,
        origin(3, 0),
        Row::new(vec![Value::Int64(1), Value::text("z"), Value::Unchanged]),
    ));
    world.apply(events).await.unwrap();
    let world = world.reopen().await;
    assert_eq!(world.rows(T).await, ["1|z|7", "2|b|null", "3|c|7"]);
}

#[tokio::test]
async fn what_cannot_be_known_of_old_rows_halts() {
    let expression = Some(DefaultValue::Expression);
    let volatile =
        with_column(Column { default: expression, ..Column::new("n", ColumnType::Int32) });
    let required = with_column(Column::new("n", ColumnType::Int32).not_null());
    for schema in [volatile, required] {
        let mut world = world().await;
        let error = world.fails(wide(&schema, 2, Value::Int32(1))).await;
        assert_eq!(error.code(), Some("RESYNC_NEEDED"), "{error}");
        assert!(error.remedy().is_some());
        assert_eq!(world.rows(T).await, ["1|a"]);
    }
    let retyped = with(|schema| schema.columns[1].ty = ColumnType::Bytes);
    let renamed = with(|schema| schema.columns[1].name = "w".into());
    let rekeyed = with(|schema| schema.key = vec![0, 1]);
    for schema in [retyped, renamed, rekeyed] {
        let mut world = world().await;
        let error = world.fails(vec![update(&schema, origin(2, 0), row(2, "b"))]).await;
        assert_eq!(error.code(), Some("RESYNC_NEEDED"), "{error}");
    }
}

#[tokio::test]
async fn an_empty_table_takes_any_definition() {
    let mut world = world().await;
    world.apply(vec![testkit::fixture::delete(&table("t"), origin(2, 0), 1)]).await.unwrap();
    let schema = with(|schema| schema.key = vec![0, 1]);
    world.apply(vec![update(&schema, origin(3, 0), row(2, "b"))]).await.unwrap();
    world.apply(vec![update(&schema, origin(3, 1), row(2, "c"))]).await.unwrap();
    assert_eq!(world.rows(T).await, ["2|b", "2|c"]);
}

#[tokio::test]
async fn a_dropped_column_stays_in_old_rows_and_may_not_come_back() {
    let mut world = world().await;
    let narrow = with(|schema| schema.columns.truncate(1));
    let event = update(&narrow, origin(2, 0), Row::new(vec![Value::Int64(2)]));
    world.apply(vec![event]).await.unwrap();
    assert_eq!(world.rows(T).await, ["1|a", "2|null"]);
    let error = world.fails(vec![insert(&table("t"), origin(3, 0), 3, "c")]).await;
    assert_eq!(error.code(), Some("RESYNC_NEEDED"), "{error}");
}

#[tokio::test]
async fn one_name_for_two_tables_is_refused() {
    let mut world = world().await;
    let mut batch =
        crate::world::batch(&world.state, 0, vec![insert(&table("t"), origin(1, 0), 1, "a")]);
    let other = cdc_model::Topic::new("other.public.t");
    batch.ranges[0].source.topic = other.clone();
    batch.ranges[0].first = cdc_model::Offset(0);
    batch.changes[0].source.topic = other;
    let error = world.apply_batch(batch).await.unwrap_err();
    assert_eq!(error.code(), Some("NAME_COLLISION"), "{error}");
}
