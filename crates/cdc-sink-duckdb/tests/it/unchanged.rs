//! Unchanged columns and key changes beyond what the contract asks.

use cdc_model::{ChangeEvent, Column, ColumnType, ImageKind, Op, Row, RowImage, Value};
use cdc_pipeline::Classify as _;
use testkit::fixture::{delete, insert, key_image, origin, row, table, update};

use crate::world::{World, insert_of, table_of};

fn unchanged(id: i64) -> Row {
    Row::new(vec![Value::Int64(id), Value::Unchanged])
}

/// The second half of a key change.
fn moved(from: i64, to: i64) -> ChangeEvent {
    let event = update(&table("t"), origin(1, 0), unchanged(to));
    ChangeEvent { op: Op::Create, before: Some(key_image(from)), ..event }
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
    assert_eq!(world.rows("FROM public_t").await, ["1|kept"]);
}

#[tokio::test]
async fn a_key_change_cut_between_two_batches_keeps_its_unchanged_column() {
    let mut world = World::new().await;
    let t = table("t");
    world.apply(vec![insert(&t, origin(1, 0), 1, "kept")]).await.unwrap();
    world.apply(vec![delete(&t, origin(1, 0), 1)]).await.unwrap();
    let mut world = world.reopen().await;
    world.apply(vec![moved(1, 2)]).await.unwrap();
    assert_eq!(world.rows("FROM public_t").await, ["2|kept"]);
    let error = world.fails(vec![moved(1, 3)]).await;
    assert_eq!(error.code(), Some("UNCHANGED_WITHOUT_ROW"), "{error}");
}

#[tokio::test]
async fn an_update_that_changes_the_key_itself_moves_the_row() {
    let mut world = World::new().await;
    let t = table("t");
    world.apply(vec![insert(&t, origin(1, 0), 1, "kept")]).await.unwrap();
    let event = update(&t, origin(1, 0), unchanged(7));
    let event = ChangeEvent { before: Some(key_image(1)), ..event };
    world.apply(vec![event]).await.unwrap();
    assert_eq!(world.rows("FROM public_t").await, ["7|kept"]);
}

#[tokio::test]
async fn a_full_old_image_tells_what_is_unchanged_without_any_stored_row() {
    let mut world = World::new().await;
    let event = update(&table("t"), origin(1, 0), unchanged(1));
    let before = Some(RowImage { row: row(1, "from the image"), kind: ImageKind::Full });
    world.apply(vec![ChangeEvent { before, ..event }]).await.unwrap();
    assert_eq!(world.rows("FROM public_t").await, ["1|from the image"]);
}

#[tokio::test]
async fn every_type_comes_back_from_the_store_as_it_was() {
    let mut world = World::new().await;
    let (columns, values): (Vec<_>, Vec<_>) = crate::values::matrix()
        .into_iter()
        .enumerate()
        .map(|(index, (ty, value, _))| (Column::new(format!("c{index}"), ty), value))
        .unzip();
    let t = table_of("all", columns);
    world.apply(vec![insert_of(&t, 1, values.clone())]).await.unwrap();
    let before = world.rows("FROM public_all").await;
    let mut touched = vec![Value::Unchanged; values.len()];
    touched[0] = values[0].clone();
    let event = ChangeEvent { op: Op::Update, ..insert_of(&t, 1, touched) };
    world.apply(vec![event.clone()]).await.unwrap();
    assert_eq!(world.rows("FROM public_all").await, before);
    // And once more through the row that departs.
    world
        .apply(vec![ChangeEvent {
            op: Op::Delete,
            before: Some(RowImage {
                row: insert_of(&t, 1, values.clone()).after.unwrap(),
                kind: ImageKind::Key,
            }),
            after: None,
            ..event.clone()
        }])
        .await
        .unwrap();
    let mut key = vec![Value::Null; values.len() + 1];
    key[0] = Value::Int64(1);
    let mut after = vec![Value::Unchanged; values.len() + 1];
    after[0] = Value::Int64(2);
    let create = ChangeEvent {
        op: Op::Create,
        before: Some(RowImage { row: Row::new(key), kind: ImageKind::Key }),
        after: Some(Row::new(after)),
        ..event
    };
    world.apply(vec![create]).await.unwrap();
    let expected: Vec<_> = before.iter().map(|row| row.replacen('1', "2", 1)).collect();
    assert_eq!(world.rows("FROM public_all").await, expected);
}

#[tokio::test]
async fn a_truncated_row_is_not_there_to_be_unchanged() {
    let mut world = World::new().await;
    let t = table("t");
    world.apply(vec![insert(&t, origin(1, 0), 1, "gone")]).await.unwrap();
    let truncate = testkit::fixture::truncate(&t, origin(1, 0));
    let error = world.fails(vec![truncate, update(&t, origin(1, 0), unchanged(1))]).await;
    assert_eq!(error.code(), Some("UNCHANGED_WITHOUT_ROW"), "{error}");
    assert!(error.remedy().unwrap().contains("REPLICA IDENTITY FULL"));
    assert_eq!(world.rows("FROM public_t").await, ["1|gone"]);
}

#[tokio::test]
async fn a_change_that_does_not_name_its_row_halts() {
    let mut world = World::new().await;
    let mut keyless = table_of("k", vec![Column::new("v", ColumnType::Text)]).as_ref().clone();
    keyless.key.clear();
    let keyless = std::sync::Arc::new(keyless);
    let error = world.fails(vec![delete(&keyless, origin(1, 0), 1)]).await;
    assert_eq!(error.code(), Some("ROW_NOT_IDENTIFIED"), "{error}");
}
